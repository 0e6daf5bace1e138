"""moto's KMS, made to sign a digest as AWS does: as of 5.2 it hashes it once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto.kms.utils import ECDSAPrivateKey

if TYPE_CHECKING:
    import pytest


def sign_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moto sign a digest as a digest until the test ends."""

    def sign(self: ECDSAPrivateKey, message: bytes, signing_algorithm: str) -> bytes:
        prehashed = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
        return self.private_key.sign(message, prehashed)

    monkeypatch.setattr(ECDSAPrivateKey, "sign", sign)
