"""``petra inventory``: the blobs that this side holds, signed, for the sender."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.bundle_load import open_ledger
from petra.cli.command import petra_command
from petra.cli.opening import verified
from petra.cli.output import human_size
from petra.cli.receipts import moment, name_option, receiver_label
from petra.cli.registries import registry_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.bundle.inventory import Inventory
    from petra.cli.command import Call
    from petra.load.inventory import Found


@petra_command(
    "inventory", settings=("key", "ledger", "insecure_registries", "ca_file", "connections")
)
@click.option("--to", required=True, metavar="FILE", help="Where the inventory is written.")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="Count in what this bundle or chunk folder holds, which is verified and kept on this "
    "side. May stand several times.",
)
@click.option(
    "--bundle-key",
    metavar="KEY",
    envvar="PETRA_VERIFY_KEY",
    help="Public key that bundles given with -f are signed with. [PETRA_VERIFY_KEY]",
)
@name_option
def command(
    call: Call, to: str, files: Sequence[str], bundle_key: str | None, receiver_name: str | None
) -> None:
    """Write down which blobs this side holds, signed with its own key, for the sender.

    Every blob of every bundle that was loaded is asked for where it was put: of a registry by its
    digest; a layout's files are read and hashed. What is gone is named, and left out. The sender
    gives the file to petra bundle create --base, and the next bundle leaves out what is listed.
    """
    from petra.bundle.inventory import dump_inventory  # noqa: PLC0415  # start-up time
    from petra.bundle.signatures import write_document  # noqa: PLC0415  # as above
    from petra.cli.keys import signer_from  # noqa: PLC0415  # as above
    from petra.load.inventory import take_inventory  # noqa: PLC0415  # as above
    from petra.oci.registry import RegistryClient  # noqa: PLC0415  # as above

    signer = signer_from(call.settings.need("key"))
    name = receiver_label(receiver_name)
    ledger = open_ledger(call.settings)
    with RegistryClient(registry_options(call.settings)) as client:
        found = take_inventory(ledger, client)
    for file in files:
        with verified(call, file, key=bundle_key) as bundle:
            found.add_bundle(bundle)
    inventory = found.inventory(name, moment())
    written = write_document(Path(to), dump_inventory(inventory), signer)
    _tell(call, inventory, found, [str(path) for path in written])


def _tell(call: Call, inventory: Inventory, found: Found, written: Sequence[str]) -> None:
    for line in (*found.lost, *found.uncounted):
        call.console.warn(line)
    size = sum(blob.size for blob in inventory.blobs)
    value = {
        "inventory": written[0],
        "signatures": [*written[1:]],
        "name": inventory.name,
        "serial": inventory.serial,
        "bundles": len(inventory.bundles),
        "blobs": len(inventory.blobs),
        "bytes": size,
        "lost": found.lost,
        "uncounted": found.uncounted,
    }
    lines = [
        f"inventory  {written[0]}",
        f"receiver   {inventory.name}, serial {inventory.serial}",
        f"bundles    {len(inventory.bundles)}",
        f"blobs      {len(inventory.blobs)}, {human_size(size)}, each of them found",
        *(f"signature  {path}" for path in written[1:]),
        "next       give it to the sender: petra bundle create --base FILE --base-key YOUR.pub",
    ]
    call.console.result(value, "\n".join(lines))
