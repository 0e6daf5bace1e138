"""``petra status``: what became of a bundle's HelmReleases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from petra.cli.command import petra_command
from petra.cli.durations import Duration
from petra.cli.opening import verified
from petra.errors import NotFoundError, SettingError, UsageError

if TYPE_CHECKING:
    from petra.cli.command import Call
    from petra.cli.settings import Settings
    from petra.load.ledger import LoadRecord
    from petra.load.watch import Report


@petra_command("status", settings=("verify_key", "kubeconfig", "ledger"))
@click.argument("name", required=False)
@click.option("-f", "--file", metavar="FILE", type=click.Path(), help="The bundle.")
@click.option(
    "--signature",
    metavar="FILE",
    help="The signature, .sig or .sigstore.json, instead of those beside the bundle.",
)
@click.option(
    "--timeout",
    type=Duration(),
    default="0s",
    show_default=True,
    metavar="TIME",
    help="Wait so long for releases that are not at their end, such as 10m; 0s looks once.",
)
def command(
    call: Call, name: str | None, file: str | None, signature: str | None, timeout: float
) -> None:
    """Show what became of each HelmRelease that a bundle holds, and of nothing else.

    The bundle is the file that is named, or the one of this NAME that was loaded last, by the
    ledger. A release SUCCEEDED only if it is ready in its current generation with the very chart
    of the bundle. Nothing is changed. Exit status 0 says that all succeeded, 1 that not all did.
    """
    from petra.cli.release_table import following  # noqa: PLC0415  # start-up time
    from petra.load.follower import follow_record  # noqa: PLC0415  # as above
    from petra.load.kubeconfig import connect  # noqa: PLC0415  # as above

    kubeconfig = _kubeconfig(call.settings)
    record = _of_file(call, file, signature) if file else _of_ledger(call, name)
    with connect(kubeconfig) as cluster, following(call.console, timeout) as listen:
        # No token: since the load somebody may have made another request, and had it handled.
        report = follow_record(cluster, record, None, timeout=timeout, listen=listen)
    bundle = record.bundle
    head = {"bundle": bundle.model_dump(mode="json"), "loaded": bool(record.destinations)}
    tell_report(call, head, f"bundle      {bundle}", report)


def _of_file(call: Call, file: str, signature: str | None) -> LoadRecord:
    """Return what is known of a bundle's file: from the ledger if it was loaded, else from it."""
    from petra.cli.bundle_load import open_ledger  # noqa: PLC0415  # start-up time
    from petra.load.destination import OpenBundle  # noqa: PLC0415  # as above
    from petra.load.run import new_record  # noqa: PLC0415  # as above

    with verified(call, file, signature) as found:
        about = new_record(OpenBundle.of(found))
    return open_ledger(call.settings).record(about.bundle) or about


def _of_ledger(call: Call, name: str | None) -> LoadRecord:
    """Return the record of the bundle that was loaded last.

    Raises:
        NotFoundError: the ledger knows none.
        UsageError: it knows several names, and none was given.
    """
    from petra.cli.bundle_load import open_ledger  # noqa: PLC0415  # start-up time
    from petra.load.ledger import History  # noqa: PLC0415  # as above

    ledger = open_ledger(call.settings)
    history = History(ledger.events())
    if name is None and len(history.names) > 1:
        raise UsageError("several bundles were loaded", found=", ".join(history.names))
    stamps = [
        stamp for one in history.names if name in (None, one) for stamp in history.complete(one)
    ]
    record = ledger.record(stamps[-1]) if stamps else None
    if record is None:
        raise NotFoundError(
            "the ledger knows no such bundle that was loaded",
            where=name,
            hint="name the bundle's file with -f, or another --ledger",
        )
    return record


def tell_report(call: Call, head: dict[str, Any], title: str, report: Report) -> None:
    """Print what became of the releases, and end with status 1 unless all succeeded.

    Args:
        call: the console.
        head: what JSON says before it.
        title: what text says before it.
        report: what became of them.

    Raises:
        ReconcileError: not all succeeded.
    """
    from petra.errors import ReconcileError  # noqa: PLC0415  # as needed

    refusal = None
    try:
        report.require()
    except ReconcileError as error:
        refusal = error
    value = {**head, **report.to_json()}
    if refusal:
        value["error"] = refusal.to_json()
    lines = [title, *report.lines(), f"{'releases':<11} {report.summary()}"]
    call.console.result(value, "\n".join(lines))
    if refusal and call.console.json:
        raise click.exceptions.Exit(refusal.exit_status)
    if refusal:
        raise refusal


def _kubeconfig(settings: Settings) -> str:
    """Return the kubeconfig that was named, else kubectl's variable, else the pod's account."""
    named = settings.kubeconfig or os.environ.get("KUBECONFIG", "").strip()
    if os.pathsep in named and not settings.kubeconfig:
        raise SettingError(
            "several kubeconfigs are named",
            where="KUBECONFIG",
            hint="name one with --kubeconfig; `kubectl config view --flatten` makes one of several",
        )
    if not named and "KUBERNETES_SERVICE_HOST" in os.environ:
        return "in-cluster"
    return named or settings.need("kubeconfig")
