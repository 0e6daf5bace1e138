"""Signers: whatever can sign a digest. The key may be here, or in a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from petra.content.digest import Digest
    from petra.trust.keys import PrivateKey, PublicKey


@runtime_checkable
class Signer(Protocol):
    """Signs what has a digest, never seeing the thing itself."""

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies what this signs."""
        ...

    def sign_digest(self, digest: Digest, /) -> bytes:
        """Return the signature over what has `digest`: ECDSA over SHA-256, ASN.1 DER.

        Raises:
            AccessError: the service refuses.
            TransportError: the service cannot be reached.
            SignatureError: what the service returned does not verify.
        """
        ...


class LocalSigner:
    """A signer whose key is in this process.

    Args:
        private_key: an ECDSA key on P-256.
    """

    __slots__ = ("_private_key",)

    def __init__(self, private_key: PrivateKey) -> None:
        self._private_key = private_key

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies what this signs."""
        return self._private_key.public_key

    def sign_digest(self, digest: Digest) -> bytes:
        """Return the signature over what has `digest`: ECDSA over SHA-256, ASN.1 DER."""
        return self._private_key.sign_digest(digest)
