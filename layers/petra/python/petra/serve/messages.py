"""Requests, responses and errors of the API, free of sockets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from petra.oci.reference import REPOSITORY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petra.content.protocols import ByteStream

_QUERY_FIELDS: Final = 16
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::[0-9]{1,5})?")
_NAME_LIMIT: Final = 255


class ApiError(Exception):
    """What the client is told instead of what it asked for.

    Source: distribution-spec v1.1, "Error Codes".

    Args:
        status: the HTTP status.
        code: one of the specification's codes.
        message: one sentence for people. Never holds a secret, a path or a traceback.
        detail: more, for programs.
        headers: further headers of the response.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the error as a response."""
        error = {"code": self.code, "message": str(self)}
        if self.detail is not None:
            error["detail"] = self.detail
        return json_response({"errors": [error]}, status=self.status, headers=self.headers)


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: in capitals.
        path: decoded, without the query.
        query: the last value of each name.
        headers: by lower-case name.
        body: what comes after the headers; empty where nothing does.
        length: the body's announced bytes; None where it comes in chunks.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: ByteStream
    length: int | None = 0

    @property
    def namespace(self) -> str | None:
        """The registry that a mirror is asked in place of (``ns``).

        Raises:
            ApiError: it is malformed.
        """
        namespace = self.query.get("ns")
        if namespace and not _NAMESPACE.fullmatch(namespace):
            raise ApiError(400, "NAME_INVALID", "ns is not a registry's HOST or HOST:PORT")
        return namespace or None


@dataclass(slots=True)
class Response:
    """One response.

    Attributes:
        status: the HTTP status.
        headers: without Content-Length.
        body: a short body.
        stream: opens a long one, already wrapped in whatever checks it.
        length: the long one's bytes.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Callable[[], ByteStream] | None = None
    length: int = 0

    @property
    def content_length(self) -> int:
        """The body's bytes, short or long."""
        return len(self.body) if self.stream is None else self.length


def json_response(
    value: Any,
    *,
    status: int = 200,
    media_type: str = "application/json; charset=utf-8",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return `value` as a response."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return Response(status, {"Content-Type": media_type, **(headers or {})}, body)


def split_target(target: str) -> tuple[str, dict[str, str]]:
    """Return the path and the query of a request target, decoded.

    Raises:
        ApiError: it cannot be decoded.
    """
    path, _, query = target.partition("?")
    try:
        fields = parse_qs(
            query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS, errors="strict"
        )
        return unquote(path, errors="strict"), {key: values[-1] for key, values in fields.items()}
    except ValueError:  # UnicodeDecodeError is one
        raise ApiError(400, "UNSUPPORTED", "the request's path or query is malformed") from None


def check_name(name: str) -> str:
    """Return `name`, if it is a repository's.

    Raises:
        ApiError: it is malformed.
    """
    if len(name) > _NAME_LIMIT or not REPOSITORY_PATTERN.fullmatch(name):
        raise ApiError(400, "NAME_INVALID", "not a repository name")
    return name
