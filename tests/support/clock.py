"""Time that passes only where somebody waits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Clock:
    """A clock for what waits.

    Attributes:
        now: the time.
        slept: each wait, in seconds.
    """

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
