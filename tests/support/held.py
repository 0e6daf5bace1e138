"""A registry that falls silent at one request, so that a process can be killed at that step."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from tests.support.front import Front, front_of
from tests.support.scripted_server import Received, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_PATIENCE = 60.0


class Held:
    """Stands before a registry.

    Args:
        front: passes requests on.
    """

    def __init__(self, front: Front) -> None:
        self.host = front.host
        self._front = front
        self._pattern: re.Pattern[str] | None = None
        self._done = False
        self._reached = threading.Event()
        self._over = threading.Event()
        front.server.otherwise = self._answer

    def _answer(self, received: Received) -> Reply:
        line = f"{received.method} {received.path}"
        if self._pattern is None or not self._pattern.search(line):
            return self._front.good(received)
        if self._done:
            self._front.good(received)
        self._reached.set()
        self._over.wait(_PATIENCE)
        return Reply(lost=True)

    def kill_at(
        self,
        pattern: str,
        when: Literal["before", "after"],
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        """Run `command` until it makes a request that matches, and kill it there.

        Args:
            pattern: a regular expression, searched in ``METHOD PATH``.
            when: whether the registry has done what was asked.
            command: the process.
            folder: its working directory.
            environment: its whole environment.
        """
        self._pattern, self._done = re.compile(pattern), when == "after"
        log = folder / "killed.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            reached = self._reached.wait(_PATIENCE)
        finally:
            process.kill()
            status = process.wait(_PATIENCE)
            self._over.set()
            self._pattern = None
        assert reached, f"it never came to {pattern}: {log.read_text()}"
        assert status == -signal.SIGKILL


@contextmanager
def held(upstream: str) -> Iterator[Held]:
    """Run what stands before the registry at `upstream` until the block ends."""
    with front_of(upstream) as front:
        yield Held(front)
