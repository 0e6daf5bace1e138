"""Resolves what was uploaded: a spec, or a finished bundle."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import StartInput
from petra.aws.pipeline.plans import resolve_upload
from petra.aws.pipeline.sides import Connected


@cache
def _side() -> Connected:
    return Connected(emit=measured)


@step(StartInput)
def resolve_spec(given: StartInput) -> dict[str, Any]:
    """Resolves what was uploaded: a spec, or a finished bundle."""
    return resolve_upload(_side(), given)


handler = resolve_spec
