"""Chunk folders for the commands that also rebuild what is lost in them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from petra.cli.opening import sender_keys, verified
from petra.errors import ChunksError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.bundle.receive import Receiver
    from petra.bundle.verify import VerifiedBundle
    from petra.cli.command import Call
    from petra.content.digest import Digest
    from petra.transfer.source import ChunkFolder
    from petra.trust.keys import PublicKey


@contextmanager
def verified_whole(
    call: Call,
    file: str,
    signature: str | None,
    *,
    provenance: bool = False,
    receiver: Receiver | None = None,
) -> Iterator[tuple[VerifiedBundle, list[str] | None]]:
    """Verify a bundle as :func:`petra.cli.opening.verified` does; rebuild chunks where parity can.

    Yields:
        The bundle, held open, and the names of the files that were rebuilt; None for a file.

    Raises:
        ChunksError: parity does not suffice; names what is lost.
    """
    path, rebuilt = Path(file), list[str]()
    whole = partial(verified, call, file, signature, provenance=provenance, receiver=receiver)
    if not path.is_dir():
        with whole() as found:
            yield found, None
        return
    folder = _folder(path, sender_keys(call, None, receiver))
    rebuilt += mended(call, folder, deep=False)
    with ExitStack() as stack:
        try:
            found = stack.enter_context(whole())
        except ChunksError:
            rebuilt += mended(call, folder, deep=True)
            found = stack.enter_context(whole())
        _require_whole(folder, found.archive.digest)
        rebuilt += _mended_parity(call, folder)
        yield found, rebuilt


def _folder(path: Path, keys: Sequence[PublicKey]) -> ChunkFolder:
    from petra.transfer.source import open_folder  # noqa: PLC0415  # start-up time

    return open_folder(path, keys)


def _require_whole(folder: ChunkFolder, digest: Digest) -> None:
    from petra.transfer.source import require_whole  # noqa: PLC0415  # start-up time

    require_whole(folder, digest)


def mended(call: Call, folder: ChunkFolder, *, deep: bool) -> list[str]:
    """Rebuild what is lost in a folder, and return the names; see ``petra.transfer.restore``."""
    from petra.transfer.restore import mend  # noqa: PLC0415  # start-up time

    with call.console.progress() as progress:
        return sorted(mend(folder, progress, deep=deep).lost)


def _mended_parity(call: Call, folder: ChunkFolder) -> list[str]:
    """Check parity too, when all chunks are known to be good."""
    from petra.transfer.restore import restore, survey  # noqa: PLC0415  # start-up time

    files = folder.manifest.parity_files
    if not files:
        return []
    with call.console.progress() as progress:
        progress.on_start("checking parity", sum(record.size for record in files))
        found = survey(folder, files, progress, deep=True)
        progress.on_done()
        if found.lost:
            restore(folder, found, progress)
    return sorted(found.lost)
