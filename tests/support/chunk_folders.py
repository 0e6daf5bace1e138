"""Chunk folders for tests, and what may happen to them on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.transfer.names import MANIFEST
from tests.support.world import signer

if TYPE_CHECKING:
    from pathlib import Path

    from petra.trust.signer import Signer


@dataclass(frozen=True)
class Chunked:
    """A chunk folder and the bundle that it was made from."""

    folder: Path
    bundle: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """What its manifest says."""
        value: dict[str, Any] = json.loads((self.folder / MANIFEST).read_bytes())
        return value

    @property
    def chunks(self) -> list[Path]:
        """The chunks, in order."""
        return [self.folder / entry["name"] for entry in self.manifest["chunks"]]

    @property
    def parity(self) -> list[Path]:
        """The parity chunks, in order."""
        groups = self.manifest.get("parity", {"groups": []})["groups"]
        return [self.folder / entry["name"] for group in groups for entry in group["parity"]]

    def content(self) -> dict[str, bytes]:
        """Return the bytes of every file, by name."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}

    def joined(self) -> bytes:
        """Return the chunks one after the other."""
        return b"".join(path.read_bytes() for path in self.chunks)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def sign_manifest(folder: Path, name: str) -> None:
    """Sign the manifest of a folder with the key of that name, whatever it says."""
    from petra.bundle.signatures import write_signatures
    from petra.content.digest import Digest

    file, who = folder / MANIFEST, signer(name)
    held: Signer = who
    write_signatures(file, Digest.of(file.read_bytes()), held)
