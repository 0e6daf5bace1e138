"""``petra transfer media``: a bundle onto a removable medium, read back before it counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.command import file_option, petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.opening import verified
from petra.cli.output import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from petra.bundle.verify import VerifiedBundle
    from petra.cli.command import Call
    from petra.content.progress import Progress
    from petra.transfer.media import Written
    from petra.transfer.shipment import Shipment, ShippedFile
    from petra.trust.signer import Signer


@petra_command("media", settings=("verify_key", *CUSTODY_SETTINGS))
@file_option("The bundle, or its chunk folder.")
@click.option("--to", required=True, metavar="DIR", help="The medium, or a folder on it.")
@click.option(
    "--max-size",
    metavar="SIZE",
    help="Cut the bundle into chunks of this size; by itself where the file system needs it.",
)
@click.option(
    "--parity", type=click.IntRange(min=0), default=0, metavar="N", help="Parity for the chunks."
)
@click.option(
    "--sign-key",
    metavar="KEY",
    envvar="PETRA_KEY",
    help="Private key that signs the chunks' manifest, where there are any. [PETRA_KEY]",
)
def command(
    call: Call, file: str, to: str, max_size: str | None, parity: int, sign_key: str | None
) -> None:
    """Write a bundle to a medium for somebody to carry.

    The bundle is verified; space is checked; files too large for the medium are cut into chunks;
    everything is forced onto the medium and read back from it, and only then appears as
    DIR/NAME-VERSION. SHA256SUMS and a README for the checkpoint, which needs no Petra, lie beside.
    """
    from petra.transfer.shipment import shipment  # noqa: PLC0415  # start-up time

    log = custody(call, "media", "write", _sealer(sign_key))
    with log as digests, verified(call, file) as bundle, call.console.progress() as progress:
        what = shipment(bundle, Path(file))
        digests[what.bundle] = what.digest
        folder = Path(to) / f"{bundle.metadata.name}-{bundle.metadata.version}"
        limit = _limit(what, folder.parent, max_size)
        written = _write(bundle, what, folder, limit, parity, sign_key, progress)
    _tell(call, what, written)


def _sealer(sign_key: str | None) -> Callable[[], Signer] | None:
    """Return who seals the custody log where the settings name no key for it."""
    from petra.cli.keys import signer_from  # noqa: PLC0415  # start-up time

    return (lambda: signer_from(sign_key)) if sign_key else None


def _limit(what: Shipment, medium: Path, max_size: str | None) -> int | None:
    """Return the size of chunks to cut, or None where the files can go as they are."""
    from petra.transfer.media import file_limit  # noqa: PLC0415  # start-up time
    from petra.transfer.sizes import parse_size  # noqa: PLC0415  # as above

    if max_size is not None:
        return parse_size(max_size, where="--max-size")
    limit = file_limit(medium)
    largest = max(one.size for one in what.files)
    return limit if limit is not None and largest > limit else None


def _write(  # what, to where, how, and who is told
    bundle: VerifiedBundle,
    what: Shipment,
    folder: Path,
    limit: int | None,
    parity: int,
    sign_key: str | None,
    progress: Progress,
) -> Written:
    from petra.transfer.media import write_media  # noqa: PLC0415  # start-up time
    from petra.transfer.papers import README, RELEASE, readme_text, release_text  # noqa: PLC0415

    def texts(files: Sequence[ShippedFile]) -> Mapping[str, bytes]:
        facts = (bundle.metadata, what.bundle, what.digest, files)
        return {README: readme_text(*facts), RELEASE: release_text(*facts)}

    if limit is None:
        return write_media(folder, what.files, texts, progress)
    fill = _chunker(bundle, what, limit, parity, sign_key, progress)
    return write_media(folder, (), texts, progress, fill)


def _chunker(  # as above
    bundle: VerifiedBundle,
    what: Shipment,
    limit: int,
    parity: int,
    sign_key: str | None,
    progress: Progress,
) -> Callable[[Path], Sequence[ShippedFile]]:
    """Return what cuts the bundle straight into a folder on the medium."""
    from petra.bundle.signatures import read_beside  # noqa: PLC0415  # start-up time
    from petra.cli.keys import signer_from  # noqa: PLC0415  # as above
    from petra.errors import SettingError  # noqa: PLC0415  # as above
    from petra.transfer.chunking import ChunkOptions, chunk  # noqa: PLC0415  # as above
    from petra.transfer.shipment import folder_files  # noqa: PLC0415  # as above

    if sign_key is None:
        raise SettingError(
            "the bundle has to be cut into chunks, and no key signs their manifest",
            expected=f"files of at most {limit} bytes on this medium",
            hint="give --sign-key or set PETRA_KEY; or cut it before: petra bundle chunk",
        )
    signer = signer_from(sign_key)
    source = bundle.archive.reader.source
    beside = read_beside(Path(source.name))

    def fill(folder: Path) -> Sequence[ShippedFile]:
        options = ChunkOptions(folder, limit, parity)
        files = {what.bundle + suffix: data for suffix, data in beside.items()}
        chunk(source, what.bundle, options, lambda _: files, signer, progress)
        return folder_files(folder)

    return fill


def _tell(call: Call, what: Shipment, written: Written) -> None:
    names = [*written.digests]
    value = {
        "folder": str(written.folder),
        "bundle": what.bundle,
        "digest": what.digest,
        "wasThere": written.was_there,
        "files": {name: str(digest) for name, digest in written.digests.items()},
    }
    how = "was there already, read back" if written.was_there else "written and read back"
    lines = [
        f"medium    {written.folder}",
        f"bundle    {what.description}, {human_size(what.size)}",
        f"digest    {what.digest}",
        f"files     {len(names)}, {how}",
        "next      unmount it; README.txt on it says how to check it without petra",
    ]
    call.console.result(value, "\n".join(lines))
