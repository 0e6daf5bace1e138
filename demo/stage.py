"""Tells and runs the demo's steps: the petra command, as a user calls it, and what it printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Of all keys that the demo makes. They live as long as it does.
PASSWORD = "demo"  # noqa: S105
_PETRA = Path(sys.executable).with_name("petra")
_READY_SECONDS = 20


class DemoError(Exception):
    """A step did not come out as it should."""


def expect(*, holds: bool, what: str) -> None:
    """Show that `what` holds.

    Raises:
        DemoError: it does not.
    """
    if not holds:
        raise DemoError(f"this should hold, and does not: {what}")
    print(f"   ✓ {what}")


@dataclass
class Stage:
    """One run of the demo.

    Attributes:
        folder: the working directory of all commands.
        steps: how many were told.
    """

    folder: Path
    steps: int = field(default=0)

    @property
    def environment(self) -> dict[str, str]:
        """The commands' environment: nothing of the user's own settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PETRA_", "COSIGN_"))}
        return {**kept, "HOME": str(self.folder), "COSIGN_PASSWORD": PASSWORD}

    def step(self, text: str) -> None:
        """Tell what comes next."""
        self.steps += 1
        indent = f"{self.steps}. "
        print("\n" + textwrap.fill(text, 88, initial_indent=indent, subsequent_indent="   "))

    def show(self, text: str) -> None:
        """Show a file or an output, set apart."""
        print(textwrap.indent(text.rstrip(), "   | "))

    def petra(self, *arguments: str, status: int = 0, show: bool = True) -> str:
        """Run petra as a user does and show it; return what it printed.

        Raises:
            DemoError: it ends with another status.
        """
        self._show_command(arguments)
        result = subprocess.run(
            [_PETRA, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if show or result.returncode != status:
            self.show(result.stderr + result.stdout)
        if result.returncode != status:
            raise DemoError(f"petra ended with {result.returncode}, expected {status}")
        return result.stdout

    def _show_command(self, arguments: tuple[str, ...]) -> None:
        print(f"\n   $ {shlex.join(['petra', *arguments])}")

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[str]:
        """Run ``petra bundle serve`` in the background; yields the HOST:PORT that it tells."""
        self._show_command(arguments)
        with (self.folder / "serve.log").open("w+") as log:
            server = subprocess.Popen(
                [_PETRA, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                yield _told_address(server, log)
            finally:
                server.terminate()
                server.wait(10)


def _told_address(server: subprocess.Popen[bytes], log: IO[str]) -> str:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        log.seek(0)
        told = log.read()
        if match := re.search(r"127\.0\.0\.1:[1-9]\d+", told):
            print(textwrap.indent(told.rstrip(), "   | "))
            return match.group()
        time.sleep(0.02)
    log.seek(0)
    raise DemoError(f"serve does not listen: {log.read()}")
