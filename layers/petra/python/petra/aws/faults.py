"""What goes wrong with AWS, as Petra's own errors.

Source: AWS KMS API Reference, "Common Errors", and GetPublicKey's and Sign's own; S3 API Reference,
"Error responses"; botocore's ``exceptions`` module.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from petra.errors import (
    AccessError,
    NotFoundError,
    PetraError,
    RateLimitedError,
    SettingError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import BotoCoreError, ClientError

_DENIED: Final = (
    "AccessDeniedException",
    "AccessDenied",
    "403",
    "ExpiredTokenException",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "UnrecognizedClientException",
)
_BUSY: Final = (
    "LimitExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
)
_DISABLED: Final = ("DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException")
_FAILED: Final = (
    "ConditionalRequestConflict",
    "DependencyTimeoutException",
    "InternalFailure",
    "KeyUnavailableException",
    "KMSInternalException",
    "ServiceUnavailable",
)
_MISSING: Final = ("NotFoundException", "NoSuchBucket", "NoSuchKey", "NoSuchVersion", "404")
_SERVER_ERROR: Final = 500
_ALLOW: Final = {
    "awskms": "kms:GetPublicKey and kms:Sign",
    "s3": "s3:GetObject, s3:PutObject and s3:AbortMultipartUpload",
}
_SHOWN: Final = 300


@contextmanager
def petra_errors(*, doing: str, where: str) -> Iterator[None]:
    """Turn what botocore raises inside into Petra's errors.

    Args:
        doing: what is being done, "sign with the key", for the message.
        where: the key or object concerned.

    Raises:
        AccessError: there are no credentials, or they are refused.
        NotFoundError: the key or object is not there.
        RateLimitedError: AWS is throttling, after botocore's own retries.
        SettingError: the region or the key does not fit.
        TransportError: AWS cannot be reached, or failed.
    """
    from botocore.exceptions import (  # noqa: PLC0415  # here only where the aws extra is
        BotoCoreError,
        ClientError,
    )

    try:
        yield
    except ClientError as error:
        raise _from_answer(error, doing, where) from None
    except BotoCoreError as error:
        raise _from_call(error, doing, where) from None


def _from_answer(error: ClientError, doing: str, where: str) -> PetraError:
    """Return the error for what AWS answered."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = str(error.response.get("Error", {}).get("Message", ""))[:_SHOWN]
    found = f"{code}: {text}" if text else code
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY:
        return RateLimitedError(
            f"AWS is throttling: cannot {doing} ({found})", where=where, hint="try again later"
        )
    if code in _DENIED:
        return AccessError(
            f"AWS refuses to {doing}",
            where=where,
            found=found,
            hint=_allow_hint(where),
        )
    if code in _MISSING:
        what = "bucket or object" if where.startswith("s3://") else "key"
        return NotFoundError(
            f"cannot {doing}: no such {what}",
            where=where,
            found=found,
            hint=f"check the {what}'s name, account and region",
        )
    if code in _DISABLED:
        return SettingError(
            f"cannot {doing}: the key is disabled or made for something else",
            where=where,
            found=found,
            hint="enable the key, or name another one with --key",
        )
    if code in _FAILED or status >= _SERVER_ERROR:
        return TransportError(f"AWS failed to {doing}", where=where, found=found)
    return SettingError(f"AWS does not {doing}", where=where, found=found)


def _allow_hint(where: str) -> str:
    if where.startswith("service "):
        return "check the credentials, and that they allow the operation"
    needed = _ALLOW["s3"] if where.startswith("s3://") else _ALLOW["awskms"]
    return f"check the credentials, and that they allow {needed}"


def _from_call(error: BotoCoreError, doing: str, where: str) -> PetraError:
    """Return the error for a call that got no answer."""
    from botocore import exceptions  # noqa: PLC0415  # as above

    if isinstance(error, exceptions.NoRegionError):
        return SettingError(
            f"cannot {doing}: no AWS region",
            where=where,
            hint="set AWS_REGION, or name the key by its ARN",
        )
    if isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.TokenRetrievalError
        | exceptions.SSOError,
    ):
        return AccessError(
            f"cannot {doing}: no AWS credentials",
            where=where,
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        )
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return TransportError(
            f"cannot {doing}: AWS cannot be reached",
            where=where,
            found=type(error).__name__,
            hint="check the network, the proxy and the endpoint",
        )
    return SettingError(f"cannot {doing}", where=where, found=type(error).__name__)
