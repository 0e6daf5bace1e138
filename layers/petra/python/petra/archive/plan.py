"""The plan of an archive: every member, its order and its offset, before a layer is fetched.

A bundle is a pure function of its lock and its evidence (format, introduction). The plan is where
that shows: from names, sizes and digests it gives the file's exact length and the list of pieces
that workers can fill in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.archive import members, tar
from petra.archive.zstd import Frame
from petra.content.digest import Digest
from petra.content.executables import HEAD_SIZE, executable_kind
from petra.errors import ContentRefusedError, FormatError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from petra.archive.framing import Framing
    from petra.content.descriptor import Descriptor
    from petra.content.protocols import RangeFetcher

#: Bytes of content in one piece, about: one buffer of the window.
PIECE_SIZE = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Text:
    """A member whose content is at hand and is compressed."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of content."""
        return len(self.data)

    @property
    def digest(self) -> Digest:
        """The content's digest."""
        return Digest.of(self.data)


@dataclass(frozen=True, slots=True)
class Stored:
    """A member that is fetched when its turn comes, and stored as it is.

    Attributes:
        name: the member's path.
        descriptor: what the content must be.
        source: where it is fetched from.
        origin: the image or chart that it belongs to, for errors.
    """

    name: str
    descriptor: Descriptor
    source: RangeFetcher
    origin: str

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.descriptor.size

    @property
    def digest(self) -> Digest:
        """The content's digest."""
        return self.descriptor.digest


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of the file.

    Either `literal`, or a part of a stored member: content bytes `start` to `end`, counted from
    the member's tar header, in the frame that spans `frame_start` to `frame_end` of them.

    Attributes:
        offset: where it begins in the file.
    """

    offset: int
    literal: bytes = b""
    content: bytes = b""
    member: Stored | None = None
    start: int = 0
    end: int = 0
    frame_start: int = 0
    frame_end: int = 0

    @property
    def data_start(self) -> int:
        """The first of the member's own bytes that is in the piece."""
        assert self.member is not None  # noqa: S101  # for mypy: literals have none
        return max(self.start - tar.header_size(self.member.size), 0)

    @property
    def data_end(self) -> int:
        """One after the last of the member's own bytes that is in the piece."""
        assert self.member is not None  # noqa: S101  # as above
        return min(self.end - tar.header_size(self.member.size), self.member.size)

    @property
    def is_first(self) -> bool:
        """Whether the member begins here."""
        return self.start == 0

    @property
    def is_last(self) -> bool:
        """Whether the member ends here."""
        return self.member is not None and self.end == tar.span(self.member.size)


class Plan:
    """What a bundle's file will be.

    Args:
        content: the members in the format's order.
        mtime: every member's time, seconds since 1970.
        framing: the compression.

    Raises:
        FormatError: a name breaks the rules, stands twice or stands out of order.
        ContentRefusedError: a program outside ``blobs/``.
    """

    def __init__(self, content: Sequence[Text | Stored], mtime: int, framing: Framing) -> None:
        _check(content)
        self.members = tuple(content)
        self.mtime = mtime
        self.framing = framing
        self._texts = {
            member.name: framing.text(self._tar_member(member))
            for member in content
            if isinstance(member, Text)
        }
        self._end = framing.text(tar.END)
        self.frames = tuple(self._frames())
        self.size = (
            len(framing.open_file())
            + sum(frame.compressed for frame in self.frames)
            + framing.close_size(len(self.frames))
        )

    def _tar_member(self, member: Text) -> bytes:
        head = tar.header(member.name, member.size, self.mtime)
        return head + member.data + bytes(tar.padding(member.size))

    def _frames(self) -> Iterator[Frame]:
        for member in self.members:
            span = tar.span(member.size)
            if isinstance(member, Text):
                yield Frame(len(self._texts[member.name]), span)
                continue
            for start, end in _cut(0, span, self.framing.frame_limit):
                yield Frame(self._stored_size(end - start), end - start)
        yield Frame(len(self._end), len(tar.END))

    def _stored_size(self, content: int) -> int:
        blocks = -(-content // self.framing.block)
        return self.framing.frame_header + blocks * self.framing.block_header + content

    def pieces(self) -> Iterator[Piece]:
        """Give the file's pieces in order, all but what closes the file."""
        offset = len(self.framing.open_file())
        if offset:
            yield Piece(0, literal=self.framing.open_file())
        for member in self.members:
            if isinstance(member, Text):
                literal = self._texts[member.name]
                yield Piece(offset, literal=literal, content=self._tar_member(member))
                offset += len(literal)
            else:
                offset = yield from self._stored_pieces(member, offset)
        yield Piece(offset, literal=self._end, content=tar.END)

    def _stored_pieces(self, member: Stored, offset: int) -> Generator[Piece, None, int]:
        step = PIECE_SIZE // self.framing.block * self.framing.block
        for frame_start, frame_end in _cut(0, tar.span(member.size), self.framing.frame_limit):
            for start, end in _cut(frame_start, frame_end, step):
                yield Piece(
                    offset,
                    member=member,
                    start=start,
                    end=end,
                    frame_start=frame_start,
                    frame_end=frame_end,
                )
                header = self.framing.frame_header if start == frame_start else 0
                offset += self._stored_size(end - start) - self.framing.frame_header + header
        return offset

    def close_file(self, crc: int) -> bytes:
        """Return the bytes that close the file."""
        return self.framing.close_file(self.frames, crc)

    def buffer_size(self) -> int:
        """Return the length in bytes of a buffer that holds any piece of a stored member."""
        blocks = PIECE_SIZE // self.framing.block
        per_block = self.framing.block + self.framing.block_header
        return self.framing.frame_header + blocks * per_block


def _cut(start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, step):
        yield at, min(at + step, end)


def _check(content: Sequence[Text | Stored]) -> None:
    seen: set[str] = set()
    for member in content:
        members.check_name(member.name)
        if member.name in seen:
            raise FormatError("member stands twice in the bundle", where=member.name)
        seen.add(member.name)
        kind = executable_kind(member.data[:HEAD_SIZE]) if isinstance(member, Text) else None
        if kind:
            raise ContentRefusedError(
                f"{kind} outside blobs/",
                where=member.name,
                hint="a bundle carries programs in images alone; remove this file",
            )
    names = [member.name for member in content]
    if names != sorted(names, key=members.rank):
        raise FormatError("members stand out of order", found=", ".join(names[:20]))
