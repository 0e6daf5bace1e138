"""Packs a plan: one pass, no scratch space, each byte fetched once and written once.

Memory: ``WINDOW`` buffers of about 4 MiB (:data:`petra.archive.plan.PIECE_SIZE`), whatever the
bundle's size. Makers fetch pieces by range straight into buffers that are laid out as the file's
own bytes; then three threads go over each piece in order: one hashes blobs, one hashes the file,
one writes it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from petra.archive import tar
from petra.archive.pipeline import Pipeline
from petra.content.digest import Digest, Hasher
from petra.errors import DigestMismatchError, SizeMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petra.archive.plan import Piece, Plan, Stored
    from petra.archive.sink import Sink
    from petra.content.descriptor import Descriptor
    from petra.content.progress import Progress
    from petra.content.protocols import ByteStream

WINDOW = 10
#: Connections that fetch. More than three gain nothing on two cores; see docs/benchmarks.md.
FETCHERS = 3


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


@dataclass(frozen=True, slots=True)
class Packed:
    """The file that was made: its digest and its length in bytes."""

    digest: Digest
    size: int


class _Slot:
    """One buffer of the window and what is in it.

    Attributes:
        piece: what the slot holds.
        output: the file's bytes.
        payloads: the parts of `output` that are content (tar headers, data, padding).
        data: the parts of `output` that are the member's own bytes.
    """

    __slots__ = ("_buffer", "_size", "data", "output", "payloads", "piece")

    piece: Piece

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer: memoryview | None = None
        self.output: memoryview | bytes = b""
        self.payloads: list[memoryview | bytes] = []
        self.data: list[memoryview] = []

    @property
    def buffer(self) -> memoryview:
        """The slot's memory, taken when first needed: a small bundle needs few."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(self._size))
        return self._buffer


def pack(plan: Plan, sink: Sink, progress: Progress, store: BlobStore | None = None) -> Packed:
    """Write the archive that `plan` describes into `sink`, which the caller commits.

    Args:
        plan: what the file will be.
        sink: takes the bytes; aborted on any error.
        progress: told of each piece.
        store: gets a copy of each blob that it has not; None for no copies.

    Returns:
        The digest and size of the whole file, for the signature.

    Raises:
        DigestMismatchError: a source gave other bytes than announced; names the blob's image.
        SizeMismatchError: a source gave fewer.
        PetraError: what the sources and the sink raise.
    """
    packer = _Packer(plan, sink, progress, _BlobCheck(store))
    try:
        return packer.run()
    except BaseException:
        sink.abort()
        raise
    finally:
        packer.blobs.close()


class _BlobCheck:
    """Hashes blobs as they pass, and copies them to the store if there is one."""

    def __init__(self, store: BlobStore | None) -> None:
        self._store = store
        self._hasher = Hasher()
        self._copy: BlobFile | None = None

    def take(self, slot: _Slot) -> None:
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


class _Packer:
    def __init__(self, plan: Plan, sink: Sink, progress: Progress, blobs: _BlobCheck) -> None:
        self._plan = plan
        self._sink = sink
        self._progress = progress
        self._file = Hasher()
        self.blobs = blobs
        self._crc = 0
        self._size = 0

    def run(self) -> Packed:
        slots = [_Slot(self._plan.buffer_size()) for _ in range(WINDOW)]
        stages: list[Callable[[_Slot], None]] = [self.blobs.take, self._hash_file, self._write]
        if self._plan.framing.needs_crc:
            stages.append(self._sum_content)
        pipeline = Pipeline(self._make, stages, slots, FETCHERS)
        pipeline.run(self._plan.pieces())
        self._finish()
        return Packed(self._file.digest(), self._size)

    def _finish(self) -> None:
        end = self._plan.close_file(self._crc)
        self._file.update(end)
        self._sink.write(end)
        self._size += len(end)
        if self._size != self._plan.size:
            raise SizeMismatchError(
                "the file has another size than planned",
                expected=self._plan.size,
                found=self._size,
                hint="this is a defect in petra; please report it",
            )

    def _make(self, piece: Piece, slot: _Slot) -> None:
        slot.piece = piece
        if piece.member is None:
            slot.output, slot.payloads, slot.data = piece.literal, [piece.content], []
            return
        _lay_out(self._plan, piece, slot)
        if slot.data:
            _fetch(piece, piece.member, slot.data)

    def _hash_file(self, slot: _Slot) -> None:
        self._file.update(slot.output)

    def _sum_content(self, slot: _Slot) -> None:
        for part in slot.payloads:
            self._crc = zlib.crc32(part, self._crc)

    def _write(self, slot: _Slot) -> None:
        self._sink.write(slot.output)
        self._size += len(slot.output)
        self._progress.on_progress(len(slot.output))


def _lay_out(plan: Plan, piece: Piece, slot: _Slot) -> None:
    """Write headers, tar header and padding into the slot, and leave gaps for the data."""
    member = piece.member
    assert member is not None  # noqa: S101  # for mypy: callers have looked
    framing, buffer, at = plan.framing, slot.buffer, 0
    if piece.start == piece.frame_start:
        opening = framing.open_frame(piece.frame_end - piece.frame_start)
        buffer[: len(opening)] = opening
        at = len(opening)
    payloads: list[memoryview | bytes] = []
    for start in range(piece.start, piece.end, framing.block):
        end = min(start + framing.block, piece.end)
        opening = framing.open_block(end - start, last=end == piece.frame_end)
        buffer[at : at + len(opening)] = opening
        at += len(opening)
        payloads.append(buffer[at : at + end - start])
        at += end - start
    slot.output, slot.payloads = buffer[:at], payloads
    slot.data = list(_data_parts(plan, piece, member, slot))


def _data_parts(plan: Plan, piece: Piece, member: Stored, slot: _Slot) -> Iterator[memoryview]:
    """Fill in what is not data and give the parts that are, in order."""
    head = tar.header_size(member.size)
    data_end = head + member.size
    start = piece.start
    for part in slot.payloads:
        end = start + len(part)
        low = min(max(head - start, 0), len(part))
        high = max(min(data_end - start, len(part)), low)
        view = memoryview(part)
        if low:
            header = tar.header(member.name, member.size, plan.mtime)
            view[:low] = header[start : start + low]
        if high < len(part):
            view[high:] = bytes(len(part) - high)
        if low < high:
            yield view[low:high]
        start = end


def _fetch(piece: Piece, member: Stored, parts: list[memoryview]) -> None:
    head = tar.header_size(member.size)
    offset = max(piece.start - head, 0)
    length = sum(len(part) for part in parts)
    whole = length == member.size
    source, descriptor = member.source, member.descriptor
    stream = source.fetch(descriptor) if whole else source.fetch_range(descriptor, offset, length)
    with stream:
        for part in parts:
            _fill(stream, part, member)
        if whole and stream.read(1):
            raise _wrong_size(member, "more")


def _fill(stream: ByteStream, part: memoryview, member: Stored) -> None:
    while len(part):
        count = stream.readinto(part)
        if not count:
            raise _wrong_size(member, "fewer")
        part = part[count:]


def _wrong_size(member: Stored, found: str) -> SizeMismatchError:
    return SizeMismatchError(
        "content has another size than announced",
        where=f"{member.name} of {member.origin}",
        expected=f"{member.size} bytes",
        found=found,
        hint="the source is damaged or truncates; try again, or fetch from another one",
    )


def _wrong_digest(member: Stored, found: Digest) -> DigestMismatchError:
    return DigestMismatchError(
        "content has another digest than announced",
        where=f"{member.name} of {member.origin}",
        expected=member.descriptor.digest,
        found=found,
        hint="the source serves damaged or wrong content; fetch from a good one",
    )
