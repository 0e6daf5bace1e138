"""A bundle's images as a plain tar archive of an OCI layout, made as it is read: no scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.archive import members, tar
from petra.content.descriptor import Descriptor
from petra.content.stream import VerifyReader
from petra.oci.media_types import OCTET_STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.archive.directory import Located
    from petra.archive.reader import ArchiveReader

_PIECE: Final = 1024 * 1024


def image_members(reader: ArchiveReader) -> list[Located]:
    """Return the members that a runtime reads: the layout's two files and all blobs."""
    wanted = (members.OCI_LAYOUT, members.INDEX)
    return [
        located
        for name, located in reader.members.items()
        if name in wanted or name.startswith("blobs/")
    ]


def tar_size(reader: ArchiveReader) -> int:
    """Return the length of the archive in bytes."""
    return sum(tar.span(one.size) for one in image_members(reader)) + len(tar.END)


def tar_pieces(reader: ArchiveReader) -> Iterator[memoryview | bytes]:
    """Give the archive piece by piece; each is to be used before the next one is asked for.

    Raises:
        DigestMismatchError: a blob is damaged; found before its last bytes are given out.
        StorageError: the bundle cannot be read.
    """
    _, mtime = reader.read_with_time(members.OCI_LAYOUT)
    buffers = [memoryview(bytearray(_PIECE)) for _ in range(2)]
    for located in image_members(reader):
        yield tar.header(located.name, located.size, mtime)
        if members.is_stored(located.name):
            yield from _checked(reader, located, buffers)
        else:
            yield reader.read(located.name)
        yield bytes(tar.padding(located.size))
    yield tar.END


def _checked(
    reader: ArchiveReader, located: Located, buffers: list[memoryview]
) -> Iterator[memoryview]:
    """Give a stored member's bytes, the last piece only after all of them were found right."""
    digest = located.digest
    assert digest is not None, located.name  # noqa: S101  # the metadata has one for every blob
    descriptor = Descriptor(OCTET_STREAM, digest, located.size)
    with VerifyReader(reader.open(located.name), descriptor, where=located.name) as stream:
        held, turn = buffers[0][:0], 0
        while count := stream.readinto(buffers[turn]):
            if held:
                yield held
            held, turn = buffers[turn][:count], 1 - turn
        if held:
            yield held
