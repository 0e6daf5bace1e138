"""Progress for people: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from petra.cli.output import human_size, human_time, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from petra.content.progress import Progress

#: Plain lines come no closer together than this, in seconds …
_GAP = 2.0
#: … and only after this much more of the whole, or after this long.
_SHARE = 0.1
_PATIENCE = 30.0


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Progress]:
    """Yield a listener that tells `stream` how the job goes; a failed job leaves no bar behind."""
    if not stream.isatty():
        yield LineProgress(stream)
        return
    from rich.console import Console as RichConsole  # noqa: PLC0415  # only terminals need it

    bars = _bars(RichConsole(file=stream))
    with bars:
        yield BarProgress(bars)


class LineProgress:
    """Plain lines, few of them, for logs.

    Args:
        stream: where they go.
        clock: seconds that only grow.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._phase = ""
        self._total: int | None = None
        self._count = 0
        self._began = self._told = 0.0
        self._told_count = 0

    def on_start(self, phase: str, total: int | None = None, /) -> None:
        """Say that a phase begins."""
        with self._lock:
            self._phase, self._total, self._count = phase, total, 0
            self._began = self._told = self._clock()
            self._told_count = 0
            self._line(f"{phase}{f' ({human_size(total)})' if total else ''} …")

    def on_progress(self, count: int, /) -> None:
        """Count, and now and then say how far it is."""
        with self._lock:
            self._count += count
            now = self._clock()
            since = now - self._told
            enough = self._total and self._count - self._told_count >= self._total * _SHARE
            if since >= _GAP and (enough or since >= _PATIENCE):
                self._told, self._told_count = now, self._count
                self._line(f"{self._phase}: {self._so_far(now)}")

    def on_note(self, text: str, /) -> None:
        """Say it."""
        with self._lock:
            self._line(text)

    def on_done(self) -> None:
        """Say that the phase ended, and how fast it went."""
        with self._lock:
            if self._phase and self._count:
                seconds = max(self._clock() - self._began, 0.001)
                rate = human_size(self._count / seconds)
                size = human_size(self._count)
                self._line(f"{self._phase}: {size} in {seconds:.1f} s, {rate}/s")
            self._phase = ""

    def _so_far(self, now: float) -> str:
        rate = self._count / max(now - self._began, 0.001)
        text = f"{human_size(self._count)}, {human_size(rate)}/s"
        if not self._total:
            return text
        share = min(100 * self._count // self._total, 100)
        left = (self._total - self._count) / rate if rate > 0 else 0
        of = f"{human_size(self._count)} of {human_size(self._total)}, {human_size(rate)}/s"
        return f"{share} %, {of}, {human_time(max(left, 0))} left"

    def _line(self, text: str) -> None:
        self._stream.write(printable(text) + "\n")
        self._stream.flush()


class BarProgress:
    """One bar for each phase, with rate and time left."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def on_start(self, phase: str, total: int | None = None, /) -> None:
        """Show a new bar."""
        self._task = self._bars.add_task(printable(phase), total=total)

    def on_progress(self, count: int, /) -> None:
        """Move it."""
        if self._task is not None:
            self._bars.advance(self._task, count)

    def on_note(self, text: str, /) -> None:
        """Say it above the bars."""
        self._bars.console.print(printable(text), markup=False, highlight=False)

    def on_done(self) -> None:
        """Fill the bar."""
        if self._task is not None:
            task = next(task for task in self._bars.tasks if task.id == self._task)
            total = task.completed if task.total is None else task.total
            # A phase without bytes has nothing to fill: one of one.
            self._bars.update(self._task, total=total or 1, completed=total or 1)
            self._bars.stop_task(self._task)


def _bars(console: object) -> RichProgress:
    from rich.progress import (  # noqa: PLC0415  # only terminals need it
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,  # type: ignore[arg-type]
    )
