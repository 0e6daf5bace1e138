"""Work on items that need each other: each as soon as all that it needs is done."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

K = TypeVar("K")


def in_order_of_need(
    work: Callable[[K], object], needs: Mapping[K, Iterable[K]], *, workers: int
) -> None:
    """Do `work` on all keys of `needs`, several at a time, each after those that it needs.

    Of those that can be begun the first in the mapping's order is. After an error no further one
    is. The threads are daemons: whoever presses Ctrl-C does not wait for a server that is silent.

    Args:
        work: called on each key, by several threads.
        needs: what each key needs; all of them are keys too, and stand before those that need
            them, so there are no circles.
        workers: threads at most.

    Raises:
        BaseException: the error of the first key, in their order, that failed.
        ValueError: a need stands after its key, or is no key.
    """
    order = _Order(needs)

    def run() -> None:
        while (number := order.take()) is not None:
            try:
                work(order.keys[number])
            except BaseException as error:  # noqa: BLE001  # raised again below
                order.fail(number, error)
            else:
                order.finish(number)

    count = min(workers, len(order.keys))
    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if order.errors:
        raise order.errors[min(order.errors)]


class _Order(Generic[K]):
    """Which keys can be begun, by their numbers."""

    def __init__(self, needs: Mapping[K, Iterable[K]]) -> None:
        self.keys = list(needs)
        self.errors: dict[int, BaseException] = {}
        self._left = len(self.keys)
        self._waiting: list[int] = []
        self._needed_by: list[list[int]] = [[] for _ in self.keys]
        self._changed = threading.Condition()
        numbers: dict[K, int] = {}
        for number, (key, needed) in enumerate(needs.items()):
            below = {numbers.get(one) for one in needed}
            if None in below:
                raise ValueError(f"{key} needs something that does not stand before it")
            self._waiting.append(len(below))
            for one in below:
                self._needed_by[one or 0].append(number)
            numbers[key] = number
        self._ready = [number for number, count in enumerate(self._waiting) if not count]

    def take(self) -> int | None:
        """Return the next one to begin, once there is one; None when nothing is left to begin."""
        with self._changed:
            while not self._ready and self._left and not self.errors:
                self._changed.wait()
            return heapq.heappop(self._ready) if self._ready and not self.errors else None

    def finish(self, number: int) -> None:
        """Let those that waited only for this one begin."""
        with self._changed:
            self._left -= 1
            for one in self._needed_by[number]:
                self._waiting[one] -= 1
                if not self._waiting[one]:
                    heapq.heappush(self._ready, one)
            self._changed.notify_all()

    def fail(self, number: int, error: BaseException) -> None:
        """Let nothing more begin."""
        with self._changed:
            self.errors[number] = error
            self._changed.notify_all()
