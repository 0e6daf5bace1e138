"""``petra status``: what became of a bundle's HelmReleases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from petra.cli.command import file_option, petra_command
from petra.cli.durations import Duration
from petra.cli.opening import verified
from petra.errors import SettingError

if TYPE_CHECKING:
    from petra.cli.command import Call
    from petra.cli.settings import Settings
    from petra.load.watch import Report


@petra_command("status", settings=("verify_key", "kubeconfig"))
@file_option("The bundle.")
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
def command(call: Call, file: str, signature: str | None, timeout: float) -> None:
    """Show what became of each HelmRelease that a bundle holds, and of nothing else.

    A release SUCCEEDED only if it is ready in its current generation with the very chart of this
    bundle. Nothing is changed. Exit status 0 says that all succeeded, 1 that not all did.
    """
    from petra.cli.release_table import following  # noqa: PLC0415  # start-up time
    from petra.load.expected import expected_releases  # noqa: PLC0415  # as above
    from petra.load.kubeconfig import connect  # noqa: PLC0415  # as above
    from petra.load.watch import await_releases  # noqa: PLC0415  # as above

    kubeconfig = _kubeconfig(call.settings)
    with verified(call, file, signature) as bundle:
        metadata = bundle.metadata
        expected = expected_releases(bundle.archive.reader, metadata)
        digest = bundle.archive.digest
    with connect(kubeconfig) as cluster, following(call.console, timeout) as listen:
        report = await_releases(cluster, expected, timeout=timeout, listen=listen)
    head: dict[str, Any] = {
        "verified": True,
        "bundle": file,
        "name": metadata.name,
        "version": metadata.version,
        "serial": metadata.serial,
        "digest": digest,
    }
    tell_report(call, head, f"bundle      {metadata.name} {metadata.version}", report)


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
