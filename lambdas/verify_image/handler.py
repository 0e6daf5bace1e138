"""Verifies one image's signatures."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import ImageInput
from petra.aws.pipeline.image_steps import verify_one
from petra.aws.pipeline.sides import Connected


@cache
def _side() -> Connected:
    return Connected(emit=measured)


@step(ImageInput)
def verify_image(given: ImageInput) -> dict[str, Any]:
    """Verifies one image's signatures."""
    return verify_one(_side(), given.run, given.index)


handler = verify_image
