"""Gathers the evidence about one image, its scan among it."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import ImageInput
from petra.aws.pipeline.image_steps import scan_one
from petra.aws.pipeline.sides import Connected


@cache
def _side() -> Connected:
    return Connected(emit=measured)


@step(ImageInput)
def scan_image(given: ImageInput) -> dict[str, Any]:
    """Gathers the evidence about one image, its scan among it."""
    return scan_one(_side(), given.run, given.index)


handler = scan_image
