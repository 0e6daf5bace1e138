"""Packs a plan: one pass, no scratch space, each byte fetched once and written once.

Memory: ``WINDOW`` buffers of about 2 MiB (:data:`petra.archive.plan.PIECE_SIZE`),
whatever the bundle's size. Each fetcher asks for a run of pieces in one request, reads it straight
into buffers that are laid out as the file's own bytes, and writes each to its place in the file,
which is known beforehand. Two more threads go over the pieces in order: one hashes blobs, one
hashes the file. A run is as long as a fetcher's share of the buffers, so that all connections flow
at once; and no shorter, for the registry's sake: a common one takes a 4 MiB buffer a request.
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.archive.blobs import BlobCheck, BlobStore
from petra.archive.pipeline import Pipeline
from petra.archive.window import Slot, lay_out
from petra.content.digest import Digest, Hasher
from petra.content.stream import BytesStream
from petra.errors import SizeMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from petra.archive.plan import Piece, Plan, Stored
    from petra.archive.sink import Sink
    from petra.content.progress import Progress
    from petra.content.protocols import ByteStream

    #: Is handed a file's bytes, piece by piece in order.
    Watch: TypeAlias = Callable[[memoryview | bytes], None]

#: Buffers of all fetchers together: 42 MiB.
WINDOW = 21
#: Connections that fetch, unless the caller says otherwise. On two cores with the registry beside
#: them more gain nothing; far registries, which give each connection a share, are another matter.
FETCHERS = 3


@dataclass(frozen=True, slots=True)
class Packed:
    """The file that was made: its digest and its length in bytes."""

    digest: Digest
    size: int


def pack(
    plan: Plan,
    sink: Sink,
    progress: Progress,
    store: BlobStore | None = None,
    fetchers: int = FETCHERS,
    watch: Watch | None = None,
) -> Packed:
    """Write the archive that `plan` describes into `sink`, which the caller commits.

    Args:
        plan: what the file will be.
        sink: takes the bytes; aborted on any error.
        progress: told of each piece.
        store: gets a copy of each blob that it has not; None for no copies.
        fetchers: connections that fetch at once; more than WINDOW count as that many.
        watch: is handed the whole file in order, on a thread of its own.

    Returns:
        The digest and size of the whole file, for the signature.

    Raises:
        DigestMismatchError: a source gave other bytes than announced; names the blob's image.
        SizeMismatchError: a source gave fewer.
        PetraError: what the sources and the sink raise.
    """
    packer = _Packer(plan, sink, progress, BlobCheck(store), watch)
    try:
        return packer.run(min(fetchers, WINDOW))
    except BaseException:
        sink.abort()
        raise
    finally:
        packer.blobs.close()


class _Packer:
    def __init__(
        self,
        plan: Plan,
        sink: Sink,
        progress: Progress,
        blobs: BlobCheck,
        watch: Watch | None,
    ) -> None:
        self._plan = plan
        self._watch = watch
        self._sink = sink
        self._progress = progress
        self._file = Hasher()
        self.blobs = blobs
        # Sources that send all of a blob whatever range they are asked for.
        self._whole_only: set[int] = set()
        self._crc = 0
        self._size = 0

    def run(self, fetchers: int) -> Packed:
        size, share = self._plan.buffer_size(), WINDOW // fetchers
        slots = [[Slot(size) for _ in range(share)] for _ in range(fetchers)]
        stages: list[Callable[[Slot], None]] = [self.blobs.take, self._hash_file]
        if self._plan.framing.needs_crc:
            stages.append(self._sum_content)
        if watch := self._watch:
            stages.append(lambda slot: watch(slot.output))
        Pipeline(self._make, stages, slots).run(self._runs(share))
        self._finish()
        return Packed(self._file.digest(), self._size)

    def _finish(self) -> None:
        end = self._plan.close_file(self._crc)
        self._file.update(end)
        if self._watch:
            self._watch(end)
        self._sink.write_at(self._size, end)
        self._size += len(end)
        if self._size != self._plan.size:
            raise SizeMismatchError(
                "the file has another size than planned",
                expected=self._plan.size,
                found=self._size,
                hint="this is a defect in petra; please report it",
            )

    def _runs(self, length: int) -> Iterator[list[Piece]]:
        """Group pieces into runs that one request can fetch: of one member, `length` at most."""
        run: list[Piece] = []
        for piece in self._plan.pieces():
            if run and (piece.member is not run[0].member or len(run) >= self._limit(run, length)):
                yield run
                run = []
            run.append(piece)
        yield run

    def _limit(self, run: list[Piece], length: int) -> int:
        """Return how many pieces `run` may have: all of the blob, where there is no choice."""
        source = run[0].member and run[0].member.source
        return sys.maxsize if id(source) in self._whole_only else length

    def _make(self, run: list[Piece], take: Callable[[], Slot]) -> Iterator[Slot]:
        """Fill slots with the pieces of a run, and write each to its place."""
        member = run[0].member
        filled = self._literals(run, take) if member is None else self._fetch(run, member, take)
        for slot in filled:
            self._sink.write_at(slot.piece.offset, slot.output)
            yield slot

    def _literals(self, run: list[Piece], take: Callable[[], Slot]) -> Iterator[Slot]:
        for piece in run:
            slot = take()
            slot.piece, slot.output = piece, piece.literal
            slot.payloads, slot.data = [piece.content], []
            yield slot

    def _fetch(self, run: list[Piece], member: Stored, take: Callable[[], Slot]) -> Iterator[Slot]:
        start, length = run[0].data_start, run[-1].data_end - run[0].data_start
        whole = length == member.size
        with _open(member, start, length) as stream:
            if start and not getattr(stream, "is_partial", True):
                self._whole_only.add(id(member.source))
            for piece in run:
                slot = take()
                lay_out(self._plan, piece, slot)
                for part in slot.data:
                    _fill(stream, part, member)
                yield slot
            if whole and stream.read(1):
                raise _wrong_size(member, "more")

    def _hash_file(self, slot: Slot) -> None:
        self._file.update(slot.output)
        self._size += len(slot.output)
        self._progress.on_progress(len(slot.output))

    def _sum_content(self, slot: Slot) -> None:
        for part in slot.payloads:
            self._crc = zlib.crc32(part, self._crc)


def _open(member: Stored, start: int, length: int) -> ByteStream:
    if length <= 0:  # an empty blob, or nothing but padding
        return BytesStream(b"")
    if length == member.size:
        return member.source.fetch(member.descriptor)
    return member.source.fetch_range(member.descriptor, start, length)


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
