"""Real servers for tests: started as plain processes, ready before use, ended by their pid."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_POLL_SECONDS = 0.02


class Server:
    """One server process with its log in a file.

    Args:
        name: what to call it in errors.
        command: program and arguments.
        log: the file that takes its standard output and error.
        environment: its whole environment; ours where None.
    """

    #: Those that run now, for the log excerpts of a failed test.
    running: ClassVar[list[Server]] = []

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self._environment is None else dict(self._environment),
                start_new_session=True,
            )
        Server.running.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    def stop(self, patience: float = 10.0) -> None:
        """End the process, by force after `patience` seconds. Safe to call twice."""
        if self in Server.running:
            Server.running.remove(self)
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(patience)

    def tail(self, size: int = 4000) -> str:
        """Return the last `size` characters of the log."""
        return self.log.read_text(errors="replace")[-size:]

    def wait_for(self, ready: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait until `ready` says so; a server that ends or takes too long fails with its log."""
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while not ready():
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                why = "not ready in time" if status is None else f"ended with status {status}"
                message = f"{self.name}: {why}\n{self.tail()}"
                self.stop()
                raise RuntimeError(message)
            time.sleep(_POLL_SECONDS)

    def wait_for_log(self, pattern: str, timeout: float = 30.0) -> str:
        """Wait until the log holds `pattern`, a regular expression; return its first group."""
        found: list[str] = []

        def ready() -> bool:
            match = re.search(pattern, self.log.read_text(errors="replace"))
            if match:
                found.append(match.group(1))
            return bool(found)

        self.wait_for(ready, timeout)
        return found[0]
