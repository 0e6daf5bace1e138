"""``petra bundle join``: one file from a folder of chunks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.chunk_folders import mended
from petra.cli.command import petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.output import human_size
from petra.errors import ChunksError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.cli.command import Call
    from petra.transfer.source import ChunkFolder
    from petra.trust.keys import PublicKey


@petra_command("join", settings=("verify_key", *CUSTODY_SETTINGS))
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option("--to", required=True, metavar="FILE", help="The file to write.")
def command(call: Call, folder: str, to: str) -> None:
    """Put the chunks of a folder together into one file, with its signatures beside it.

    The file must have the digest that the manifest names, and lost chunks are rebuilt from parity
    where it suffices. With a key the signatures of the manifest and of the bundle are verified
    too. No command needs this: all of them read the folder as it is. The folder stays.
    """
    from petra.cli.keys import public_keys  # noqa: PLC0415  # start-up time
    from petra.transfer.source import open_folder  # noqa: PLC0415  # as above

    keys = public_keys(call.settings.verify_key) if call.settings.verify_key else None
    with custody(call, "receive", "join") as digests:
        found = open_folder(Path(folder), keys)
        digests[found.manifest.bundle.name] = found.manifest.bundle.digest
        rebuilt = mended(call, found, deep=False)
        try:
            written = _join(call, found, Path(to), keys)
        except ChunksError:
            rebuilt += mended(call, found, deep=True)
            written = _join(call, found, Path(to), keys)
    bundle = found.manifest.bundle
    value = {
        "verified": keys is not None,
        "bundle": to,
        "digest": bundle.digest,
        "size": bundle.size,
        "files": [str(path) for path in written],
        "rebuilt": rebuilt,
    }
    lines = [
        f"bundle    {to}, {human_size(bundle.size)}",
        f"digest    {bundle.digest}",
        *(f"beside    {path}" for path in written[1:]),
        *(f"rebuilt   {name}" for name in rebuilt),
    ]
    if keys is None:
        call.console.warn("UNVERIFIED: nobody checked the signature; give --key to do so")
    call.console.result(value, "\n".join(lines))


def _join(
    call: Call, folder: ChunkFolder, path: Path, keys: Sequence[PublicKey] | None
) -> list[Path]:
    from petra.transfer.joining import join  # noqa: PLC0415  # start-up time
    from petra.transfer.source import ChunkSource  # noqa: PLC0415  # as above

    with ChunkSource(folder) as source, call.console.progress() as progress:
        return join(source, path, keys, progress)
