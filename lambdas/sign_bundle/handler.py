"""Signs the bundle, or verifies one that came signed; cuts it where it must cross in chunks."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import RunInput
from petra.aws.pipeline.sides import Connected
from petra.aws.pipeline.signing import sign_run


@cache
def _side() -> Connected:
    return Connected(emit=measured)


@step(RunInput)
def sign_bundle(given: RunInput) -> dict[str, Any]:
    """Signs the bundle, or verifies one that came signed; cuts it where it must cross in chunks."""
    return sign_run(_side(), given.run)


handler = sign_bundle
