"""Makes boto3 clients: the only place that imports boto3."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.aws.kms import KmsSigner, kms_public_key
from petra.aws.uris import KmsUri
from petra.errors import SettingError

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient

    from petra.trust.keys import PublicKey

_WHAT: Final = {"kms": "keys in AWS KMS", "s3": "objects in S3"}
_INSTEAD: Final = {"kms": ", or name a key file with --key"}


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

    Raises:
        SettingError: boto3 is not installed, or there is no region.
        AccessError: the profile that the environment names cannot be used.
    """
    client: KMSClient = service_client(
        "kms", where=uri.key, region=uri.region, endpoint=uri.endpoint
    )
    return client


def service_client(
    service: str, *, where: str, region: str | None = None, endpoint: str | None = None
) -> Any:
    """Return a client for any service that boto3 has a model of, ``AWS_DATA_PATH`` included.

    Credentials come from the environment, the way they do for every AWS tool; the region from
    `region`, or else from ``AWS_REGION`` or AWS's own configuration.

    Args:
        service: boto3's name for it, ``s3``.
        where: what it is for, for errors.
        region: the region, where it is known.
        endpoint: the service's URL, if it is not AWS's own.

    Raises:
        SettingError: boto3 is not installed, there is no region, or no model of the service.
        AccessError: the profile that the environment names cannot be used.
    """
    try:
        import boto3  # noqa: PLC0415  # an extra, and slow to load
        from botocore.config import Config  # noqa: PLC0415  # as above
        from botocore.exceptions import UnknownServiceError  # noqa: PLC0415  # as above
    except ImportError:
        raise SettingError(
            f"{_WHAT.get(service, service)} need the aws extra, which is not installed",
            where=where,
            hint="pip install 'petra[aws]'" + _INSTEAD.get(service, ""),
        ) from None
    config = Config(
        connect_timeout=10,  # seconds
        read_timeout=30 if service == "kms" else 120,
        retries={"mode": "standard", "total_max_attempts": 5},
    )
    with petra_errors(
        doing="reach the key" if service == "kms" else f"reach {service}", where=where
    ):
        # A session of its own: boto3's shared one keeps the first credentials that it saw.
        try:
            return boto3.Session().client(  # type: ignore[call-overload]  # any service
                service,
                region_name=region or os.environ.get("AWS_REGION") or None,
                endpoint_url=endpoint,
                config=config,
            )
        except UnknownServiceError:
            raise SettingError(
                f"boto3 has no model of the service {service!r}",
                where=where,
                hint="set AWS_DATA_PATH to the folder that holds the service's own model",
            ) from None
