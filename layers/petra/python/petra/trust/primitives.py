"""The few operations that Petra asks of ``cryptography``.

Importing this loads ``cryptography``, which takes longer than the rest of a start-up; so
:mod:`petra.trust.keys` imports it where a key is first used.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from petra.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

_Public: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_CURVES: Final = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}
#: How the other side may have hashed a message, by curve. cosign 3 signs with the hash that fits
#: the curve; cosign 2, and either with ``--signature-digest-algorithm``, with SHA-256.
_HASHES: Final[dict[str, tuple[hashes.HashAlgorithm, ...]]] = {
    "p256": (hashes.SHA256(),),
    "p384": (hashes.SHA384(), hashes.SHA256()),
    "p521": (hashes.SHA512(), hashes.SHA256()),
}
_SMALLEST_RSA: Final = 2048
_LARGEST_RSA: Final = 8192


def public_from_pem(pem: bytes, *, where: str) -> tuple[bytes, str]:
    """Return a public key in a PEM block as DER (SubjectPublicKeyInfo), and its algorithm's name.

    Raises:
        SettingError: it is no key, or of a kind that is not accepted.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingError("public key is damaged or of an unknown kind", where=where) from None
    return _described(key, where)


def public_from_der(der: bytes, *, where: str) -> tuple[bytes, str]:
    """Return a public key in DER, written anew, and its algorithm's name.

    Raises:
        SettingError: it is no key, or of a kind that is not accepted.
    """
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingError("public key is damaged or of an unknown kind", where=where) from None
    return _described(key, where)


def verifies(der: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether `signature` is this public key's over `message`."""
    key = _loaded(der)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _accepted(partial(key.verify, signature, message))
    if isinstance(key, rsa.RSAPublicKey):
        return _accepted(
            partial(key.verify, signature, message, padding.PKCS1v15(), hashes.SHA256())
        )
    return any(
        _accepted(partial(key.verify, signature, message, ec.ECDSA(algorithm)))
        for algorithm in _HASHES[_CURVES[key.curve.name]]
    )


def verifies_sha256(der: bytes, signature: bytes, digest: bytes) -> bool:
    """Say whether `signature` is this public key's over what has the SHA-256 `digest`, 32 bytes.

    Ed25519 signs whole messages only: never true.
    """
    key = _loaded(der)
    prehashed = utils.Prehashed(hashes.SHA256())
    if isinstance(key, ed25519.Ed25519PublicKey):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return _accepted(partial(key.verify, signature, digest, padding.PKCS1v15(), prehashed))
    return _accepted(partial(key.verify, signature, digest, ec.ECDSA(prehashed)))


def sign_sha256(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """Return the DER ECDSA signature over what has the SHA-256 `digest`, 32 bytes."""
    return key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def new_private() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def private_from_der(der: bytes, *, where: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key in a PKCS#8 structure.

    Raises:
        SettingError: it is no key, or of another kind.
    """
    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingError("private key is damaged or of an unknown kind", where=where) from None
    return _signing_key(key, where)


def private_from_pem(
    pem: bytes, password: bytes | None, *, where: str
) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key in a PEM block: PKCS#8, encrypted or not, or SEC 1.

    Raises:
        SettingError: it is no key, of another kind, or `password` is wrong.
    """
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reason = "damaged or of an unknown kind"
        reason = reason if password is None else f"{reason}, or the password is wrong"
        raise SettingError(f"private key is {reason}", where=where) from None
    return _signing_key(key, where)


def private_to_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return `key` as PKCS#8 DER, not encrypted."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_of(key: ec.EllipticCurvePrivateKey) -> tuple[bytes, str]:
    """Return the public half as DER, and its algorithm's name."""
    return _described(key.public_key(), "the private key")


def _signing_key(key: object, where: str) -> ec.EllipticCurvePrivateKey:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return key
    name = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else type(key).__name__
    raise SettingError(
        "private key of a kind that Petra does not sign with",
        where=where,
        expected="ECDSA on P-256 (secp256r1)",
        found=name,
        hint="make one with `petra keygen` or `cosign generate-key-pair`",
    )


def _described(key: object, where: str) -> tuple[bytes, str]:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _spki(key), f"ecdsa-{_CURVES[key.curve.name]}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _spki(key), "ed25519"
    if isinstance(key, rsa.RSAPublicKey) and _SMALLEST_RSA <= key.key_size <= _LARGEST_RSA:
        return _spki(key), f"rsa-{key.key_size}"
    raise SettingError(
        "public key of a kind that is not accepted",
        where=where,
        expected="ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 8192 bits",
        found=_kind(key),
    )


def _kind(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA on {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA of {key.key_size} bits"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def _spki(key: _Public) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _loaded(der: bytes) -> _Public:
    key = load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise TypeError("PublicKey holds another kind of key")  # its makers let none in
    return key


def _accepted(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except InvalidSignature:
        return False
    return True
