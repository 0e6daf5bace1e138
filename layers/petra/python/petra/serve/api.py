"""Which request is for what: routes, methods, and errors as the specification words them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from petra.errors import NoSpaceError, PetraError, VerificationError
from petra.serve.helm import HelmProvider, helm_response
from petra.serve.messages import ApiError, Request, Response, check_name
from petra.serve.reads import Reads
from petra.serve.repositories import Repositories, WritableRepositories
from petra.serve.uploads import UploadLimits, Uploads
from petra.serve.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Mapping

Handler: TypeAlias = Callable[..., Response]

_PATH_LIMIT: Final = 2048
# Names are checked after the split, so that a wrong one is told apart from a wrong path. The
# greedy name leaves the last "/manifests/" to the route, as repositories may be called so too.
_ROUTES: Final = (
    ("base", re.compile(r"/v2/?")),
    ("catalog", re.compile(r"/v2/_catalog")),
    ("tags", re.compile(r"/v2/(.+)/tags/list")),
    ("manifest", re.compile(r"/v2/(.+)/manifests/([^/]+)")),
    ("uploads", re.compile(r"/v2/(.+)/blobs/uploads/?")),
    ("upload", re.compile(r"/v2/(.+)/blobs/uploads/([0-9a-f]{32})")),
    ("blob", re.compile(r"/v2/(.+)/blobs/([^/]+)")),
    ("referrers", re.compile(r"/v2/(.+)/referrers/([^/]+)")),
    ("chart", re.compile(r"/charts/([^/]+)")),
    ("health", re.compile(r"/healthz")),
)


class Api:
    """The distribution API and a Helm repository, free of sockets. Thread-safe.

    Source: OCI distribution-spec v1.1, "Endpoints".

    Args:
        repositories: what is served.
        helm: the Helm repository, where there is one.
        writable: whether clients may push; then `repositories` are WritableRepositories.
        limits: how much they may send.
        report: called with what went wrong on our side.
    """

    def __init__(
        self,
        repositories: Repositories,
        *,
        helm: HelmProvider | None = None,
        writable: bool = False,
        limits: UploadLimits | None = None,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._report = report or (lambda _: None)
        reads = Reads(repositories)
        self._uploads = Uploads(limits or UploadLimits())
        self._routes: dict[str, dict[str, Handler]] = {
            "base": {"GET": lambda _: Response(200, {"Content-Type": "application/json"}, b"{}")},
            "catalog": {"GET": reads.catalog},
            "tags": {"GET": reads.tags},
            "manifest": {"GET": reads.manifest},
            "blob": {"GET": reads.blob},
            "referrers": {"GET": reads.referrers},
            "uploads": {},
            "upload": {},
            "chart": {"GET": lambda request, path: helm_response(helm, request, path)},
            "health": {"GET": lambda _: Response(200, {"Content-Type": "text/plain"}, b"ok\n")},
        }
        if writable:
            if not isinstance(repositories, WritableRepositories):
                raise TypeError("a writable server needs WritableRepositories")
            self._add_writes(Writes(repositories, self._uploads))

    def _add_writes(self, writes: Writes) -> None:
        self._routes["manifest"]["PUT"] = writes.put_manifest
        self._routes["uploads"]["POST"] = writes.start_upload
        self._routes["upload"] = {
            "GET": lambda _, name, identifier: writes.status(name, identifier),
            "PATCH": writes.append,
            "PUT": writes.finish,
            "DELETE": lambda _, name, identifier: writes.cancel(name, identifier),
        }

    def close(self) -> None:
        """Forget the uploads under way."""
        self._uploads.close()

    def answer(self, request: Request) -> Response:
        """Return the response to `request`, for HEAD the one to GET.

        Raises:
            Exception: something unforeseen; the caller answers with :func:`internal_error`.
        """
        try:
            response = self._dispatch(request)
        except ApiError as error:
            response = error.response()
        except PetraError as error:
            self._report(error)
            response = _translate(error).response()
        if request.path.startswith("/v2"):
            response.headers.setdefault("Docker-Distribution-Api-Version", "registry/2.0")
        return response

    def _dispatch(self, request: Request) -> Response:
        route, arguments = _match(request.path)
        handlers = self._routes[route]
        method = "GET" if request.method == "HEAD" else request.method
        if (handler := handlers.get(method)) is None:
            raise ApiError(
                405,
                "UNSUPPORTED",
                "this registry does not do that: it is read-only, or the method is unknown",
                headers=_allowed(handlers),
            )
        return handler(request, *arguments)


def internal_error() -> Response:
    """Return what a client is told of something unforeseen: nothing of its cause."""
    return ApiError(500, "UNKNOWN", "the server failed; its log says more").response()


def _match(path: str) -> tuple[str, tuple[str, ...]]:
    if len(path) <= _PATH_LIMIT:
        for route, pattern in _ROUTES:
            if match := pattern.fullmatch(path):
                if path.startswith("/v2/") and match.groups():
                    check_name(match[1])
                return route, match.groups()
    raise ApiError(404, "NOT_FOUND", "there is nothing here")


def _allowed(handlers: Mapping[str, Handler]) -> dict[str, str]:
    methods = {*handlers, "HEAD"} if "GET" in handlers else set(handlers)
    return {"Allow": ", ".join(sorted(methods))}


def _translate(error: PetraError) -> ApiError:
    """Word an error of the content's for a client. Paths and digests of ours stay out of it."""
    if isinstance(error, NoSpaceError):
        return ApiError(507, "UNKNOWN", "the registry's disk is full")
    if isinstance(error, VerificationError):
        return ApiError(500, "UNKNOWN", "the registry's content is damaged; see its log")
    return ApiError(500, "UNKNOWN", "the registry cannot answer; see its log")
