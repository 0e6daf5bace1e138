"""Loads one image into the registry."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import ImageInput
from petra.aws.pipeline.loading import load_image as run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(ImageInput)
def load_image(given: ImageInput) -> dict[str, Any]:
    """Loads one image into the registry."""
    return run(_side(), given.run, given.index)


handler = load_image
