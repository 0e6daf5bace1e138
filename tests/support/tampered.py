"""Bundles that were tampered with and signed all the same, as a bad sender could send them."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from petra.archive import members
from petra.archive.sums import checksums
from petra.bundle.signatures import write_signatures
from petra.content.digest import Digest
from tests.support import archives
from tests.support.world import OURS, signer

if TYPE_CHECKING:
    from pathlib import Path

#: Each frame's content, and whether it is stored as it is.
Frames: TypeAlias = list[tuple[bytes, bool]]


@dataclass
class Parts:
    """A good bundle's members, to make a bad one of.

    Attributes:
        files: contents by name, in order.
    """

    files: dict[str, bytes]

    @property
    def blob(self) -> str:
        """The last member, a layer."""
        return [*self.files][-1]

    def list_again(self, **more: Any) -> None:
        """Let metadata and checksums say what the members are now."""
        value = json.loads(self.files[members.METADATA])
        value["members"] = [
            {"name": name, "size": len(data), "digest": Digest.of(data)}
            for name, data in self.files.items()
            if name not in (members.METADATA, members.SUMS)
        ]
        self.files[members.METADATA] = json.dumps(value | more).encode()
        self.sum_again()

    def sum_again(self) -> None:
        """Let the checksums say what the members are now."""
        found = ((n, Digest.of(data)) for n, data in self.files.items() if n != members.SUMS)
        self.files[members.SUMS] = checksums(found)

    def frames(self, **headers: bytes) -> Frames:
        """Return all members as they lie in the file, some with another header."""
        return [
            (archives.tar_member(name, data, header=headers.get(name)), members.is_stored(name))
            for name, data in self.files.items()
        ]

    def with_header(self, member: str, **fields: object) -> Frames:
        """Return all members, one of them with another header."""
        info = tarfile.TarInfo(member)
        info.size, info.mtime, info.mode = len(self.files[member]), archives.TIME, 0o644
        for field, value in fields.items():
            setattr(info, field, value)
        return self.frames(**{member: info.tobuf(tarfile.USTAR_FORMAT)})

    def with_frame(self, name: str, content: bytes, *, stored: bool = False) -> Frames:
        """Return all members, one of them with another frame."""
        frames = self.frames()
        frames[[*self.files].index(name)] = (content, stored)
        return frames


def sign(path: Path) -> Path:
    """Sign a bundle, whatever it is."""
    write_signatures(path, Digest.of(path.read_bytes()), signer(OURS))
    return path
