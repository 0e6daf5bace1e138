"""What the commands of the pipeline share: its client, and how a run is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from petra.aws.pipeline_client import PipelineClient, RunStatus
    from petra.cli.command import Call


def pipeline(call: Call) -> PipelineClient:
    """Return the client of the pipeline that the settings name.

    Raises:
        SettingError: none is named, boto3 is not installed, or there is no region.
    """
    from petra.aws.clients import service_client  # noqa: PLC0415  # boto3 is slow to load
    from petra.aws.objects import Place  # noqa: PLC0415  # as above
    from petra.aws.pipeline_client import PipelineClient  # noqa: PLC0415  # as above

    place = Place.parse(call.settings.need("pipeline"))
    return PipelineClient(service_client("s3", where=str(place)), place.bucket)


def tell_status(call: Call, status: RunStatus) -> None:
    """Print how a run is, and end with its exit status.

    Raises:
        click.exceptions.Exit: it did not end well.
    """
    call.console.result(dict(status.value), "\n".join(status.lines()))
    if status.exit_status:
        raise click.exceptions.Exit(status.exit_status)
