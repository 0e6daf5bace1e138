"""A real containerd process with nothing shared with the machine's own."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from tests.support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.overlayfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{folder}/sock"
"""


@dataclass(frozen=True)
class Containerd:
    """A running containerd.

    Attributes:
        program: the ctr binary.
        folder: root, state and socket.
        server: its process.
    """

    program: Path
    folder: Path
    server: Server

    def ctr(
        self,
        *arguments: str | Path,
        namespace: str = "k8s.io",
        stdin: IO[bytes] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run ctr against it: ``ctr("images", "ls", "-q")``.

        Pull and import into a namespace of the test's own where other tests' images would disturb.
        """
        command = [str(self.program), "--address", str(self.folder / "sock"), "-n", namespace]
        result = subprocess.run(
            [*command, *map(str, arguments)],
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        if check and result.returncode:
            text = f"ctr {' '.join(map(str, arguments))}: {result.stdout}{result.stderr}"
            raise RuntimeError(text)
        return result

    def forget_images(self) -> None:
        """Remove every image, and its content, that earlier tests left."""
        if names := self.ctr("images", "ls", "-q").stdout.split():
            self.ctr("images", "rm", "--sync", *names)


@contextmanager
def running_containerd(program: Path, ctr: Path, folder: Path) -> Iterator[Containerd]:
    """Run containerd in `folder`, an absolute path of at most 100 characters, as root."""
    config = folder / "config.toml"
    config.write_text(_CONFIG.format(folder=folder))
    command = [str(program), "--config", str(config), "--log-level", "info"]
    with Server("containerd", command, folder / "containerd.log") as server:
        daemon = Containerd(ctr, folder, server)
        server.wait_for(lambda: daemon.ctr("version", check=False).returncode == 0)
        yield daemon
