"""Those whose signatures count: holders of keys, or of certificates.

The forms that signatures come in (:mod:`petra.trust.image`, :mod:`petra.trust.attestation`) are
apart from who may make them: a form asks these for proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from petra.errors import SettingError, SignatureError
from petra.trust.sigstore import MessageSignature, require_public_key

if TYPE_CHECKING:
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.trust.dsse import Envelope
    from petra.trust.keys import PublicKey
    from petra.trust.sigstore import SigstoreBundle
    from petra.trust.verdict import Certified


@dataclass(frozen=True, slots=True)
class Proof:
    """What vouches for a signature.

    Attributes:
        key: the fingerprint of the key that verified it.
        certified: for a keyless one, who signed, and when.
    """

    key: str
    certified: Certified | None = None


@dataclass(frozen=True, slots=True)
class LayerSignature:
    """A signature beside which everything else stands in its layer's annotations.

    Attributes:
        layer: with the annotations.
        document: the layer's bytes.
        signature: its bytes.
        signed: what it is over.
        payload: what is signed, without the encoding around it.
        is_envelope: whether the layer is a DSSE envelope.
    """

    layer: Descriptor
    document: bytes
    signature: bytes
    signed: bytes
    payload: bytes
    is_envelope: bool


class Signers(Protocol):
    """Those whose signatures count. Each method returns proof, or raises SignatureError."""

    def layer(self, signed: LayerSignature, /, *, where: str) -> Proof:
        """Verify a signature in a layer (the older form)."""
        ...

    def check_material(self, bundle: SigstoreBundle, /, *, where: str) -> None:
        """Check that a bundle says that it can be verified in this way."""
        ...

    def envelope(
        self, bundle: SigstoreBundle, envelope: Envelope, data: bytes, /, *, where: str
    ) -> Proof:
        """Verify a bundle's envelope, of one signature; `data` is the whole bundle."""
        ...

    def message(self, message: MessageSignature, digest: Digest, /) -> Proof:
        """Verify a bundle's message signature over what has `digest`."""
        ...

    def expected(self) -> str:
        """Say who they are, for errors."""
        ...

    def hint(self) -> str:
        """Say what to do where none of them signed."""
        ...


@dataclass(frozen=True, slots=True)
class KeySigners:
    """The holders of some public keys.

    Attributes:
        keys: at least one.
    """

    keys: tuple[PublicKey, ...]

    def __post_init__(self) -> None:
        if not self.keys:
            raise SettingError(
                "no public key to verify the image with",
                hint="name one with spec.images[].verify or --image-key",
            )

    def layer(self, signed: LayerSignature, /, *, where: str) -> Proof:  # noqa: ARG002  # the protocol's
        """Verify a signature in a layer by one of the keys; certificates beside it say nothing."""
        return self._verify(signed.signature, signed.signed)

    def check_material(self, bundle: SigstoreBundle, /, *, where: str) -> None:
        """Check that a bundle claims a bare public key."""
        require_public_key(bundle, where=where)

    def envelope(
        self,
        bundle: SigstoreBundle,  # noqa: ARG002  # the protocol's
        envelope: Envelope,
        data: bytes,  # noqa: ARG002  # as above
        /,
        *,
        where: str,  # noqa: ARG002  # as above
    ) -> Proof:
        """Verify an envelope's one signature by one of the keys."""
        return self._verify(envelope.signatures[0], envelope.signed)

    def message(self, message: MessageSignature, digest: Digest, /) -> Proof:
        """Verify a signature over what has `digest` by one of the keys."""
        for key in self.keys:
            if key.verifies_digest(message.signature, digest):
                return Proof(key.fingerprint)
        raise _by_none()

    def expected(self) -> str:
        """Name the keys."""
        return "a signature by " + " or ".join(map(str, self.keys))

    def hint(self) -> str:
        """Say what to do where none of them signed."""
        return (
            "check that the key is the signer's (spec.images[].verify or --image-key); if it is, "
            "do not use this image"
        )

    def _verify(self, signature: bytes, message: bytes) -> Proof:
        for key in self.keys:
            if key.verifies(signature, message):
                return Proof(key.fingerprint)
        raise _by_none()


def _by_none() -> SignatureError:
    return SignatureError("signature is by none of the given keys, or over other bytes")
