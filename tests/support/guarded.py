"""Archives by the standard library for tests of the guard, good but for what a test changes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zstandard

from tests.support.charts import chart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPEC = b"kind: Bundle\n"


@dataclass(frozen=True)
class One:
    """A member: its content, and what its header says otherwise than usual."""

    name: str
    data: bytes = b""
    header: dict[str, Any] | None = None


def blob(data: bytes) -> One:
    """Return `data` as a blob, named by its digest."""
    return One(f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data)


def good(*more: One, without: str | None = None) -> list[One]:
    """Return the members of an archive that every shipped profile lets pass, and `more`."""
    layer = gzip.compress(b"layer" * 100, mtime=0)
    whole = [
        One("oci-layout", b'{"imageLayoutVersion":"1.0.0"}\n'),
        One("index.json", b'{"schemaVersion":2,"manifests":[]}\n'),
        One("metadata.json", b'{"kind":"BundleMetadata"}\n'),
        One("bundle.yaml", SPEC),
        One("bundle.lock.yaml", b"kind: BundleLock\n"),
        One("charts/app-1.2.3.tgz", chart()),
        One("platform/base/app.yaml", b"kind: Namespace\n"),
        blob(b'{"mediaType":"application/vnd.oci.image.manifest.v1+json"}'),
        blob(layer),
        *more,
    ]
    return [one for one in whole if one.name != without]


def sums(whole: Sequence[One]) -> One:
    """Return the list of checksums of `whole`."""
    lines = (f"{hashlib.sha256(one.data).hexdigest()}  {one.name}\n" for one in whole)
    return One("SHA256SUMS", "".join(lines).encode())


def plain(whole: Sequence[One]) -> bytes:
    """Return `whole` as a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for one in whole:
            info = tarfile.TarInfo(one.name)
            info.size, info.mode = len(one.data), 0o644
            for key, value in (one.header or {}).items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(one.data))
    return file.getvalue()


def write(path: Path, whole: Sequence[One], *, listed: bool = True) -> Path:
    """Write `whole`, and their checksums, in the form that the name of `path` says."""
    return pack(path, plain([*whole, *([sums(whole)] if listed else [])]))


def pack(path: Path, archive: bytes) -> Path:
    """Write bytes compressed, in the form that the name of `path` says."""
    zstd = path.name.endswith(".zst")
    path.write_bytes(zstandard.compress(archive) if zstd else gzip.compress(archive, mtime=0))
    return path
