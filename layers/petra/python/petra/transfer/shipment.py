"""The files that a bundle crosses as, in the order in which they are sent.

What announces a set comes after it: signatures after the bundle; a chunk manifest after the chunks,
and its signature last. A receiver that sees the last group has everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.archive.source import FileSource
from petra.bundle.signatures import hash_source, read_beside, signature_path
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import SignatureError
from petra.transfer.names import MANIFEST
from petra.transfer.source import ChunkSource, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.bundle.verify import VerifiedBundle
    from petra.transfer.source import ChunkFolder


@dataclass(frozen=True, slots=True)
class ShippedFile:
    """One file.

    Attributes:
        path: where it lies.
        size: bytes.
        digest: of its content, as it was verified.
    """

    path: Path
    size: int
    digest: Digest

    @property
    def name(self) -> str:
        """Its name, without folders."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class Shipment:
    """A bundle on its way.

    Attributes:
        bundle: the bundle's file name.
        digest: the bundle's digest.
        description: what it is, for people.
        groups: the files, by the order of sending.
    """

    bundle: str
    digest: Digest
    description: str
    groups: tuple[tuple[ShippedFile, ...], ...]

    @property
    def files(self) -> tuple[ShippedFile, ...]:
        """All files in order."""
        return tuple(one for group in self.groups for one in group)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(one.size for one in self.files)


def shipment(verified: VerifiedBundle, path: Path) -> Shipment:
    """Return the files of a bundle that was verified.

    Args:
        verified: the bundle, still open.
        path: its file, or its chunk folder.

    Raises:
        SignatureError: it has no signature beside it to send along.
        StorageError: a file cannot be read.
    """
    metadata, source = verified.metadata, verified.archive.reader.source
    description = f"{metadata.name} {metadata.version}, serial {metadata.serial}"
    if isinstance(source, ChunkSource):
        groups = _groups(source.folder)
        name = source.folder.manifest.bundle.name
    else:
        whole = ShippedFile(path, source.size, verified.archive.digest)
        groups = ((whole,), tuple(_beside(path)))
        name = path.name
    return Shipment(name, verified.archive.digest, description, groups)


def folder_files(folder: Path) -> tuple[ShippedFile, ...]:
    """Return the files of a chunk folder, in the order of sending, as its manifest has them.

    Raises:
        PetraError: there is no manifest, or it is malformed.
    """
    return tuple(one for group in _groups(open_folder(folder)) for one in group)


def _groups(folder: ChunkFolder) -> tuple[tuple[ShippedFile, ...], ...]:
    chunks = tuple(
        ShippedFile(folder.path / one.name, one.size, one.digest) for one in folder.manifest.files
    )
    manifest = _small(folder.path / MANIFEST)
    return chunks, (*_beside(folder.bundle_path), manifest), tuple(_beside(manifest.path))


def _beside(file: Path) -> Iterator[ShippedFile]:
    """Yield what lies beside `file` and belongs to it: signatures and provenance."""
    found = read_beside(file)
    if not found:
        raise SignatureError(
            "there is no signature to send along",
            where=str(file),
            expected=str(signature_path(file)),
            hint="sign it: petra bundle sign",
        )
    for suffix, data in found.items():
        path = file.with_name(file.name + suffix)
        yield ShippedFile(path, len(data), Digest.of(data))


def _small(path: Path) -> ShippedFile:
    with FileSource(path) as source:
        return ShippedFile(path, source.size, hash_source(source, NoProgress()))
