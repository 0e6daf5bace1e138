"""The petra command in this process, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from petra.cli.main import main
from petra.encoding.json import load_json

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        status: its exit status.
        out: what it printed.
        err: what it said on the side.
    """

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, parsed: exactly one JSON value."""
        return load_json(self.out.encode(), where="stdout")


Run: TypeAlias = Callable[..., Outcome]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs the command line with its arguments."""

    def run(*arguments: str | Path) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


def assert_refused(outcome: Outcome, status: int, *says: str) -> None:
    """Check that a call was refused as users are to be refused.

    Args:
        outcome: of the call, with text output.
        status: the exit status to expect.
        says: what the error must name, each somewhere in it.
    """
    assert outcome.status == status, outcome.err
    assert "error: " in outcome.err
    assert "\n  next: " in outcome.err, outcome.err
    for bad in ("Traceback", "bug in petra"):
        assert bad not in outcome.err
    missing = [text for text in says if str(text) not in outcome.err]
    assert not missing, f"{missing} not in:\n{outcome.err}"
    assert outcome.out == ""


def names(folder: Path) -> list[str]:
    """Return the names of all that lies in a folder, hidden things too; none if it is not there."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
