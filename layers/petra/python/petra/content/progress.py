"""Who is told how a long job goes: the pipeline calls, the command line (or nobody) listens.

In the way of s3transfer's subscribers: phases begin and end, bytes are counted as they pass, and
a count may be negative when a retry begins a piece again.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listens to a job. Called from any thread, once per few MiB; must return at once."""

    def on_start(self, phase: str, total: int | None = None, /) -> None:
        """A phase begins.

        Args:
            phase: what is done, as people read it: ``"resolving"``, ``"writing web-1.0.tar.zst"``.
            total: the bytes that will pass, where that is known; None where it is not.
        """
        ...

    def on_progress(self, count: int, /) -> None:
        """`count` more bytes have passed; fewer than 0 when some have to pass again."""
        ...

    def on_note(self, text: str, /) -> None:
        """Something a person may want to know happened, one sentence."""
        ...

    def on_done(self) -> None:
        """The current phase ended well. A phase that fails simply never ends."""
        ...


class NoProgress:
    """Listens to nothing."""

    def on_start(self, phase: str, total: int | None = None, /) -> None:
        """Ignore it."""

    def on_progress(self, count: int, /) -> None:
        """Ignore it."""

    def on_note(self, text: str, /) -> None:
        """Ignore it."""

    def on_done(self) -> None:
        """Ignore it."""
