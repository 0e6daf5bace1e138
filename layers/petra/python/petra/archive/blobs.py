"""Checks blobs as they pass on their way into a bundle, and keeps copies of them if asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from petra.content.digest import Digest, Hasher
from petra.errors import DigestMismatchError

if TYPE_CHECKING:
    from petra.archive.plan import Stored
    from petra.archive.window import Slot
    from petra.content.descriptor import Descriptor


class BlobFile(Protocol):
    """A blob on its way into a store."""

    def write(self, data: memoryview, /) -> None:
        """Append `data`."""
        ...

    def commit(self, name: str, /) -> None:
        """Let the blob appear under its digest's hex digits."""
        ...

    def discard(self) -> None:
        """Remove it, unless it was committed."""
        ...


class BlobStore(Protocol):
    """A content store: blobs that were fetched once need not be fetched again."""

    def has(self, descriptor: Descriptor, /) -> bool:
        """Say whether there is a blob of this digest and size."""
        ...

    def ingest(self) -> BlobFile:
        """Return a new blob on its way."""
        ...

    def discard(self, digest: Digest, /) -> None:
        """Forget a blob that was found to be damaged."""
        ...


class BlobCheck:
    """Hashes blobs as they pass, and copies them to the store if there is one."""

    def __init__(self, store: BlobStore | None) -> None:
        self._store = store
        self._hasher = Hasher()
        self._copy: BlobFile | None = None

    def take(self, slot: Slot) -> None:
        """Take one piece, in order."""
        member = slot.piece.member
        if member is None:
            return
        if slot.piece.is_first:
            self._hasher = Hasher()
            wanted = self._store is not None and not self._store.has(member.descriptor)
            self._copy = self._store.ingest() if self._store and wanted else None
        for part in slot.data:
            self._hasher.update(part)
            if self._copy:
                self._copy.write(part)
        if slot.piece.is_last:
            self._finish(member)

    def _finish(self, member: Stored) -> None:
        digest = self._hasher.digest()
        if digest != member.descriptor.digest:
            if self._store:
                self._store.discard(member.descriptor.digest)
            raise _wrong_digest(member, digest)
        if self._copy:
            self._copy.commit(digest.hex)

    def close(self) -> None:
        """Remove a copy that was not finished."""
        if self._copy:
            self._copy.discard()


def _wrong_digest(member: Stored, found: Digest) -> DigestMismatchError:
    return DigestMismatchError(
        "content has another digest than announced",
        where=f"{member.name} of {member.origin}",
        expected=member.descriptor.digest,
        found=found,
        hint="the source serves damaged or wrong content; fetch from a good one",
    )
