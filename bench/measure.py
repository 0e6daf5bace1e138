"""Runs commands and keeps their figures: time, CPU, peak memory, bytes written."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LAUNCHER = Path(__file__).parent / "launch.py"


class CommandFailedError(RuntimeError):
    """A measured command failed; its figures would mean nothing."""


@dataclass(frozen=True)
class Command:
    """Something to measure.

    Attributes:
        label: what the table calls it.
        arguments: program and arguments.
        outputs: deleted before the run.
        environment: added to ours.
    """

    label: str
    arguments: Sequence[str | Path]
    outputs: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """What one run used: seconds of wall time and of CPU, peak resident and written bytes."""

    wall: float
    cpu: float
    memory: int
    written: int
    read: int


def run(command: Command) -> Figures:
    """Run `command` once and return its figures.

    Its old outputs are deleted first, and what earlier runs wrote has reached the disk.

    Raises:
        CommandFailedError: it ended with another status than 0.
    """
    _delete(command.outputs)
    os.sync()
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        launcher = (sys.executable, "-I", "-S", str(_LAUNCHER), result.name)
        process = subprocess.run(
            [*launcher, *map(str, command.arguments)],
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        figures = json.loads(Path(result.name).read_text() or '{"status": -1}')
    if figures.pop("status") != 0:
        shown = " ".join(map(str, command.arguments))
        raise CommandFailedError(f"{shown}\n{process.stdout[-2000:]}{process.stderr[-2000:]}")
    return Figures(**figures)


def _delete(outputs: Sequence[Path]) -> None:
    for output in outputs:
        if output.is_dir():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)


@dataclass(frozen=True)
class Series:
    """One command's runs."""

    label: str
    runs: list[Figures]

    def median(self, name: str) -> float:
        """Return the median of one figure."""
        return float(statistics.median(getattr(figures, name) for figures in self.runs))

    def peak(self) -> int:
        """Return the largest peak memory of all runs."""
        return max(figures.memory for figures in self.runs)


@dataclass(frozen=True)
class Comparison:
    """Commands that ran in turns, so that each round is one pair on the same machine's day.

    Attributes:
        name: of the case.
        series: the measured one first, then its peers.
        goal: the ratio to the first peer that we aim at, for the table; None where none is set.
        note: what the reader should know.
    """

    name: str
    series: list[Series]
    goal: float | None = None
    note: str = ""

    def ratios(self, peer: int = 1) -> list[float]:
        """Return wall time against one peer's, pair by pair."""
        pairs = zip(self.series[0].runs, self.series[peer].runs, strict=True)
        return [ours.wall / theirs.wall for ours, theirs in pairs]

    def ratio(self, peer: int = 1) -> float:
        """Return the median of the pairs' ratios."""
        return statistics.median(self.ratios(peer))


def compare(
    name: str,
    commands: Sequence[Command],
    *,
    pairs: int,
    warm_up: int = 1,
    goal: float | None = None,
    note: str = "",
    in_order: bool = False,
) -> Comparison:
    """Run `commands` in turns, `pairs` times, the order turned round each time.

    Args:
        name: of the comparison.
        commands: the measured one first.
        pairs: how many rounds count.
        warm_up: rounds before that, which fill the page cache and are thrown away.
        goal: see :class:`Comparison`.
        note: see :class:`Comparison`.
        in_order: the last command first in every round, since the others build on it.
    """
    series = [Series(command.label, []) for command in commands]
    numbered = list(enumerate(commands))
    for round_number in range(-warm_up, pairs):
        turned = in_order or round_number % 2
        for index, command in reversed(numbered) if turned else numbered:
            figures = run(command)
            if round_number >= 0:
                series[index].runs.append(figures)
        print("." if round_number >= 0 else "w", end="", flush=True)
    for command in commands:
        _delete(command.outputs)
    print(f" {name}", flush=True)
    return Comparison(name, series, goal, note)
