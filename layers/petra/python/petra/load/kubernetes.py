"""The cluster's API, as far as a load needs it: list, watch, and annotate objects of Flux's.

lightkube reads kubeconfigs and service accounts, runs credential plugins and checks certificates;
the four requests are made here, since lightkube's own watch goes on for ever and cannot be ended.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from petra.bundle.platform_files import listing, mapping
from petra.encoding.json import load_json
from petra.errors import FormatError, RateLimitedError, TransportError
from petra.load.kubernetes_errors import (
    ANSWER_LIMIT,
    TEXT_LIMIT,
    GoneError,
    bounded,
    refusal,
    translated,
)
from petra.oci.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    import httpx2

#: Objects in one answer to a list.
PAGE: Final = 500
#: Objects of a kind in a namespace: ten times what any cluster has of Flux's.
OBJECT_LIMIT: Final = 20_000

_NOT_FOUND: Final = 404
_GONE: Final = 410
_BAD: Final = 300
#: Seconds without a byte after which a connection counts as lost.
_TIMEOUT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object that the API serves.

    Attributes:
        group: its API group.
        version: the version that is asked for.
        name: ``HelmRelease``.
        plural: ``helmreleases``, as it stands in paths and roles.
    """

    group: str
    version: str
    name: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of the object `name`, or of all in the namespace."""
        parts = ("/apis", self.group, self.version, "namespaces", namespace, self.plural, name)
        return "/".join(parts).rstrip("/")


HELM_RELEASE: Final = Kind("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")
KUSTOMIZATION: Final = Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations")
OCI_REPOSITORY: Final = Kind("source.toolkit.fluxcd.io", "v1", "OCIRepository", "ocirepositories")
HELM_REPOSITORY: Final = Kind(
    "source.toolkit.fluxcd.io", "v1", "HelmRepository", "helmrepositories"
)
HELM_CHART: Final = Kind("source.toolkit.fluxcd.io", "v1", "HelmChart", "helmcharts")


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind in a namespace.

    Attributes:
        items: the objects.
        version: the resource version at which they stood so, for a watch.
    """

    items: tuple[dict[str, Any], ...]
    version: str


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an object.

    Attributes:
        type: ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK`` (only the version moved).
        value: the object as it is now, as it was last when it was deleted.
    """

    type: str
    value: dict[str, Any]


class Watch(Protocol):
    """Events as they come, until the server ends the watch or somebody closes it."""

    def __iter__(self) -> Iterator[Event]:
        """Yield the events.

        Raises:
            GoneError: the version is too old.
            TransportError: the connection broke.
        """
        ...

    def close(self) -> None:
        """End it, from any thread."""
        ...


class Cluster(Protocol):
    """The API of a cluster. Safe to use from many threads."""

    def list(self, kind: Kind, namespace: str, /) -> Listing | None:
        """Return the objects; None where the API does not serve the kind (yet).

        Raises:
            AccessError: the API refuses; names verb, resource and namespace.
            GoneError: so many changes came between two pages that they do not fit together.
            TransportError: it cannot be reached, or failed; tried several times.
        """
        ...

    def watch(self, kind: Kind, namespace: str, version: str, seconds: int, /) -> Watch:
        """Return what happens after `version`, for at most so many seconds."""
        ...

    def annotate(
        self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str], /
    ) -> bool:
        """Set annotations by a merge patch; return False where the object is gone.

        Raises:
            AccessError: the API refuses; names verb, resource and namespace.
            TransportError: it cannot be reached, or failed; tried several times.
        """
        ...


class KubernetesCluster:
    """A cluster behind its API server.

    Args:
        http: with the server's URL, certificates and credentials.
        server: the URL, for errors.
        retry: when to try again.
    """

    def __init__(self, http: httpx2.Client, server: str, retry: RetryPolicy | None = None) -> None:
        self._http = http
        self._retry = retry or RetryPolicy()
        self.server = server

    def list(self, kind: Kind, namespace: str) -> Listing | None:
        """Return the objects, page by page; see :class:`Cluster`."""
        items: list[dict[str, Any]] = []
        query = {"limit": str(PAGE)}
        while True:
            page = self._request("list", kind, namespace, params=query)
            if page is None:
                return None
            items += [self.check_object(item, namespace) for item in listing(page.get("items"))]
            if len(items) > OBJECT_LIMIT:
                raise FormatError(
                    f"the API lists too many {kind.plural}",
                    where=self.server,
                    expected=f"at most {OBJECT_LIMIT} in namespace {namespace}",
                )
            metadata = mapping(page.get("metadata"))
            if not metadata.get("continue"):
                return Listing(tuple(items), str(metadata.get("resourceVersion", "")))
            query = {"limit": str(PAGE), "continue": str(metadata["continue"])}

    def check_object(self, value: object, namespace: str) -> dict[str, Any]:
        """Return an object that the API gave, if it has a name and is where it was looked for."""
        found = mapping(value)
        metadata = mapping(found.get("metadata"))
        if not isinstance(metadata.get("name"), str) or metadata.get("namespace") != namespace:
            raise FormatError(
                "not an object of a cluster",
                where=self.server,
                expected=f"metadata with a name, and namespace {namespace}",
                hint="check that the kubeconfig's server is a Kubernetes API",
            )
        return found

    def watch(self, kind: Kind, namespace: str, version: str, seconds: int) -> Watch:
        """Return what happens after `version`; see :class:`Cluster`."""
        return _Watch(self, kind, namespace, version, seconds)

    def annotate(
        self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str]
    ) -> bool:
        """Set annotations; see :class:`Cluster`."""
        patch = {"metadata": {"annotations": dict(annotations)}}
        return self._request("patch", kind, namespace, name=name, json=patch) is not None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _request(
        self, verb: str, kind: Kind, namespace: str, *, name: str = "", **options: Any
    ) -> dict[str, Any] | None:
        """Return the parsed answer, None for a 404; tried again while that can help."""
        attempt = 0
        while True:
            try:
                with self.answer(verb, kind, namespace, name=name, **options) as answer:
                    if answer is None:
                        return None
                    data = b"".join(bounded(answer, self.server))
                value = load_json(data, where=f"{self.server}{kind.path(namespace, name)}")
                return value if isinstance(value, dict) else {}
            except TransportError as error:
                if not error.retryable or attempt >= self._retry.retries:
                    raise
                wait = error.retry_after if isinstance(error, RateLimitedError) else None
            self._retry.pause(attempt, None if wait is None else min(wait, self._retry.cap))
            attempt += 1

    @contextmanager
    def answer(
        self, verb: str, kind: Kind, namespace: str, *, name: str = "", **options: Any
    ) -> Iterator[httpx2.Response | None]:
        """Send one request; yield its answer, body unread, or None for a 404.

        Args:
            verb: as roles have it: list, watch, patch.
            kind: of the object.
            namespace: its namespace.
            name: its name; empty for all.
            options: httpx2's; ``json`` is a merge patch.

        Raises:
            PetraError: as for :class:`Cluster`.
        """
        what = f"{verb} {kind.plural}.{kind.group} in namespace {namespace}"
        method = "PATCH" if verb == "patch" else "GET"
        if verb == "patch":
            options["headers"] = {"Content-Type": "application/merge-patch+json"}
        with (
            translated(what, self.server),
            self._http.stream(method, kind.path(namespace, name), **options) as answer,
        ):
            if answer.status_code == _NOT_FOUND:
                yield None
            elif answer.status_code >= _BAD:
                raise refusal(what, answer, self.server)
            else:
                yield answer


class _Watch:
    """A watch on a connection of its own, which `close` shuts down under whoever reads it."""

    def __init__(
        self, cluster: KubernetesCluster, kind: Kind, namespace: str, version: str, seconds: int
    ) -> None:
        self._cluster = cluster
        self._target = kind, namespace
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        self._query = query | {"timeoutSeconds": str(max(1, seconds))}
        self._patience = seconds + _TIMEOUT
        self._socket: socket.socket | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Event]:
        import httpx2  # noqa: PLC0415  # only those who watch need it

        limits = httpx2.Timeout(_TIMEOUT, read=self._patience)
        with self._cluster.answer(
            "watch", *self._target, params=self._query, timeout=limits
        ) as answer:
            if answer is None:
                raise GoneError("the API does not serve this any more", where=self._cluster.server)
            stream = answer.extensions.get("network_stream")
            self._socket = stream.get_extra_info("socket") if stream else None
            if self._closed:
                return
            for line in _lines(answer, self._cluster.server):
                yield self._event(line)

    def close(self) -> None:
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):
                # The base class's: TLS's own would say goodbye first, and wait for the answer.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _event(self, line: bytes) -> Event:
        value = mapping(load_json(line, where=self._cluster.server))
        happened, found = value.get("type"), value.get("object")
        if not isinstance(found, dict):
            raise TransportError("not an event of a watch", where=self._cluster.server)
        if happened == "ERROR":
            text = str(found.get("message", ""))[:TEXT_LIMIT]
            error = GoneError if found.get("code") == _GONE else TransportError
            raise error("the API ended a watch", where=self._cluster.server, found=text)
        if happened != "BOOKMARK":
            self._cluster.check_object(found, self._target[1])
        return Event(str(happened), found)


def _lines(answer: httpx2.Response, server: str) -> Iterator[bytes]:
    rest = b""
    for piece in answer.iter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(None, lines)
        if len(rest) > ANSWER_LIMIT:
            raise FormatError("an event of a watch is too large", where=server)
