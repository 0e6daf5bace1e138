"""``petra receipt verify``: what a receiver has signed, checked and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from petra.cli.command import file_option, petra_command
from petra.cli.output import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.bundle.inventory import Inventory
    from petra.cli.command import Call
    from petra.load.receipt import Receipt


@petra_command("verify", settings=("verify_key",))
@file_option("The receipt, or an inventory.")
def command(call: Call, file: str) -> None:
    """Check a receipt or an inventory with the receiver's public key, and show what it says.

    cosign verify-blob checks both as well. Exit status 3 says that it is not what it should be.
    """
    from petra.bundle.inventory import INVENTORY_LIMIT, load_inventory  # noqa: PLC0415  # start-up time
    from petra.bundle.signatures import verified_document  # noqa: PLC0415  # as above
    from petra.cli.keys import public_keys  # noqa: PLC0415  # as above
    from petra.encoding.json import load_json  # noqa: PLC0415  # as above
    from petra.encoding.models import to_value  # noqa: PLC0415  # as above
    from petra.load.receipt import load_receipt  # noqa: PLC0415  # as above

    keys = public_keys(call.settings.need("verify_key"))
    data, key = verified_document(Path(file), keys, limit=INVENTORY_LIMIT)
    value = load_json(data, where=file)
    is_inventory = isinstance(value, dict) and value.get("kind") == "Inventory"
    found: Inventory | Receipt
    if is_inventory:
        found = load_inventory(data, where=file)
        lines = [*_inventory(found)]
    else:
        found = load_receipt(data, where=file)
        lines = [*_receipt(found)]
    said = {"verified": True, "file": file, "key": key.fingerprint, "content": to_value(found)}
    head = [f"verified  {file}", f"signed by sha256:{key.fingerprint}"]
    call.console.result(said, "\n".join([*head, *lines]))


def _inventory(found: Inventory) -> Iterator[str]:
    size = human_size(sum(blob.size for blob in found.blobs))
    yield f"inventory {found.name}, serial {found.serial}, {found.created:%Y-%m-%d %H:%M:%S} UTC"
    for bundle in found.bundles:
        yield f"bundle    {bundle.name} {bundle.version}, serial {bundle.serial}, {bundle.digest}"
    yield f"blobs     {len(found.blobs)}, {size}"


def _receipt(found: Receipt) -> Iterator[str]:
    yield f"receipt   {found.name}, serial {found.serial}, {found.created:%Y-%m-%d %H:%M:%S} UTC"
    yield f"bundle    {found.bundle}, {found.bundle.digest}"
    reason = f": {found.reason}" if found.reason else ""
    yield f"verdict   {found.verdict} at {found.time:%Y-%m-%d %H:%M:%S} UTC{reason}"
    for one in found.destinations:
        sent = "" if one.bytes_sent is None else f", {human_size(one.bytes_sent)} sent"
        error = f"; {one.error}" if one.error else ""
        yield f"{one.part:9} {one.name}: {one.items} in place{sent}{error}"
    for release in found.releases:
        yield f"release   {release.namespace}/{release.name}: {release.state}"
    if found.healthy is not None and not found.releases:
        yield f"releases  {'all succeeded' if found.healthy else 'not all succeeded'}"
