"""Walks over a bundle as a guard does: one pass, in constant memory, believing nothing.

It shares no code with the reader of bundles (:mod:`petra.archive`): the standard library's tarfile
and zlib, and zstandard, are a second opinion on the same bytes.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import zstandard

from petra.content.digest import Digest, Hasher
from petra.transfer.guard.frames import Frames
from petra.transfer.guard.headers import HEADERS_LIMIT, header_reader
from petra.transfer.guard.kinds import HEAD_SIZE, kind_of
from petra.transfer.guard.stop import StopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petra.archive.source import Source
    from petra.transfer.guard.profile import ExpansionRules, Kind

#: Bytes read at a time.
PIECE: Final = 1024 * 1024
#: The largest member that is looked at whole: a document or a chart.
WHOLE_LIMIT: Final = 64 * 1024 * 1024
#: Up to here no ratio is held against content: small text compresses well.
RATIO_FREE: Final = 16 * 1024 * 1024
#: k3s and zstd itself go no further by default; a larger window is memory that the sender chooses.
_WINDOW: Final = 128 * 1024 * 1024
#: What the readers say of bytes that they do not understand.
_UNREADABLE: Final = (
    *(tarfile.TarError, zlib.error, zstandard.ZstdError),
    *(EOFError, ValueError, OverflowError),
)
_FORMS: Final = {b"\x1f\x8b": "tar.gz", b"\x28\xb5": "tar.zst"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of the archive, as its header and its content are.

    Attributes:
        name: the path as the header has it.
        size: bytes.
        type: tarfile's letter for it; a regular file's is ``0``.
        mode: the permission bits.
        owner: ``uid:gid user:group``.
        pax: the keys of its pax records.
        head: the first bytes.
        digest: of the content.
        data: the content, whole, where it is small enough.
        expanded: bytes that a layer expands to, where it was expanded.
    """

    name: str
    size: int
    type: bytes
    mode: int
    owner: str
    pax: tuple[str, ...]
    head: bytes = field(repr=False)
    digest: Digest
    data: bytes | None = field(repr=False)
    expanded: int | None = None

    @property
    def kind(self) -> Kind:
        """What the content is, by its bytes."""
        return kind_of(self.name, self.head)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def form_of(source: Source) -> str:
    """Return ``tar.gz``, ``tar.zst``, or ``unknown``, by the first bytes."""
    head = bytearray(min(2, source.size))
    source.read_into(0, memoryview(head))
    return _FORMS.get(bytes(head), "unknown")


def walk(
    source: Source,
    rules: ExpansionRules,
    on_progress: Callable[[int], None],
) -> Iterator[Entry]:
    """Yield every member of a bundle, in the file's order.

    Args:
        source: the bundle, open.
        rules: how far content may expand.
        on_progress: told how many bytes of the file were read.

    Raises:
        StopError: the file is no archive of this kind, ends badly, or expands too far.
    """
    raw = _Raw(source, on_progress)
    plain = _Bounded(_expanded(raw, form_of(source)), raw, rules)
    ended: list[bool] = []
    stream: Any = plain  # tarfile asks no more of a stream than read(int)
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=header_reader(ended)) as archive:
            for info in _members(archive, plain):
                yield _entry(archive, info, rules)
                _check_padding(archive, info)
            rest: Any = archive.fileobj  # tarfile's own stream, with what it read ahead
            _check_end(rest, raw, whole=bool(ended))
    except _UNREADABLE as error:
        raise StopError("container", f"the archive cannot be read: {error}") from None


def _members(archive: tarfile.TarFile, plain: _Bounded) -> Iterator[tarfile.TarInfo]:
    """Yield each header. Between two of them tarfile reads headers alone, and few bytes of those.

    Without this bound a list of holes or a row of headers fills memory before anybody sees it.
    """
    while True:
        plain.allow(HEADERS_LIMIT)
        info = archive.next()
        plain.allow(None)
        if info is None:
            return
        if info.issparse():
            raise StopError("regular-files", "not a regular file", found="a sparse file")
        yield info
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep every header


def _check_padding(archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
    """Refuse data in the padding behind a member, where no reader of members looks."""
    rest: Any = archive.fileobj
    if _has_content(info) and rest.read(-info.size % tarfile.BLOCKSIZE).strip(b"\0"):
        raise StopError("container", "data is hidden in the padding of a member", where=info.name)


def _has_content(info: tarfile.TarInfo) -> bool:
    return info.isreg() or info.type not in tarfile.SUPPORTED_TYPES


def _entry(archive: tarfile.TarFile, info: tarfile.TarInfo, rules: ExpansionRules) -> Entry:
    content = archive.extractfile(info) if _has_content(info) else io.BytesIO()
    tee = _Tee(content or io.BytesIO(), keep=info.size <= WHOLE_LIMIT)
    head = tee.peek()
    layer = info.name.startswith("blobs/") and kind_of(info.name, head) in ("gzip", "zstd")
    expanded = _expand_layer(info, tee, head, rules) if layer and rules.layers else None
    tee.drain()
    return Entry(
        name=info.name,
        size=info.size,
        type=info.type if info.type != tarfile.AREGTYPE else tarfile.REGTYPE,
        mode=info.mode,
        owner=f"{info.uid}:{info.gid} {info.uname}:{info.gname}",
        pax=tuple(sorted(info.pax_headers)),
        head=head,
        digest=tee.digest(),
        data=tee.kept(),
        expanded=expanded,
    )


def _expand_layer(info: tarfile.TarInfo, tee: _Tee, head: bytes, rules: ExpansionRules) -> int:
    """Return how many bytes a layer expands to, stopping where that is too much."""
    stream: Any
    if kind_of(info.name, head) == "gzip":
        stream = gzip.GzipFile(fileobj=tee, mode="rb")  # type: ignore[call-overload]  # as above
    else:
        stream = _zstd(tee)
    limit, total = max(RATIO_FREE, info.size * rules.max_ratio), 0
    try:
        while part := stream.read(PIECE):
            total += len(part)
            if total > limit:
                raise StopError(
                    "expansion",
                    "a layer expands too far",
                    where=info.name,
                    expected=f"at most {rules.max_ratio} x its {info.size} bytes",
                    found=f"more than {limit} bytes",
                )
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise StopError(
            "expansion", f"a layer cannot be expanded: {error}", where=info.name
        ) from None
    return total


def _check_end(rest: _Readable, raw: _Raw, *, whole: bool) -> None:
    """Refuse an archive without its end, and data after the end."""
    if not whole:
        raise StopError("container", "the archive breaks off, or a header in it is damaged")
    while part := rest.read(PIECE):
        if part.strip(b"\0"):
            raise StopError("container", "data follows the end of the archive")
    if not raw.ends_well():
        raise StopError("container", "the zstd stream breaks off")
    if raw.left():
        raise StopError(
            "container",
            "data follows the end of the compressed stream",
            expected="one gzip member, or zstd frames to the end",
            found=f"{raw.left()} more bytes",
        )


def _expanded(raw: _Raw, form: str) -> _Readable:
    if form == "tar.gz":
        return _GzipMember(raw)
    if form == "tar.zst":
        return _zstd(raw.watched(Frames()))
    raise StopError("container", "the file is neither gzip nor zstd", expected="tar.gz or tar.zst")


def _zstd(raw: _Readable) -> _Readable:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    return decompressor.stream_reader(raw, read_size=PIECE, read_across_frames=True)  # type: ignore[arg-type]  # read() is all it calls


class _Raw:
    """The bytes of the file, in order."""

    def __init__(self, source: Source, on_progress: Callable[[int], None]) -> None:
        self._source = source
        self._on_progress = on_progress
        self._frames: Frames | None = None
        self.offset = 0

    def watched(self, frames: Frames) -> _Raw:
        """Show every byte to `frames` too."""
        self._frames = frames
        return self

    def ends_well(self) -> bool:
        """Say whether what was read ends where a frame does; gzip's own reader sees to it."""
        return self._frames is None or self._frames.whole

    def read(self, size: int = -1) -> bytes:
        count = min(PIECE if size < 0 else size, self._source.size - self.offset)
        data = bytearray(count)
        self._source.read_into(self.offset, memoryview(data))
        self.offset += count
        self._on_progress(count)
        if self._frames:
            self._frames.feed(data)
        return bytes(data)

    def give_back(self, count: int) -> None:
        """Say that the last `count` bytes read were not of the stream."""
        self.offset -= count

    def left(self) -> int:
        return self._source.size - self.offset


class _GzipMember:
    """One gzip member, expanded; what follows it is not read on, unlike gzip's own reader."""

    def __init__(self, raw: _Raw) -> None:
        self._raw = raw
        self._stream = zlib.decompressobj(wbits=31)

    def read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size and not self._stream.eof:
            data = self._stream.unconsumed_tail or self._raw.read(PIECE)
            if not data:
                raise EOFError("the gzip stream breaks off")
            part = self._stream.decompress(data, size)
            parts.append(part)
            size -= len(part)
            if self._stream.eof:
                self._raw.give_back(len(self._stream.unused_data))
        return b"".join(parts)


class _Bounded:
    """Plain bytes, counted, and stopped where the file expands too far."""

    def __init__(self, plain: _Readable, raw: _Raw, rules: ExpansionRules) -> None:
        self._plain = plain
        self._raw = raw
        self._rules = rules
        self._count = 0
        self._allowed: int | None = HEADERS_LIMIT  # tarfile reads the first one when it is made

    def allow(self, count: int | None) -> None:
        """Bound what may be read from now on, until told otherwise; None for no bound."""
        self._allowed = None if count is None else self._count + count

    def read(self, size: int) -> bytes:
        data = self._plain.read(min(size, PIECE))
        self._count += len(data)
        if self._allowed is not None and self._count > self._allowed:
            raise StopError("headers", "headers that are too long")
        limit = max(RATIO_FREE, self._raw.offset * self._rules.max_ratio)
        if self._count > min(limit, self._rules.max_bytes):
            raise StopError(
                "expansion",
                "the file expands too far",
                expected=f"at most {self._rules.max_bytes} bytes, and {self._rules.max_ratio} x "
                "what was read",
                found=f"{self._count} bytes out of {self._raw.offset}",
            )
        return data


class _Tee:
    """A member's content on its way: hashed, its head seen, kept where it is small."""

    def __init__(self, content: _Readable, *, keep: bool) -> None:
        self._content = content
        self._hasher = Hasher()
        self._kept: list[bytes] | None = [] if keep else None
        self._ahead = b""

    def peek(self) -> bytes:
        """Return the first HEAD_SIZE bytes; they will be read again."""
        self._ahead = self._take(PIECE)
        return self._ahead[:HEAD_SIZE]

    def read(self, size: int = -1) -> bytes:
        if self._ahead:
            end = len(self._ahead) if size < 0 else size
            data, self._ahead = self._ahead[:end], self._ahead[end:]
            return data
        return self._take(PIECE if size < 0 else min(size, PIECE))

    def _take(self, size: int) -> bytes:
        data = self._content.read(size)
        self._hasher.update(data)
        if self._kept is not None:
            self._kept.append(data)
        return data

    def drain(self) -> None:
        while self._take(PIECE):
            pass

    def digest(self) -> Digest:
        return self._hasher.digest()

    def kept(self) -> bytes | None:
        return None if self._kept is None else b"".join(self._kept)
