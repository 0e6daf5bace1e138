"""The table on the screen, and the JSON that the next run compares itself with."""

from __future__ import annotations

import json
import platform
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from bench.measure import Comparison, Series

_COLUMNS = (("case", 22), ("command", 34), ("wall", 8), ("ratio", 20), ("CPU", 7))
_MORE = (("peak", 8), ("written", 9), ("last run", 9))


def to_json(comparisons: list[Comparison], label: str, versions: dict[str, str]) -> dict[str, Any]:
    """Return all figures, each run's too."""
    return {
        "size": label,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"kernel": platform.release(), "python": platform.python_version()},
        "tools": versions,
        "cases": {comparison.name: _case(comparison) for comparison in comparisons},
    }


def _case(comparison: Comparison) -> dict[str, Any]:
    return {
        "goal": comparison.goal,
        "note": comparison.note,
        "ratio": {
            series.label: {
                "median": comparison.ratio(peer),
                "pairs": comparison.ratios(peer),
            }
            for peer, series in enumerate(comparison.series)
            if peer
        },
        "commands": {series.label: _series(series) for series in comparison.series},
    }


def _series(series: Series) -> dict[str, Any]:
    names = ("wall", "cpu", "memory", "written", "read")
    return {
        "median": {name: series.median(name) for name in names},
        "peak": series.peak(),
        "runs": [vars(figures) for figures in series.runs],
    }


def save(result: dict[str, Any], before: dict[str, Any], folder: Path) -> Path:
    """Write the result beside the earlier ones, and as the one to compare with.

    Cases that did not run this time stay in the latter as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    stamp = result["time"].replace(":", "").replace("-", "")
    (folder / f"{result['size']}-{stamp}.json").write_text(text)
    path = folder / f"last-{result['size']}.json"
    merged = {**result, "cases": before.get("cases", {}) | result["cases"]}
    path.write_text(json.dumps(merged, indent=2) + "\n")
    return path


def last(folder: Path, label: str) -> dict[str, Any]:
    """Return the last result of this size; empty where there is none."""
    path = folder / f"last-{label}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def table(comparisons: list[Comparison], before: dict[str, Any]) -> str:
    """Return the table: medians, the ratio of pairs, and the change of wall time since last."""
    columns = (*_COLUMNS, *_MORE)
    lines = ["  ".join(name.ljust(width) for name, width in columns).rstrip()]
    lines.append("  ".join("-" * width for _, width in columns))
    for comparison in comparisons:
        known = before.get("cases", {}).get(comparison.name, {}).get("commands", {})
        for number, series in enumerate(comparison.series):
            cells = [
                comparison.name if not number else "",
                series.label,
                f"{series.median('wall'):.2f} s",
                _ratio(comparison, number),
                f"{series.median('cpu'):.2f} s",
                f"{series.peak() / (1 << 20):.0f} MiB",
                f"{series.median('written') / 1e6:.0f} MB",
                _change(series, known.get(series.label)),
            ]
            row = [cell.ljust(width) for cell, (_, width) in zip(cells, columns, strict=True)]
            lines.append("  ".join(row).rstrip())
        if comparison.note:
            lines.append(" " * 24 + comparison.note)
    return "\n".join(lines)


def _ratio(comparison: Comparison, number: int) -> str:
    """The first command's time in units of this one's; its goal on its own line."""
    if not number:
        return f"(goal {comparison.goal})" if comparison.goal else ""
    ratios = comparison.ratios(number)
    return f"{comparison.ratio(number):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _change(series: Series, known: dict[str, Any] | None) -> str:
    if not known:
        return ""
    return f"{series.median('wall') / known['median']['wall'] - 1:+.0%}"
