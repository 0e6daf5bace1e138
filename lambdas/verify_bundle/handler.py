"""Verifies what arrived; what is refused goes to quarantine."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import RunInput
from petra.aws.pipeline.receiving import verify_run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(RunInput)
def verify_bundle(given: RunInput) -> dict[str, Any]:
    """Verifies what arrived; what is refused goes to quarantine."""
    return verify_run(_side(), given.run)


handler = verify_bundle
