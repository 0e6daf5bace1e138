"""Looks how far the bundle's releases are."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import RunInput
from petra.aws.pipeline.clusters import poll_releases as run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(RunInput)
def poll_releases(given: RunInput) -> dict[str, Any]:
    """Looks how far the bundle's releases are."""
    return run(_side(), given.run)


handler = poll_releases
