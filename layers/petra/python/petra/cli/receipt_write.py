"""``petra receipt write``: a receipt for what is loaded, at any time after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.bundle_load import open_ledger
from petra.cli.command import petra_command
from petra.cli.receipts import moment, name_option, receiver_label

if TYPE_CHECKING:
    from petra.cli.command import Call


@petra_command("write", settings=("key", "ledger"))
@click.argument("name", required=False)
@click.option("--to", required=True, metavar="FILE", help="Where the receipt is written.")
@name_option
def command(call: Call, name: str | None, to: str, receiver_name: str | None) -> None:
    """Write a signed receipt for the bundle that is loaded now, as the ledger knows it.

    NAME is the bundle's, and may be left out where only one was ever loaded. petra bundle load
    --receipt writes one about the load itself, whichever way it ended.
    """
    from petra.bundle.signatures import write_document  # noqa: PLC0415  # start-up time
    from petra.cli.keys import signer_from  # noqa: PLC0415  # as above
    from petra.encoding.models import to_value  # noqa: PLC0415  # as above
    from petra.load.receipt import dump_receipt, receipt_of_ledger  # noqa: PLC0415  # as above

    signer = signer_from(call.settings.need("key"))
    label = receiver_label(receiver_name)
    receipt = receipt_of_ledger(label, name, open_ledger(call.settings), moment())
    written = write_document(Path(to), dump_receipt(receipt), signer)
    lines = [
        f"receipt    {written[0]}",
        f"bundle     {receipt.bundle}",
        f"verdict    {receipt.verdict}",
        *(f"signature  {path}" for path in written[1:]),
    ]
    value = {
        "receipt": str(written[0]),
        "signatures": [str(path) for path in written[1:]],
        "content": to_value(receipt),
    }
    call.console.result(value, "\n".join(lines))
