"""A listener that ends a job in the middle, as Ctrl-C would."""

from __future__ import annotations

from petra.content.progress import NoProgress


class StoppedError(Exception):
    """The job was ended."""


class StopsAfter(NoProgress):
    """Ends a job once so many pieces, and one more, have passed.

    Args:
        pieces: how many may pass.
    """

    def __init__(self, pieces: int) -> None:
        self._left = pieces

    def on_progress(self, count: int, /) -> None:
        """Count the piece, or end the job."""
        self._left -= 1
        if self._left < 0:
            raise StoppedError
