"""Certificates of keyless signers, and what they must prove. Loads ``cryptography``.

:func:`check_certificate` takes these steps, each owned by the function named:

1. the time lies within the certificate's validity (:func:`_check_validity`);
2. it is for signing code: extended key usage and key usage (:func:`_check_usage`);
3. an authority of the trusted root, in its period, issued it, over intermediates that the root
   names and that were valid at the time (:func:`_issuing`); whatever chain came with the
   signature is not looked at;
4. a certificate log of the trusted root, in its period, has signed for it, by the one timestamp
   embedded in it (:func:`_check_logged`);
5. its identity and issuer (:func:`identity_of`) are exactly one of those that may sign
   (:func:`check_identity`).

Source: RFC 5280; RFC 6962, 3.2 and 3.3; Fulcio's docs/oid-info.md and certificate-specification.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import (
    Certificate,
    DuplicateExtension,
    ExtendedKeyUsage,
    ExtensionNotFound,
    ExtensionType,
    InvalidVersion,
    KeyUsage,
    ObjectIdentifier,
    OtherName,
    PrecertificateSignedCertificateTimestamps,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    UnrecognizedExtension,
    load_der_x509_certificate,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store
from cryptography.x509.verification import VerificationError as PathError

from petra.content.digest import Digest
from petra.errors import SettingError, SignatureError
from petra.trust.identity import Identity
from petra.trust.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography.x509.certificate_transparency import SignedCertificateTimestamp

    from petra.trust.root import Authority, TrustedRoot

_ISSUER: Final = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_ISSUER_RAW: Final = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_OTHER_NAME: Final = ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
_SAN_TYPES: Final = (UniformResourceIdentifier, RFC822Name)
#: RFC 6962, 3.2: version v1, certificate_timestamp; then the time; then precert_entry.
_SCT_HEAD: Final = b"\x00\x00"
_PRECERTIFICATE: Final = b"\x00\x01"

#: What ``cryptography`` says of bytes that are no certificate.
_UNUSABLE: Final = (
    *(ValueError, TypeError, UnsupportedAlgorithm, InvalidVersion, DuplicateExtension),
    SettingError,
)

_E = TypeVar("_E", bound=ExtensionType)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A signer's certificate. Nothing in it is verified yet.

    Attributes:
        der: its bytes.
        key: the public key in it.
        certificate: as ``cryptography`` reads it.
    """

    der: bytes = field(repr=False)
    key: PublicKey
    certificate: Certificate = field(repr=False, compare=False)

    @property
    def digest(self) -> Digest:
        """The digest of its DER."""
        return Digest.of(self.der)


def load_leaf(data: bytes, *, where: str) -> Leaf:
    """Return the one certificate in `data`, PEM or DER.

    Raises:
        SignatureError: there is not exactly one, or its key is of a kind that is not accepted.
    """
    try:
        certificate = _only_certificate(data)
        _ = certificate.extensions, certificate.issuer  # parsed when first asked for
        spki = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        key = PublicKey.from_der(spki, where=where)
    except _UNUSABLE as error:
        reason = error.message if isinstance(error, SettingError) else str(error)[:100]
        raise SignatureError(f"certificate is unusable: {reason}", where=where) from None
    return Leaf(certificate.public_bytes(Encoding.DER), key, certificate)


def _only_certificate(data: bytes) -> Certificate:
    if not data.startswith(b"-----BEGIN"):
        return load_der_x509_certificate(data)
    certificates = load_pem_x509_certificates(data)
    if len(certificates) != 1:
        raise ValueError(f"{len(certificates)} certificates where one is expected")
    return certificates[0]


def check_certificate(
    leaf: Leaf, time: datetime, root: TrustedRoot, identities: Sequence[Identity]
) -> Identity:
    """Check that at `time` this certificate vouched for one of `identities`.

    Args:
        leaf: the signer's certificate.
        time: when the signature was made, itself verified.
        root: what to start from.
        identities: who may sign.

    Returns:
        Who signed.

    Raises:
        SignatureError: a step failed.
    """
    certificate = leaf.certificate
    _check_validity(certificate, time)
    _check_usage(certificate)
    _check_logged(certificate, _issuing(certificate, time, root), root)
    return check_identity(certificate, identities)


def _check_validity(certificate: Certificate, time: datetime) -> None:
    """Step 1: the time lies within the certificate's validity."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= time <= end:
        raise SignatureError(
            "signature was not made while its certificate was valid",
            expected=f"{start.isoformat()} to {end.isoformat()}",
            found=time.isoformat(),
        )


def _check_usage(certificate: Certificate) -> None:
    """Step 2: the certificate is for signing code."""
    usage = _extension(certificate, KeyUsage)
    if usage is None or not usage.digital_signature:
        raise SignatureError("certificate is not for signatures (key usage)")
    extended = _extension(certificate, ExtendedKeyUsage)
    if extended is None or ExtendedKeyUsageOID.CODE_SIGNING not in extended:
        raise SignatureError("certificate is not for signing code (extended key usage)")


def _issuing(certificate: Certificate, time: datetime, root: TrustedRoot) -> Certificate:
    """Step 3: an authority of the root issued it. Returns the certificate that it issued with."""
    in_period = [one for one in root.authorities if one.period.covers(time)]
    for authority in in_period:
        try:
            return _path(certificate, time, authority)[1]
        except (PathError, ValueError, UnsupportedAlgorithm):
            continue
    raise SignatureError(
        "certificate was issued by no authority of the trusted root that counted at the time",
        found=f"issued by {certificate.issuer.rfc4514_string()[:100]}, at {time.isoformat()}",
        expected=f"one of the trusted root's {len(in_period)} that counted then",
    )


def _path(certificate: Certificate, time: datetime, authority: Authority) -> list[Certificate]:
    """Return the path from `certificate` to the authority's root, all valid at `time`."""
    *between, anchor = map(load_der_x509_certificate, authority.certificates)
    # The validator's own ideas of extended key usage are the web's; step 2 has Sigstore's.
    builder = PolicyBuilder().store(Store([anchor])).time(time.astimezone(UTC))
    verifier = builder.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca().may_be_present(
            ExtendedKeyUsage, Criticality.NON_CRITICAL, None
        ),
        ee_policy=ExtensionPolicy.webpki_defaults_ee().may_be_present(
            ExtendedKeyUsage, Criticality.NON_CRITICAL, None
        ),
    ).build_client_verifier()
    return verifier.verify(certificate, between).chain


def _check_logged(certificate: Certificate, issuer: Certificate, root: TrustedRoot) -> None:
    """Step 4: a certificate log of the root has signed for it."""
    timestamps = list(_extension(certificate, PrecertificateSignedCertificateTimestamps) or ())
    if len(timestamps) != 1:
        raise SignatureError(
            "certificate without exactly one embedded timestamp of a certificate log",
            found=f"{len(timestamps)}",
            expected="1",
        )
    timestamp = timestamps[0]
    made = timestamp.timestamp.replace(tzinfo=UTC)
    log = next((one for one in root.certificate_logs if one.id == timestamp.log_id), None)
    if log is None or not log.period.covers(made):
        raise SignatureError(
            "certificate was logged where the trusted root does not say, or not at that time",
            found=f"log {timestamp.log_id.hex()} at {made.isoformat()}",
            expected=str(log.period) if log else "a certificate log of the trusted root",
        )
    if not log.key.verifies(timestamp.signature, _logged(timestamp, certificate, issuer)):
        raise SignatureError("certificate's embedded timestamp is not by the certificate log")


def _logged(
    timestamp: SignedCertificateTimestamp, certificate: Certificate, issuer: Certificate
) -> bytes:
    """Return what an embedded timestamp is a signature of: RFC 6962, 3.2."""
    if not isinstance(timestamp.signature_hash_algorithm, hashes.SHA256):
        raise SignatureError("certificate's embedded timestamp with another hash than SHA-256")
    made = timestamp.timestamp.replace(tzinfo=UTC)
    milliseconds = int(made.timestamp()) * 1000 + made.microsecond // 1000
    spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    entry, extensions = certificate.tbs_precertificate_bytes, timestamp.extension_bytes
    return b"".join(
        (
            _SCT_HEAD,
            milliseconds.to_bytes(8),
            _PRECERTIFICATE,
            Digest.of(spki).raw,
            len(entry).to_bytes(3),
            entry,
            len(extensions).to_bytes(2),
            extensions,
        )
    )


def identity_of(certificate: Certificate) -> Identity:
    """Return whom a certificate is for, and who vouched for that.

    Raises:
        SignatureError: it does not say both, or not unambiguously.
    """
    names = _extension(certificate, SubjectAlternativeName)
    values = list(_names(names)) if names else []
    if names is None or len(values) != 1 or len(list(names)) != 1:
        raise SignatureError(
            "certificate without exactly one identity (subject alternative name)",
            found=", ".join(values)[:200] or "none",
        )
    return Identity(issuer=_issuer(certificate), identity=values[0])


def _names(names: SubjectAlternativeName) -> Iterator[str]:
    for kind in _SAN_TYPES:
        yield from names.get_values_for_type(kind)
    for other in names.get_values_for_type(OtherName):
        if other.type_id == _OTHER_NAME:
            yield _utf8_string(other.value)


def _issuer(certificate: Certificate) -> str:
    """Return the OpenID Connect issuer, from the extension of now, or else the one of old."""
    found = {one.oid: one.value for one in certificate.extensions}
    now, old = found.get(_ISSUER), found.get(_ISSUER_RAW)
    texts = set()
    if isinstance(now, UnrecognizedExtension):
        texts.add(_utf8_string(now.value))
    if isinstance(old, UnrecognizedExtension):
        texts.add(old.value.decode("utf-8", errors="replace"))
    if len(texts) != 1:
        raise SignatureError(
            "certificate does not say exactly one issuer of the identity",
            found=" and ".join(sorted(texts))[:200] or "none",
        )
    return texts.pop()


def _utf8_string(der: bytes) -> str:
    try:
        return asn1.decode_der(str, der)
    except ValueError:
        raise SignatureError("certificate with text that is no DER UTF8String") from None


def check_identity(certificate: Certificate, identities: Sequence[Identity]) -> Identity:
    """Step 5: identity and issuer are exactly one of those that may sign.

    Raises:
        SignatureError: they are another's, or ambiguous.
    """
    found = identity_of(certificate)
    if found not in identities:
        raise SignatureError(
            "signed by another identity",
            expected=" or ".join(map(str, identities)),
            found=str(found)[:400],
        )
    return found


def _extension(certificate: Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None
