"""Files and folders that only older bundles brought: k3s's, chart repositories', manifests'."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from petra.archive.sink import storage_error, write_file
from petra.content.digest import Digest
from petra.helm.folder import ChartFolder
from petra.helm.index_merge import index_without
from petra.helm.tarball import COMPRESSED_LIMIT
from petra.load.chart_files import PROVENANCE_SUFFIX
from petra.load.images import K3S_FOLDER
from petra.load.manifest_folder import current
from petra.load.prune import Pruned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petra.load.ledger import DestinationRecord, PlacedRecord
    from petra.load.prune import Doomed

_INDEX: Final = "index.yaml"


class FilePruner:
    """A folder with a file or a folder for each bundle: k3s's images, or manifests.

    Args:
        record: what a bundle put there.
        note: what a person should know once something is gone.
    """

    def __init__(self, record: DestinationRecord, note: str | None = None) -> None:
        self._record = record
        self._note = note

    def current(self) -> str | None:
        """Return the folder of the manifests that the cluster reads; None where there is none."""
        if self._record.part != "manifests":
            return None
        folder = Path(self._record.name)
        name = current(folder)
        return str(folder / name) if name else None

    def remove(self, doomed: Doomed, *, dry_run: bool) -> Pruned:
        """Remove the files; see :class:`petra.load.prune.Pruner`."""
        kept = {*doomed.kept_references, self.current()}
        paths = dict.fromkeys(
            Path(one.reference) for one in _placed(doomed) if one.reference not in kept
        )
        removed = [path for path in paths if self._is_ours(path)]
        for path in removed if not dry_run else ():
            _unlink(path)
        return Pruned(
            self._record.part,
            self._record.name,
            tuple(map(str, removed)),
            notes=(self._note,) if removed and self._note and not dry_run else (),
        )

    def _is_ours(self, path: Path) -> bool:
        """Say whether something is left of a file, or of a folder, right below the destination."""
        if path.parent != self._folder():
            return False  # the ledger is a file like any other: it says nothing about other folders
        if path.is_dir() or _aside(path).is_dir():
            return self._record.part == "manifests"
        return path.is_file()

    def _folder(self) -> Path:
        """Return the folder that the record's name stands for: a path, ``k3s`` or ``k3s:DIR``."""
        name = self._record.name
        if self._record.part == "manifests":
            return Path(name)
        return Path(name.partition(":")[2] or K3S_FOLDER)


class ChartFolderPruner:
    """A chart repository in a folder.

    Args:
        record: what a bundle put there.
    """

    def __init__(self, record: DestinationRecord) -> None:
        self._record = record

    def current(self) -> str | None:
        """Return None: clusters read manifests, not charts, by themselves."""
        return None

    def remove(self, doomed: Doomed, *, dry_run: bool) -> Pruned:
        """Take charts from the index, then their archives; others' charts stay."""
        folder = ChartFolder(Path(self._record.name))
        going: list[PlacedRecord] = []
        kept: list[tuple[str, str]] = []
        for one in _placed(doomed):
            path = Path(one.reference)
            elsewhere = path.parent != Path(self._record.name)
            if one.reference in doomed.kept_references or elsewhere or not path.is_file():
                continue
            if Digest.of(folder.read(path, COMPRESSED_LIMIT)) == one.digest:
                going.append(one)
            else:
                kept.append((one.reference, "it is another chart by now"))
        if not dry_run:
            self._unlist(folder, going)
            for one in going:
                path = Path(one.reference)
                _unlink(path.with_name(path.name + PROVENANCE_SUFFIX))
                _unlink(path)
        removed = tuple(one.reference for one in going)
        return Pruned(self._record.part, self._record.name, removed, tuple(kept))

    def _unlist(self, folder: ChartFolder, going: list[PlacedRecord]) -> None:
        before = folder.index()
        charts = {}
        for one in going:
            name, _, version = one.name.rpartition(" ")
            charts[name, version] = one.digest
        path = Path(self._record.name) / _INDEX
        if before is None:
            return
        after = index_without(before, charts, datetime.now(UTC), where=str(path))
        if after != before:
            write_file(path, after)


def _placed(doomed: Doomed) -> Iterable[PlacedRecord]:
    return {one.reference: one for record in doomed.records for one in record.placed}.values()


def _unlink(path: Path) -> None:
    """Remove a file, or a folder: renamed first, so that nobody sees half of it."""
    try:
        aside = _aside(path)
        shutil.rmtree(aside, ignore_errors=True)  # of a call that was killed
        if path.is_dir() and not path.is_symlink():
            path.rename(aside)
            shutil.rmtree(aside)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.pruned")
