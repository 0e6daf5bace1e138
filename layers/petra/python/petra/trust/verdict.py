"""Verdicts: what was found out about an image's signatures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.content.digest import Digest
    from petra.trust.documents import Scheme


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """One signature that passed every step.

    Attributes:
        scheme: how it was found, ``tag`` or ``referrer``.
        manifest: the digest of the manifest that holds it.
        key: the fingerprint of the key that verified it.
        annotations: what the signer put under the signature beside the image.
    """

    scheme: Scheme
    manifest: Digest
    key: str
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as metadata.json records it."""
        value: dict[str, Any] = {
            "method": "key",
            "key": self.key,
            "scheme": self.scheme,
            "manifest": self.manifest,
        }
        return value | ({"annotations": dict(self.annotations)} if self.annotations else {})


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """What was found out about an image's signatures.

    There is no verdict for an image that failed: that is an error.

    Attributes:
        subject: the image's digest.
        signatures: those that policy asked for, each verified; empty only if `skipped`.
        skipped: why nothing was verified; None where something was.
    """

    subject: Digest
    signatures: tuple[VerifiedSignature, ...] = ()
    skipped: str | None = None

    def __post_init__(self) -> None:
        if bool(self.signatures) == bool(self.skipped):
            raise ValueError("a verdict is either verified by signatures or skipped for a reason")

    @property
    def verified(self) -> bool:
        """Whether a signature was verified."""
        return bool(self.signatures)

    @property
    def key(self) -> str | None:
        """The fingerprint of the key that verified the first signature."""
        return self.signatures[0].key if self.signatures else None

    @property
    def scheme(self) -> Scheme | None:
        """How the first signature was found."""
        return self.signatures[0].scheme if self.signatures else None

    @property
    def manifest(self) -> Digest | None:
        """The digest of the manifest that holds the first signature."""
        return self.signatures[0].manifest if self.signatures else None

    def to_json(self) -> dict[str, Any]:
        """Return it as metadata.json records it."""
        if self.skipped:
            return {"status": "skipped", "reason": self.skipped}
        return {"status": "verified", "signatures": [one.to_json() for one in self.signatures]}
