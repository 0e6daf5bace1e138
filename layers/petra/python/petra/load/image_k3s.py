"""Images into k3s's agent image directory, from which a node imports them by itself.

Sources: k3s's documentation, "Import Images"; its ``pkg/agent/containerd`` and the library wharfie
that it reads archives with (zstd windows up to 32 MiB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petra.archive.sink import FileSink
from petra.archive.source import read
from petra.bundle.differential import require_whole
from petra.content.digest import Hasher
from petra.errors import DigestMismatchError, NotFoundError
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.sending import check_space
from petra.load.tar_stream import tar_pieces, tar_size
from petra.oci._files import FileStream, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.load.destination import OpenBundle
    from petra.load.images import ImageOptions

#: What wharfie, k3s's reader of archives, gives a zstd decoder.
WINDOW_LIMIT: Final = 32 * 1024 * 1024
CACHE: Final = ".cache.json"
_PIECE: Final = 1024 * 1024
_HEAD: Final = 18


@dataclass(frozen=True, slots=True)
class _File:
    """The file that k3s is given."""

    path: Path
    size: int
    is_bundle: bool


class K3sDestination:
    """The folder that k3s imports images from.

    It gets one file for each bundle, under a name of its own, written without any name and linked
    in when it is whole and on disk: k3s imports what appears. Other files stay.

    Args:
        name: as the user gave it.
        folder: k3s's agent image directory, ``/var/lib/rancher/k3s/agent/images``.
        bundle: whose images they are.
        options: whether only the images go there, and whether ``.cache.json`` is made.

    Raises:
        ContentRefusedError: the bundle is differential.
    """

    part: Part = "images"

    def __init__(self, name: str, folder: Path, bundle: OpenBundle, options: ImageOptions) -> None:
        require_whole(bundle.metadata, name)
        self.name = name
        self._folder = folder
        self._bundle = bundle
        self._touches_cache = options.touch_cache
        self._file = self._choose(images_only=options.images_only)

    def _choose(self, *, images_only: bool) -> _File:
        reader, lock = self._bundle.reader, self._bundle.lock
        stem = f"{lock.stem}-{self._bundle.digest.hex[:12]}"
        is_zstd = reader.is_zstd
        readable = not is_zstd or largest_window(self._bundle) <= WINDOW_LIMIT
        if readable and not images_only:
            ending = "tar.zst" if is_zstd else "tar.gz"
            return _File(self._folder / f"{stem}.{ending}", reader.source.size, is_bundle=True)
        return _File(self._folder / f"{stem}.tar", tar_size(reader), is_bundle=False)

    def survey(self) -> Survey:
        """Find out whether the file is there and fits; see :class:`Destination`."""
        count = len(self._bundle.lock.images)
        present = self._is_there()
        if not present:
            check_space(self._folder, self._file.size)
        notes = [self._import_note()]
        if not self._folder.is_dir():
            notes.append(f"{self._folder} is not there and will be made: is this a k3s node?")
        return Survey(
            part=self.part,
            destination=self.name,
            items=count,
            present=count if present else 0,
            bytes_total=self._file.size,
            bytes_to_send=0 if present else self._file.size,
            notes=tuple(notes),
        )

    def load(self, progress: Progress) -> Loaded:
        """Write the file aside and link it in; see :class:`Destination`."""
        progress.on_start(f"load images to {self.name}", self._file.size)
        sent = not self._is_there()
        if sent:
            self._write(progress)
        else:
            progress.on_progress(self._file.size)
        if self._touches_cache:
            with storage_errors(self._folder / CACHE):
                (self._folder / CACHE).touch()
        progress.on_done()
        placed = tuple(
            Placed(
                name=image.reference,
                reference=str(self._file.path),
                digest=image.root.digest,
                sent=sent,
            )
            for image in self._bundle.lock.images
        )
        size = self._file.size if sent else 0
        return Loaded(self.part, self.name, placed, size, (self._import_note(),))

    def _import_note(self) -> str:
        images, names = len(self._bundle.lock.images), len(self._bundle.archive.names)
        return (
            f"the node will import {images} image(s) under {names} names from "
            f"{self._file.path.name}"
        )

    def _is_there(self) -> bool:
        """Say whether the very file is there, by its digest."""
        try:
            with FileStream.open(self._file.path) as stream:
                if self._file.path.stat().st_size != self._file.size:
                    return False
                return self._matches(stream)
        except NotFoundError:
            return False

    def _matches(self, stream: FileStream) -> bool:
        hasher, wanted = Hasher(), Hasher()
        buffer = memoryview(bytearray(_PIECE))
        while count := stream.readinto(buffer):
            hasher.update(buffer[:count])
        if self._file.is_bundle:
            return hasher.digest() == self._bundle.digest
        for piece in tar_pieces(self._bundle.reader):
            wanted.update(piece)
        return hasher.digest() == wanted.digest()

    def _write(self, progress: Progress) -> None:
        sink = FileSink(self._file.path, self._file.size)
        hasher, offset = Hasher(), 0
        try:
            for piece in self._pieces():
                sink.write_at(offset, piece)
                hasher.update(piece)
                offset += len(piece)
                progress.on_progress(len(piece))
            self._check(hasher.digest())
            sink.sync()
            sink.commit()
        finally:
            sink.abort()

    def _pieces(self) -> Iterator[memoryview | bytes]:
        if not self._file.is_bundle:
            yield from tar_pieces(self._bundle.reader)
            return
        source = self._bundle.reader.source
        buffer = memoryview(bytearray(_PIECE))
        for offset in range(0, source.size, _PIECE):
            part = buffer[: source.size - offset]
            source.read_into(offset, part)
            yield part

    def _check(self, found: Digest) -> None:
        if self._file.is_bundle and found != self._bundle.digest:
            raise DigestMismatchError(
                "the bundle has changed since it was verified",
                where=self._bundle.reader.source.name,
                expected=self._bundle.digest,
                found=found,
            )


def largest_window(bundle: OpenBundle) -> int:
    """Return the bytes that a decoder of the bundle's largest zstd window needs.

    Source: RFC 8878, sections 3.1.1.1.1 and 3.1.1.1.2.
    """
    source = bundle.reader.source
    heads = (
        read(source, extent.offset, min(_HEAD, extent.compressed))
        for extent in bundle.reader.extents
    )
    return max((_window(head) for head in heads), default=0)


def _window(head: bytes) -> int:
    descriptor = head[4]
    if not descriptor & 0x20:
        exponent, mantissa = head[5] >> 3, head[5] & 7
        base = 1 << (10 + exponent)
        return base + (base >> 3) * mantissa
    # A single segment: its window is its content.
    start = 5 + (0, 1, 2, 4)[descriptor & 3]
    length = (1, 2, 4, 8)[descriptor >> 6]
    size = int.from_bytes(head[start : start + length], "little")
    return size + 256 if length == 2 else size  # noqa: PLR2004  # the format's own exception
