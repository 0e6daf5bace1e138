"""``petra bundle prune``: takes away what only older bundles brought."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from petra.cli.bundle_load import open_ledger
from petra.cli.command import petra_command
from petra.cli.registries import registry_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.cli.command import Call
    from petra.load.prune import Pruned, PruneReport


@petra_command("prune", settings=("ledger", "insecure_registries", "ca_file", "connections"))
@click.option(
    "--keep",
    type=click.IntRange(1, 1000),
    required=True,
    metavar="N",
    help="How many bundles of each name stay, the current one among them.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go.")
def command(
    call: Call,
    keep: int,
    dry_run: bool,  # noqa: FBT001  # a flag
) -> None:
    """Take from the destinations what only older bundles brought.

    What the last N bundles of a name brought stays, and what the cluster reads now, and whatever
    carries a tag that no bundle gave it. From a registry only manifests go; its own garbage
    collection then frees the space. A bundle that is gone cannot be rolled back to.
    """
    from petra.cli.places import pruner  # noqa: PLC0415  # start-up time
    from petra.load.prune import Prune  # noqa: PLC0415  # as above
    from petra.oci.registry import RegistryClient  # noqa: PLC0415  # as above

    ledger = open_ledger(call.settings)
    with ledger.lock(), RegistryClient(registry_options(call.settings)) as client:
        report = Prune(ledger, partial(pruner, client)).run(keep, dry_run=dry_run)
    call.console.result(report.to_json(), "\n".join(_lines(report, dry_run=dry_run)))
    if report.error:
        if not call.console.json:
            raise report.error
        raise click.exceptions.Exit(report.error.exit_status)


def _lines(report: PruneReport, *, dry_run: bool) -> Iterator[str]:
    if not report.bundles:
        yield "nothing to prune"
    for stamp in report.bundles:
        yield f"{'would go' if dry_run else 'pruned':12} {stamp}"
    for stamp in report.kept:
        yield f"{'kept':12} {stamp}"
    for one in report.destinations:
        yield from _destination(one, dry_run=dry_run)


def _destination(one: Pruned, *, dry_run: bool) -> Iterator[str]:
    what = "would go" if dry_run else "removed"
    yield f"{one.part:12} {one.destination}: {len(one.removed)} {what}"
    for reference in one.removed:
        yield f"  {'-':6} {reference}"
    for reference, why in one.kept:
        yield f"  {'kept':6} {reference}  ({why})"
    for note in one.notes:
        yield f"  {'note':6} {note}"
    if one.error:
        yield f"  {'error':6} {one.error.message}"
