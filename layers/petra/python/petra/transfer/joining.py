"""Puts the chunks of a folder together into one file, checked as it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.archive.sink import FileSink, write_file
from petra.bundle.signatures import read_beside, read_signatures
from petra.transfer.copying import copy_hashed
from petra.transfer.restore import name_damage
from petra.transfer.source import require_whole
from petra.trust.blob import verify_blob_by_any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from petra.content.progress import Progress
    from petra.transfer.source import ChunkSource
    from petra.trust.keys import PublicKey


def join(
    source: ChunkSource, path: Path, keys: Sequence[PublicKey] | None, progress: Progress
) -> list[Path]:
    """Write the bundle as one file, with its signatures beside it. The folder stays as it is.

    Args:
        source: the open chunks.
        path: the file to write.
        keys: who may have signed the bundle; None to check its digest alone.
        progress: told of each piece.

    Returns:
        The file, and those beside it.

    Raises:
        ChunksError: chunks are damaged; names them.
        DigestMismatchError: the chunks are good, and yet not the bundle that the manifest names.
        SignatureError: the bundle is not signed by one of the keys.
        StorageError: the disk refused. Nothing is left behind then.
    """
    sink = FileSink(path, source.size)
    try:
        progress.on_start(f"join {path.name}", source.size)
        digest = copy_hashed(source, sink, progress)
        if digest != source.folder.manifest.bundle.digest:
            name_damage(source.folder, progress)
            require_whole(source.folder, digest)
        if keys is not None:
            signature, bundle = read_signatures(source.folder.bundle_path)
            verify_blob_by_any(digest, keys, signature=signature, bundle=bundle, where=source.name)
        beside = _copy_beside(source, path)  # first: a bundle is never there unsigned
        sink.commit()
        progress.on_done()
    finally:
        sink.abort()
    return [path, *beside]


def _copy_beside(source: ChunkSource, path: Path) -> list[Path]:
    written = []
    for suffix, data in read_beside(source.folder.bundle_path).items():
        written.append(path.with_name(path.name + suffix))
        write_file(written[-1], data)
    return written
