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
    """Yield a listener that tells `stream` how the job goes."""
    if not stream.isatty():
        yield LineProgress(stream)
        return
    with _bars(stream) as bars:
        yield BarProgress(bars)


class _Meter:
    """Counts one phase."""

    def __init__(self, total: int | None, clock: Callable[[], float]) -> None:
        self.total = total
        self.count = 0
        self._clock = clock
        self._began = clock()

    @property
    def seconds(self) -> float:
        return max(self._clock() - self._began, 0.001)

    def so_far(self, *, of: str = "") -> str:
        """Return bytes, rate and time left; `of` follows the bytes."""
        rate = self.count / self.seconds
        text = f"{human_size(self.count)}{of}, {human_size(rate)}/s"
        if not self.total or rate <= 0:
            return text
        return f"{text}, {human_time(max(self.total - self.count, 0) / rate)} left"

    def summary(self) -> str:
        """Return bytes, time and rate of a phase that ended; nothing for one without bytes."""
        if not self.count:
            return ""
        rate = human_size(self.count / self.seconds)
        return f"{human_size(self.count)} in {self.seconds:.1f} s, {rate}/s"


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
        self._meter = _Meter(None, clock)
        self._told_at = 0.0
        self._told_count = 0

    def on_start(self, phase: str, total: int | None = None, /) -> None:
        """Say that a phase begins."""
        with self._lock:
            self._phase, self._meter = phase, _Meter(total, self._clock)
            self._told_at, self._told_count = 0.0, 0
            self._line(f"{phase} ({human_size(total)}) …" if total else f"{phase} …")

    def on_progress(self, count: int, /) -> None:
        """Count, and now and then say how far it is."""
        with self._lock:
            meter = self._meter
            meter.count += count
            since = meter.seconds - self._told_at
            if since < _GAP or (since < _PATIENCE and not self._enough()):
                return
            self._told_at, self._told_count = meter.seconds, meter.count
            if meter.total:
                share = min(100 * meter.count // meter.total, 100)
                text = f"{share} %, {meter.so_far(of=f' of {human_size(meter.total)}')}"
            else:
                text = meter.so_far()
            self._line(f"{self._phase}: {text}")

    def _enough(self) -> bool:
        more = self._meter.count - self._told_count
        return bool(self._meter.total) and more >= (self._meter.total or 0) * _SHARE

    def on_note(self, text: str, /) -> None:
        """Say it."""
        with self._lock:
            self._line(text)

    def on_done(self) -> None:
        """Say that the phase ended, and how fast it went."""
        with self._lock:
            if self._phase and self._meter.count:
                self._line(f"{self._phase}: {self._meter.summary()}")
            self._phase = ""

    def _line(self, text: str) -> None:
        self._stream.write(printable(text) + "\n")
        self._stream.flush()


class BarProgress:
    """A bar for the phase that runs, with bytes, rate and time left; a line for each that ended."""

    def __init__(self, bars: RichProgress, clock: Callable[[], float] = time.monotonic) -> None:
        self._bars = bars
        self._clock = clock
        self._lock = threading.Lock()
        self._phase = ""
        self._meter = _Meter(None, clock)
        self._task: TaskID | None = None

    def on_start(self, phase: str, total: int | None = None, /) -> None:
        """Show a new bar; it only moves to and fro where no total is known."""
        with self._lock:
            self._phase, self._meter = printable(phase), _Meter(total, self._clock)
            self._bars.start()
            self._task = self._bars.add_task(self._phase, total=total or None, detail="")

    def on_progress(self, count: int, /) -> None:
        """Move it."""
        with self._lock:
            if self._task is not None:
                self._meter.count += count
                detail = self._meter.so_far()
                self._bars.update(self._task, completed=self._meter.count, detail=detail)

    def on_note(self, text: str, /) -> None:
        """Say it above the bar."""
        self._bars.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def on_done(self) -> None:
        """Put a line in the bar's place."""
        with self._lock:
            if self._task is not None:
                self._bars.remove_task(self._task)
                self._task = None
                # Between phases the terminal is free, for a table of releases, say.
                self._bars.stop()
                self.on_note(f"{self._phase}: {self._meter.summary() or 'done'}")


def _bars(stream: TextIO) -> RichProgress:
    from rich.console import Console  # noqa: PLC0415  # only terminals need it
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415  # as above
    from rich.table import Column  # noqa: PLC0415  # as above

    return Progress(
        TextColumn(
            "{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=36)
        ),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
        TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True)),
        console=Console(file=stream),
        expand=True,
        transient=True,
    )
