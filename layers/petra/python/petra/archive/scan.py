"""Hashes stored members as the file passes, before anything in it may be believed.

Only arithmetic happens here: frames that hold raw blocks are walked block by block, sizes are
taken from tar headers, data is hashed. No decompressor and no parser of JSON, YAML or tar names
sees a byte; what was found is compared with the metadata after the signature has been verified
(format, section 5). So the file is read once, and yet the signature comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.archive import tar, zstd
from petra.content.digest import Digest, Hasher
from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from petra.archive.directory import Extent


@dataclass(frozen=True, slots=True)
class Scanned:
    """A stored member as it passed: its header's bytes and its data's digest."""

    header: bytes
    size: int
    digest: Digest


class MemberHasher:
    """Takes the content of one member, in any cuts: header, data, padding.

    Args:
        where: what to name in errors.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._header = bytearray()
        self._wanted = tar.BLOCK
        self._hasher = Hasher()
        self._size = 0
        self._data = 0
        self._padding = 0
        self.done = False

    def feed(self, part: memoryview) -> memoryview:
        """Take what belongs to the member from the front of `part` and return the rest.

        Raises:
            FormatError: the header's size is no number, or the padding is not zero.
        """
        if self._wanted:
            part = self._take_header(part)
        if self._data and len(part):
            self._hasher.update(part[: self._data])
            taken = min(self._data, len(part))
            self._data -= taken
            part = part[taken:]
        if self._padding and not self._data and not self._wanted and len(part):
            part = self._take_padding(part)
        self.done = not (self._wanted or self._data or self._padding)
        return part

    def _take_header(self, part: memoryview) -> memoryview:
        taken = part[: self._wanted]
        self._header += taken
        self._wanted -= len(taken)
        if not self._wanted:
            if len(self._header) == tar.BLOCK and self._header[156] == ord("x"):
                self._wanted = 2 * tar.BLOCK
                return self._take_header(part[len(taken) :])
            self._size = header_size_field(bytes(self._header), where=self._where)
            self._data, self._padding = self._size, tar.padding(self._size)
        return part[len(taken) :]

    def _take_padding(self, part: memoryview) -> memoryview:
        taken = part[: self._padding]
        if any(taken):
            raise FormatError("data behind the end of a member", where=self._where)
        self._padding -= len(taken)
        return part[len(taken) :]

    def result(self) -> Scanned:
        """Return what passed; call when ``done``."""
        return Scanned(bytes(self._header), self._size, self._hasher.digest())


def header_size_field(header: bytes, *, where: str) -> int:
    """Return the size in a tar header, from its pax record if it has one.

    Raises:
        FormatError: it is no number.
    """
    if len(header) > tar.BLOCK:
        field, base = header[tar.BLOCK : 2 * tar.BLOCK].rstrip(b"\0\n").rpartition(b"=")[2], 10
    else:
        field, base = header[124:136].rstrip(b"\0 "), 8
    if not field.isdigit() or len(field) > 20:  # noqa: PLR2004  # digits of 2^64
        raise FormatError("a tar header's size is no number", where=where)
    try:
        return int(field, base)
    except ValueError:
        raise FormatError("a tar header's size is no number", where=where) from None


class FrameScanner:
    """Walks the frames of a ``.tar.zst`` as its bytes pass.

    Args:
        extents: the frames, from the seek table.

    Attributes:
        found: stored members, by the number of their first frame.
        error: the first thing that was wrong; the walk stops there.
        failed: the number of a frame of the member that it was wrong with.
    """

    def __init__(self, extents: Sequence[Extent]) -> None:
        self.found: dict[int, Scanned] = {}
        self.error: FormatError | None = None
        self.failed = 0
        self._frame = 0
        self._extents = extents
        self._walk: Iterator[int] | None = self._frames()
        self._part = memoryview(b"")
        self._member: MemberHasher | None = None
        self._member_frame = 0
        # What the walk waits for: that many bytes, handed to that function in any cuts.
        self._take: Callable[[memoryview], None] = self._skip
        self._wanted = next(self._walk, 0)

    def feed(self, part: memoryview) -> None:
        """Take the file's next bytes."""
        if self._walk is None:
            return
        try:
            self._feed(part)
        except FormatError as error:
            self.error, self._walk = error, None
            self.failed = self._member_frame if self._member else self._frame

    def _feed(self, part: memoryview) -> None:
        assert self._walk is not None  # noqa: S101  # for mypy: feed() has looked
        while len(part):
            if not self._wanted:
                self._wanted = next(self._walk, -1)
                if self._wanted < 0:  # behind the last frame: the seek table
                    self._walk = None
                    return
                continue
            taken = part[: self._wanted]
            self._take(taken)
            self._wanted -= len(taken)
            part = part[len(taken) :]

    def _frames(self) -> Iterator[int]:
        """Give the lengths of the runs to come, setting what takes each."""
        for number, extent in enumerate(self._extents):
            if extent.compressed != zstd.raw_size(extent.content) or not extent.content:
                self._refuse_open_member()
                self._take = self._skip
                yield extent.compressed
                continue
            self._frame = number
            yield from self._raw_frame(number, extent.content)

    def _raw_frame(self, number: int, content: int) -> Iterator[int]:
        yield from self._expect(zstd.raw_header(content), number)
        for start in range(0, content, zstd.BLOCK):
            size = min(zstd.BLOCK, content - start)
            header = zstd.raw_block_header(size, last=start + size == content)
            yield from self._expect(header, number)
            self._member_frame = self._member_frame if self._member else number
            self._take = self._content
            yield size

    def _expect(self, expected: bytes, number: int) -> Iterator[int]:
        seen = bytearray()
        self._take = seen.extend
        yield len(expected)
        if seen != expected:
            raise FormatError("a stored frame has another form", where=f"frame {number}")

    def _content(self, part: memoryview) -> None:
        if self._member is None:
            self._member = MemberHasher(f"frame {self._member_frame}")
        if len(self._member.feed(part)):
            raise FormatError(
                "a frame goes on behind its member", where=f"frame {self._member_frame}"
            )
        if self._member.done:
            self.found[self._member_frame] = self._member.result()
            self._member = None

    def _refuse_open_member(self) -> None:
        if self._member is not None:
            raise FormatError("a stored member is cut off", where=f"frame {self._member_frame}")

    def _skip(self, part: memoryview) -> None:
        """Pass over a compressed frame: it is read after the signature."""
