"""A real docker-registry process on loopback."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """\
version: 0.1
log: {{level: info, formatter: text}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  delete: {{enabled: true}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http:
  addr: "{address}"
  secret: not-a-secret
"""


@dataclass(frozen=True)
class DockerRegistry:
    """A running registry.

    Attributes:
        host: ``127.0.0.1:PORT``, what a reference begins with. ``str()`` gives the same.
        storage: its folder.
        server: its process.
    """

    host: str
    storage: Path
    server: Server

    def __str__(self) -> str:
        return self.host


@contextmanager
def running_registry(
    program: Path, folder: Path, *, storage: Path | None = None, port: int = 0
) -> Iterator[DockerRegistry]:
    """Run docker-registry until the block ends.

    Args:
        program: the docker-registry binary.
        folder: takes its configuration and log.
        storage: its content, by default in `folder`; kept.
        port: on 127.0.0.1; 0 for one that is free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    storage = storage or folder / "storage"
    config = folder / "config.yml"
    config.write_text(_CONFIG.format(storage=storage, address=f"127.0.0.1:{port}"))
    command = [str(program), "serve", str(config)]
    with Server("docker-registry", command, folder / "registry.log") as server:
        # The registry itself picks the port, so no other process can take it in between.
        host = server.wait_for_log(r"listening on (127\.0\.0\.1:\d+)")
        yield DockerRegistry(host, storage, server)
