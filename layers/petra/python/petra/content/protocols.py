"""The small interfaces that registries, layouts, archives and memory share.

Modelled on the sets that ORAS describes: a Target can store, resolve and tag; anything less asks
for less. Optional abilities (ranges, referrers) are interfaces of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from petra.content.descriptor import Descriptor


class ByteStream(Protocol):
    """Bytes from somewhere, in order, to be closed.

    ``readinto`` is the fast way (no copy is made on the way); ``read`` is for small documents.
    """

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` from the front and return how many bytes came; 0 only at the end."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all that are left for -1; empty only at the end."""
        ...

    def close(self) -> None:
        """Give the connection or file back. Safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


@runtime_checkable
class Fetcher(Protocol):
    """Gives content by descriptor. The stream is NOT yet checked: see ``petra.content.stream``."""

    def fetch(self, descriptor: Descriptor, /) -> ByteStream:
        """Return the content's bytes.

        Raises:
            NotFoundError: there is no such content.
        """
        ...


@runtime_checkable
class RangeFetcher(Fetcher, Protocol):
    """A Fetcher that can start anywhere."""

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int, /) -> ByteStream:
        """Return `length` bytes of the content from `offset` on.

        Raises:
            NotFoundError: there is no such content.
        """
        ...


@runtime_checkable
class Storage(Fetcher, Protocol):
    """A Fetcher that also takes content."""

    def exists(self, descriptor: Descriptor, /) -> bool:
        """Say whether content of this digest and size is there."""
        ...

    def push(self, descriptor: Descriptor, content: ByteStream, /) -> None:
        """Store `content`, checked against `descriptor` on the way; nothing is kept if it differs.

        Pushing what is there already does nothing.

        Raises:
            DigestMismatchError: the bytes are others.
            SizeMismatchError: there are fewer or more of them.
            NoSpaceError: the disk is full.
        """
        ...


@runtime_checkable
class RemoteStorage(Storage, Protocol):
    """A Storage far away, beside others at one host that can hand content over to each other."""

    @property
    def registry(self) -> str:
        """The host."""
        ...

    @property
    def path(self) -> str:
        """Its name there."""
        ...

    def mount(self, descriptor: Descriptor, source: str, /) -> bool:
        """Take a blob over from `source`, the path of another one at the same host.

        Returns:
            Whether that was done. If not, the blob is to be sent.
        """
        ...

    def send(self, descriptor: Descriptor, open_content: Callable[[], ByteStream], /) -> None:
        """Store content without asking whether it is there, checked as :meth:`push` checks it.

        `open_content` is called again where the sending breaks and is begun anew.

        Raises:
            PetraError: as for :meth:`push`.
        """
        ...


@runtime_checkable
class Resolver(Protocol):
    """Finds what a name stands for."""

    def resolve(self, reference: str, /) -> Descriptor:
        """Return the descriptor of `reference`, a tag or a digest within this target.

        Raises:
            NotFoundError: no such tag or digest.
        """
        ...


@runtime_checkable
class Tagger(Protocol):
    """Gives names."""

    def tag(self, descriptor: Descriptor, reference: str, /) -> None:
        """Let `reference` stand for `descriptor` from now on.

        Raises:
            NotFoundError: the content is not there.
        """
        ...


@runtime_checkable
class Target(Storage, Resolver, Tagger, Protocol):
    """Storage, Resolve and Tag: somewhere that a graph of content can be copied to."""


@runtime_checkable
class ReadOnlyTarget(Fetcher, Resolver, Protocol):
    """Somewhere that a graph of content can be copied from."""


@runtime_checkable
class ReferrerLister(Protocol):
    """Knows what points at a subject."""

    def referrers(self, subject: Descriptor, /) -> list[Descriptor]:
        """Return the manifests whose ``subject`` is this one, artifact types and annotations set.

        An empty list means that there are none.
        """
        ...
