"""Progress: what long work tells those who watch."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A subscriber to one piece of work. Called from several threads, every few MiB."""

    def on_start(self, phase: str, total: int) -> None:
        """Say that `phase` begins, with `total` bytes to come."""
        ...

    def on_progress(self, count: int) -> None:
        """Say that `count` more bytes are done; negative when work starts over."""
        ...

    def on_done(self) -> None:
        """Say that the phase is over."""
        ...


class NoProgress:
    """Nobody watches."""

    def on_start(self, phase: str, total: int) -> None:
        """Do nothing."""

    def on_progress(self, count: int) -> None:
        """Do nothing."""

    def on_done(self) -> None:
        """Do nothing."""
