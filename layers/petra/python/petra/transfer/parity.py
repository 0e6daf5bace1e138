"""Reed-Solomon parity over chunks: made and used by column, in constant memory.

Byte n of each parity chunk follows from byte n of each chunk in its group, so columns of a few
hundred KiB pass through the code one after the other. The code is :class:`petra.transfer.manifest.
Parity`'s; docs/adr/0006 says why this library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.content.digest import Hasher
from petra.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from petra.archive.sink import Sink
    from petra.archive.source import Source
    from petra.content.digest import Digest
    from petra.content.progress import Progress

#: Bytes of all chunks of a group that pass through the code at once. The library copies them two or
#: three times.
STRIPE: Final = 8 * 1024 * 1024
#: What the library puts before each fragment: its own metadata, which we do not store.
_HEADER: Final = 80


class Code:
    """The code of one group.

    Args:
        data: chunks in the group.
        parity: parity chunks that go with them; both together at most 255.

    Raises:
        ToolError: the library is not there.
    """

    def __init__(self, data: int, parity: int) -> None:
        self.data = data
        self.parity = parity
        try:
            from pyeclib.ec_iface import ECDriver  # noqa: PLC0415  # start-up time
        except ImportError:
            raise ToolError(
                "parity needs the library pyeclib",
                hint="install pyeclib (its wheels are for Linux), or work without parity",
            ) from None
        self._driver = ECDriver(k=data, m=parity, ec_type="isa_l_rs_cauchy")
        self._heads: tuple[int, list[bytes]] = (0, [])

    def encode(self, columns: bytes) -> list[bytes]:
        """Return the parity of `columns`, as many bytes of each chunk, chunk after chunk."""
        width = len(columns) // self.data
        return [self._body(part, width) for part in self._driver.encode(columns)[self.data :]]

    def rebuild(self, shards: Mapping[int, bytes]) -> bytes:
        """Return what :meth:`encode` was given, from any `data` shards of it.

        Args:
            shards: by number from 0, chunks first and then parity; all of one length.
        """
        width = len(next(iter(shards.values())))
        heads = self._headers(width)
        chosen = sorted(shards)[: self.data]
        return bytes(self._driver.decode([heads[number] + shards[number] for number in chosen]))

    def _headers(self, width: int) -> list[bytes]:
        """Return what the library wants before each shard: it is the same for any content."""
        if self._heads[0] != width:
            parts = self._driver.encode(bytes(width * self.data))
            self._heads = (width, [part[: len(part) - width] for part in parts])
        return self._heads[1]

    @staticmethod
    def _body(part: bytes, width: int) -> bytes:
        if len(part) != width + _HEADER:
            raise ToolError(
                "pyeclib's fragments have another form than expected",
                expected=width + _HEADER,
                found=len(part),
                hint="install the version of pyeclib that petra's lock file names",
            )
        return part[_HEADER:]


def write_parity(
    chunks: Sequence[Source], sinks: Sequence[Sink], progress: Progress
) -> list[Digest]:
    """Write the parity of one group.

    Args:
        chunks: the group's, in order.
        sinks: one for each parity chunk; each gets as many bytes as the largest chunk has.
        progress: told of each byte of a chunk.

    Returns:
        The digest of each parity chunk.
    """
    code, hashers = Code(len(chunks), len(sinks)), [Hasher() for _ in sinks]
    for offset, width in _columns(max(chunk.size for chunk in chunks), len(chunks)):
        stripe = bytearray(width * len(chunks))
        for place, chunk in enumerate(chunks):
            _read_column(chunk, offset, memoryview(stripe)[place * width : (place + 1) * width])
        progress.on_progress(len(stripe))
        for sink, hasher, part in zip(sinks, hashers, code.encode(bytes(stripe)), strict=True):
            sink.write_at(offset, part)
            hasher.update(part)
    return [hasher.digest() for hasher in hashers]


def rebuild(
    shards: Sequence[Source | None],
    sizes: Sequence[int],
    data: int,
    open_sink: Callable[[int], Sink],
    progress: Progress,
) -> dict[int, Digest]:
    """Write anew those shards of a group that are not there.

    Args:
        shards: the group's chunks and then its parity; None for each that is to be rebuilt.
        sizes: the size of each.
        data: how many of them are chunks; at least as many shards must be there.
        open_sink: gives where to write a shard, by its number from 0.
        progress: told of each byte that is read.

    Returns:
        The digest of each shard that was written, by its number.
    """
    lost = [number for number, shard in enumerate(shards) if shard is None]
    code = Code(data, len(shards) - data)
    sinks = {number: (open_sink(number), Hasher()) for number in lost}
    there = {number: shard for number, shard in enumerate(shards) if shard is not None}
    used = dict(sorted(there.items())[:data])
    for offset, width in _columns(max(sizes), data):
        columns = {}
        for number, shard in used.items():
            column = bytearray(width)
            _read_column(shard, offset, memoryview(column))
            columns[number] = bytes(column)
            progress.on_progress(width)
        whole = code.rebuild(columns)
        parity = code.encode(whole) if lost[-1] >= data else []
        for number, (sink, hasher) in sinks.items():
            start = number * width
            part = whole[start : start + width] if number < data else parity[number - data]
            if part := part[: max(sizes[number] - offset, 0)]:
                sink.write_at(offset, part)
                hasher.update(part)
    return {number: hasher.digest() for number, (_, hasher) in sinks.items()}


def _columns(size: int, data: int) -> Iterator[tuple[int, int]]:
    """Give offset and width of the columns of a group."""
    step = max(STRIPE // data, 1)
    for offset in range(0, size, step):
        yield offset, min(step, size - offset)


def _read_column(shard: Source, offset: int, column: memoryview) -> None:
    """Read a shard's part of a column; behind its end are zeros."""
    part = column[: max(min(shard.size - offset, len(column)), 0)]
    if part:
        shard.read_into(offset, part)
