"""A stretch of one-way network that loses datagrams, by chance and yet the same each time.

As a program: ``python -m tests.support.relay LISTEN_PORT HOST PORT LOSS SEED``; after SIGTERM it
says how many were dropped.
"""

from __future__ import annotations

import random
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection

_BUFFER = 4 * 1024 * 1024
_LARGEST = 65535


class LossyRelay:
    """Hands on datagrams from a port of loopback, and drops some.

    Args:
        port: where it listens; any that is free where 0.
        to: host and port that it sends to.
        loss: the share that is dropped, 0 to 1.
        seed: says which.
        drop: the numbers, from 0, of datagrams that are dropped in any case.

    Attributes:
        port: where it listens.
        passed: how many datagrams were handed on.
        dropped: how many were not.
    """

    def __init__(
        self,
        port: int,
        to: tuple[str, int],
        loss: float = 0.0,
        seed: int = 0,
        drop: Collection[int] = (),
    ) -> None:
        self._drop = drop
        self._to = to
        self._loss = loss
        self._chance = random.Random(seed)  # noqa: S311  # losses, and the same each time
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self.passed = 0
        self.dropped = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not self._ended.is_set():
                try:
                    data = self._socket.recv(_LARGEST)
                except TimeoutError:
                    continue
                number = self.passed + self.dropped
                if self._chance.random() < self._loss or number in self._drop:
                    self.dropped += 1
                else:
                    out.sendto(data, self._to)
                    self.passed += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


def free_udp_port() -> int:
    """Return a port of loopback at which nobody listens just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Relay until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    port, host, there, loss, seed = sys.argv[1:]
    with LossyRelay(int(port), (host, int(there)), float(loss), int(seed)) as relay:
        print("relaying", flush=True)  # noqa: T201  # whoever started it waits for this
        signal.sigwait({signal.SIGTERM})
    print(f"dropped {relay.dropped} passed {relay.passed}")  # noqa: T201  # as above


if __name__ == "__main__":
    main()
