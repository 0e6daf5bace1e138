"""``petra bundle load``: from a bundle to registries, nodes and a cluster."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from petra.cli.base_sources import completed
from petra.cli.cluster import FOLLOWER_SETTINGS, follower, timeout_option
from petra.cli.command import file_option, petra_command
from petra.cli.custody import CUSTODY_SETTINGS, Kept, custody, local_signer
from petra.cli.destinations import LOAD_SETTINGS, check_settings, destinations
from petra.cli.image_flags import image_flags, image_options, mirrored, write_mirrors
from petra.cli.opening import verified
from petra.cli.policy_files import RECEIVER_SETTINGS, receiver_of
from petra.cli.receipts import receipt_options, receipt_writer
from petra.cli.registries import registry_options
from petra.cli.settings import state_path

if TYPE_CHECKING:
    from petra.bundle.receive import Receiver
    from petra.bundle.verify import Signed
    from petra.cli.command import Call
    from petra.cli.settings import Settings
    from petra.load.ledger_folder import FolderLedger
    from petra.load.report import Report


@petra_command(
    "load",
    settings=(
        "verify_key",
        *LOAD_SETTINGS,
        *RECEIVER_SETTINGS,
        *FOLLOWER_SETTINGS,
        *CUSTODY_SETTINGS,
    ),
)
@file_option("The bundle, or its chunk folder.")
@click.option(
    "--signature",
    metavar="FILE",
    help="The signature, .sig or .sigstore.json, instead of those beside the bundle.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be sent, where to, and whether it fits."
)
@click.option(
    "--allow-rollback",
    is_flag=True,
    help="Take a bundle that is older than one that was loaded, or that was rolled back.",
)
@click.option(
    "--again", is_flag=True, help="Check every destination though the bundle was loaded already."
)
@click.option(
    "--replace",
    is_flag=True,
    help="Let its charts take the place of others of the same name and version.",
)
@click.option(
    "--base-from",
    multiple=True,
    metavar="WHERE",
    help="Take what a differential bundle leaves out, and a destination lacks, from there: "
    "registry://HOST[:PORT][/PREFIX], layout:DIR, or another bundle. May stand several times.",
)
@receipt_options
@timeout_option
@image_flags
def command(
    call: Call,
    file: str,
    signature: str | None,
    timeout: float,
    receipt: str | None,
    receiver_name: str | None,
    **flags: Any,
) -> None:
    """Load a bundle: verify it, then images, charts and manifests to where the cluster finds them.

    Nothing is touched before the signature, the policy and every destination were found good; the
    manifests become what the cluster reads last of all. A cluster that is named is told, and each
    HelmRelease of the bundle is waited for. A load that was interrupted goes on when it is run
    again, and sends only what is missing. What a differential bundle leaves out is proven to be at
    every destination first. --receipt writes down how it ended, signed, for the sender.
    """
    from petra.load.destination import OpenBundle  # noqa: PLC0415  # start-up time
    from petra.load.ledger import History, Stamp  # noqa: PLC0415  # as above
    from petra.load.report import stamp_json  # noqa: PLC0415  # as above
    from petra.load.run import Load, new_record  # noqa: PLC0415  # as above

    check_settings(call.settings)
    writer = receipt_writer(call.settings, receipt, receiver_name)
    images = image_options(registry_options(call.settings), flags)
    receiver = _receiver(call.settings)
    ledger = open_ledger(call.settings)
    with ExitStack() as stack:
        digests = Kept()
        if not flags["dry_run"]:
            digests = stack.enter_context(custody(call, "load", "load", local_signer(call)))
            stack.enter_context(ledger.lock())
        history = History(ledger.events())
        told: dict[str, Any] = {}
        cluster = stack.enter_context(follower(call, told, timeout=timeout))

        def is_newer(signed: Signed) -> None:
            history.admit(Stamp.of_signed(signed), allow_rollback=flags["allow_rollback"])

        found = stack.enter_context(
            verified(call, file, signature, policy=is_newer, receiver=receiver)
        )
        digests[Path(found.archive.reader.source.name).name] = found.archive.digest
        bundle = stack.enter_context(
            completed(call, OpenBundle.of(found), flags["base_from"], ledger, images)
        )
        places = stack.enter_context(
            destinations(call.settings, bundle, replace=flags["replace"], images=images)
        )
        registry = mirrored(flags["mirror_config"], places)
        about = new_record(bundle)
        told |= {"action": "load", "bundle": stamp_json(about.bundle)}
        with call.console.progress() as progress:
            load = Load(about.bundle, places, ledger, progress, about, cluster)
            report = load.survey() if flags["dry_run"] else load.place(again=flags["again"])
        if not flags["dry_run"] and report.error is None:
            if registry:
                notes = write_mirrors(Path(flags["mirror_config"]), registry)
                report = replace(report, notes=tuple(notes))
            # The bars are gone by now: the releases have a table of their own.
            report = load.watched(report)
        digests.failed = report.error
        if writer and not flags["dry_run"]:
            writer(report, ledger)
    tell(call, report)


def _receiver(settings: Settings) -> Receiver:
    """Return what is asked of a bundle: at the least that its sender skipped no step."""
    from petra.bundle.receive import Receiver  # noqa: PLC0415  # start-up time

    return receiver_of(settings) or Receiver()


def open_ledger(settings: Settings) -> FolderLedger:
    """Return the ledger of this call's settings, or the usual one."""
    from petra.load.ledger_folder import FolderLedger  # noqa: PLC0415  # start-up time

    named = settings.ledger
    return FolderLedger(Path(named) if named else state_path(os.environ) / "ledger")


def tell(call: Call, report: Report) -> None:
    """Print a report, and end with its status where that is not 0."""
    from petra.cli.load_text import report_text  # noqa: PLC0415  # JSON needs none

    call.console.result(report.to_json(), report_text(report))
    if report.error and not call.console.json:
        raise report.error
    if report.exit_status:
        raise click.exceptions.Exit(report.exit_status)
