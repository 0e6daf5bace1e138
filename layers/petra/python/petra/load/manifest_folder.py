"""Platform manifests into a folder: a new one for each content, and a link to the current one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from petra.archive.sink import storage_error, write_file
from petra.errors import NotFoundError, PolicyError, StorageError
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.flux_artifact import manifests_tree, tree_digest
from petra.load.rendering import LocalRegistry, local_manifests
from petra.load.sending import check_space

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.progress import Progress
    from petra.load.destination import OpenBundle

#: The link to the folder that the cluster reads.
CURRENT = "current"
_SHOWN = 12


class ManifestFolder:
    """A folder that takes a bundle's platform manifests, and nothing else of the bundle.

    They go to ``NAME-VERSION-DIGEST12/`` in it, written aside and renamed in whole, so that no
    reader ever sees a part of them. :meth:`switch` lets the link ``current`` point to it.

    Args:
        bundle: whose manifests.
        path: the folder; made if it is not there.
        local: how the cluster reaches the registry that the charts are in.

    Raises:
        UsageError: the bundle's manifests cannot be used with `local`.
        IncompleteError: a manifest points outside.
    """

    part: Part = "manifests"

    def __init__(self, bundle: OpenBundle, path: Path, *, local: LocalRegistry) -> None:
        self.name = str(path)
        self._notes = local.notes()
        files = local_manifests(bundle, local)
        self._path = path
        self._files = manifests_tree(files)
        self.digest = tree_digest(files)
        self._label = f"{bundle.metadata.name} {bundle.metadata.version}"
        stem = f"{bundle.metadata.name}-{bundle.metadata.version}"
        self.folder = path / f"{stem}-{self.digest.hex[:_SHOWN]}"

    def survey(self) -> Survey:
        """Find out what a load would do; change nothing.

        Raises:
            PolicyError: the folder is there and holds something else.
            NoSpaceError: the manifests do not fit.
        """
        present, total = self._is_there(), sum(map(len, self._files.values()))
        moves = f"{CURRENT} moves to {self.folder.name}"
        if not present:
            check_space(self._path, total, "the manifests")
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(self._files),
            present=len(self._files) * present,
            bytes_total=total,
            bytes_to_send=0 if present else total,
            notes=(*self._notes, *(() if self._is_current() else (moves,))),
        )

    def load(self, progress: Progress) -> Loaded:
        """Publish, then switch.

        Raises:
            PetraError: as for :meth:`publish` and :meth:`switch`.
        """
        loaded = self.publish(progress)
        self.switch()
        return loaded

    def publish(self, progress: Progress) -> Loaded:
        """Write the folder; the link stays where it is.

        Raises:
            PolicyError: the folder is there and holds something else.
            NoSpaceError: the disk is full.
            StorageError: the disk refused for another reason.
        """
        total = sum(map(len, self._files.values()))
        progress.on_start(f"manifests to {self.name}", total)
        present = self._is_there()
        if not present:
            self._write()
        progress.on_progress(total)
        progress.on_done()
        placed = Placed(self._name(), str(self.folder), self.digest, not present)
        return Loaded(self.part, self.name, (placed,), 0 if present else total, self._notes)

    def switch(self) -> Placed:
        """Let the link point to what was published; to be called after everything else.

        Raises:
            NotFoundError: it was not published.
            PolicyError: the folder holds something else.
            StorageError: the link cannot be replaced.
        """
        if not self._is_there():
            raise NotFoundError(
                "these manifests were not published",
                where=str(self.folder),
                hint="load the bundle again",
            )
        moved = move_current(self._path, self.folder.name)
        return Placed(self._name(), str(self._path / CURRENT), self.digest, moved)

    def _name(self) -> str:
        return f"manifests of {self._label}"

    def _is_current(self) -> bool:
        return current(self._path) == self.folder.name

    def _is_there(self) -> bool:
        """Say whether the folder is there; refuse one that holds anything else."""
        if not self.folder.is_dir():
            return False
        found = _read(self.folder)
        wrong = sorted(
            name
            for name in {*found, *self._files}
            if name not in self._files or found.get(name) != self._files[name]
        )
        if wrong:
            raise PolicyError(
                "the folder of these manifests was changed by somebody",
                where=str(self.folder / wrong[0]),
                expected=f"the files of {self._label}, {self.digest}",
                found=f"{len(wrong)} missing, changed or added",
                hint="move the folder away, then load again",
            )
        return True

    def _write(self) -> None:
        aside = self._path / f".{self.folder.name}.partial"
        try:
            shutil.rmtree(aside, ignore_errors=True)  # of a load that was killed
            for name, data in self._files.items():
                write_file(aside / name, data)
            aside.rename(self.folder)
        except OSError as error:
            raise storage_error(error, self.folder) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def current(path: Path) -> str | None:
    """Return the name of the folder that the link points to; None without a link."""
    link = path / CURRENT
    return str(link.readlink()) if link.is_symlink() else None


def move_current(path: Path, name: str) -> bool:
    """Let the link ``current`` point to the folder `name`, forward or back, in one step.

    Args:
        path: the folder of folders.
        name: one that was published before.

    Returns:
        Whether it pointed elsewhere before.

    Raises:
        NotFoundError: there is no such folder.
        StorageError: something else than a link has its name, or the disk refused.
    """
    if "/" in name or name.startswith(".") or not (path / name).is_dir():
        raise NotFoundError("no such manifests", where=str(path / name))
    if current(path) == name:
        return False
    link, aside = path / CURRENT, path / f".{CURRENT}.partial"
    if link.exists() and not link.is_symlink():
        raise StorageError(
            "what should be a link is none", where=str(link), hint="move it away, then load again"
        )
    try:
        aside.unlink(missing_ok=True)
        aside.symlink_to(name)
        aside.replace(link)
    except OSError as error:
        raise storage_error(error, link) from error
    return True


def _read(folder: Path) -> dict[str, bytes | None]:
    """Return what is in a folder by relative path; None for what is no plain file."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            found[name] = None
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
