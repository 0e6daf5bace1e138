"""How releases go while one waits: a live table on a terminal, a line a change in a pipe."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from petra.cli.output import human_time, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from rich.console import RenderableType
    from rich.live import Live

    from petra.cli.output import Console
    from petra.load.watch import Listener, Standing

_COLOURS: Final = {
    "SUCCEEDED": "green",
    "PROGRESSING": "cyan",
    "MISSING": "yellow",
    "SUSPENDED": "yellow",
}
_BAD: Final = "bold red"


@contextmanager
def following(console: Console, timeout: float) -> Iterator[Listener]:
    """Yield a listener that shows changes on stderr: a live table, lines, or nothing.

    Args:
        console: whether anything is to be shown.
        timeout: seconds that the waiting may take.
    """
    if console.quiet:
        yield lambda standings: None  # noqa: ARG005  # nobody listens
    elif not sys.stderr.isatty():
        yield ReleaseLines(sys.stderr).show
    else:
        with ReleaseTable(sys.stderr, timeout) as table:
            yield table.show


class ReleaseLines:
    """A line for each release whose state or reason changes.

    Args:
        stream: where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: dict[str, tuple[str, str]] = {}

    def show(self, standings: Sequence[Standing]) -> None:
        """Tell what is new."""
        for one in standings:
            now = (str(one.verdict.state), one.verdict.reason)
            if self._told.get(one.expected.key) != now:
                self._told[one.expected.key] = now
                self._stream.write(printable(one.line()) + "\n")
        self._stream.flush()


class ReleaseTable:
    """A table, drawn anew at each change and as time passes. It begins with the first standings.

    Args:
        stream: the terminal.
        timeout: seconds that the waiting may take.
        clock: seconds that only grow.
    """

    def __init__(
        self, stream: TextIO, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._timeout = timeout
        self._clock = clock
        self._began = clock()
        self._standings: Sequence[Standing] = ()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def show(self, standings: Sequence[Standing]) -> None:
        """Draw these standings."""
        self._standings = standings
        if self._live:
            self._live.refresh()
            return
        from rich.console import Console as Terminal  # noqa: PLC0415  # only terminals need it
        from rich.live import Live  # noqa: PLC0415  # as above

        terminal = Terminal(file=self._stream)
        self._live = Live(
            get_renderable=self._drawn, console=terminal, refresh_per_second=2, transient=True
        )
        self._live.start(refresh=True)

    def _drawn(self) -> RenderableType:
        from rich.table import Table  # noqa: PLC0415  # only terminals need it
        from rich.text import Text  # noqa: PLC0415  # as above

        done = sum(one.verdict.settled for one in self._standings)
        passed, most = human_time(self._clock() - self._began), human_time(self._timeout)
        caption = f"{done} of {len(self._standings)} at their end, {passed} of at most {most}"
        table = Table(box=None, expand=True, caption=caption, caption_justify="left")
        table.add_column("state", no_wrap=True)
        table.add_column("release", no_wrap=True)
        table.add_column("chart", no_wrap=True)
        table.add_column("says", no_wrap=True, overflow="ellipsis", ratio=1)
        for one in self._standings:
            verdict, expected = one.verdict, one.expected
            says = f"{verdict.reason}: {' '.join(verdict.message.split())}"
            table.add_row(
                Text(str(verdict.state), style=_COLOURS.get(str(verdict.state), _BAD)),
                Text(printable(expected.key)),
                Text(printable(f"{expected.chart} {expected.version}")),
                Text(printable(says)),
            )
        return table
