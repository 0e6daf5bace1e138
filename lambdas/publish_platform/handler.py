"""Publishes the platform's manifests, and lets the cluster read them."""

from __future__ import annotations

from functools import cache
from typing import Any

from petra.aws.entry import measured, step
from petra.aws.events import PublishInput
from petra.aws.pipeline.loading import publish_platform as run
from petra.aws.pipeline.sides import Classified


@cache
def _side() -> Classified:
    return Classified(emit=measured)


@step(PublishInput)
def publish_platform(given: PublishInput) -> dict[str, Any]:
    """Publishes the platform's manifests, and lets the cluster read them."""
    return run(_side(), given.run, given.action)


handler = publish_platform
