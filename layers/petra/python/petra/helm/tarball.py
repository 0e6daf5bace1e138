"""The ``.tgz`` of a chart, read in memory, member by member, with every size bounded.

Never unpacked, never held whole: the reader sees one member at a time. What could trick a program
that does unpack it (links, devices, ``..``, two members of one name) is refused.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.errors import ContentRefusedError, FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a chart as it is served.
COMPRESSED_LIMIT = 20 * 1024 * 1024
#: Bytes of a chart and of the charts in it, expanded. (Helm itself stops at 100 MiB.)
EXPANDED_LIMIT = 200 * 1024 * 1024
MEMBER_LIMIT = 20_000
#: Expanded bytes for one compressed byte. Published charts stay below 25; zeros reach 1,000.
RATIO_LIMIT = 100
#: Up to here no ratio is held against a chart: small ones are mostly tar padding.
RATIO_FREE = 4 * 1024 * 1024
#: What is held in memory at once: the files that describe charts, and charts packed in charts.
KEPT_LIMIT = 64 * 1024 * 1024
KEPT_FILE_LIMIT = 2_000

_BLOCK = 512
_PIECE = 64 * 1024
_EXTENSION_LIMIT = 64 * 1024
_NAME_LIMIT = 1024
_SET_ID = 0o6000
_EXTENSIONS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE}
_REFUSED = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.GNUTYPE_LONGLINK: "a link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_BAD_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")


@dataclass(slots=True)
class Budget:
    """What may be spent on one chart, the charts packed in it included.

    Attributes:
        expanded: bytes that came out of gzip so far.
        members: headers read so far.
        kept_bytes: bytes held in memory so far.
        kept_files: in how many files.
    """

    expanded: int = 0
    members: int = 0
    kept_bytes: int = 0
    kept_files: int = 0

    def expand(self, count: int, where: str) -> None:
        """Count `count` expanded bytes.

        Raises:
            ContentRefusedError: there are too many.
        """
        self.expanded += count
        if self.expanded > EXPANDED_LIMIT:
            raise _bomb(where, f"at most {EXPANDED_LIMIT} bytes, expanded")

    def meet(self, where: str) -> None:
        """Count a header.

        Raises:
            ContentRefusedError: there are too many.
        """
        self.members += 1
        if self.members > MEMBER_LIMIT:
            raise _bomb(where, f"at most {MEMBER_LIMIT} members")

    def keep(self, member: Member, limit: int, where: str) -> bytes:
        """Return the content of `member`, at most `limit` bytes, to be held in memory.

        Raises:
            ContentRefusedError: it is larger, or too much is held already.
        """
        if member.size > limit:
            raise _bomb(where, f"at most {limit} bytes in this member")
        self.kept_bytes += member.size
        self.kept_files += 1
        if self.kept_bytes > KEPT_LIMIT or self.kept_files > KEPT_FILE_LIMIT:
            raise _bomb(where, f"at most {KEPT_FILE_LIMIT} charts inside and {KEPT_LIMIT} bytes")
        return member.read(member.size)


class Member:
    """A regular file in a chart, to be read before the next one is asked for.

    Attributes:
        name: the path as the archive has it, ``cilium/templates/NOTES.txt``.
        path: the path below the chart's own folder, ``templates/NOTES.txt``.
        size: bytes.
        mode: the permission bits.
    """

    def __init__(self, name: str, size: int, mode: int, expander: _Expander) -> None:
        self.name = name
        self.path = name.partition("/")[2]
        self.size = size
        self.mode = mode
        self._expander = expander
        self._left = size

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes of the content, fewer at its end.

        Raises:
            FormatError: the archive ends before the member does.
        """
        piece = self._expander.read(min(size, self._left), self.name)
        self._left -= len(piece)
        return piece

    def skip(self) -> None:
        """Pass over what was not read."""
        while self._left:
            self.read(_PIECE)
        self._expander.read(-self.size % _BLOCK)


def read_members(data: bytes, *, where: str, budget: Budget | None = None) -> Iterator[Member]:
    """Yield each regular file of a chart archive.

    Args:
        data: the ``.tgz``, whole, as it was served.
        where: what to name in an error; the member's name is added.
        budget: shared between a chart and the charts packed in it.

    Raises:
        FormatError: it is no gzip-compressed tar archive, it is cut short, or something follows it.
        ContentRefusedError: a member is no regular file or has a name, a size or a mode that a
            chart has no use for; or the archive expands beyond the limits.

    Source: POSIX.1-2001 pax, "ustar Interchange Format"; RFC 1952.
    """
    if len(data) > COMPRESSED_LIMIT:
        raise _bomb(where, f"at most {COMPRESSED_LIMIT} bytes, compressed")
    budget = budget or Budget()
    expander = _Expander(data, where, budget)
    seen: set[str] = set()
    top = ""
    for info in _headers(expander, where, budget):
        member_where = f"{where}: {info.name}"
        _check_member(info, member_where)
        top = top or info.name.partition("/")[0]
        _check_place(info, top, seen, member_where)
        if info.type == tarfile.DIRTYPE:
            continue
        member = Member(info.name, info.size, info.mode, expander)
        yield member
        member.skip()
    expander.finish()


def _headers(expander: _Expander, where: str, budget: Budget) -> Iterator[tarfile.TarInfo]:
    """Yield the header of each file and folder, long names put in; the content is for others."""
    extra: dict[str, str] = {}
    while block := expander.read_block():
        budget.meet(where)
        info = _header(block, where)
        if info.type in _EXTENSIONS:
            extra |= _extension(info, expander, where)
            continue
        if info.type not in _FILES and info.type != tarfile.DIRTYPE:
            raise _refused_type(info, extra.get("path", info.name), where)
        info.name = extra.get("path", info.name).rstrip("/")
        if extra.get("size", str(info.size)) != str(info.size):
            raise FormatError("member with two sizes", where=f"{where}: {info.name}")
        extra = {}
        if info.type == tarfile.DIRTYPE:
            info.size = 0
        yield info


def _header(block: bytes, where: str) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise FormatError("not a tar header", where=where, found=error) from None
    if info.size < 0:
        raise FormatError("member with a negative size", where=f"{where}: {info.name}")
    return info


def _extension(info: tarfile.TarInfo, expander: _Expander, where: str) -> dict[str, str]:
    """Return what a pax or GNU header says of the next member: its path, its size."""
    if info.size > _EXTENSION_LIMIT:
        raise _bomb(where, f"an extension header of at most {_EXTENSION_LIMIT} bytes")
    data = expander.read(info.size)
    expander.read(-info.size % _BLOCK)
    try:
        if info.type == tarfile.GNUTYPE_LONGNAME:
            return {"path": data.rstrip(b"\0").decode("utf-8")}
        records = _pax_records(data)
    except (ValueError, UnicodeDecodeError):
        raise FormatError("broken extension header", where=f"{where}: {info.name}") from None
    if any(key.startswith("GNU.sparse") for key in records):
        raise _refused_type(info, records.get("path", info.name), where, "a sparse file")
    if info.type == tarfile.XGLTYPE and records.keys() & {"path", "size", "linkpath"}:
        raise FormatError("one name or size for all members", where=f"{where}: {info.name}")
    return {key: records[key] for key in ("path", "size") if key in records}


def _pax_records(data: bytes) -> dict[str, str]:
    """Return the ``LENGTH KEY=VALUE`` records in `data`. ValueError: they are broken."""
    records: dict[str, str] = {}
    while data.rstrip(b"\0"):
        length, _, _ = data.partition(b" ")
        size = int(length)
        record = data[len(length) + 1 : size]
        if size <= len(length) + 1 or size > len(data) or not record.endswith(b"\n"):
            raise ValueError(size)
        key, _, value = record[:-1].partition(b"=")
        records[key.decode("utf-8")] = value.decode("utf-8")
        data = data[size:]
    return records


def _check_member(info: tarfile.TarInfo, where: str) -> None:
    parts = info.name.split("/")
    if not info.name or len(info.name) > _NAME_LIMIT or _BAD_NAME.search(info.name):
        raise _refused(where, "member name that a chart has no use for", "a plain relative path")
    if "" in parts or "." in parts or ".." in parts:
        raise _refused(
            where,
            "member that would be written outside the chart's folder",
            "a relative path with no empty part, '.' or '..'",
        )
    if info.mode & _SET_ID:
        raise _refused(where, "member with set-user-id or set-group-id", "mode 0644")


def _check_place(info: tarfile.TarInfo, top: str, seen: set[str], where: str) -> None:
    if info.name in seen:
        raise _refused(where, "two members of one name", "each name once")
    seen.add(info.name)
    first, slash, _ = info.name.partition("/")
    if first != top or (not slash and info.type != tarfile.DIRTYPE):
        raise _refused(where, "member outside the chart's folder", f"a path below {top}/")


class _Expander:
    """A gzip stream, expanded by small pieces; counts before it keeps."""

    def __init__(self, data: bytes, where: str, budget: Budget) -> None:
        self._where = where
        self._budget = budget
        self._engine = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._input = memoryview(data)
        self._fed = b""
        self._ready = bytearray()
        self._count = 0
        self._allowed = max(RATIO_FREE, RATIO_LIMIT * len(data))

    def read(self, size: int, name: str = "") -> bytes:
        """Return exactly `size` bytes, of the member `name`.

        Raises:
            FormatError: the archive ends before.
        """
        self._fill(size)
        if len(self._ready) < size:
            raise FormatError(
                "archive is cut short",
                where=f"{self._where}: {name}" if name else self._where,
                expected=f"{size} more bytes",
                found=f"{len(self._ready)} bytes",
                hint="fetch the chart again",
            )
        piece = bytes(self._ready[:size])
        del self._ready[:size]
        return piece

    def read_block(self) -> bytes:
        """Return the next header; empty at the end, where only zeros may follow."""
        self._fill(_BLOCK)
        if not self._ready:
            return b""
        block = self.read(_BLOCK)
        if any(block):
            return block
        self.finish()
        return b""

    def finish(self) -> None:
        """Read to the end.

        Raises:
            FormatError: something other than zeros follows, or the gzip checksum is wrong.
        """
        while self._fill(_PIECE):
            if any(self._ready):
                raise FormatError("data after the end of the archive", where=self._where)
            self._ready.clear()
        if self._engine.unused_data or self._input:
            raise FormatError("data after the end of the archive", where=self._where)

    def _fill(self, size: int) -> bool:
        """Expand until `size` bytes are ready or the stream ends; say whether any are ready."""
        while len(self._ready) < size and not self._engine.eof:
            if not self._fed:
                self._fed, self._input = bytes(self._input[:_PIECE]), self._input[_PIECE:]
                if not self._fed:
                    raise FormatError(
                        "archive is cut short", where=self._where, hint="fetch the chart again"
                    )
            self._expand()
        return bool(self._ready)

    def _expand(self) -> None:
        try:
            piece = self._engine.decompress(self._fed, _PIECE)
        except zlib.error as error:
            raise FormatError(
                "not a gzip-compressed archive, or a damaged one", where=self._where, found=error
            ) from None
        self._fed = self._engine.unconsumed_tail
        self._count += len(piece)
        if self._count > self._allowed:
            raise _bomb(self._where, f"at most {RATIO_LIMIT} bytes for one compressed byte")
        self._budget.expand(len(piece), self._where)
        self._ready += piece


def _refused(where: str, message: str, expected: str) -> ContentRefusedError:
    return ContentRefusedError(
        message,
        where=where,
        expected=expected,
        hint="do not unpack this chart; ask its publisher, or take another version",
    )


def _refused_type(
    info: tarfile.TarInfo, name: str, where: str, kind: str | None = None
) -> ContentRefusedError:
    kind = kind or _REFUSED.get(info.type, f"tar type {info.type!r}")
    return _refused(f"{where}: {name}", f"member is {kind}", "a regular file or a folder")


def _bomb(where: str, expected: str) -> ContentRefusedError:
    return ContentRefusedError(
        "chart is larger than any chart has reason to be",
        where=where,
        expected=expected,
        hint="do not unpack it; ask its publisher",
    )
