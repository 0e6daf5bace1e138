"""A Helm repository under ``/charts/``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from petra.content.digest import Digest
from petra.serve.messages import ApiError, Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX: Final = "index.yaml"

_FILE: Final = re.compile(r"index\.yaml|[A-Za-z0-9][A-Za-z0-9._+-]{0,250}\.tgz(?:\.prov)?")


class HelmProvider(Protocol):
    """A Helm repository's files. The server calls it from many threads."""

    def read(self, path: str, /) -> bytes | None:
        """Return a file, checked; None where there is none.

        Args:
            path: ``index.yaml``, ``NAME-VERSION.tgz`` or ``NAME-VERSION.tgz.prov``, without a
                folder. Charts are small (20 MiB at most), so one is held in memory.
        """
        ...


class MemoryHelm:
    """A Helm repository's files in memory.

    Args:
        files: contents by name.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)

    def read(self, path: str) -> bytes | None:
        """Return a file; None where there is none."""
        return self._files.get(path)


def helm_response(provider: HelmProvider | None, request: Request, path: str) -> Response:
    """Return the file `path` of the Helm repository.

    Raises:
        ApiError: there is none.
    """
    data = provider.read(path) if provider is not None and _FILE.fullmatch(path) else None
    if data is None:
        raise ApiError(404, "NOT_FOUND", "no such file in the Helm repository")
    etag = f'"{Digest.of(data)}"'
    headers = {"Content-Type": _media_type(path), "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(304, headers)
    return Response(200, headers, data)


def _media_type(path: str) -> str:
    if path == INDEX:
        return "application/yaml; charset=utf-8"
    return "application/gzip" if path.endswith(".tgz") else "text/plain; charset=utf-8"
