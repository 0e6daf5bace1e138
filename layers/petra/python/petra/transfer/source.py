"""A chunk folder as one file, read in place. Bundle format, section 6."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from petra.archive.source import FileSource
from petra.bundle.signatures import read_signatures
from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import (
    ChunksError,
    DigestMismatchError,
    FormatError,
    NotFoundError,
    StorageError,
)
from petra.oci._files import FileStream
from petra.transfer.manifest import ChunkManifest, load_manifest
from petra.transfer.names import MANIFEST, belongs_to_chunks
from petra.trust.blob import verify_blob_by_any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from petra.trust.keys import PublicKey

#: File descriptors for what is opened later, when a folder has very many chunks.
_OTHER_FILES: Final = 64
_FILES: Final = Path("/proc/self/fd")
_SIGNATURES: Final = (f"{MANIFEST}.sigstore.json",)


@dataclass(frozen=True, slots=True)
class ChunkFolder:
    """A chunk folder and its manifest; no chunk was looked at.

    Attributes:
        path: the folder.
        manifest: what must be there.
        digest: of the manifest's file.
        key: who signed the manifest; None where nobody checked.
    """

    path: Path
    manifest: ChunkManifest
    digest: Digest
    key: PublicKey | None = None

    @property
    def bundle_path(self) -> Path:
        """Where the bundle would be if it were one file; its signatures lie beside that name."""
        return self.path / self.manifest.bundle.name


def open_folder(path: Path, keys: Sequence[PublicKey] | None = None) -> ChunkFolder:
    """Read the manifest of a chunk folder: first its signature, then what it says.

    Args:
        path: the folder.
        keys: whose signature counts; None to check none.

    Raises:
        NotFoundError: there is no manifest.
        SignatureError: it is unsigned, was changed, or another key signed it.
        FormatError: it is malformed, or files of another chunk folder lie there too.
    """
    folder = read_manifest(path / MANIFEST, keys)
    _refuse_strangers(folder)
    return folder


def read_manifest(file: Path, keys: Sequence[PublicKey] | None = None) -> ChunkFolder:
    """Read a chunk manifest: first its signature, then what it says.

    Args:
        file: the manifest, under whatever name; its signatures lie beside it.
        keys: whose signature counts; None to check none.

    Returns:
        The folder that it lies in, with what must be there.

    Raises:
        NotFoundError: there is no manifest.
        SignatureError: it is unsigned, was changed, or another key signed it.
        FormatError: it is malformed.
    """
    try:
        with FileStream.open(file) as stream:
            data = stream.read(DOCUMENT_LIMIT + 1)
    except NotFoundError:
        raise NotFoundError(
            "not a chunk folder: it has no manifest.json",
            where=str(file.parent),
            hint="give the bundle's file or its chunk folder; the manifest is written last, so a "
            "folder without one was never finished or has not all arrived",
        ) from None
    digest = Digest.of(data)
    key = _check_signature(file, digest, keys) if keys is not None else None
    return ChunkFolder(file.parent, load_manifest(data, where=str(file)), digest, key)


def _check_signature(file: Path, digest: Digest, keys: Sequence[PublicKey]) -> PublicKey:
    signature, bundle = read_signatures(file)
    return verify_blob_by_any(digest, keys, signature=signature, bundle=bundle, where=str(file))


def _refuse_strangers(folder: ChunkFolder) -> None:
    """Refuse chunks, parity and manifests that the manifest does not list: of another bundle."""
    listed = {record.name for record in folder.manifest.files} | {MANIFEST, *_SIGNATURES}
    names = sorted(path.name for path in folder.path.iterdir())
    strangers = [name for name in names if name not in listed and belongs_to_chunks(name)]
    if strangers:
        raise FormatError(
            "the folder holds files of another chunk set",
            where=str(folder.path),
            expected=f"the files of {folder.manifest.bundle.name} alone",
            found=", ".join(strangers[:10]),
            hint="find out where they come from; each bundle has a chunk folder of its own",
        )


class ChunkSource:
    """The chunks of a folder, one after the other, as one open file.

    Each chunk stays open: what was verified is what is read.

    Args:
        folder: whose manifest was read.

    Attributes:
        name: the name that the bundle has as one file.
        size: the bundle's length in bytes.
        folder: as given.

    Raises:
        ChunksError: a chunk is missing or has another size; names all such, parity too.
        StorageError: one cannot be opened.
    """

    def __init__(self, folder: ChunkFolder) -> None:
        self.folder = folder
        self.name = str(folder.bundle_path)
        self.size = folder.manifest.bundle.size
        self._step = folder.manifest.chunk_size
        self._files: list[FileSource] = []
        _allow_files(len(folder.manifest.chunks))
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        missing, damaged = [], []
        for record in self.folder.manifest.chunks:
            try:
                file = FileSource(self.folder.path / record.name)
            except NotFoundError:
                missing.append(record.name)
                continue
            self._files.append(file)
            if file.size != record.size:
                damaged.append(record.name)
        if missing or damaged:
            raise lost(self.folder, missing, damaged)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset` on; see :class:`petra.archive.source.Source`."""
        for number, start, part in split(offset, buffer, self._step):
            if number >= len(self._files):
                raise FormatError(
                    "the file ends too early",
                    where=self.name,
                    expected=f"{len(part)} more bytes at {offset}",
                )
            self._files[number].read_into(start, part)

    def close(self) -> None:
        """Close all chunks."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def split(offset: int, data: memoryview, step: int) -> Iterator[tuple[int, int, memoryview]]:
    """Cut `data`, which lies at `offset` of a whole, where chunks of `step` bytes end.

    Yields:
        A chunk's number from 0, the place in it, and the part.
    """
    while data:
        number, start = divmod(offset, step)
        part = data[: step - start]
        yield number, start, part
        data, offset = data[len(part) :], offset + len(part)


def require_whole(folder: ChunkFolder, digest: Digest) -> None:
    """Refuse chunks that are not together the bundle that the manifest names.

    Args:
        folder: the folder.
        digest: of all chunks together.

    Raises:
        DigestMismatchError: the manifest names another.
    """
    wanted = folder.manifest.bundle.digest
    if digest != wanted:
        raise DigestMismatchError(
            "the chunks together are not the bundle that the manifest names",
            where=str(folder.path),
            expected=wanted,
            found=digest,
            hint="each chunk is what the manifest says, so it was made wrongly: ask for a new set",
        )


def lost(folder: ChunkFolder, missing: Sequence[str], damaged: Sequence[str]) -> ChunksError:
    """Return the error that names chunks which are not as the manifest has them."""
    hint = None
    if folder.manifest.parity:
        hint = f"`petra bundle verify -f {folder.path} --key KEY` rebuilds what parity can"
    return ChunksError(
        "chunks are missing or damaged",
        missing=missing,
        damaged=damaged,
        where=str(folder.path),
        hint=hint,
    )


def _allow_files(count: int) -> None:
    """Raise the soft limit of open files where a folder needs it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _open_files() + count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise StorageError(
            "too many chunks for the limit of open files",
            expected=f"a limit of {wanted}",
            found=hard,
            hint="raise it (ulimit -n), or join the chunks on a system that allows it",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_files() -> int:
    """Return how many files this process has open, where the system tells."""
    try:
        return sum(1 for _ in _FILES.iterdir())
    except OSError:
        return 0
