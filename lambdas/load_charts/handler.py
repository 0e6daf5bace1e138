"""Loads the charts into the registry."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import RunInput
from petra.aws.pipeline.loading import load_charts as run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(RunInput)
def load_charts(given: RunInput) -> dict[str, Any]:
    """Loads the charts into the registry."""
    return run(_side(), given.run)


handler = load_charts
