"""What the server serves: repositories by name, and how a request's name finds one."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable
from urllib.parse import quote, unquote

from petra.content.protocols import RangeFetcher, ReadOnlyTarget, ReferrerLister, Target
from petra.oci.layout import LAYOUT_FILE, LayoutTarget
from petra.oci.memory import MemoryTarget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest

_HOST: Final = re.compile(r"(?:[^/]*[.:][^/]*|localhost)")


class ServedTarget(ReadOnlyTarget, RangeFetcher, ReferrerLister, Protocol):
    """A repository's content, as the server needs it.

    ``referrers`` is asked by digest alone: media type and size of the subject are not known then.
    """

    def describe(self, digest: Digest, /) -> Descriptor:
        """Return the descriptor of the content `digest`; its media type does not matter.

        Raises:
            NotFoundError: there is no such content.
        """
        ...


class WritableTarget(ServedTarget, Target, Protocol):
    """A repository's content that also takes new content."""


class Ingest(Protocol):
    """A blob on its way to the disk."""

    def write(self, data: memoryview, /) -> None:
        """Append `data`."""
        ...

    def commit(self, name: str, /) -> None:
        """Let the bytes become the blob whose digest's hex digits are `name`: checked before."""
        ...

    def discard(self) -> None:
        """Forget the bytes, unless they were committed. Safe to call twice."""
        ...


@runtime_checkable
class Ingester(Protocol):
    """A target that takes content as it comes, before its digest is known."""

    def ingest(self) -> Ingest:
        """Return a new blob on its way."""
        ...


class Repositories(Protocol):
    """Repositories by name. The server calls it from many threads."""

    def names(self) -> Iterable[str]:
        """Return all names, with their registry's host where they have one, in any order."""
        ...

    def get(self, name: str, /) -> ServedTarget | None:
        """Return the repository of exactly that name; None where there is none."""
        ...

    def tags(self, name: str, /) -> list[str]:
        """Return the tags of the repository of exactly that name; empty where there is none."""
        ...


@runtime_checkable
class WritableRepositories(Repositories, Protocol):
    """Repositories that a push can add to."""

    def create(self, name: str, /) -> WritableTarget:
        """Return the repository of that name, made now if there was none."""
        ...


class MemoryRepositories:
    """Repositories in memory, each made by the first push to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[str, MemoryTarget] = {}

    def names(self) -> list[str]:
        """Return all names, sorted."""
        with self._lock:
            return sorted(self._targets)

    def get(self, name: str) -> MemoryTarget | None:
        """Return the repository of exactly that name; None where there is none."""
        with self._lock:
            return self._targets.get(name)

    def create(self, name: str) -> MemoryTarget:
        """Return the repository of that name, made now if there was none."""
        with self._lock:
            return self._targets.setdefault(name, MemoryTarget())

    def tags(self, name: str) -> list[str]:
        """Return the tags of that repository; empty where there is none."""
        target = self.get(name)
        return [] if target is None else target.tags()


class LayoutRepositories:
    """Repositories on disk, each an OCI image layout in a folder of its own.

    Args:
        path: the folder of those folders; made by the first push.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._targets: dict[str, LayoutTarget] = {}

    def names(self) -> list[str]:
        """Return all names, sorted."""
        if not self._path.is_dir():
            return []
        found = (entry for entry in self._path.iterdir() if (entry / LAYOUT_FILE).is_file())
        return sorted(unquote(entry.name) for entry in found)

    def get(self, name: str) -> LayoutTarget | None:
        """Return the repository of exactly that name; None where there is none."""
        if not (self._folder(name) / LAYOUT_FILE).is_file():
            return None
        return self.create(name)

    def create(self, name: str) -> LayoutTarget:
        """Return the repository of that name; its folder appears with the first push."""
        with self._lock:
            if name not in self._targets:
                self._targets[name] = LayoutTarget(self._folder(name))
            return self._targets[name]

    def tags(self, name: str) -> list[str]:
        """Return the tags of that repository; empty where there is none."""
        target = self.get(name)
        return [] if target is None else target.tags()

    def _folder(self, name: str) -> Path:
        # One level: a repository "a/blobs" must not lie within the layout of "a".
        return self._path / quote(name, safe="")


class AmbiguousNameError(LookupError):
    """Several repositories go by the name; the text lists them."""


def find_name(repositories: Repositories, name: str, namespace: str | None = None) -> str | None:
    """Return the full name of the repository that a request means.

    A runtime that uses us as a mirror asks for ``chainguard/nginx?ns=cgr.dev``: then only that
    registry's repository will do, or one kept without any host. Without ``ns`` the exact name
    goes first, then the only repository whose path below its registry's host is that name.

    Args:
        repositories: all that there are.
        name: as the request's path has it.
        namespace: the request's ``ns``.

    Raises:
        AmbiguousNameError: several registries have a repository of that path.
    """
    if namespace and repositories.get(f"{namespace}/{name}") is not None:
        return f"{namespace}/{name}"
    if repositories.get(name) is not None:
        return name
    if namespace:
        return None
    found = sorted(full for full in repositories.names() if _below_host(full) == name)
    if len(found) > 1:
        raise AmbiguousNameError(", ".join(found))
    return found[0] if found else None


def _below_host(name: str) -> str | None:
    host, slash, path = name.partition("/")
    return path if slash and _HOST.fullmatch(host) else None
