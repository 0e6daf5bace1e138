"""Work that is made by several threads in any order and consumed by several stages in order.

Memory is the slots and nothing else: a slot is free again when the last stage is done with it.
``len(slots) * buffer size`` bytes is the whole window, whatever the length of the input.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Job = TypeVar("Job")

#: How long a cancelled run waits for threads that may sit in a system call, in seconds.
_PATIENCE = 2.0


class Slot(Protocol):
    """A reusable place for one job's result."""


SlotT = TypeVar("SlotT", bound=Slot)


class Pipeline(Generic[Job, SlotT]):
    """Runs jobs through makers and stages.

    Each maker thread takes a free slot first and the next job second, so the oldest job under way
    always has a slot and the window cannot lock up.

    Args:
        make: fills a slot for a job; called by several threads at once.
        stages: each is called with every slot, in the jobs' order, on a thread of its own.
        slots: the window.
        makers: how many threads make.
    """

    def __init__(
        self,
        make: Callable[[Job, SlotT], None],
        stages: Sequence[Callable[[SlotT], None]],
        slots: Sequence[SlotT],
        makers: int,
    ) -> None:
        self._make = make
        self._stages = stages
        self._makers = makers
        self._free: SimpleQueue[SlotT | None] = SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._queues: list[SimpleQueue[tuple[SlotT, list[None]] | None]] = [
            SimpleQueue() for _ in stages
        ]
        self._lock = threading.Lock()
        self._taken = 0
        self._passed = 0
        self._ready: dict[int, SlotT] = {}
        self._error: BaseException | None = None

    def run(self, jobs: Iterator[Job]) -> None:
        """Run all `jobs` and return when every stage has seen every one.

        Raises:
            BaseException: the first error of a maker or stage, as it was raised.
        """
        makers = [self._thread(self._make_all, jobs) for _ in range(self._makers)]
        stages = [
            self._thread(self._consume, stage, queue)
            for stage, queue in zip(self._stages, self._queues, strict=True)
        ]
        try:
            for thread in makers:
                thread.join()
            self._close_stages()
            for thread in stages:
                thread.join()
        except BaseException as error:
            self._fail(error)
            for thread in (*makers, *stages):
                thread.join(_PATIENCE)
            raise
        if self._error:
            raise self._error

    def _thread(self, target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(target, *args), daemon=True)
        thread.start()
        return thread

    def _guarded(self, target: Callable[..., None], *args: object) -> None:
        try:
            target(*args)
        except BaseException as error:  # noqa: BLE001  # it is raised again by run()
            self._fail(error)

    def _make_all(self, jobs: Iterator[Job]) -> None:
        while (slot := self._free.get()) is not None:
            with self._lock:
                job = next(jobs, None)
                number, self._taken = self._taken, self._taken + 1
            if job is None:
                self._free.put(slot)
                return
            self._make(job, slot)
            self._pass_on(number, slot)

    def _pass_on(self, number: int, slot: SlotT) -> None:
        with self._lock:
            self._ready[number] = slot
            while (following := self._ready.pop(self._passed, None)) is not None:
                self._passed += 1
                # One token a stage; the stage that takes the last one frees the slot.
                tokens: list[None] = [None] * len(self._stages)
                for queue in self._queues:
                    queue.put((following, tokens))

    def _consume(
        self,
        stage: Callable[[SlotT], None],
        queue: SimpleQueue[tuple[SlotT, list[None]] | None],
    ) -> None:
        while (entry := queue.get()) is not None and self._error is None:
            slot, tokens = entry
            stage(slot)
            with self._lock:
                tokens.pop()
                done = not tokens
            if done:
                self._free.put(slot)

    def _close_stages(self) -> None:
        for queue in self._queues:
            queue.put(None)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
        for _ in range(self._makers):
            self._free.put(None)
        self._close_stages()
