"""The raw material: gzip members of whole tar entries, made from what Debian's packages hold.

A gzip file may be several members one after another, and a tar file several runs of entries. So
a layer is put together from ready pieces as fast as files are copied, and is still an ordinary
``tar+gzip`` layer with the ratio and the structure of a real one.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator

_DPKG = Path("/var/lib/dpkg/info")
_PIECE_INPUT = 3 << 20
_LARGEST_FILE = 64 << 20
_GZIP = 31  # zlib's window bits for a gzip header


@dataclass(frozen=True)
class Pool:
    """Pieces in a folder, each one gzip member, in a fixed order."""

    pieces: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Compressed bytes in all."""
        return sum(piece.stat().st_size for piece in self.pieces)


def make_pool(folder: Path, size: int) -> Pool:
    """Return a pool of about `size` compressed bytes in `folder`, adding to what is there.

    It can be smaller where the machine holds less; layers then use pieces more than once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = sorted(folder.glob("*.gz"))
    have = sum(piece.stat().st_size for piece in done)
    if have < size and not (folder / "exhausted").exists():
        print(f"  compressing files of this machine's packages into {folder}", flush=True)
        _add_pieces(folder, len(done), size - have)
        done = sorted(folder.glob("*.gz"))
    return Pool(tuple(done))


def _add_pieces(folder: Path, skip: int, size: int) -> None:
    groups = enumerate(_groups(_package_files()))
    made = 0
    with ProcessPoolExecutor() as workers:
        while made < size:
            batch = [group for _, group in zip(range(8), groups, strict=False)]
            if not batch:
                (folder / "exhausted").touch()
                return
            jobs = [
                workers.submit(_write_piece, folder / f"{number:05}.gz", files)
                for number, files in batch
                if number >= skip
            ]
            made += sum(job.result() for job in jobs)


def _package_files() -> Iterator[Path]:
    lists = sorted(_DPKG.glob("*.list"))
    if not lists:
        for folder, folders, files in os.walk("/usr"):
            folders.sort()
            yield from (Path(folder) / name for name in sorted(files))
    seen = set()
    for listing in lists:
        for line in listing.read_text(errors="replace").splitlines():
            if line not in seen:
                seen.add(line)
                yield Path(line)


def _groups(paths: Iterable[Path]) -> Iterator[list[Path]]:
    group: list[Path] = []
    total = 0
    for path in paths:
        try:
            info = path.lstat()
        except OSError:
            continue
        if not stat.S_ISREG(info.st_mode) or not 0 < info.st_size <= _LARGEST_FILE:
            continue
        group.append(path)
        total += info.st_size
        if total >= _PIECE_INPUT:
            yield group
            group, total = [], 0
    if group:
        yield group


def _write_piece(target: Path, files: list[Path]) -> int:
    data = gzip_member(b"".join(_entry(str(path).lstrip("/"), path) for path in files))
    temporary = target.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.rename(target)
    return len(data)


def _entry(name: str, path: Path) -> bytes:
    try:
        return tar_entry(name, path.read_bytes())
    except OSError:
        return b""


def tar_entry(name: str, data: bytes) -> bytes:
    """Return one tar entry: header, `data` and padding, the same on any day."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    padding = -len(data) % tarfile.BLOCKSIZE
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(padding)


def gzip_member(data: bytes) -> bytes:
    """Return `data` as one gzip member without a time stamp."""
    compressor = zlib.compressobj(6, wbits=_GZIP)
    return compressor.compress(data) + compressor.flush()


def tar_end() -> bytes:
    """Return the end of a tar file as a gzip member."""
    return gzip_member(bytes(2 * tarfile.BLOCKSIZE))


def inflated_chunks(source: io.BufferedIOBase) -> Iterator[bytes]:
    """Yield the content of a gzip file of several members, a piece at a time."""
    inflater = zlib.decompressobj(_GZIP)
    while block := source.read(1 << 20):
        while block:
            yield inflater.decompress(block)
            block = inflater.unused_data
            if inflater.eof:
                inflater = zlib.decompressobj(_GZIP)
