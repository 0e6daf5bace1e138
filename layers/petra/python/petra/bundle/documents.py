"""Small documents that were read while resolving, kept so that packing need not ask again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from petra.content.protocols import RangeFetcher, ReferrerLister, Resolver
from petra.content.stream import BytesStream, fetch_document
from petra.errors import NotFoundError, PetraError
from petra.oci.layout import LayoutTarget

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.protocols import ByteStream

#: Bytes that one run keeps. What does not fit is fetched a second time.
KEPT_LIMIT = 16 * 1024 * 1024
#: The largest document that is kept.
_DOCUMENT_LIMIT = 1024 * 1024


class Repository(Resolver, RangeFetcher, ReferrerLister, Protocol):
    """A repository of a registry, as far as creating a bundle needs it."""


class Registries(Protocol):
    """Finds repositories; a RegistryClient."""

    def repository(self, registry: str, repository: str, /) -> Repository:
        """Return the repository at ``registry/repository``."""
        ...


class Kept:
    """Verified documents by digest, shared by all repositories of a run."""

    def __init__(self) -> None:
        self._documents: dict[Digest, bytes] = {}
        self._size = 0
        self._lock = threading.Lock()

    def get(self, digest: Digest) -> bytes | None:
        """Return the document, if it is kept."""
        return self._documents.get(digest)

    def keep(self, digest: Digest, data: bytes) -> None:
        """Keep a document that was found to have this digest, if there is room."""
        with self._lock:
            if digest not in self._documents and self._size + len(data) <= KEPT_LIMIT:
                self._documents[digest] = data
                self._size += len(data)


class ContentStore:
    """A cache of blobs that one can turn on: an OCI layout that several runs share.

    Never a stage that one must pay for: what it lacks goes from the registry to the bundle, and to
    the store beside. What it has is checked each time, and forgotten if it is damaged.

    Args:
        path: the layout's folder.
    """

    def __init__(self, path: Path) -> None:
        self._layout = LayoutTarget(path)
        self.ingest = self._layout.ingest
        self.discard = self._layout.discard
        self.fetch = self._layout.fetch
        self.fetch_range = self._layout.fetch_range

    def has(self, descriptor: Descriptor) -> bool:
        """Say whether there is a blob of this digest and size."""
        try:
            return self._layout.describe(descriptor.digest).size == descriptor.size
        except NotFoundError:
            return False


class KeepingRepository:
    """A repository whose documents are read once.

    Args:
        inner: the repository.
        kept: where documents are kept.
        store: where blobs are looked for first.
        origin: what errors are to name, ``image REFERENCE``.
    """

    def __init__(
        self,
        inner: Repository,
        kept: Kept,
        store: ContentStore | None = None,
        *,
        origin: str,
    ) -> None:
        self.origin = origin
        self._inner = inner
        self._kept = kept
        self._store = store

    def resolve(self, reference: str) -> Descriptor:
        """Return what the repository says; see :class:`petra.content.protocols.Resolver`."""
        return self._inner.resolve(reference)

    def referrers(self, subject: Descriptor) -> list[Descriptor]:
        """Return what the repository says."""
        return self._inner.referrers(subject)

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return the content; a small document is verified and kept on the way."""
        data = self._kept.get(descriptor.digest)
        if data is None and descriptor.size <= _DOCUMENT_LIMIT:
            data = self._document(descriptor)
        if data is not None:
            return BytesStream(data)
        return self._source(descriptor).fetch(descriptor)

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int) -> ByteStream:
        """Return a part of the content, straight from the store or the repository."""
        return self._source(descriptor).fetch_range(descriptor, offset, length)

    def _document(self, descriptor: Descriptor) -> bytes:
        try:
            data = fetch_document(self._inner, descriptor)
        except PetraError as error:
            error.name(self.origin)
            raise
        self._kept.keep(descriptor.digest, data)
        return data

    def _source(self, descriptor: Descriptor) -> RangeFetcher:
        return self._store if self._store and self._store.has(descriptor) else self._inner
