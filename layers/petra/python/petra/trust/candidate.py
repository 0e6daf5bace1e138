"""Candidates: layers that may be signatures or attestations, and the steps common to both.

1. a manifest that says what it refers to refers to this image (:func:`check_referrer`);
2. the layer is of a kind that can be what is looked for (the caller's);
3. the layer's bytes are here, and have its digest and size (:func:`payload_of`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.content.descriptor import Descriptor
from petra.errors import PolicyError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.digest import Digest
    from petra.errors import VerificationError
    from petra.trust.documents import SignatureDocument
    from petra.trust.signers import Signers

#: How many failed candidates an error describes.
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer of a manifest, and what it is to be checked against.

    Attributes:
        subjects: the digests of which it may speak: the image's; for attestations its platform
            manifests' too.
        document: the manifest.
        layer: one of its layers.
        signers: whose signature counts.
    """

    subjects: Sequence[Digest]
    document: SignatureDocument
    layer: Descriptor
    signers: Signers

    @property
    def where(self) -> str:
        """The digest of the manifest that holds it, for errors."""
        return self.document.manifest.descriptor.digest


@dataclass(frozen=True, slots=True)
class Failure:
    """A candidate that did not pass, and why."""

    candidate: Candidate
    error: VerificationError

    def __str__(self) -> str:
        error, check = self.error, self.candidate
        found = f" (found {error.found}, expected {error.expected})" if error.found else ""
        return f"{check.document.scheme} {check.where}: {error.message}{found}"


def check_referrer(check: Candidate) -> None:
    """Step 1: a manifest that says what it refers to refers to this image."""
    referred = check.document.manifest.subject
    if referred is None and check.document.scheme == "tag":
        return
    if referred is None or referred.digest not in check.subjects:
        raise SignatureError(
            "manifest refers to another image",
            where=check.where,
            expected=" or ".join(check.subjects),
            found=referred.digest if referred else "no subject",
        )


def payload_of(check: Candidate) -> bytes:
    """Step 3: the layer's bytes are here, and have its digest and size."""
    payload = check.document.payloads.get(check.layer.digest)
    if payload is None:
        raise SignatureError("payload is missing", where=check.where, expected=check.layer.digest)
    found = Descriptor.of(check.layer.media_type, payload)
    if found != check.layer:
        raise SignatureError(
            "payload has another digest or size than its layer says",
            where=check.where,
            expected=f"{check.layer.digest}, {check.layer.size} bytes",
            found=f"{found.digest}, {found.size} bytes",
        )
    return payload


def none_passes(
    message: str, failures: Sequence[Failure], signers: Signers, where: str
) -> VerificationError:
    """Return the error for candidates of which none passed, each with its reason.

    It is a PolicyError where one of them was genuine.
    """
    more = len(failures) - _SHOWN
    shown = [*map(str, failures[:_SHOWN]), *([f"{more} more"] * (more > 0))]
    genuine = [one.error for one in failures if isinstance(one.error, PolicyError)]
    kind = PolicyError if genuine else SignatureError
    return kind(
        message,
        where=where,
        expected=signers.expected(),
        found="; ".join(shown),
        hint=genuine[0].hint if genuine else signers.hint(),
    )


def expect(found: object, expected: str, message: str) -> None:
    """Check that a document says what it must.

    Raises:
        SignatureError: it says something else.
    """
    if found != expected:
        raise SignatureError(message, expected=expected, found=repr(found)[:120])


def texts(value: object) -> dict[str, str]:
    """Return the members of an object that are text; none if `value` is no object."""
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def part(value: Any, name: str) -> dict[str, Any]:
    """Return `value` if it is an object.

    Raises:
        SignatureError: it is none.
    """
    if not isinstance(value, dict):
        raise SignatureError(f"payload without {name}")
    return value
