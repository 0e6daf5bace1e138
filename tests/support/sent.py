"""A bundle in chunks with parity, ready to be sent, for tests of the ways across."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo import content
from petra.content.digest import Digest
from tests.support.chunk_folders import Chunked
from tests.support.petra_process import Petra
from tests.support.world import NAME, SIGNED, VENDOR, connected_side, layer, signer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World

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


def make_sent(
    folder: Path,
    version: str = "1.4.0",
    *,
    more: int = 0,
    count: int = COUNT,
    parity: int = PARITY,
) -> Sent:
    """Make a bundle and cut it.

    Args:
        folder: gets keys, bundle and chunks.
        version: the bundle's.
        more: bytes of a layer that does not compress, for a larger bundle.
        count: chunks, about.
        parity: parity chunks.
    """
    petra = Petra(folder)
    with connected_side(folder) as world:
        images = [*SIGNED, _large(world, more)] if more else [*SIGNED]
        spec = world.spec(*images, charts=[world.chart()], version=version)
        petra.run("bundle", "create", "-f", spec, "--key", "ours.key", "-q")
    bundle = world.dist / f"shop-{version}.tar.zst"
    size = str(-(-bundle.stat().st_size // count))
    options = ("--max-size", size, "--parity", str(parity), "--key", "ours.key", "--to", "chunks")
    petra.run("bundle", "chunk", "-f", bundle, *options, "-q")
    return Sent(folder, Chunked(folder / "chunks", bundle))


def _large(world: World, size: int) -> str:
    """Push a signed image with a layer of `size` bytes."""
    name = "team/large:1.0"
    target = world.repository(name)
    image = content.push_image(target, [layer("large", size)])
    content.sign_by_referrer(target, image, signer(VENDOR))
    target.tag(image, "1.0")
    return name
