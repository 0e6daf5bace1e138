"""Finds out which files of a chunk folder are missing or damaged, and rebuilds them from parity."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.archive.source import FileSource
from petra.bundle.signatures import hash_source
from petra.content.parallel import in_parallel
from petra.errors import ChunksError, DigestMismatchError, NotFoundError
from petra.transfer.aside import Aside, translated
from petra.transfer.names import DAMAGED
from petra.transfer.parity import rebuild
from petra.transfer.source import lost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from petra.content.progress import Progress
    from petra.transfer.manifest import ChunkManifest, FileRecord, ParityGroup
    from petra.transfer.source import ChunkFolder

_READERS = 2


@dataclass(frozen=True, slots=True)
class Survey:
    """What is wrong in a folder: file names, chunks and parity alike."""

    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def lost(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.missing + self.damaged)


def survey(
    folder: ChunkFolder, files: Sequence[FileRecord], progress: Progress, *, deep: bool
) -> Survey:
    """Compare files with the manifest.

    Args:
        folder: the folder.
        files: which of its files to look at.
        progress: told of each byte, where they are read.
        deep: read each and compare its digest; otherwise only whether it is there in its size.

    Raises:
        StorageError: one cannot be read.
    """

    def check(record: FileRecord) -> str:
        return _state(folder.path / record.name, record, progress, deep=deep)

    states = in_parallel(check, files, workers=_READERS if deep else 1)
    found = {record.name: state for record, state in zip(files, states, strict=True)}
    return Survey(
        tuple(name for name, state in found.items() if state == "missing"),
        tuple(name for name, state in found.items() if state == "damaged"),
    )


def _state(path: Path, record: FileRecord, progress: Progress, *, deep: bool) -> str:
    try:
        with FileSource(path) as file:
            if file.size != record.size:
                return "damaged"
            good = not deep or hash_source(file, progress) == record.digest
    except NotFoundError:
        return "missing"
    return "good" if good else "damaged"


def name_damage(folder: ChunkFolder, progress: Progress) -> None:
    """Read every chunk of a folder that was found wrong as a whole, and name those that are.

    Raises:
        ChunksError: some are. None is where they are what the manifest says: then the manifest
            and the bundle's own signature disagree.
    """
    chunks = folder.manifest.chunks
    progress.on_start("looking for damaged chunks", sum(record.size for record in chunks))
    found = survey(folder, chunks, progress, deep=True)
    progress.on_done()
    if found.lost:
        raise lost(folder, found.missing, found.damaged)


def restore(folder: ChunkFolder, found: Survey, progress: Progress) -> None:
    """Rebuild what is missing or damaged. What was damaged stays beside it as ``….damaged``.

    Args:
        folder: the folder.
        found: what is wrong with it; every other file is as the manifest has it.
        progress: told of the bytes that are read.

    Raises:
        ChunksError: parity does not suffice; names every lost file of the groups concerned.
        StorageError: the folder cannot be written.
    """
    groups = folder.manifest.parity.groups if folder.manifest.parity else ()
    _require_parity(folder, groups, found)
    records = [record for record in folder.manifest.files if record.name in found.lost]
    aside = Aside(folder.path, sum(record.size for record in records))
    try:
        progress.on_start(f"rebuilding {', '.join(sorted(found.lost))}")
        for group in groups:
            _rebuild_group(folder, group, found, aside, progress)
        for name in found.damaged:
            _keep(folder.path / name)
        aside.publish(())
        progress.on_done()
    finally:
        aside.abort()


def mend(folder: ChunkFolder, progress: Progress, *, deep: bool) -> Survey:
    """Look through a folder and rebuild what is missing or damaged, parity too.

    Args:
        folder: the folder.
        progress: told of what is read.
        deep: read every file; otherwise only when one is missing or has another size.

    Returns:
        What was wrong, and is right now.

    Raises:
        ChunksError: parity does not suffice; names what is lost.
        StorageError: the folder cannot be written.
    """
    files = folder.manifest.files
    if not deep and not survey(folder, files, progress, deep=False).lost:
        return Survey()
    progress.on_start("checking chunks", sum(record.size for record in files))
    found = survey(folder, files, progress, deep=True)
    progress.on_done()
    if found.lost:
        restore(folder, found, progress)
    return found


def beyond_parity(manifest: ChunkManifest, lost: AbstractSet[str]) -> frozenset[str]:
    """Return those of the lost files that cannot be rebuilt from the others.

    Args:
        manifest: says which files share parity.
        lost: names of files that are missing or damaged.
    """
    groups = manifest.parity.groups if manifest.parity else ()
    grouped = [{record.name for record in _records(manifest, group)} for group in groups]
    hopeless = set(lost).difference(*grouped)
    for group, names in zip(groups, grouped, strict=True):
        if len(names & lost) > len(group.parity):
            hopeless |= names & lost
    return frozenset(hopeless)


def _require_parity(folder: ChunkFolder, groups: Sequence[ParityGroup], found: Survey) -> None:
    hopeless = beyond_parity(folder.manifest, found.lost)
    if not hopeless:
        return
    raise ChunksError(
        "chunks are missing or damaged, and parity does not suffice"
        if groups
        else "chunks are missing or damaged",
        missing=[name for name in found.missing if name in hopeless],
        damaged=[name for name in found.damaged if name in hopeless],
        where=str(folder.path),
    )


def _records(manifest: ChunkManifest, group: ParityGroup) -> list[FileRecord]:
    return [*(manifest.chunks[number - 1] for number in group.chunks), *group.parity]


def _rebuild_group(
    folder: ChunkFolder, group: ParityGroup, found: Survey, aside: Aside, progress: Progress
) -> None:
    records = _records(folder.manifest, group)
    if not any(record.name in found.lost for record in records):
        return
    with ExitStack() as stack:
        shards = [
            None
            if record.name in found.lost
            else stack.enter_context(FileSource(folder.path / record.name))
            for record in records
        ]
        written = rebuild(
            shards,
            [record.size for record in records],
            len(group.chunks),
            lambda number: aside.open(records[number].name, records[number].size),
            progress,
        )
    for number, digest in written.items():
        if digest != records[number].digest:
            raise DigestMismatchError(
                "what parity gives is not what the manifest says",
                where=str(folder.path / records[number].name),
                expected=records[number].digest,
                found=digest,
                hint="the manifest or the parity was made wrongly; ask the sender for a new set",
            )


def _keep(path: Path) -> None:
    """Give a damaged file another name that is free."""
    number, kept = 1, path.with_name(path.name + DAMAGED)
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{DAMAGED}-{number}")
    with translated(path):
        path.rename(kept)
