"""A registry's repository while a bundle is loaded into it: sparse indexes, and what was sent."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from petra.content.protocols import RemoteStorage
from petra.content.stream import BytesStream
from petra.errors import IncompleteError, NotFoundError, PetraError
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import is_index

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petra.archive.target import ArchiveTarget
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.protocols import ByteStream, Fetcher
    from petra.oci.manifest import Manifest
    from petra.oci.repository import Repository

#: Refusals that speak of the index itself: not of who asks, how often, or of the server.
_REFUSALS: Final = range(400, 500)
_OTHERS: Final = frozenset({401, 403, 408, 429})


class LoadedRepository:
    """A RemoteStorage that knows what its registry took.

    ECR and distribution refuse an index of which a child is not there
    (``ReferencedImagesNotFoundException``, ``MANIFEST_BLOB_UNKNOWN``); others take it.

    Args:
        inner: the repository.
        archive: the bundle's content, which says what of an index is there.
        takes_children: let an index that is refused so be stood for by its children.
        elsewhere: where blobs are that the bundle leaves out; the registry takes over itself what
            another of its repositories has.
    """

    def __init__(
        self,
        inner: Repository,
        archive: ArchiveTarget,
        *,
        takes_children: bool,
        elsewhere: Mapping[Digest, Fetcher] | None = None,
    ) -> None:
        self._elsewhere = elsewhere or {}
        self._inner = inner
        self._archive = archive
        self._takes_children = takes_children
        self._lock = threading.Lock()
        self._taken: set[Digest] = set()
        self._refused: dict[Digest, tuple[Manifest, str]] = {}

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return self._inner.name

    @property
    def registry(self) -> str:
        """The host."""
        return self._inner.registry

    @property
    def path(self) -> str:
        """The repository's name there."""
        return self._inner.path

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return the bytes of a manifest or a blob; see :meth:`Repository.fetch`."""
        return self._inner.fetch(descriptor)

    def exists(self, descriptor: Descriptor) -> bool:
        """Say whether the registry has it, or takes it over; see :meth:`Repository.exists`."""
        found = self._inner.exists(descriptor) or self._takes_over(descriptor)
        if not found:
            with self._lock:
                self._taken.add(descriptor.digest)
        return found

    def _takes_over(self, descriptor: Descriptor) -> bool:
        other = self._elsewhere.get(descriptor.digest)
        if not isinstance(other, RemoteStorage) or other.registry != self.registry:
            return False
        return other.path != self.path and self._inner.mount(descriptor, other.path)

    def mount(self, descriptor: Descriptor, source: str) -> bool:
        """Let the registry take a blob over; see :meth:`Repository.mount`."""
        return self._inner.mount(descriptor, source)

    def send(self, descriptor: Descriptor, open_content: Callable[[], ByteStream]) -> None:
        """Send a blob or manifest; see :meth:`Repository.send`."""
        self._inner.send(descriptor, open_content)

    def push(self, descriptor: Descriptor, content: ByteStream) -> None:
        """Push a manifest; see :meth:`Repository.push`.

        Raises:
            IncompleteError: the registry refuses an index because platforms are not there.
            PetraError: as for :meth:`Repository.push`.
        """
        if not is_index(descriptor.media_type):
            self._inner.push(descriptor, content)
            return
        raw = content.read()
        try:
            self._inner.push(descriptor, BytesStream(raw))
        except PetraError as error:
            index = parse_manifest(raw, descriptor.media_type, where=descriptor.digest)
            absent = [one for one in index.manifests if not self._archive.exists(one)]
            status = error.status or 0
            if not absent or status not in _REFUSALS or status in _OTHERS:
                raise
            if not self._takes_children:
                raise self._incomplete(index, absent, error) from error
            with self._lock:
                self._refused[descriptor.digest] = (index, error.message)

    def tag(self, descriptor: Descriptor, tag: str) -> Digest | None:
        """Let `tag` stand for `descriptor`; return the digest that it stood for before, if any."""
        try:
            before = self._inner.resolve(tag)
        except NotFoundError:
            before = None
        if before is None or before.digest != descriptor.digest:
            try:
                self._inner.tag(descriptor, tag)
            except NotFoundError:
                # It was said to be there, and is not.
                self._inner.send(descriptor, lambda: self._archive.fetch(descriptor))
                self._inner.tag(descriptor, tag)
        return before.digest if before else None

    def took(self, descriptor: Descriptor) -> bool:
        """Say whether it was not there when this load came to it."""
        return descriptor.digest in self._taken

    def children_for(self, root: Descriptor) -> tuple[Descriptor, ...]:
        """Return the children that stand for an index that was refused; empty if it was not."""
        if root.digest not in self._refused:
            return ()
        index, _ = self._refused[root.digest]
        return tuple(one for one in index.manifests if self._archive.exists(one))

    def note_on(self, root: Descriptor, child: Descriptor) -> str | None:
        """Return what is to be known of `child`, which stands for `root`; None if it is `root`."""
        if root.digest not in self._refused:
            return None
        platform = f" for {child.platform}" if child.platform else ""
        return (
            f"child {child.digest}{platform} of index {root.digest}, which the registry refused: "
            "ask for the child by its own digest; signatures of the index do not name it"
        )

    def _incomplete(
        self, index: Manifest, absent: list[Descriptor], error: PetraError
    ) -> IncompleteError:
        platforms = ", ".join(str(one.platform or one.digest) for one in absent)
        return IncompleteError(
            f"the registry refuses an index of which platforms are not there: {error.message}",
            where=f"{self.name}@{index.descriptor.digest}",
            expected="all platforms that the index names",
            found=f"a bundle without {platforms}",
            hint="make the bundle with all platforms, or let the others' manifests be pushed alone "
            "(--sparse-index child)",
        )
