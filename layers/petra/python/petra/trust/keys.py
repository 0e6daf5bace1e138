"""Keys: the pair that signs bundles, and the public keys that images are verified with.

Importing this loads neither ``cryptography`` nor ``nacl``; using a key does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from petra.content.digest import Digest
from petra.errors import SettingError
from petra.trust.pem import PemBlock, pem_blocks, pem_text
from petra.trust.text import encode_base64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_SEALED: Final = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_ENCRYPTED: Final = "ENCRYPTED PRIVATE KEY"
_PLAIN: Final = ("PRIVATE KEY", "EC PRIVATE KEY")
_PUBLIC: Final = ("PUBLIC KEY", "RSA PUBLIC KEY")
#: openssl's `ecparam -genkey` writes it before the key.
_IGNORED: Final = "EC PARAMETERS"
#: What signs bundles, and so what a bundle's verifier expects.
SIGNING_ALGORITHM: Final = "ecdsa-p256"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key. Compared by its DER, written anew, so that one key is always equal to itself.

    Made by :func:`load_public_key`, :func:`load_public_keys` and :meth:`from_der`.

    Attributes:
        der: the SubjectPublicKeyInfo.
        algorithm: ``ecdsa-p256``, ``ecdsa-p384``, ``ecdsa-p521``, ``ed25519`` or ``rsa-BITS``.
    """

    der: bytes = field(repr=False)
    algorithm: str = field(compare=False)

    @classmethod
    def from_der(cls, der: bytes, *, where: str) -> Self:
        """Return the key in `der`, a SubjectPublicKeyInfo.

        Raises:
            SettingError: it is no key, or of a kind that is not accepted.
        """
        from petra.trust import primitives  # noqa: PLC0415  # loads cryptography

        return cls(*primitives.public_from_der(der, where=where))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, 64 hex digits: what names this key in verdicts and metadata."""
        return Digest.of(self.der).hex

    @property
    def hint(self) -> str:
        """What Sigstore bundles name this key by: SHA-256 of the DER in base64."""
        return encode_base64(Digest.of(self.der).raw)

    @property
    def pem(self) -> bytes:
        """The key as a PEM file, byte for byte as cosign writes it."""
        return pem_text("PUBLIC KEY", self.der)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether `signature` is this key's over `message`."""
        from petra.trust import primitives  # noqa: PLC0415  # loads cryptography

        return primitives.verifies(self.der, signature, message)

    def verifies_digest(self, signature: bytes, digest: Digest) -> bool:
        """Say whether `signature` is this key's over what has `digest`.

        Never true for Ed25519, which signs whole messages, nor for a signature that was made with
        another hash than SHA-256.
        """
        from petra.trust import primitives  # noqa: PLC0415  # loads cryptography

        return primitives.verifies_sha256(self.der, signature, digest.raw)

    def __str__(self) -> str:
        return f"{self.algorithm} sha256:{self.fingerprint}"


class PrivateKey:
    """An ECDSA key on P-256. Never shows itself.

    Made by :func:`load_private_key`.
    """

    __slots__ = ("_key", "public_key")

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        from petra.trust import primitives  # noqa: PLC0415  # loads cryptography

        self._key = key
        self.public_key = PublicKey(*primitives.public_of(key))

    def sign_digest(self, digest: Digest) -> bytes:
        """Return the DER ECDSA signature over what has `digest`."""
        from petra.trust import primitives  # noqa: PLC0415  # loads cryptography

        return primitives.sign_sha256(self._key, digest.raw)

    def __repr__(self) -> str:
        return f"PrivateKey(public_key={self.public_key})"


def is_encrypted(pem: bytes, *, where: str) -> bool:
    """Say whether the private key in `pem` asks for a password.

    Raises:
        SettingError: there is no private key in it.
    """
    return _private_block(pem, where).label not in _PLAIN


def load_private_key(pem: bytes, password: bytes | None, *, where: str) -> PrivateKey:
    """Return the signing key in a PEM file.

    Args:
        pem: cosign's encrypted form, PKCS#8 (plain or encrypted), or SEC 1.
        password: for an encrypted one; passed over for a plain one.
        where: the file's name, for errors.

    Raises:
        SettingError: there is no private key in it, it is no ECDSA key on P-256, or the password
            is missing or wrong.
    """
    from petra.trust import primitives  # noqa: PLC0415  # loads cryptography

    block = _private_block(pem, where)
    if block.label in _PLAIN:
        block.data(where=where)  # refuses the obsolete encrypted form with a word on what to do
        return PrivateKey(primitives.private_from_pem(block.text, None, where=where))
    if password is None:
        raise SettingError(
            "private key is encrypted and there is no password",
            where=where,
            hint="set COSIGN_PASSWORD, or run the command on a terminal to be asked",
        )
    if block.label == _ENCRYPTED:
        return PrivateKey(primitives.private_from_pem(block.text, password, where=where))
    from petra.trust.sealed import unseal  # noqa: PLC0415  # loads nacl when called

    plain = unseal(block.data(where=where), password, where=where)
    return PrivateKey(primitives.private_from_der(plain, where=where))


def load_public_key(pem: bytes, *, where: str) -> PublicKey:
    """Return the public key in a PEM file that holds exactly one.

    Raises:
        SettingError: there is none, there are several, or it is of a kind that is not accepted.
    """
    keys = load_public_keys(pem, where=where)
    if len(keys) != 1:
        raise SettingError(
            "several public keys where one is expected",
            where=where,
            expected="one PUBLIC KEY block",
            found=f"{len(keys)} keys",
        )
    return keys[0]


def load_public_keys(pem: bytes, *, where: str) -> list[PublicKey]:
    """Return the public keys in a PEM file, each once, in order.

    Args:
        pem: one or more ``PUBLIC KEY`` blocks: ECDSA on P-256, P-384 or P-521, Ed25519, RSA.
        where: the file's name, for errors.

    Raises:
        SettingError: there is none, one is of a kind that is not accepted, or something else
            stands in the file.
    """
    from petra.trust import primitives  # noqa: PLC0415  # loads cryptography

    keys: dict[PublicKey, None] = {}
    for block in pem_blocks(pem, where=where):
        if block.label not in _PUBLIC:
            raise _not_public(block, where)
        block.data(where=where)
        keys[PublicKey(*primitives.public_from_pem(block.text, where=where))] = None
    return list(keys)


def generate_key(password: bytes) -> tuple[bytes, bytes]:
    """Return a new key pair as ``cosign generate-key-pair`` writes it.

    Args:
        password: may be empty, as for cosign: the file is then encrypted under nothing.

    Returns:
        The private key's PEM file, encrypted, and the public key's.
    """
    from petra.trust import primitives  # noqa: PLC0415  # loads cryptography
    from petra.trust.sealed import LABEL, seal  # noqa: PLC0415  # loads nacl when called

    key = primitives.new_private()
    sealed = seal(primitives.private_to_der(key), password)
    return pem_text(LABEL, sealed), PublicKey(*primitives.public_of(key)).pem


def _private_block(pem: bytes, where: str) -> PemBlock:
    blocks = [block for block in pem_blocks(pem, where=where) if block.label != _IGNORED]
    if len(blocks) == 1 and blocks[0].label in (*_SEALED, _ENCRYPTED, *_PLAIN):
        return blocks[0]
    raise SettingError(
        "not a private key" if len(blocks) == 1 else "not exactly one private key",
        where=where,
        expected="one PRIVATE KEY block, or cosign's encrypted form",
        found=", ".join(block.label for block in blocks[:5]),
        hint="give the private key, such as cosign.key",
    )


def _not_public(block: PemBlock, where: str) -> SettingError:
    return SettingError(
        "not a public key",
        where=where,
        expected="PUBLIC KEY",
        found=block.label,
        hint="give the public key, such as cosign.pub"
        if "PRIVATE" in block.label
        else "extract it: openssl x509 -pubkey -noout -in FILE"
        if block.label == "CERTIFICATE"
        else "give a file of PUBLIC KEY blocks, such as cosign.pub",
    )
