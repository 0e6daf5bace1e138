"""Verdicts: what was found out about an image's signatures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from petra.content.digest import Digest
    from petra.trust.documents import Scheme

#: What vouches for a signature: a public key that the verifier was given, or a certificate that
#: says who signed.
Method: TypeAlias = Literal["key", "keyless"]


@dataclass(frozen=True, slots=True)
class Certified:
    """What a keyless signature's certificate and log entry prove.

    Attributes:
        identity: who signed, the certificate's one subject alternative name.
        issuer: who vouched for that identity, the OpenID Connect issuer's URL.
        certificate: the digest of the leaf certificate's DER.
        log_id: of the transparency log, 64 hex digits.
        log_index: the entry's number in that log.
        time: when the signature existed for certain, in UTC: the log's own time or a timestamp
            authority's, whichever was verified.
        root: the digest of the trusted root that all of this follows from.
    """

    identity: str
    issuer: str
    certificate: Digest
    log_id: str
    log_index: int
    time: datetime
    root: Digest

    def to_json(self) -> dict[str, Any]:
        """Return it as metadata.json records it."""
        return {
            "identity": self.identity,
            "issuer": self.issuer,
            "certificate": self.certificate,
            "log": {"id": self.log_id, "index": self.log_index},
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "root": self.root,
        }


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """One signature that passed every step.

    Attributes:
        scheme: how it was found, ``tag`` or ``referrer``.
        manifest: the digest of the manifest that holds it.
        key: the fingerprint of the key that verified it: for a keyless signature the
            certificate's, which signs once and means nothing by itself.
        annotations: what the signer put under the signature beside the image.
        certified: for a keyless signature, who signed, and when.
    """

    scheme: Scheme
    manifest: Digest
    key: str
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)
    certified: Certified | None = None

    @property
    def method(self) -> Method:
        """What vouches for it."""
        return "keyless" if self.certified else "key"

    def to_json(self) -> dict[str, Any]:
        """Return it as metadata.json records it."""
        who = self.certified.to_json() if self.certified else {"key": self.key}
        value = {"method": self.method, **who, "scheme": self.scheme, "manifest": self.manifest}
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
