"""A Sigstore instance of one's own: authority, certificate log, transparency log, trusted root.

Everything is signed for real. A test that wants one thing wrong makes that one thing otherwise, and
has the rest signed over it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from petra.content.digest import Digest
from petra.encoding.json import canonical_json
from petra.trust.root import TrustedRoot
from tests.support.certificates import (
    certificate_builder,
    ec_key,
    for_certificates,
    key_usage,
    octets,
    x509_name,
)
from tests.support.signing import sign, spki, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric import ec

    from tests.support.fake_tsa import TimestampAuthority

#: When signatures are made, unless a test says otherwise.
TIME: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
ISSUER: Final = "https://issuer.example"
IDENTITY: Final = "https://ci.example/build/release.yaml@refs/heads/main"

_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
ISSUER_OID_RAW = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")

Period = tuple[datetime, datetime | None]
ALWAYS: Final[Period] = (TIME - 300 * DAY, None)


@dataclass(frozen=True)
class Log:
    """A log with a key: of certificates or of signatures.

    Attributes:
        name: names the key; the same name gives the same one within a run.
        period: when the trusted root lets it count.
        claimed: the id that it goes by, where that is not its own.
    """

    name: str
    period: Period = ALWAYS
    claimed: bytes | None = None

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return ec_key(f"log {self.name}")

    @property
    def id(self) -> bytes:
        return self.claimed or Digest.of(spki(self.key)).raw

    def to_json(self) -> dict[str, Any]:
        public = {
            "rawBytes": text(spki(self.key)),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": period_json(self.period),
        }
        return {
            "baseUrl": f"https://{self.name}.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": public,
            "logId": {"keyId": text(self.id)},
        }


@dataclass(frozen=True)
class Leaf:
    """A signer's certificate, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def sign(self, message: bytes) -> bytes:
        return sign(self.key, message)


@dataclass(frozen=True)
class Profile:
    """What a certificate says; right unless replaced.

    Attributes:
        names: the subject alternative names.
        issuer: in the extension of now; None leaves that out.
        issuer_raw: in the extension of old; None leaves that out.
        start: of its validity, which lasts ten minutes.
        for_signatures: whether its key usage says so.
        extended: its extended key usage; None leaves that out.
        timestamps: which certificate logs sign for it.
        stamped: when they do.
        stamped_over: a certificate that they sign for instead of this one.
    """

    names: tuple[x509.GeneralName, ...] = (x509.UniformResourceIdentifier(IDENTITY),)
    issuer: str | bytes | None = ISSUER
    issuer_raw: str | None = ISSUER
    start: datetime = TIME - MINUTE
    for_signatures: bool = True
    extended: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CODE_SIGNING
    timestamps: tuple[Log, ...] = (Log("ctfe"),)
    stamped: datetime = TIME - MINUTE
    stamped_over: Leaf | None = None


@dataclass(frozen=True)
class Authority:
    """A root and an intermediate.

    Attributes:
        name: names the keys.
        period: when the trusted root lets it count.
        between: the intermediate's validity.
    """

    name: str = "authority"
    period: Period = ALWAYS
    between: tuple[datetime, datetime] = (TIME - 300 * DAY, TIME + 3000 * DAY)

    @cached_property
    def certificates(self) -> tuple[x509.Certificate, x509.Certificate]:
        """The intermediate and the root."""
        root_key, key = (ec_key(f"{self.name} {part}") for part in ("root", "intermediate"))
        root_name, name = x509_name("root"), x509_name("intermediate")
        root = certificate_builder(
            root_name, root_name, root_key, (TIME - 400 * DAY, TIME + 4000 * DAY)
        )
        root = for_certificates(root, 1)
        between = certificate_builder(name, root_name, key, self.between)
        between = for_certificates(between, 0).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        between = between.add_extension(issuer, critical=False)
        return between.sign(root_key, hashes.SHA256()), root.sign(root_key, hashes.SHA256())

    @property
    def chain(self) -> bytes:
        """Both in PEM."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.certificates)

    def issue(self, profile: Profile | None = None, key: str = "leaf") -> Leaf:
        """Return a new certificate for the key of that name."""
        profile, private = profile or Profile(), ec_key(key)
        issuing = ec_key(f"{self.name} intermediate")
        plain = self._leaf(profile, private)
        leaf = Leaf(plain.sign(issuing, hashes.SHA256()), private)
        stamped = profile.stamped_over or leaf
        scts = [
            _sct(log, stamped.certificate, issuing, profile.stamped) for log in profile.timestamps
        ]
        if not scts:
            return leaf
        listed = b"".join(len(one).to_bytes(2) + one for one in scts)
        value = octets(len(listed).to_bytes(2) + listed)
        full = plain.add_extension(x509.UnrecognizedExtension(_SCT_LIST, value), critical=False)
        return Leaf(full.sign(issuing, hashes.SHA256()), private)

    def _leaf(
        self, profile: Profile, private: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        valid = (profile.start, profile.start + 10 * MINUTE)
        builder = certificate_builder(x509.Name([]), x509_name("intermediate"), private, valid)
        builder = builder.add_extension(key_usage(signs=profile.for_signatures), critical=True)
        if profile.extended:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([profile.extended]), critical=False
            )
        issuer = ec_key(f"{self.name} intermediate").public_key()
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
        ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        if profile.names:
            names = x509.SubjectAlternativeName(profile.names)
            builder = builder.add_extension(names, critical=True)
        for oid, value in _issuer_extensions(profile):
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        return builder

    def to_json(self) -> dict[str, Any]:
        certificates = [
            {"rawBytes": text(one.public_bytes(Encoding.DER))} for one in self.certificates
        ]
        return {
            "subject": {"organization": "example", "commonName": self.name},
            "uri": f"https://{self.name}.example",
            "certChain": {"certificates": certificates},
            "validFor": period_json(self.period),
        }


@dataclass(frozen=True)
class Entry:
    """An entry of a transparency log, whole, in the forms in which it travels.

    Attributes:
        log: which signs for it.
        body: what was logged.
        time: when.
        index: its number.
        promised: what the promise is over, where not over the entry itself.
        promise_by: who signs the promise, where not the log.
        checkpoint_by: who signs the checkpoint, where not the log.
        proof: members of the inclusion proof to replace.
    """

    log: Log
    body: bytes
    time: datetime = TIME
    index: int = 4242
    promised: dict[str, Any] = field(default_factory=dict)
    promise_by: Log | None = None
    checkpoint_by: Log | None = None
    proof: dict[str, Any] = field(default_factory=dict)

    @property
    def payload(self) -> dict[str, Any]:
        return {
            "body": text(self.body),
            "integratedTime": int(self.time.timestamp()),
            "logID": self.log.id.hex(),
            "logIndex": self.index,
        }

    @cached_property
    def promise(self) -> str:
        signer = self.promise_by or self.log
        return text(sign(signer.key, canonical_json(self.payload | self.promised)))

    def annotation(self) -> str:
        """As cosign's annotation has it."""
        return json.dumps({"SignedEntryTimestamp": self.promise, "Payload": self.payload})

    def bundled(self) -> dict[str, Any]:
        """As a Sigstore bundle has it: the only leaf of a tree."""
        body = json.loads(self.body)
        root = Digest.of(b"\0" + self.body).raw
        name = f"{self.log.name}.example"
        # Rekor v1 puts the tree's number behind its name; v2 has one tree.
        origin = name if "hashedRekordV002" in body["spec"] else f"{name} - 1"
        note = f"{origin}\n1\n{text(root)}\n"
        signer = self.checkpoint_by or self.log
        signed = text(self.log.id[:4] + sign(signer.key, note.encode()))
        proof = {
            "logIndex": "0",
            "rootHash": text(root),
            "treeSize": "1",
            "hashes": [],
            "checkpoint": {"envelope": f"{note}\n\u2014 {name} {signed}\n"},
        }
        return {
            "logIndex": str(self.index),
            "logId": {"keyId": text(self.log.id)},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": str(int(self.time.timestamp())),
            "inclusionPromise": {"signedEntryTimestamp": self.promise},
            "inclusionProof": proof | self.proof,
            "canonicalizedBody": text(self.body),
        }


AUTHORITY: Final = Authority()
CERTIFICATE_LOG: Final = Log("ctfe")
LOG: Final = Log("rekor")


def trusted_root(
    authorities: Sequence[Authority] = (AUTHORITY,),
    certificate_logs: Sequence[Log] = (CERTIFICATE_LOG,),
    logs: Sequence[Log] = (LOG,),
    timestamp_authorities: Sequence[TimestampAuthority] = (),
) -> TrustedRoot:
    """Return the trusted root of an instance that consists of these."""
    value = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [one.to_json() for one in logs],
        "certificateAuthorities": [one.to_json() for one in authorities],
        "ctlogs": [one.to_json() for one in certificate_logs],
        "timestampAuthorities": [one.to_json() for one in timestamp_authorities],
    }
    return TrustedRoot.parse(json.dumps(value).encode(), where="test root")


@cache
def leaf() -> Leaf:
    """Return a certificate that is right in every respect."""
    return AUTHORITY.issue()


def profiled(**replaced: Any) -> Leaf:
    """Return a certificate that is right but for this."""
    return AUTHORITY.issue(replace(Profile(), **replaced))


def period_json(period: Period) -> dict[str, str]:
    """As a trusted root has it."""
    start, end = (one and one.isoformat().replace("+00:00", "Z") for one in period)
    return {"start": str(start)} | ({"end": end} if end else {})


def _issuer_extensions(profile: Profile) -> list[tuple[x509.ObjectIdentifier, bytes]]:
    found = []
    if profile.issuer_raw is not None:
        found.append((ISSUER_OID_RAW, profile.issuer_raw.encode()))
    if isinstance(profile.issuer, bytes):
        found.append((ISSUER_OID, profile.issuer))
    elif profile.issuer is not None:
        value = profile.issuer.encode()
        found.append((ISSUER_OID, b"\x0c" + bytes([len(value)]) + value))
    return found


def _sct(
    log: Log,
    certificate: x509.Certificate,
    issuing: ec.EllipticCurvePrivateKey,
    time: datetime,
) -> bytes:
    """Return an embedded timestamp: RFC 6962, 3.2 and 3.3."""
    milliseconds = int(time.timestamp() * 1000).to_bytes(8)
    # Of a certificate that has no timestamp in it yet.
    entry = certificate.tbs_certificate_bytes
    signed = b"".join(
        (
            b"\0\0",
            milliseconds,
            b"\0\1",
            Digest.of(spki(issuing)).raw,
            len(entry).to_bytes(3),
            entry,
            b"\0\0",
        )
    )
    signature = sign(log.key, signed)
    return b"".join(
        (b"\0", log.id, milliseconds, b"\0\0", b"\4\3", len(signature).to_bytes(2), signature)
    )
