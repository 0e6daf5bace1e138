"""Sees whether all of a bundle's files are here."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import StartInput
from petra.aws.pipeline.arrivals import check_arrival as run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(StartInput)
def check_arrival(given: StartInput) -> dict[str, Any]:
    """Sees whether all of a bundle's files are here."""
    return run(_side(), given)


handler = check_arrival
