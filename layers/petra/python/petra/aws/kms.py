"""Keys in AWS KMS: sign a digest there, verify the result here."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from petra.aws.faults import petra_errors
from petra.errors import SettingError, SignatureError
from petra.trust.keys import SIGNING_ALGORITHM, PublicKey

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient

    from petra.content.digest import Digest

_USAGE: Final = "SIGN_VERIFY"


class KmsSigner:
    """A signer whose key is in AWS KMS. Only digests are sent there.

    Args:
        client: a boto3 client for KMS; passed in, so that nothing here knows how to log in.
        key_id: the key's id, ARN or alias.
    """

    def __init__(self, client: KMSClient, key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    @cached_property
    def public_key(self) -> PublicKey:
        """The key that verifies what this signs. Asked for once.

        Raises:
            SettingError: it is no ECDSA key on P-256 made for signing.
            NotFoundError: there is no such key.
            AccessError: KMS refuses.
            TransportError: KMS cannot be reached.
        """
        key = kms_public_key(self._client, self._key_id)
        if key.algorithm != SIGNING_ALGORITHM:
            raise SettingError(
                "KMS key of a kind that Petra does not sign with",
                where=self._key_id,
                expected="key spec ECC_NIST_P256, key usage SIGN_VERIFY",
                found=key.algorithm,
                hint="create one: aws kms create-key --key-spec ECC_NIST_P256 "
                "--key-usage SIGN_VERIFY",
            )
        return key

    def sign_digest(self, digest: Digest) -> bytes:
        """Return the signature over what has `digest`: ECDSA over SHA-256, ASN.1 DER.

        The signature is verified here before it is returned: a service that signs something else,
        or an alias that was moved to another key meanwhile, does not go unnoticed.

        Raises:
            SignatureError: what KMS returned does not verify.
            SettingError: the key does not fit.
            NotFoundError: there is no such key.
            AccessError: KMS refuses.
            RateLimitedError: KMS is throttling.
            TransportError: KMS cannot be reached.
        """
        public_key = self.public_key
        with petra_errors(doing="sign with the key", where=self._key_id):
            answer = self._client.sign(
                KeyId=self._key_id,
                Message=digest.raw,
                MessageType="DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        signature = answer["Signature"]
        if not public_key.verifies_digest(signature, digest):
            raise SignatureError(
                "KMS returned a signature that does not verify",
                where=self._key_id,
                expected=f"a signature by {public_key} over {digest}",
                hint="was the alias moved to another key just now? Then sign again",
            )
        return signature


def kms_public_key(client: KMSClient, key_id: str) -> PublicKey:
    """Return the public half of a key in AWS KMS.

    Args:
        client: a boto3 client for KMS.
        key_id: the key's id, ARN or alias.

    Raises:
        SettingError: the key is not made for signing, or of a kind that is not accepted.
        NotFoundError: there is no such key.
        AccessError: KMS refuses.
        RateLimitedError: KMS is throttling.
        TransportError: KMS cannot be reached.
    """
    with petra_errors(doing="get the public key", where=key_id):
        answer = client.get_public_key(KeyId=key_id)
    if answer.get("KeyUsage") != _USAGE:
        raise SettingError(
            "KMS key that is not made for signing",
            where=key_id,
            expected=f"key usage {_USAGE}",
            found=answer.get("KeyUsage") or "none",
            hint="create one: aws kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY",
        )
    return PublicKey.from_der(answer["PublicKey"], where=key_id)
