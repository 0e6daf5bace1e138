"""A bundle as plain tools see it: decompressed and read with the standard library's tarfile."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import zstandard

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Opened:
    """A bundle's members.

    Attributes:
        members: headers in order.
        files: contents by name.
    """

    members: tuple[tarfile.TarInfo, ...]
    files: dict[str, bytes]

    @property
    def names(self) -> list[str]:
        """The members' names, in order."""
        return [member.name for member in self.members]

    @cached_property
    def metadata(self) -> Any:
        """``metadata.json``, parsed."""
        return json.loads(self.files["metadata.json"])

    def blob(self, digest: str) -> bytes:
        """Return the blob of that digest."""
        return self.files[f"blobs/sha256/{digest.removeprefix('sha256:')}"]

    def image(self, name: str) -> Any:
        """Return what the metadata says of the image of that name."""
        (found,) = (image for image in self.metadata["images"] if image["name"] == name)
        return found


def opened(path: Path) -> Opened:
    """Return the bundle at `path`, read without petra."""
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        plain = gzip.decompress(data)
    else:
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        plain = reader.read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = tuple(archive.getmembers())
        files = {one.name: file.read() for one in members if (file := archive.extractfile(one))}
    return Opened(members, files)
