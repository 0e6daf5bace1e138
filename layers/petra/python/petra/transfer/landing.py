"""The folder into which a diode's software puts what crossed: what has come, whole or in part.

Files come in any order, several times, damaged, or not at all, and may still be written when they
are seen. What the signed manifest names is checked against it as soon as it is there in full; of
all else nothing is taken for final before it has not changed for a while. Nothing is removed here.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.archive.source import FileSource
from petra.bundle.provenance import PROVENANCE_SUFFIX
from petra.bundle.signatures import hash_source, read_signatures
from petra.content.digest import Digest
from petra.errors import ChunksError, NotFoundError, PetraError, StorageError
from petra.transfer.arrival import Arrival, by_bundle, files_in, folders_below, is_signed
from petra.transfer.names import MANIFEST, wire_name
from petra.transfer.restore import beyond_parity
from petra.transfer.source import read_manifest
from petra.trust.blob import BUNDLE_SUFFIX, SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from petra.content.progress import Progress
    from petra.transfer.crossing import Clock
    from petra.transfer.manifest import ChunkManifest, FileRecord
    from petra.trust.keys import PublicKey

_BESIDE: Final = (SIGNATURE_SUFFIX, BUNDLE_SUFFIX, PROVENANCE_SUFFIX)
#: What tells one state of a file from another: inode, size, and time of change in nanoseconds.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A bundle of which something has come.

    Attributes:
        path: what its file would be called here.
        seen: what has come: file names and their stamps.
        missing: file names that must come, none of which the others make up for.
        damaged: file names that are there, and are not what the manifest says.
        arrival: what is taken in, as soon as that can be; else None.
        identity: which bundle it is: the digest of its manifest, or of a file's signatures.
        error: why what has come cannot be used, if that is so.
    """

    path: Path
    seen: Mapping[str, Stamp]
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    arrival: Arrival | None = None
    identity: Digest | None = None
    error: PetraError | None = None

    @property
    def bundle(self) -> str:
        """The bundle's file name."""
        return self.path.name

    def to_json(self) -> dict[str, Any]:
        """Return what is there and what is not."""
        return {
            "bundle": self.bundle,
            "seen": [*self.seen],
            "missing": [*self.missing],
            "damaged": [*self.damaged],
        }


def not_whole(folder: Path, waiting: Sequence[Incoming]) -> ChunksError:
    """Return the error that names all that did not come."""
    return ChunksError(
        "not all has arrived, and nothing more came",
        missing=[name for one in waiting for name in one.missing],
        damaged=[name for one in waiting for name in one.damaged],
        where=str(folder),
        hint="have the named files sent again; what is here can stay",
    )


class Landing:
    """Looks through the folder, again and again.

    Args:
        folder: where files arrive; its folders are looked into too, one level deep.
        keys: whose signature of a manifest counts.
        settle: seconds for which a file must not have changed.
        progress: told of what is read.
        clock: the system's where None.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[PublicKey],
        settle: float,
        progress: Progress,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._settle = settle
        self._progress = progress
        self._clock = clock or time
        self._since: dict[Path, tuple[Stamp, float]] = {}
        self._first: dict[Path, float] = {}
        self._digests: dict[Path, tuple[Stamp, Digest]] = {}

    def look(self) -> list[Incoming]:
        """Return what has come of each bundle.

        Raises:
            NotFoundError: there is no such folder.
            StorageError: it cannot be read.
        """
        try:
            return [self._incoming(*one) for folder in self._folders() for one in _sets(folder)]
        except FileNotFoundError:
            raise NotFoundError("no such folder", where=str(self._folder)) from None
        except OSError as error:
            where = error.filename or self._folder
            raise StorageError(f"cannot read: {error.strerror}", where=str(where)) from None

    def _folders(self) -> list[Path]:
        return [self._folder, *folders_below(self._folder)]

    def _incoming(self, path: Path, parts: Mapping[str, Path]) -> Incoming:
        stamps = {name: stamp for name, each in parts.items() if (stamp := self._stamp(each))}
        parts = {name: each for name, each in parts.items() if name in stamps}
        seen = {parts[name].name: stamp for name, stamp in stamps.items()}
        if path.name in parts:
            return self._of_file(path, parts, seen)
        # Where bundles share a folder, the manifest has the bundle's name in front.
        own = next((parts[name].name for name in parts if name.startswith(MANIFEST)), None)
        shared = own is None or not own.startswith(MANIFEST)
        manifest = wire_name(path.name, MANIFEST) if shared else MANIFEST
        wanted = [] if MANIFEST in parts else [manifest]
        wanted += [] if is_signed(MANIFEST, parts) else [f"{manifest}{BUNDLE_SUFFIX}"]
        wanted += [] if is_signed(path.name, parts) else [f"{path.name}{BUNDLE_SUFFIX}"]
        if wanted:
            return Incoming(path, seen, tuple(wanted))
        return self._of_chunks(path, parts, seen)

    def _of_file(
        self, path: Path, parts: Mapping[str, Path], seen: Mapping[str, Stamp]
    ) -> Incoming:
        """Judge a bundle that crosses as one file; its signature is looked at when it is taken."""
        if not is_signed(path.name, parts):
            return Incoming(path, seen, (f"{path.name}{BUNDLE_SUFFIX}",))
        if not all(map(self._settled, parts.values())):
            return Incoming(path, seen)
        arrival = Arrival(path, parts, in_chunks=False)
        return Incoming(path, seen, arrival=arrival, identity=signed_as(path))

    def _of_chunks(
        self, path: Path, parts: Mapping[str, Path], seen: Mapping[str, Stamp]
    ) -> Incoming:
        small = [each for name, each in parts.items() if _is_small(name)]
        try:
            folder = read_manifest(parts[MANIFEST], self._keys)
        except PetraError as error:
            settled = all(map(self._settled, small))
            return Incoming(path, seen, error=error if settled else None)
        manifest = folder.manifest
        states = {record.name: self._judge(parts, record) for record in manifest.files}
        lost = {name for name, state in states.items() if state != "good"}
        needed = beyond_parity(manifest, lost)
        missing = tuple(name for name in states if name in needed and states[name] != "damaged")
        damaged = tuple(name for name in states if name in needed and states[name] == "damaged")
        arrival = None
        if not needed and all(map(self._seen_long, small)):
            arrival = Arrival(path, _chosen(parts, manifest, lost), in_chunks=True)
        return Incoming(path, seen, missing, damaged, arrival, folder.digest)

    def _judge(self, parts: Mapping[str, Path], record: FileRecord) -> str:
        """Say whether a file is good, missing, damaged, or still coming."""
        path = parts.get(record.name)
        if path is None or (stamp := self._stamp(path)) is None:
            return "missing"
        if stamp[1] == record.size and self._digest(path, stamp) == record.digest:
            return "good"
        return "damaged" if self._settled(path) else "coming"

    def _digest(self, path: Path, stamp: Stamp) -> Digest | None:
        known = self._digests.get(path)
        if known and known[0] == stamp:
            return known[1]
        try:
            with FileSource(path) as source:
                digest = hash_source(source, self._progress)
        except PetraError:  # taken away, cut off meanwhile, or not readable: parity may help
            return None
        self._digests[path] = (stamp, digest)
        return digest

    def _stamp(self, path: Path) -> Stamp | None:
        """Return a file's stamp, and remember since when it is that; None if it is gone."""
        self._first.setdefault(path, self._clock.monotonic())
        try:
            status = path.stat()
        except FileNotFoundError:
            self._since.pop(path, None)
            return None
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._since.get(path)
        if known is None or known[0] != stamp:
            self._since[path] = (stamp, self._clock.monotonic())
        return stamp

    def _seen_long(self, path: Path) -> bool:
        """Say whether a file came some time ago, though it may have been written again since."""
        return self._clock.monotonic() - self._first[path] >= self._settle

    def _settled(self, path: Path) -> bool:
        known = self._since.get(path)
        return known is not None and self._clock.monotonic() - known[1] >= self._settle


def _sets(folder: Path) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Yield the bundles of which something is in a folder, and their files."""
    files = files_in(folder)
    sets = by_bundle(path for name, path in files.items() if not name.startswith("."))
    plain = {name: path for name, path in files.items() if name.startswith(f"{MANIFEST}")}
    if len(sets) == 1:  # a chunk folder as it is: the manifest is that of the only bundle
        for parts in sets.values():
            parts.update(plain)
    for bundle, parts in sets.items():
        yield folder / bundle, parts


def _chosen(
    parts: Mapping[str, Path], manifest: ChunkManifest, lost: AbstractSet[str]
) -> dict[str, Path]:
    """Return what is taken in: what the manifest names and is good, and what lies beside it."""
    listed = {record.name for record in manifest.files}
    return {
        name: path
        for name, path in parts.items()
        if name not in lost and (name in listed or _is_small(name))
    }


def _is_small(name: str) -> bool:
    """Say whether this is a manifest, or lies beside a bundle or manifest."""
    return name == MANIFEST or name.endswith(_BESIDE)


def held_in(inbox: Path, one: Incoming) -> Path | None:
    """Return where a bundle lies in the inbox that was taken in before; None where it does not.

    What is in the inbox was verified before it got its name there.
    """
    for folder in sorted(inbox.iterdir()) if inbox.is_dir() else ():
        with suppress(PetraError, OSError):
            if folder.name.startswith("."):
                continue
            if one.arrival and one.arrival.in_chunks:
                if Digest.of((folder / MANIFEST).read_bytes()) == one.identity:
                    return folder
            elif (folder / one.bundle).is_file() and signed_as(folder / one.bundle) == one.identity:
                return folder / one.bundle
    return None


def signed_as(file: Path) -> Digest:
    """Return what tells one signing of a file of this name from another."""
    return Digest.of(b"\0".join(part or b"" for part in read_signatures(file)))
