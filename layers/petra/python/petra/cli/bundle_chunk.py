"""``petra bundle chunk``: a bundle in pieces that fit where it has to go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from petra.cli.command import file_option, petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.opening import open_source
from petra.cli.output import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from petra.cli.command import Call
    from petra.content.digest import Digest
    from petra.transfer.manifest import ChunkManifest
    from petra.trust.keys import PublicKey

_FORMS: Final = (".tar.zst", ".tar.gz")


@petra_command("chunk", settings=("key", *CUSTODY_SETTINGS))
@file_option("The bundle.")
@click.option(
    "--max-size",
    required=True,
    metavar="SIZE",
    help="The most bytes of a chunk: 100MiB, 4GB …, or fat32, dvd, clamav, 1000MiB, 95MiB.",
)
@click.option(
    "--parity",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Add N parity chunks; any N lost or damaged chunks of a group can then be rebuilt.",
)
@click.option(
    "--to", metavar="DIR", help="The chunk folder; NAME-VERSION.chunks beside the bundle."
)
@click.option(
    "--bundle-key",
    metavar="KEY",
    help="Public key that the bundle is signed with, if another than that of --key.",
)
def command(
    call: Call, file: str, max_size: str, parity: int, to: str | None, bundle_key: str | None
) -> None:
    """Cut a bundle into chunks that fit a medium, a guard or a service, each at most SIZE.

    Writes the chunks, the bundle's signatures and a signed manifest.json, which comes last: a
    folder without it is not whole. verify, inspect, serve and the others take the folder as it is;
    nothing has to be joined. The bundle's signature is verified in the same pass.
    """
    from petra.cli.keys import public_keys, signer_from  # noqa: PLC0415  # start-up time
    from petra.content.digest import Digest  # noqa: PLC0415  # as above
    from petra.transfer.chunking import ChunkOptions, chunk  # noqa: PLC0415  # as above
    from petra.transfer.manifest import dump_manifest  # noqa: PLC0415  # as above
    from petra.transfer.names import MANIFEST  # noqa: PLC0415  # as above
    from petra.transfer.sizes import parse_size  # noqa: PLC0415  # as above

    limit = parse_size(max_size, where="--max-size")
    with open_source(Path(file)) as source:
        path = Path(source.name)
        options = ChunkOptions(Path(to) if to else _beside(Path(file), path.name), limit, parity)
        signer = signer_from(call.settings.need("key"))
        keys = public_keys(bundle_key) if bundle_key else [signer.public_key]
        check = _checker(path, keys)
        with (
            custody(call, "connected", "chunk", lambda: signer) as digests,
            call.console.progress() as progress,
        ):
            manifest = chunk(source, path.name, options, check, signer, progress)
            digests[manifest.bundle.name] = manifest.bundle.digest
            digests[MANIFEST] = Digest.of(dump_manifest(manifest))
    _tell(call, options.folder, manifest)


def _beside(file: Path, name: str) -> Path:
    for form in _FORMS:
        name = name.removesuffix(form)
    return file.with_name(f"{name}.chunks")


def _checker(path: Path, keys: Sequence[PublicKey]) -> Callable[[Digest], Mapping[str, bytes]]:
    """Return what verifies the bundle's signature and gives the files that go beside the chunks."""
    from petra.bundle.signatures import read_beside, read_signatures  # noqa: PLC0415  # as above
    from petra.trust.blob import verify_blob_by_any  # noqa: PLC0415  # as above

    signature, bundle = read_signatures(path)
    beside = {path.name + suffix: data for suffix, data in read_beside(path).items()}

    def check(digest: Digest) -> Mapping[str, bytes]:
        verify_blob_by_any(digest, keys, signature=signature, bundle=bundle, where=str(path))
        return beside

    return check


def _tell(call: Call, folder: Path, manifest: ChunkManifest) -> None:
    from petra.encoding.models import to_value  # noqa: PLC0415  # start-up time

    count, parity = len(manifest.chunks), manifest.parity_files
    lines = [
        f"folder    {folder}",
        f"bundle    {manifest.bundle.name}, {human_size(manifest.bundle.size)}",
        f"digest    {manifest.bundle.digest}",
        f"chunks    {count} of {human_size(manifest.chunk_size)} at most",
    ]
    if manifest.parity:
        groups = len(manifest.parity.groups)
        each = len(manifest.parity.groups[0].parity)
        scope = f", {each} for each of {groups} groups" if groups > 1 else ""
        lines.append(f"parity    {len(parity)}{scope}: as many lost chunks can be rebuilt")
    else:
        lines.append("parity    none: a lost chunk has to be brought again")
    call.console.result({"folder": str(folder), "manifest": to_value(manifest)}, "\n".join(lines))
