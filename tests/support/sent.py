"""A bundle in chunks with parity, ready to be sent, for tests of the ways across."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.content.digest import Digest
from tests.support.chunk_folders import Chunked
from tests.support.petra_process import Petra
from tests.support.world import NAME, SIGNED, connected_side

if TYPE_CHECKING:
    from pathlib import Path

#: Chunks of the bundle, and parity that goes with them: two files may be lost.
COUNT, PARITY = 7, 2
FILE = f"{NAME}.tar.zst"


@dataclass(frozen=True)
class Sent:
    """What is sent.

    Attributes:
        folder: has keys, bundle and chunks.
        chunked: the chunk folder, and the bundle.
    """

    folder: Path
    chunked: Chunked

    @property
    def key(self) -> Path:
        """The public key."""
        return self.folder / "ours.pub"

    @property
    def digest(self) -> Digest:
        """The bundle's digest."""
        return Digest.of(self.chunked.bundle.read_bytes())

    def copy(self, folder: Path) -> Sent:
        """Return a copy that a test may change."""
        shutil.copytree(self.folder, folder)
        bundle = folder / self.chunked.bundle.relative_to(self.folder)
        return Sent(folder, Chunked(folder / self.chunked.folder.name, bundle))


def make_sent(folder: Path, version: str = "1.4.0") -> Sent:
    """Make a bundle of this version in `folder`, and cut it."""
    petra = Petra(folder)
    with connected_side(folder) as world:
        spec = world.spec(*SIGNED, charts=[world.chart()], version=version)
        petra.run("bundle", "create", "-f", spec, "--key", "ours.key", "-q")
    bundle = world.dist / f"shop-{version}.tar.zst"
    size = str(-(-bundle.stat().st_size // COUNT))
    options = ("--max-size", size, "--parity", str(PARITY), "--key", "ours.key", "--to", "chunks")
    petra.run("bundle", "chunk", "-f", bundle, *options, "-q")
    return Sent(folder, Chunked(folder / "chunks", bundle))
