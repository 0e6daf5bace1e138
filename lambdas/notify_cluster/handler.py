"""Tells the cluster that there is something new."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import RunInput
from petra.aws.pipeline.clusters import notify_cluster as run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(RunInput)
def notify_cluster(given: RunInput) -> dict[str, Any]:
    """Tells the cluster that there is something new."""
    return run(_side(), given.run)


handler = notify_cluster
