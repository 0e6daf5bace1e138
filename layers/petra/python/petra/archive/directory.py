"""Where each member lies in the file, and what the metadata says that it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.archive import members, tar, zstd
from petra.archive.source import read
from petra.content.digest import Digest
from petra.encoding.json import load_json
from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.archive.framing import Framing
    from petra.archive.source import Source

#: Text members (metadata, SBOMs …) are read whole; none may be larger.
TEXT_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Extent:
    """One frame in the file: where, how long, and how many bytes of content."""

    offset: int
    compressed: int
    content: int


@dataclass(frozen=True, slots=True)
class Record:
    """A member as ``metadata.json`` lists it."""

    name: str
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Located:
    """A member and its place.

    Attributes:
        name: its path.
        size: its length in bytes.
        extents: the frames that hold header, content and padding.
        digest: what the metadata says; None for the two members that it cannot list.
    """

    name: str
    size: int
    extents: tuple[Extent, ...]
    digest: Digest | None


def records(metadata: bytes, *, where: str) -> list[Record]:
    """Return the members that `metadata`, the bytes of ``metadata.json``, lists.

    Raises:
        FormatError: the list is missing, malformed, repeats a name or is out of order.
    """
    document = load_json(metadata, where=where)
    listed = document.get("members") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise FormatError("metadata without a list of members", where=where)
    found = [_record(entry, where) for entry in listed]
    names = [record.name for record in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError("metadata lists a member twice", where=where, found=twice)
    if names != sorted(names, key=members.rank):
        raise FormatError("metadata lists members out of order", where=where)
    return found


def _record(entry: Any, where: str) -> Record:
    if not isinstance(entry, dict):
        raise FormatError("metadata lists a member that is no object", where=where)
    name, size = entry.get("name"), entry.get("size")
    if not isinstance(name, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise FormatError("metadata lists a member without name or size", where=where)
    members.check_name(name)
    digest = Digest.parse(str(entry.get("digest")), where=f"{where}, member {name}")
    if members.is_blob(name) and digest.blob_path != name:
        raise FormatError("a blob's name is not its digest", where=name, found=digest)
    return Record(name, size, digest)


def zstd_extents(source: Source) -> list[Extent]:
    """Return the frames of a ``.tar.zst`` from its seek table, read at the file's end.

    Raises:
        FormatError: there is no seek table, or it does not fit the file.
    """
    if source.size < zstd.FOOTER_SIZE:
        raise FormatError("not a bundle: the file is too short", where=source.name)
    footer = read(source, source.size - zstd.FOOTER_SIZE, zstd.FOOTER_SIZE)
    length = zstd.seek_table_size(footer, where=source.name)
    if length > source.size:
        raise FormatError("the seek table is longer than the file", where=source.name)
    table = read(source, source.size - length, length)
    frames = zstd.parse_seek_table(table, source.size, where=source.name)
    return list(_placed(frames))


def _placed(frames: Sequence[zstd.Frame]) -> Iterator[Extent]:
    offset = 0
    for frame in frames:
        yield Extent(offset, frame.compressed, frame.content)
        offset += frame.compressed


def read_text(
    source: Source, extent: Extent, framing: Framing, *, where: str
) -> tuple[str, int, bytes]:
    """Return the name, mtime and content of the text member in one frame.

    Args:
        source: the file.
        extent: the frame.
        framing: its compression.
        where: what to call the member in errors.

    Raises:
        FormatError: the frame is damaged or too large, or does not hold exactly one member.
    """
    if extent.content > TEXT_LIMIT or extent.compressed > TEXT_LIMIT:
        raise FormatError(
            "text member too large",
            where=where,
            expected=f"at most {TEXT_LIMIT} bytes",
            found=max(extent.content, extent.compressed),
        )
    frame = read(source, extent.offset, extent.compressed)
    return split_member(framing.expand(frame, extent.content, where=where), where=where)


def split_member(content: bytes, *, where: str) -> tuple[str, int, bytes]:
    """Return name, mtime and data of `content`, one whole tar member.

    Raises:
        FormatError: it is not exactly one canonical member.
    """
    name, size, mtime = tar.parse_header(content, where=where)
    start = tar.header_size(size)
    if tar.span(size) != len(content):
        raise FormatError(
            f"member {name!r} has another size than its frame",
            where=where,
            expected=len(content),
            found=tar.span(size),
        )
    if any(content[start + size :]):
        raise FormatError(f"member {name!r} has data behind its end", where=where)
    return name, mtime, content[start : start + size]


def locate(source: Source, extents: Sequence[Extent], framing: Framing) -> dict[str, Located]:
    """Return all members of an archive, in order.

    Reads the head alone: the layout follows from the metadata, and each member must fill its
    frames exactly.

    Args:
        source: the file.
        extents: all its frames, in order.
        framing: its compression.

    Raises:
        FormatError: frames and metadata disagree; names the member.
    """
    if len(extents) <= len(members.HEAD):
        raise FormatError("not a bundle: members are missing", where=source.name)
    metadata = _head_member(source, extents, framing, members.METADATA)
    sums = _head_member(source, extents, framing, members.SUMS)
    sizes: list[tuple[str, int, Digest | None]] = [
        (record.name, record.size, record.digest)
        for record in records(metadata, where=members.METADATA)
    ]
    sizes.insert(members.HEAD.index(members.METADATA), (members.METADATA, len(metadata), None))
    sizes.insert(members.HEAD.index(members.SUMS), (members.SUMS, len(sums), None))
    check_head([name for name, _, _ in sizes])
    return _fit(sizes, extents)


def _head_member(source: Source, extents: Sequence[Extent], framing: Framing, name: str) -> bytes:
    place = members.HEAD.index(name)
    found, _, data = read_text(source, extents[place], framing, where=f"member {place + 1}")
    if found != name:
        raise FormatError(
            "not a bundle: a member is missing or out of place",
            where=source.name,
            expected=name,
            found=found,
        )
    return data


def _fit(
    sizes: Sequence[tuple[str, int, Digest | None]], extents: Sequence[Extent]
) -> dict[str, Located]:
    found: dict[str, Located] = {}
    left = iter(extents)
    for name, size, digest in sizes:
        found[name] = Located(name, size, tuple(_take(left, tar.span(size), name)), digest)
    end = next(left, None)
    if end is None or end.content != len(tar.END) or next(left, None) is not None:
        raise FormatError(
            "the archive holds a member that the metadata does not list",
            expected=f"{len(sizes)} members",
            found=f"{len(extents)} frames",
            hint="do not use this file; ask the sender for a bundle made by petra",
        )
    return found


def check_head(names: Sequence[str]) -> None:
    """Refuse members that do not open with the format's head.

    Raises:
        FormatError: one of them is missing or out of place.
    """
    for expected, found in zip(members.HEAD, names, strict=False):
        if expected != found:
            raise FormatError("a member is missing or out of place", expected=expected, found=found)


def _take(left: Iterator[Extent], span: int, name: str) -> Iterator[Extent]:
    while span > 0:
        extent = next(left, None)
        if extent is None or extent.content > span or not extent.content:
            raise FormatError(
                "a member does not fit its frames: the archive lacks it, or another stands there",
                where=name,
                expected=f"{span} bytes",
                found="the end" if extent is None else f"{extent.content} bytes",
            )
        span -= extent.content
        yield extent
