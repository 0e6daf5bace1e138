"""Lengths of time on the command line, as Kubernetes' own tools write them."""

from __future__ import annotations

import re
from typing import Any

import click

_PARTS = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s?)?")
_FACTORS = (3600, 60, 1)


class Duration(click.ParamType[float]):
    """``90s``, ``10m``, ``1h30m``, or a number of seconds; becomes seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return `value` in seconds."""
        if isinstance(value, int | float):
            return float(value)
        match = _PARTS.fullmatch(str(value).strip())
        if not match or not any(match.groups()):
            self.fail(f"{value!r} is no length of time, such as 90s, 10m or 1h30m", param, ctx)
        parts = zip(match.groups(), _FACTORS, strict=True)
        return float(sum(int(part or 0) * factor for part, factor in parts))
