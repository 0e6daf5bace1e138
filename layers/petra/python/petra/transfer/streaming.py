"""Bundles through a one-way stream: sent in rounds, and taken out into a folder."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

from petra.transfer.framing import BLOCK, Unframer, frames
from petra.transfer.names import wire_name
from petra.transfer.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from petra.content.progress import Progress
    from petra.transfer.oneway import OneWay
    from petra.transfer.shipment import ShippedFile

#: How often small files are sent again in each round.
_AGAIN: Final = 2


def send_stream(
    link: OneWay, bundle: str, rounds: Iterable[Sequence[ShippedFile]], progress: Progress
) -> int:
    """Send all rounds as one stream.

    Small files, the manifest and signatures among them, have no parity and lie side by side: at the
    end of each round they are sent again, so far on that one loss cannot reach both.

    Args:
        link: the one-way link.
        bundle: the bundle's file name.
        rounds: the files of each round, in order.
        progress: told of each block.

    Returns:
        How many rounds there were.

    Raises:
        PetraError: a file cannot be read, or the link's tool failed.
    """
    number = 0
    with link.sending() as send:
        for number, files in enumerate(rounds, start=1):
            progress.on_start(f"send round {number}", sum(one.size for one in files))
            for frame in _frames(bundle, files):
                send(frame)
                progress.on_progress(len(frame))
            small = [one for one in files if one.size <= BLOCK]
            for _ in range(_AGAIN):
                send(bytes(link.reach))
                for frame in _frames(bundle, small):
                    send(frame)
            progress.on_done()
    return number


def _frames(bundle: str, files: Iterable[ShippedFile]) -> Iterator[bytes]:
    for one in files:
        yield from frames(one, wire_name(bundle, one.name))


class StreamListener:
    """Takes streams out of a link, into a folder, on a thread of its own.

    Args:
        link: the one-way link.
        folder: where files appear when they are whole.
        on_note: is told of files that are passed over, on that thread.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(
        self, link: OneWay, folder: Path, on_note: Callable[[str], None] = lambda _: None
    ) -> None:
        self._link = link
        self._spool = Spool(folder, on_note)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._link.stop()
        self._thread.join()
        self._spool.close()

    def check(self) -> None:
        """Raise what ended the listening.

        Raises:
            PetraError: the link's tool failed, or the disk refused.
        """
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        unframer = Unframer()

        def take(data: bytes) -> None:
            for block in unframer.feed(data):
                self._spool.take(block)

        try:
            self._link.receive(take)
        except BaseException as error:  # noqa: BLE001  # raised again by check
            self._error = error
