"""The petra command as a process of its own, with nothing of the user's settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.command import Outcome
from tests.support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COMMAND = (sys.executable, "-m", "petra")


@dataclass(frozen=True)
class Petra:
    """Runs petra in one folder.

    Attributes:
        folder: the working directory.
        password: of all keys.
    """

    folder: Path
    password: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The process's environment."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PETRA_", "COSIGN_"))}
        config = str(self.folder / "no-config")
        return {**kept, "XDG_CONFIG_HOME": config, "COSIGN_PASSWORD": self.password}

    def run(self, *arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run petra; a failed assertion shows what it printed if it ends with another status."""
        result = self._ended(*arguments)
        assert result.returncode == status, result.stdout + result.stderr
        return result

    def outcome(self, *arguments: str | Path) -> Outcome:
        """Run petra and return how it ended."""
        result = self._ended(*arguments)
        return Outcome(result.returncode, result.stdout, result.stderr)

    def json(self, *arguments: str | Path) -> Any:
        """Run petra with ``--output json``; return what it printed, parsed."""
        return json.loads(self.run(*arguments, "--output", "json").stdout)

    def _ended(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    @contextmanager
    def serving(self, bundle: Path, key: Path) -> Iterator[str]:
        """Run ``petra bundle serve``; yields HOST:PORT."""
        arguments = ("bundle", "serve", "-f", str(bundle), "--key", str(key))
        command = [*_COMMAND, *arguments, "--listen", "127.0.0.1:0"]
        with Server("petra serve", command, self.folder / "serve.log", self.environment) as server:
            yield server.wait_for_log(r"(127\.0\.0\.1:[1-9]\d*)")
