"""Sends the bundle's files across, and looks how far they are."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import TransferInput
from petra.aws.pipeline.sides import Connected
from petra.aws.pipeline.transferring import transfer_run


@cache
def _side() -> Connected:
    return Connected(emit=measured)


@step(TransferInput)
def transfer_bundle(given: TransferInput) -> dict[str, Any]:
    """Sends the bundle's files across, and looks how far they are."""
    return transfer_run(_side(), given.run, given.action)


handler = transfer_bundle
