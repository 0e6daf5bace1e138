"""Makes the bundle, as one object of the outbox."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import RunInput
from petra.aws.pipeline.assembling import assemble
from petra.aws.pipeline.sides import Connected


@cache
def _side() -> Connected:
    return Connected(emit=measured)


@step(RunInput)
def assemble_bundle(given: RunInput) -> dict[str, Any]:
    """Makes the bundle, as one object of the outbox."""
    return assemble(_side(), given.run)


handler = assemble_bundle
