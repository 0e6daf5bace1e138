"""Keeps what is sent to a rate: a one-way link cannot say that it is too fast."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from petra.transfer.crossing import Clock

#: Bytes that may pass at once after a pause.
_BURST: Final = 2 * 1024 * 1024


class TokenBucket:
    """Lets bytes pass at a rate; what did not pass in a pause may follow at once, up to a burst.

    Args:
        rate: bytes a second; None for no limit.
        clock: for waiting; the system's where None.
        burst: the bytes that may follow at once.
    """

    def __init__(self, rate: int | None, clock: Clock | None = None, burst: int = _BURST) -> None:
        self._rate = rate
        self._clock = clock or time
        self._burst = float(burst)
        self._tokens = float(burst)
        self._last = self._clock.monotonic()

    def spend(self, count: int) -> None:
        """Wait until `count` more bytes may pass. They may be more than a burst."""
        if self._rate is None:
            return
        now = self._clock.monotonic()
        self._tokens = min(self._tokens + (now - self._last) * self._rate, self._burst) - count
        self._last = now
        if self._tokens < 0:
            self._clock.sleep(-self._tokens / self._rate)
