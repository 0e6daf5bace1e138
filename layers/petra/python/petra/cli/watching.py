"""``petra receive --watch``: the folder of a diode's receiving side, watched."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from petra.cli.opening import sender_keys
from petra.errors import PetraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from petra.bundle.receive import Receiver
    from petra.cli.command import Call
    from petra.transfer.arrival import Arrival
    from petra.transfer.landing import Incoming
    from petra.transfer.watch import Patience

#: How many names a line of text shows.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Watching:
    """How a folder is watched.

    Attributes:
        folder: the folder.
        inbox: where bundles go.
        stream: where a stream is listened for that fills the folder; None for none.
        patience: how long to wait.
    """

    folder: Path
    inbox: Path
    stream: str | None
    patience: Patience


class _Lines:
    """Says what happens, each in a line as it happens."""

    def __init__(self, call: Call) -> None:
        self._console = call.console

    def on_waiting(self, one: Incoming) -> None:
        """Say what is there and what is not."""
        lines = [f"waiting   {one.bundle}: {len(one.seen)} files are here"]
        for what, names in (("missing", one.missing), ("damaged", one.damaged)):
            lines += [f"{what}   {name}" for name in names[:_SHOWN]]
            if len(names) > _SHOWN:
                lines.append(f"{what}   and {len(names) - _SHOWN} more; --output json names all")
        self._console.event("waiting", one.to_json(), "\n".join(lines))

    def on_refused(self, one: Incoming, error: PetraError) -> None:
        """Say why."""
        value = {**one.to_json(), "error": error.to_json()}
        self._console.event("refused", value, f"refused   {one.bundle}: {error}")


def watch(
    call: Call,
    how: Watching,
    receiver: Receiver | None,
    receive: Callable[[Arrival], Mapping[str, Any]],
    lines: Callable[[Mapping[str, Any]], list[str]],
) -> None:
    """Watch a folder and take in what arrives.

    Args:
        call: settings and console.
        how: the folder, and how it is watched.
        receiver: what is asked of bundles.
        receive: takes one in, verified.
        lines: says in text what was taken in.
    """
    try:
        _watch(call, how, receiver, receive, lines)
    except PetraError as error:
        if not call.console.json:
            raise
        call.console.event("error", {"error": error.to_json()}, "")
        raise click.exceptions.Exit(error.exit_status) from None


def _watch(
    call: Call,
    how: Watching,
    receiver: Receiver | None,
    receive: Callable[[Arrival], Mapping[str, Any]],
    lines: Callable[[Mapping[str, Any]], list[str]],
) -> None:
    from petra.content.progress import NoProgress  # noqa: PLC0415  # start-up time
    from petra.transfer.landing import Landing, held_in  # noqa: PLC0415  # as above
    from petra.transfer.watch import Watch  # noqa: PLC0415  # as above

    def take(one: Incoming) -> None:
        assert one.arrival is not None  # noqa: S101  # for the type checker
        if held := held_in(how.inbox, one):
            value: Mapping[str, Any] = {"bundle": one.bundle, "path": str(held), "wasThere": True}
            call.console.event("received", value, f"received  {held} (was there already)")
            return
        value = receive(one.arrival)
        call.console.event("received", value, "\n".join(lines(value)))

    keys = sender_keys(call, None, receiver)
    landing = Landing(how.folder, keys, how.patience.settle, NoProgress())
    with ExitStack() as stack:
        check = _listening(call, stack, how) if how.stream else lambda: None
        call.console.note(f"watching {how.folder} …")
        Watch(how.folder, landing, take, _Lines(call), how.patience, check).run()


def _listening(call: Call, stack: ExitStack, how: Watching) -> Callable[[], None]:
    """Listen for a stream that fills the folder; return what says whether that still goes."""
    from petra.transfer.oneway import Endpoint, PyDiode  # noqa: PLC0415  # start-up time
    from petra.transfer.streaming import StreamListener  # noqa: PLC0415  # as above

    link = PyDiode(Endpoint.parse(str(how.stream), where="--stream"))
    return stack.enter_context(StreamListener(link, how.folder, call.console.warn)).check
