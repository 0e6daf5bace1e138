"""What a cluster's API answers when it does not do what was asked, as errors of ours.

Nothing that was sent is repeated, nor what a credential plugin said: both may hold a token.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from petra.encoding.json import load_json
from petra.errors import AccessError, FormatError, PetraError, RateLimitedError, TransportError
from petra.oci.retry import RETRYABLE, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

#: The most bytes of one answer or event, and of what the API says about itself.
ANSWER_LIMIT: Final = 64 * 1024 * 1024
TEXT_LIMIT: Final = 300

_UNAUTHORIZED: Final = frozenset({401, 403})
_GONE: Final = 410


class GoneError(TransportError):
    """The version that a watch or a page began at is too old: list again."""

    retryable = False  # the same call would only fail again


def bounded(answer: httpx2.Response, server: str) -> Iterator[bytes]:
    """Yield an answer's body piece by piece.

    Raises:
        FormatError: it is larger than :data:`ANSWER_LIMIT`.
    """
    size = 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > ANSWER_LIMIT:
            raise FormatError(
                "the API's answer is too large", where=server, expected=f"{ANSWER_LIMIT} bytes"
            )
        yield piece


def refusal(what: str, answer: httpx2.Response, server: str) -> PetraError:
    """Return the error that an unwelcome status means."""
    status, said = answer.status_code, _said(answer)
    if status in _UNAUTHORIZED:
        return AccessError(
            f"the cluster refuses to {what}: HTTP {status}",
            where=server,
            found=said,
            hint="check the kubeconfig's user, and the Role that docs/load.md shows",
        )
    if status == _GONE:
        return GoneError(f"too old a version to {what}", where=server, found=said)
    text = f"the cluster could not {what}: HTTP {status}"
    if status == 429:  # noqa: PLR2004  # too many requests
        after = parse_retry_after(answer.headers.get("Retry-After"), 0)
        return RateLimitedError(text, where=server, retry_after=after)
    error = TransportError if status in RETRYABLE else FinalError
    return error(text, where=server, found=said)


class FinalError(TransportError):
    """An answer that another try would not change."""

    retryable = False


def _said(answer: httpx2.Response) -> str | None:
    """Return what the API says about a refusal: its Status object's message, bounded."""
    with suppress(PetraError, AttributeError):
        data = b"".join(bounded(answer, ""))
        message = load_json(data, where="").get("message")
        return str(message)[:TEXT_LIMIT] if message else None
    return None


@contextmanager
def translated(what: str, server: str) -> Iterator[None]:
    """Turn what httpx2 and lightkube raise into errors of ours, without what they sent."""
    import ssl  # noqa: PLC0415  # loaded by now

    import httpx2  # noqa: PLC0415  # as needed
    from lightkube.core.exceptions import ConfigError  # noqa: PLC0415  # as needed

    try:
        yield
    except httpx2.HTTPError as error:
        cause = error.__cause__ or error.__context__
        untrusted = isinstance(cause and (cause.__cause__ or cause), ssl.SSLError) or (
            "CERTIFICATE_VERIFY_FAILED" in str(error)
        )
        kind = FinalError if untrusted else TransportError
        message = f"could not {what}: the cluster's API cannot be " + (
            "trusted" if untrusted else "reached"
        )
        found = f"{type(error).__name__}: {str(error)[:TEXT_LIMIT]}"
        raise kind(message, where=server, found=found) from None
    except (ConfigError, LookupError, ValueError, OSError) as error:
        if isinstance(error, PetraError):
            raise
        # A credential plugin's output may hold a token: nothing of it is repeated.
        raise AccessError(
            f"could not {what}: the kubeconfig's credentials cannot be had",
            where=server,
            found=_plugin_said(error),
            hint="run the credential plugin that the kubeconfig names by itself",
        ) from None


def _plugin_said(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    head, colon, _ = str(error).partition(": ")
    return head if colon and head.startswith("Exec ") else type(error).__name__
