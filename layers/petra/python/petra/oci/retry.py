"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Statuses that another try can turn into success.
RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    Source: Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): a random
    wait between nothing and the bound spreads many clients best.

    Attributes:
        retries: tries after the first.
        base: the bound of the first wait, in seconds; it doubles each time.
        cap: the highest bound, in seconds.
        patience: the longest wait that a registry may ask for, in seconds.
        sleep: waits so many seconds.
        now: the seconds since 1970, to read HTTP dates by.
        uniform: a random number from 0 to 1.
    """

    retries: int = 5
    base: float = 0.2
    cap: float = 10.0
    patience: float = 120.0
    sleep: Callable[[float], object] = time.sleep
    now: Callable[[], float] = time.time
    uniform: Callable[[], float] = random.random

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait before trying again.

        Args:
            attempt: how many tries have been repeated so far, 0 for the first wait.
            retry_after: what the other side asked for, in seconds; a little is added to it, so
                that not everyone comes back at once.
        """
        jitter = self.uniform() * min(self.cap, self.base * 2.0**attempt)
        return jitter if retry_after is None else retry_after + self.uniform() * self.base

    def pause(self, attempt: int, retry_after: float | None = None) -> None:
        """Wait as :meth:`delay` says."""
        self.sleep(self.delay(attempt, retry_after))


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return how many seconds a Retry-After header asks to wait; None where it says nothing usable.

    Args:
        value: seconds, or an HTTP date (RFC 9110, section 10.2.3).
        now: the seconds since 1970.
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)
