"""Makes boto3 clients: the only place that imports boto3."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from petra.aws.faults import petra_errors
from petra.aws.kms import KmsSigner, kms_public_key
from petra.aws.uris import KmsUri
from petra.errors import SettingError

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient

    from petra.trust.keys import PublicKey


def kms_signer(uri: str) -> KmsSigner:
    """Return a signer for ``awskms://…``. KMS is not asked yet.

    Raises:
        SettingError: the URI has another form, boto3 is not installed, or there is no region.
    """
    parsed = KmsUri.parse(uri)
    return KmsSigner(kms_client(parsed), parsed.key)


def kms_verification_key(uri: str) -> PublicKey:
    """Return the public key of ``awskms://…``, to verify with.

    Raises:
        SettingError: as for :func:`kms_signer`, or the key is not made for signing.
        NotFoundError: there is no such key.
        AccessError: KMS refuses.
        TransportError: KMS cannot be reached.
    """
    parsed = KmsUri.parse(uri)
    return kms_public_key(kms_client(parsed), parsed.key)


def kms_client(uri: KmsUri) -> KMSClient:
    """Return a client for the region and endpoint of `uri`.

    Credentials come from the environment, the way they do for every AWS tool; the region from the
    ARN, or else from ``AWS_REGION`` or AWS's own configuration.

    Raises:
        SettingError: boto3 is not installed, or there is no region.
        AccessError: the profile that the environment names cannot be used.
    """
    try:
        import boto3  # noqa: PLC0415  # an extra, and slow to load
        from botocore.config import Config  # noqa: PLC0415  # as above
    except ImportError:
        raise SettingError(
            "keys in AWS KMS need the aws extra, which is not installed",
            where=uri.key,
            hint="pip install 'petra[aws]', or name a key file with --key",
        ) from None
    config = Config(
        connect_timeout=10,  # seconds
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 5},
    )
    with petra_errors(doing="reach the key", where=uri.key):
        # A session of its own: boto3's shared one keeps the first credentials that it saw.
        return boto3.Session().client(
            "kms",
            region_name=uri.region or os.environ.get("AWS_REGION") or None,
            endpoint_url=uri.endpoint,
            config=config,
        )
