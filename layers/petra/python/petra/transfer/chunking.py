"""Writes a bundle in chunks: in the pass that makes it, or from the file. Bundle format, section 6.

Each byte is read once, hashed for the whole and for its chunk, and written once. Parity is made
from the chunks afterwards: it needs a byte of each at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.archive.source import FileSource
from petra.bundle.signatures import signed_files
from petra.content.digest import Digest, Hasher
from petra.errors import FormatError, StorageError
from petra.transfer.aside import Aside
from petra.transfer.copying import copy_hashed
from petra.transfer.manifest import FileRecord, ParityGroup, dump_manifest, make_manifest
from petra.transfer.names import (
    MANIFEST,
    belongs_to_chunks,
    check_file_name,
    chunk_name,
    chunk_sizes,
    parity_groups,
    parity_name,
)
from petra.transfer.parity import write_parity
from petra.transfer.source import split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from petra.archive.sink import Sink
    from petra.archive.source import Source
    from petra.archive.writer import Watch
    from petra.content.progress import Progress
    from petra.transfer.aside import AsideFile
    from petra.transfer.manifest import ChunkManifest
    from petra.trust.signer import Signer


@dataclass(frozen=True, slots=True)
class ChunkOptions:
    """How a bundle is cut.

    Attributes:
        folder: the chunk folder; new, or without chunks.
        limit: the bytes of a chunk, at most.
        parity: parity chunks for each group; 0 for none.
    """

    folder: Path
    limit: int
    parity: int = 0


class ChunkSink:
    """Takes a bundle's bytes and writes them as chunks; a Sink.

    Args:
        name: the bundle's file name.
        size: its length in bytes.
        options: how it is cut.

    Raises:
        SettingError: the limit or the parity is out of range.
        UsageError: the name is not usable on every medium.
        StorageError: the folder holds chunks already, or cannot be written.
        NoSpaceError: they do not fit.
    """

    def __init__(self, name: str, size: int, options: ChunkOptions) -> None:
        check_file_name(name)
        self._name, self._size, self._limit = name, size, options.limit
        self._sizes = chunk_sizes(size, options.limit)
        count = len(self._sizes)
        self._groups = parity_groups(count, options.parity) if options.parity else []
        self._parity = options.parity
        _refuse_used(options.folder)
        extra = sum(options.parity * self._group_size(group) for group in self._groups)
        self._aside = Aside(options.folder, size + extra)
        self._names = [chunk_name(name, number, count) for number in range(1, count + 1)]
        self._files = [*map(self._aside.open, self._names, self._sizes)]
        self._hashers: list[Hasher] = []
        self._hashed = 0

    def _group_size(self, group: list[int]) -> int:
        return max(self._sizes[number - 1] for number in group)

    def write_at(self, offset: int, data: memoryview | bytes) -> None:
        """Write `data` to its place; see :class:`petra.archive.sink.Sink`."""
        for number, start, part in split(offset, memoryview(data), self._limit):
            self._files[number].write_at(start, part)

    def watch(self, data: memoryview | bytes) -> None:
        """Hash the next bytes; they come in order, from one thread."""
        for number, _, part in split(self._hashed, memoryview(data), self._limit):
            if number == len(self._hashers):
                self._hashers.append(Hasher())
            self._hashers[number].update(part)
        self._hashed += len(data)

    def seal(
        self, digest: Digest, beside: Mapping[str, bytes], signer: Signer, progress: Progress
    ) -> ChunkManifest:
        """Make parity, manifest and its signature, when all bytes were written and watched.

        Args:
            digest: of the whole bundle.
            beside: further files for the folder: the bundle's signatures.
            signer: who signs the manifest.
            progress: told of the bytes that parity is made from.
        """
        records = [
            FileRecord(name=name, size=size, digest=hasher.digest())
            for name, size, hasher in zip(self._names, self._sizes, self._hashers, strict=True)
        ]
        groups = self._make_parity(progress) if self._groups else []
        bundle = FileRecord(name=self._name, size=self._size, digest=digest)
        manifest = make_manifest(bundle, records, groups)
        data = dump_manifest(manifest)
        for name, content in (
            dict(beside) | signed_files(MANIFEST, Digest.of(data), signer)
        ).items():
            self._aside.write(name, content)
        self._aside.write(MANIFEST, data)
        return manifest

    def _make_parity(self, progress: Progress) -> list[ParityGroup]:
        progress.on_start("parity", sum(map(self._passing, self._groups)))
        made, number = [], 0
        for group in self._groups:
            size = self._group_size(group)
            names = [parity_name(self._name, number + each) for each in range(1, self._parity + 1)]
            number += self._parity
            sinks = [self._aside.open(name, size) for name in names]
            digests = self._encode(group, sinks, progress)
            records = [
                FileRecord(name=name, size=size, digest=digest)
                for name, digest in zip(names, digests, strict=True)
            ]
            made.append(ParityGroup(chunks=tuple(group), parity=tuple(records)))
        progress.on_done()
        return made

    def _passing(self, group: list[int]) -> int:
        return len(group) * self._group_size(group)

    def _encode(self, group: list[int], sinks: list[AsideFile], progress: Progress) -> list[Digest]:
        files = [FileSource(self._aside.path(self._names[number - 1])) for number in group]
        try:
            return write_parity(files, sinks, progress)
        finally:
            for file in files:
                file.close()

    def commit(self) -> None:
        """Let all appear in the folder, the manifest last."""
        self._aside.publish((f"{MANIFEST}.sigstore.json", f"{MANIFEST}.sig", MANIFEST))

    def abort(self) -> None:
        """Remove what was written. Safe to call at any time, also after :meth:`commit`."""
        self._aside.abort()


class ChunkPlace:
    """Chunks as what ``create`` writes to; see :class:`petra.bundle.create.Place`.

    Args:
        options: how the bundle is cut.
        path: what the bundle would be called in the chunk folder.
        size: its length in bytes.
    """

    def __init__(self, options: ChunkOptions, path: Path, size: int) -> None:
        self._path = path
        self._chunks = ChunkSink(path.name, size, options)
        self.sink: Sink = self._chunks
        self.watch: Watch | None = self._chunks.watch

    def sign(
        self, digest: Digest, signer: Signer, statement: bytes, progress: Progress
    ) -> tuple[Path, ...]:
        """Make parity, manifest and all signatures."""
        beside = signed_files(self._path.name, digest, signer, statement)
        self._chunks.seal(digest, beside, signer, progress)
        return tuple(map(self._path.with_name, beside))


def _refuse_used(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    used = [name for name in names if belongs_to_chunks(name)]
    if used:
        raise StorageError(
            "the folder holds chunks already",
            where=str(folder),
            found=", ".join(used[:3]),
            hint="name a new folder, or remove this one yourself",
        )


def chunk(
    source: Source,
    name: str,
    options: ChunkOptions,
    check: Callable[[Digest], Mapping[str, bytes]],
    signer: Signer,
    progress: Progress,
) -> ChunkManifest:
    """Cut an open bundle into chunks.

    Args:
        source: the bundle.
        name: its file name.
        options: how it is cut.
        check: is given the bundle's digest, verifies its signature and returns what goes beside
            the chunks.
        signer: who signs the manifest.
        progress: told of each piece.

    Raises:
        FormatError: the source is empty, or shorter than it was.
        PetraError: what `check`, the signer and :class:`ChunkSink` raise. Nothing is left then.
    """
    if not source.size:
        raise FormatError("not a bundle: the file is empty", where=source.name)
    sink = ChunkSink(name, source.size, options)
    try:
        progress.on_start(f"chunk {name}", source.size)
        digest = copy_hashed(source, sink, progress, sink.watch)
        beside = check(digest)
        progress.on_done()
        manifest = sink.seal(digest, beside, signer, progress)
        sink.commit()
    finally:
        sink.abort()
    return manifest
