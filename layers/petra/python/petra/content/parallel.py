"""Work on several items at a time, by threads that nobody has to wait for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(work: Callable[[T], R], items: Sequence[T], *, workers: int) -> tuple[R, ...]:
    """Do `work` on all items, several at a time, and return the results in the items' order.

    After an error no further item is begun. The threads are daemons, unlike those of
    ``concurrent.futures``: whoever presses Ctrl-C does not wait for a server that is silent.

    Args:
        work: called on each item, by several threads.
        items: begun in this order.
        workers: threads at most.

    Raises:
        BaseException: the error of the first item, in their order, that failed.
    """
    results: dict[int, R] = {}
    errors: dict[int, BaseException] = {}
    left = iter(enumerate(items))
    lock = threading.Lock()

    def run() -> None:
        while not errors:
            with lock:
                number, item = next(left, (-1, None))
            if number < 0:
                return
            try:
                results[number] = work(item)  # type: ignore[arg-type]  # None comes with -1 only
            except BaseException as error:  # noqa: BLE001  # raised again below
                errors[number] = error

    count = min(workers, len(items))
    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return tuple(results[number] for number in range(len(items)))
