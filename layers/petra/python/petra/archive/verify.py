"""Verifies a bundle in the format's reading order: signature, policy, members. Section 5.

Step by step, each owned by one function:

1. the whole file is hashed in one pass, and blobs with it (:func:`_pass`);
2. the signature over that digest is checked, by the caller's `check_signature`;
3. only then the head is read (:class:`petra.archive.reader.ArchiveReader`);
4. policy looks at the metadata, by the caller's `check_policy`;
5. every stored member is compared with the metadata (:func:`_check_stored`);
6. every text member is (:func:`_check_texts`), and ``SHA256SUMS`` says the same of all of them.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.archive import members, tar
from petra.archive.directory import zstd_extents
from petra.archive.framing import GzipFraming
from petra.archive.pipeline import Pipeline
from petra.archive.reader import ArchiveReader, framing_of
from petra.archive.scan import FrameScanner, MemberHasher, Scanned
from petra.archive.source import read
from petra.archive.sums import checksums
from petra.content.digest import Digest, Hasher
from petra.content.executables import HEAD_SIZE, executable_kind
from petra.errors import DigestMismatchError, FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petra.archive.directory import Located
    from petra.archive.source import Source
    from petra.content.progress import Progress

#: Bytes read at a time, and how many such buffers there are: the whole memory of a pass.
CHUNK = 2 * 1024 * 1024
WINDOW = 6


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle that was found genuine and whole.

    Attributes:
        reader: its members, on the very file that was verified.
        digest: the file's digest.
    """

    reader: ArchiveReader
    digest: Digest


def verify_archive(
    source: Source,
    check_signature: Callable[[Digest], None],
    check_policy: Callable[[bytes], None],
    progress: Progress,
) -> Verified:
    """Verify `source` from the first byte to the last.

    Args:
        source: the file, which must not change while it is open.
        check_signature: given the file's digest; raises SignatureError.
        check_policy: given the bytes of ``metadata.json``; raises PolicyError.
        progress: told of each chunk.

    Raises:
        SignatureError: the signature does not verify; nothing of the content was interpreted.
        PolicyError: the metadata breaks policy.
        FormatError: the archive breaks the format; names the member.
        DigestMismatchError: a member is not what the metadata says; names it.
    """
    scanner, broken = _scanner(source)
    digest = _pass(source, scanner, progress)
    check_signature(digest)
    if broken:
        raise broken
    reader = ArchiveReader(source)
    metadata, mtime = reader.read_with_time(members.METADATA)
    check_policy(metadata)
    scanned = _from_scanner(reader, scanner) if scanner else _from_file(reader)
    _check_stored(scanned, mtime)
    _check_texts(reader, mtime)
    return Verified(reader, digest)


def _scanner(source: Source) -> tuple[FrameScanner | None, FormatError | None]:
    """Return what hashes blobs in the pass, or why the file has no frames to walk.

    Whatever is wrong is only said after the signature: a file that nobody signed is refused as
    that, whatever else it is.
    """
    try:
        if isinstance(framing_of(source), GzipFraming):
            return None, None
        return FrameScanner(zstd_extents(source)), None
    except FormatError as error:
        return None, error


class _Chunk:
    __slots__ = ("buffer", "data")

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(CHUNK))
        self.data = self.buffer[:0]


def _pass(source: Source, scanner: FrameScanner | None, progress: Progress) -> Digest:
    hasher = Hasher()

    def fetch(offset: int, take: Callable[[], _Chunk]) -> Iterator[_Chunk]:
        chunk = take()
        chunk.data = chunk.buffer[: min(CHUNK, source.size - offset)]
        source.read_into(offset, chunk.data)
        yield chunk

    def hash_file(chunk: _Chunk) -> None:
        hasher.update(chunk.data)
        progress.on_progress(len(chunk.data))

    stages: list[Callable[[_Chunk], None]] = [hash_file]
    if scanner:
        stages.append(lambda chunk: scanner.feed(chunk.data))
    slots = [_Chunk() for _ in range(min(WINDOW, source.size // CHUNK + 1))]
    Pipeline(fetch, stages, [slots]).run(iter(range(0, source.size, CHUNK)))
    return hasher.digest()


def _from_scanner(
    reader: ArchiveReader, scanner: FrameScanner
) -> Iterator[tuple[Located, Scanned]]:
    if scanner.error:
        place = reader.extents[scanner.failed]
        names = (name for name, found in reader.members.items() if place in found.extents)
        scanner.error.where = next(names, scanner.error.where)
        raise scanner.error
    numbers = {extent.offset: number for number, extent in enumerate(reader.extents)}
    for located in _stored(reader):
        found = scanner.found.get(numbers[located.extents[0].offset])
        if found is None:
            raise FormatError("a blob is compressed, not stored", where=located.name)
        yield located, found


def _from_file(reader: ArchiveReader) -> Iterator[tuple[Located, Scanned]]:
    """Hash the stored members of a ``.tar.gz``, and check the CRC that plain tools go by."""
    crc, length = 0, 0
    buffer = memoryview(bytearray(GzipFraming.block))
    for located in reader.members.values():
        hasher = MemberHasher(located.name)
        with reader.open_content(located.name) as stream:
            while count := stream.readinto(buffer):
                crc, length = zlib.crc32(buffer[:count], crc), length + count
                hasher.feed(buffer[:count])
        if members.is_stored(located.name):
            yield located, hasher.result()
    crc, length = zlib.crc32(tar.END, crc), length + len(tar.END)
    expected = struct.pack("<II", crc, length & 0xFFFFFFFF)
    if read(reader.source, reader.source.size - len(expected), len(expected)) != expected:
        raise FormatError("the gzip checksum is wrong", where=reader.source.name)


def _stored(reader: ArchiveReader) -> Iterator[Located]:
    return (found for found in reader.members.values() if members.is_stored(found.name))


def _check_stored(scanned: Iterator[tuple[Located, Scanned]], mtime: int) -> None:
    for located, found in scanned:
        name, size, time = tar.parse_header(found.header, where=located.name)
        _check_header(located, name, size, time == mtime)
        if found.digest != located.digest:
            raise DigestMismatchError(
                "a member is not what the metadata says",
                where=located.name,
                expected=located.digest,
                found=found.digest,
                hint="the bundle was signed damaged; ask the sender to make it anew",
            )


def _check_header(located: Located, name: str, size: int, same_time: bool) -> None:  # noqa: FBT001
    if (name, size) != (located.name, located.size):
        raise FormatError(
            "another member stands where the metadata says this one does",
            where=located.name,
            expected=f"{located.name}, {located.size} bytes",
            found=f"{name}, {size} bytes",
        )
    if not same_time:
        raise FormatError("a member has another time than the others", where=located.name)


def _check_texts(reader: ArchiveReader, mtime: int) -> None:
    digests: dict[str, Digest] = {}
    for located in reader.members.values():
        if members.is_stored(located.name):
            assert located.digest  # noqa: S101  # for mypy: the metadata lists every stored member
            digests[located.name] = located.digest
            continue
        data, time = reader.read_with_time(located.name)
        _check_header(located, located.name, len(data), time == mtime)
        if kind := executable_kind(data[:HEAD_SIZE]):
            raise FormatError(f"{kind} outside blobs/", where=located.name)
        digests[located.name] = Digest.of(data)
    digests.pop(members.SUMS)
    if reader.read(members.SUMS) != checksums(digests.items()):
        raise FormatError(
            "SHA256SUMS and the metadata disagree",
            where=members.SUMS,
            hint="do not use this file; ask the sender for a bundle made by petra",
        )
