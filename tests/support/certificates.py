"""Parts of certificates that tests make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.signing import key as named_key

if TYPE_CHECKING:
    from datetime import datetime


def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the key of that name."""
    key = named_key(name)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def x509_name(common: str) -> x509.Name:
    """Return a name of the instance's."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sigstore.example"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    private: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    """Return a certificate without extensions."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )


def for_certificates(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    """Make it one that certifies others."""
    public = builder._public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return (
        builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )
        .add_extension(key_usage(signs=False, certifies=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def key_usage(*, signs: bool, certifies: bool = False) -> x509.KeyUsage:
    """Return a key usage."""
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signs and not certifies,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )


def octets(data: bytes) -> bytes:
    """Return a DER OCTET STRING."""
    size = len(data)
    long = b"\x81" + size.to_bytes(1) if size < 256 else b"\x82" + size.to_bytes(2)
    return b"\x04" + (size.to_bytes(1) if size < 128 else long) + data
