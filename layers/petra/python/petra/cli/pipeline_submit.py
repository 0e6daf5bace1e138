"""``petra pipeline submit``: a spec into the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from petra.cli.command import file_option, petra_command
from petra.cli.durations import Duration
from petra.cli.pipelines import pipeline, tell_status

if TYPE_CHECKING:
    from petra.aws.pipeline_client import RunStatus
    from petra.cli.command import Call


@petra_command("submit", settings=("pipeline",))
@file_option("The spec.")
@click.option("--watch", is_flag=True, help="Follow the run to its end.")
@click.option(
    "--timeout",
    type=Duration(),
    default="2h",
    show_default=True,
    metavar="TIME",
    help="With --watch: wait so long.",
)
def command(call: Call, file: str, *, watch: bool, timeout: float) -> None:
    """Put a spec where the pipeline on AWS takes it up: resolve, verify, pack, sign, send.

    The spec is read first, so that its mistakes are told here. With --watch every stage is told,
    and the exit status is the run's: 0 it ended well, 3 it was refused, 1 it failed.
    """
    from petra.cli.spec_files import read_spec  # noqa: PLC0415  # pydantic takes its time

    spec = read_spec(file)
    client = pipeline(call)
    metadata = spec.spec.metadata
    key, version = client.submit(f"{metadata.name}-{metadata.version}", spec.data)
    if not watch:
        value = {"bucket": client.bucket, "key": key, "version": version}
        call.console.result(value, f"submitted   s3://{client.bucket}/{key}, version {version}")
        return
    call.console.note(f"submitted s3://{client.bucket}/{key}")

    def listen(status: RunStatus) -> None:
        call.console.note(f"{status.stage or status.state} …" if not status.ended else status.state)

    tell_status(call, client.follow(key, version, timeout=timeout, listen=listen))
