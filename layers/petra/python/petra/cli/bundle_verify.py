"""``petra bundle verify``: check a bundle's signature and every member."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.base_files import base_line, base_value
from petra.cli.chunk_folders import verified_whole
from petra.cli.command import file_option, petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.policy_files import RECEIVER_SETTINGS, receiver_of

if TYPE_CHECKING:
    from petra.cli.command import Call


@petra_command("verify", settings=("verify_key", *RECEIVER_SETTINGS, *CUSTODY_SETTINGS))
@file_option("The bundle, or its chunk folder.")
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
def command(
    call: Call,
    file: str,
    signature: str | None,
    provenance: bool,  # noqa: FBT001  # a flag
) -> None:
    """Check a bundle's signature and every member, in one pass over the file.

    Nothing in the file is interpreted before the signature has been found good. With a policy the
    signatures of all images are verified anew, out of the bundle, and steps that the sender skipped
    are refused unless the policy allows them. In a chunk folder, chunks that are missing or damaged
    are rebuilt where there is parity for it (what was damaged stays, as ….damaged); otherwise each
    is named. Exit status 3 says that the bundle is not what it should be.
    """
    receiver = receiver_of(call.settings)
    provenance = provenance or (receiver is not None and receiver.bundle.provenance)
    opened = verified_whole(call, file, signature, provenance=provenance, receiver=receiver)
    with custody(call, "receive", "verify") as digests, opened as (bundle, rebuilt):
        digests[Path(bundle.archive.reader.source.name).name] = bundle.archive.digest
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
            "base": base_value(metadata.base),
        }
    if provenance:
        value["provenance"] = True
    if rebuilt is not None:
        value["rebuilt"] = rebuilt
    if receiver and receiver.rules:
        value["policy"] = receiver.rules.policy.name
        value["images"] = {name: one.to_json() for name, one in bundle.verdicts.items()}
    for step, reasons in skipped.items():
        call.console.warn(f"the sender skipped: {step} ({'; '.join(reasons)})")
    lines = [
        f"verified  {file}",
        f"bundle    {metadata.name} {metadata.version}, serial {metadata.serial}",
        f"digest    {value['digest']}",
        f"signed by sha256:{value['key']}",
        f"members   {value['members']}, each with the digest that the metadata says",
    ]
    if metadata.base:
        lines.append(f"left out  {base_line(metadata.base)}")
    if receiver and receiver.rules:
        lines.append(
            f"policy    {receiver.rules.policy.name}: signatures of {len(bundle.verdicts)} of "
            f"{len(metadata.images)} images verified anew"
        )
    if provenance:
        lines.append("made from its images and charts alone, as its provenance says")
    lines += [f"rebuilt   {name}" for name in rebuilt or ()]
    call.console.result(value, "\n".join(lines))
