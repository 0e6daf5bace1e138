"""What loads need in tests: an opened bundle, a registry that is empty, and someone who listens."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from petra.archive.reader import ArchiveReader
from petra.archive.source import FileSource, Source
from petra.archive.target import ArchiveTarget
from petra.bundle.signatures import read_signatures
from petra.bundle.verify import verify_bundle
from petra.content.progress import NoProgress
from petra.load.destination import OpenBundle
from petra.trust.keys import load_public_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from petra.oci.memory import MemoryTarget
    from petra.serve.repositories import MemoryRepositories


@contextmanager
def opened_bundle(path: Path, key: Path) -> Iterator[OpenBundle]:
    """Verify the bundle at `path` with a public key, and give it, held open."""
    keys = [load_public_key(key.read_bytes(), where=str(key))]
    with FileSource(path) as source:
        signatures = read_signatures(path, None)
        yield OpenBundle.of(verify_bundle(source, signatures, keys, NoProgress()))


class ChangedSource:
    """A source some of whose bytes have changed since it was verified.

    Args:
        inner: as it was.
        changes: what is to be turned in the bytes at these offsets.
    """

    def __init__(self, inner: Source, changes: Mapping[int, int]) -> None:
        self.name = inner.name
        self.size = inner.size
        self._inner = inner
        self._changes = changes

    def read_into(self, offset: int, buffer: memoryview, /) -> None:
        self._inner.read_into(offset, buffer)
        for place, bits in self._changes.items():
            if offset <= place < offset + len(buffer):
                buffer[place - offset] ^= bits

    def close(self) -> None:
        """Leave it to the first reader."""


def changed(bundle: OpenBundle, changes: Mapping[int, int]) -> OpenBundle:
    """Return `bundle` over a source that has changed."""
    reader = ArchiveReader(ChangedSource(bundle.reader.source, changes))
    return replace(bundle, reader=reader, archive=ArchiveTarget(reader))


@dataclass
class Listener(NoProgress):
    """Adds up what a job says."""

    phases: list[tuple[str, int | None]] = field(default_factory=list)
    count: int = 0
    notes: list[str] = field(default_factory=list)
    done: int = 0

    def on_start(self, phase: str, total: int | None = None, /) -> None:
        self.phases.append((phase, total))

    def on_progress(self, count: int, /) -> None:
        self.count += count

    def on_note(self, text: str, /) -> None:
        self.notes.append(text)

    def on_done(self) -> None:
        self.done += 1


def state_of(registry: MemoryRepositories) -> dict[str, dict[str, object]]:
    """Return all that a registry holds: blobs, manifests and tags of each repository."""
    return {name: _state(registry.create(name)) for name in registry.names()}


def _state(target: MemoryTarget) -> dict[str, object]:
    return {
        "blobs": dict(target._blobs),
        "manifests": set(target._manifests),
        "tags": {tag: target.resolve(tag).digest for tag in target.tags()},
    }
