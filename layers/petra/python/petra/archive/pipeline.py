"""Work that is made by several threads in any order and consumed by several stages in order.

Memory is the slots and nothing else: a slot is free again when the last stage is done with it.
``makers * slots each * buffer size`` bytes is the whole window, whatever the length of the input.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Job = TypeVar("Job")
SlotT = TypeVar("SlotT")

#: How long a cancelled run waits for threads that may sit in a system call, in seconds.
_PATIENCE = 2.0


class _StoppedError(Exception):
    """Another thread failed: there is nothing more to do."""


class _Entry(NamedTuple, Generic[SlotT]):
    """A slot on its way through the stages, with one token for each that it has yet to pass."""

    slot: SlotT
    tokens: list[None]
    home: SimpleQueue[SlotT | None]


class Pipeline(Generic[Job, SlotT]):
    """Runs jobs through makers and stages.

    Each maker has slots of its own, so those of the oldest job under way always come back to it,
    and the window cannot lock up.

    Args:
        make: fills slots for a job and gives them in order. It is handed the job and a function
            that waits for a free slot; called by several threads at once.
        stages: each is called with every slot, in the order of jobs and within them, on a thread of
            its own.
        slots: for each maker, its slots.
    """

    def __init__(
        self,
        make: Callable[[Job, Callable[[], SlotT]], Iterator[SlotT]],
        stages: Sequence[Callable[[SlotT], None]],
        slots: Sequence[Sequence[SlotT]],
    ) -> None:
        self._make = make
        self._stages = stages
        self._pools: list[SimpleQueue[SlotT | None]] = [SimpleQueue() for _ in slots]
        for pool, own in zip(self._pools, slots, strict=True):
            for slot in own:
                pool.put(slot)
        self._queues: list[SimpleQueue[_Entry[SlotT] | None]] = [SimpleQueue() for _ in stages]
        self._lock = threading.Lock()
        self._taken = 0
        # The job whose slots pass straight on; later jobs' wait in `_ready`.
        self._current = 0
        self._ready: dict[int, list[_Entry[SlotT]]] = {}
        self._finished: set[int] = set()
        self._error: BaseException | None = None

    def run(self, jobs: Iterator[Job]) -> None:
        """Run all `jobs` and return when every stage has seen every slot.

        Raises:
            BaseException: the first error of a maker or stage, as it was raised.
        """
        makers = [self._thread(self._make_all, jobs, pool) for pool in self._pools]
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
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001  # it is raised again by run()
            self._fail(error)

    def _make_all(self, jobs: Iterator[Job], pool: SimpleQueue[SlotT | None]) -> None:
        def take() -> SlotT:
            slot = pool.get()
            if slot is None:
                raise _StoppedError
            return slot

        while self._error is None:
            with self._lock:
                job = next(jobs, None)
                number, self._taken = self._taken, self._taken + 1
            if job is None:
                return
            for slot in self._make(job, take):
                self._pass_on(number, _Entry(slot, [None] * len(self._stages), pool))
            self._finish(number)

    def _pass_on(self, number: int, entry: _Entry[SlotT]) -> None:
        with self._lock:
            if number == self._current:
                self._send(entry)
            else:
                self._ready.setdefault(number, []).append(entry)

    def _finish(self, number: int) -> None:
        """Note that a job is made; let those go on that waited for it."""
        with self._lock:
            self._finished.add(number)
            while self._current in self._finished:
                self._finished.remove(self._current)
                self._current += 1
                for entry in self._ready.pop(self._current, ()):
                    self._send(entry)

    def _send(self, entry: _Entry[SlotT]) -> None:
        for queue in self._queues:
            queue.put(entry)

    def _consume(
        self, stage: Callable[[SlotT], None], queue: SimpleQueue[_Entry[SlotT] | None]
    ) -> None:
        while (entry := queue.get()) is not None and self._error is None:
            stage(entry.slot)
            with self._lock:
                entry.tokens.pop()
                done = not entry.tokens
            if done:
                entry.home.put(entry.slot)

    def _close_stages(self) -> None:
        for queue in self._queues:
            queue.put(None)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
        for pool in self._pools:
            pool.put(None)
        self._close_stages()
