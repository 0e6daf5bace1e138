"""Ends a run of the classified side: its status, the ledger, whom to tell."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import ReportInput
from petra.aws.pipeline.reporting import report_load as run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(ReportInput)
def report_load(given: ReportInput) -> dict[str, Any]:
    """Ends a run of the classified side: its status, the ledger, whom to tell."""
    return run(_side(), given)


handler = report_load
