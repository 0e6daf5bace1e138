"""Ends a run of the connected side: its status, its evidence, whom to tell."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import ReportInput
from petra.aws.pipeline.reporting import report_run as run
from petra.aws.pipeline.sides import Connected


@cache
def _side() -> Connected:
    return Connected(emit=measured)


@step(ReportInput)
def report_run(given: ReportInput) -> dict[str, Any]:
    """Ends a run of the connected side: its status, its evidence, whom to tell."""
    return run(_side(), given)


handler = report_run
