"""``petra bundle verify``: check a bundle's signature and every member."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from petra.cli.command import file_option, petra_command
from petra.cli.opening import verified

if TYPE_CHECKING:
    from petra.cli.command import Call


@petra_command("verify", settings=("verify_key",))
@file_option("The bundle.")
@click.option(
    "--signature",
    metavar="FILE",
    help="The signature, .sig or .sigstore.json, instead of those beside the bundle.",
)
@click.option(
    "--provenance",
    is_flag=True,
    help="Check the bundle's provenance, .intoto.json, too; refuse a bundle without one.",
)
def command(call: Call, file: str, signature: str | None, provenance: bool) -> None:  # noqa: FBT001  # a flag
    """Check a bundle's signature and every member, in one pass over the file.

    Nothing in the file is interpreted before the signature has been found good. Exit status 3
    says that the bundle is not what it should be.
    """
    with verified(call, file, signature, provenance=provenance) as bundle:
        metadata = bundle.metadata
        skipped = metadata.skipped()
        value = {
            "verified": True,
            "bundle": file,
            "name": metadata.name,
            "version": metadata.version,
            "serial": metadata.serial,
            "digest": bundle.archive.digest,
            "size": bundle.archive.reader.source.size,
            "key": bundle.key.fingerprint,
            "members": len(bundle.archive.reader.members),
            "skipped": skipped,
        }
    if provenance:
        value["provenance"] = True
    for step, reasons in skipped.items():
        call.console.warn(f"the sender skipped: {step} ({'; '.join(reasons)})")
    lines = [
        f"verified  {file}",
        f"bundle    {metadata.name} {metadata.version}, serial {metadata.serial}",
        f"digest    {value['digest']}",
        f"signed by sha256:{value['key']}",
        f"members   {value['members']}, each with the digest that the metadata says",
    ]
    if provenance:
        lines.append("made from its images and charts alone, as its provenance says")
    call.console.result(value, "\n".join(lines))
