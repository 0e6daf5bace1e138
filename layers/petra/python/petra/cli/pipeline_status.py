"""``petra pipeline status``: how the pipeline's runs are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from petra.cli.command import petra_command
from petra.cli.pipelines import pipeline, tell_status

if TYPE_CHECKING:
    from petra.cli.command import Call


@petra_command("status", settings=("pipeline",))
@click.argument("name", required=False)
def command(call: Call, name: str | None) -> None:
    """Show how the newest run of a bundle is: where it stands, what failed, what to do.

    NAME is the bundle's, such as shop-1.4.0, or the key of what was put, such as
    specs/shop-1.4.0.yaml. Without it all bundles are listed, one a line. The exit status for one
    bundle is its run's: 0 it runs or ended well, 3 it was refused, 1 it failed.
    """
    client = pipeline(call)
    if name is not None:
        tell_status(call, client.status(name))
        return
    found = client.all()
    lines = [
        f"{one.value.get('bundle', ''):<32} {one.state:<12} {one.stage:<10} "
        f"{one.value.get('updated', '')}".rstrip()
        for one in found
    ]
    call.console.result({"runs": [dict(one.value) for one in found]}, "\n".join(lines) or "no runs")
