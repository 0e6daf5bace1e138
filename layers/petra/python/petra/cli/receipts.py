"""What the receiver's side signs for the sender: receipts and inventories, and whose they are."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from petra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.cli.settings import Settings
    from petra.load.ledger import Ledger
    from petra.load.report import Report

F = TypeVar("F", bound="Callable[..., Any]")

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

name_option = click.option(
    "--receiver",
    "receiver_name",
    metavar="NAME",
    envvar="PETRA_RECEIVER",
    help="This side's name in what it signs; this machine's name by default. [PETRA_RECEIVER]",
)


def receipt_options(function: F) -> F:
    """Give a command ``--receipt`` and ``--receiver``, which it gets by name."""
    written = click.option(
        "--receipt",
        metavar="FILE",
        envvar="PETRA_RECEIPT",
        help="Write a receipt there, signed with --sign-key: how the load ended. [PETRA_RECEIPT]",
    )
    return written(name_option(function))


def receiver_label(name: str | None) -> str:
    """Return this side's name.

    Args:
        name: as the user gave it; None for this machine's.

    Raises:
        UsageError: it is not usable as one.
    """
    found = name or socket.gethostname().partition(".")[0].lower()
    if not _LABEL.fullmatch(found):
        raise UsageError(
            "not usable as the receiver's name",
            where="--receiver",
            expected="1 to 63 of a-z 0-9 and -, with a letter or digit at both ends",
            found=found[:100],
            hint="give one with --receiver, or set PETRA_RECEIVER",
        )
    return found


def receipt_writer(
    settings: Settings, file: str | None, name: str | None
) -> Callable[[Report, Ledger], object] | None:
    """Return what writes the receipt of a load; None where none is wanted.

    Raises:
        SettingError: there is no key to sign it with. Told before anything is loaded.
        UsageError: the receiver's name is not usable.
    """
    if file is None:
        return None
    from petra.cli.keys import signer_from  # noqa: PLC0415  # start-up time

    signer, label = signer_from(settings.need("sign_key")), receiver_label(name)

    def write(report: Report, ledger: Ledger) -> object:
        from petra.bundle.signatures import write_document  # noqa: PLC0415  # as above
        from petra.load.receipt import dump_receipt, receipt_of_report  # noqa: PLC0415  # as above

        receipt = receipt_of_report(label, report, ledger, moment())
        return write_document(Path(file), dump_receipt(receipt), signer)

    return write


def moment() -> datetime:
    """Return the time that documents are to have: ``SOURCE_DATE_EPOCH``, else the clock's."""
    from petra.cli.spec_files import source_date_epoch  # noqa: PLC0415  # start-up time

    epoch = source_date_epoch()
    return datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC)
