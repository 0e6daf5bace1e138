"""In-toto statements: what is said about which digests.

Source: in-toto/attestation, spec/v1/statement.md; v0.1 has the same members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from petra.content.digest import Digest
from petra.errors import SignatureError
from petra.oci.media_types import IN_TOTO
from petra.trust.candidate import expect, texts
from petra.trust.sigstore import BUNDLE_LIMIT, load_signed_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
#: What cosign writes for attestations, whatever the predicate.
STATEMENT_TYPE_OLD: Final = "https://in-toto.io/Statement/v0.1"
SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
#: More subjects than an image has platforms are a mistake or an attack.
_SUBJECT_LIMIT: Final = 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that a statement is about, of those that can be images."""

    digest: Digest
    annotations: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose signature was verified.

    Attributes:
        type: the version of its form.
        predicate_type: what is said.
        subjects: about what, of all that has a SHA-256.
    """

    type: str
    predicate_type: str
    subjects: tuple[Subject, ...]

    def about(self, digests: Collection[Digest]) -> list[Subject]:
        """Return those of its subjects that are among `digests`.

        Raises:
            SignatureError: there is none.
        """
        found = [one for one in self.subjects if one.digest in digests]
        if not found:
            raise SignatureError(
                "signature is for another image", expected=" or ".join(sorted(digests))
            )
        return found


def check_payload_type(payload_type: str) -> None:
    """Check that an envelope holds an in-toto document.

    Raises:
        SignatureError: it holds something else.
    """
    expect(payload_type, IN_TOTO, "envelope holds something else than an in-toto statement")


def parse_statement(
    data: bytes, types: Collection[str], *, where: str, limit: int = BUNDLE_LIMIT
) -> Statement:
    """Return the statement in `data`, whose signature was verified.

    Args:
        data: an envelope's payload.
        types: which versions of the form are accepted, the preferred one first.
        where: what to name in an error.
        limit: for its size, in bytes.

    Raises:
        SignatureError: it is none.
    """
    value = load_signed_json(data, what="statement", where=where, limit=limit)
    kind, predicate_type = value.get("_type"), value.get("predicateType")
    if kind not in types:
        expect(kind, next(iter(types)), "statement of another type")
    if not isinstance(predicate_type, str) or not predicate_type:
        raise SignatureError("statement without a predicateType", found=repr(predicate_type)[:120])
    return Statement(str(kind), predicate_type, _subjects(value))


def _subjects(value: dict[str, Any]) -> tuple[Subject, ...]:
    listed = value.get("subject")
    listed = listed if isinstance(listed, list) else []
    if len(listed) > _SUBJECT_LIMIT:
        raise SignatureError("statement with too many subjects", expected=f"{_SUBJECT_LIMIT}")
    found = []
    for item in listed:
        digests = item.get("digest") if isinstance(item, dict) else None
        sha256 = digests.get("sha256") if isinstance(digests, dict) else None
        if isinstance(sha256, str):
            found.append(Subject(Digest(f"sha256:{sha256}"), texts(item.get("annotations"))))
    return tuple(found)
