"""A registry that dies after so many requests, as a client sees it that is killed itself."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.front import Front, front_of
from tests.support.scripted_server import Received, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator


class CutOff:
    """Lets so many requests through, and answers none after them.

    Attributes:
        host: what clients speak to.
        reached: whether a request came after those that were let through.

    Args:
        front: stands before the registry.
    """

    def __init__(self, front: Front) -> None:
        self._left = 0
        self._lock = threading.Lock()
        self.host = front.host
        self.reached = False
        front.server.otherwise = self._answer
        self._front = front

    def allow(self, requests: int) -> None:
        """Let so many more requests through."""
        with self._lock:
            self._left, self.reached = requests, False

    def _answer(self, received: Received) -> Reply:
        with self._lock:
            self._left -= 1
            cut = self._left < 0
            self.reached = self.reached or cut
        return Reply(length=-1, cut=0, reset=True) if cut else self._front.good(received)


@contextmanager
def cut_off(upstream: str) -> Iterator[CutOff]:
    """Run what stands before the registry at `upstream` until the block ends."""
    with front_of(upstream) as front:
        yield CutOff(front)
