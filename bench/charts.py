"""Ten charts in an HTTP repository on loopback."""

from __future__ import annotations

import functools
import hashlib
import http.server
import random
import tarfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from bench.pool import gzip_member, tar_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COUNT = 10
_FILES = 40


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing: requests would stand between the table's lines."""


@contextmanager
def chart_repository(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a repository of charts from `folder`; yields its URL and the charts' names."""
    served = folder / "repository"
    served.mkdir(parents=True, exist_ok=True)
    names = [f"app-{number}" for number in range(_COUNT)]
    entries = {}
    for name in names:
        data = _chart(name)
        (served / f"{name}-1.0.0.tgz").write_bytes(data)
        entry = {"apiVersion": "v2", "name": name, "version": "1.0.0"}
        digest = hashlib.sha256(data).hexdigest()
        entries[name] = [{**entry, "digest": digest, "urls": [f"{name}-1.0.0.tgz"]}]
    index = {"apiVersion": "v1", "entries": entries, "generated": "2026-01-01T00:00:00Z"}
    (served / "index.yaml").write_text(yaml.safe_dump(index))
    handler = functools.partial(_Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", names
        server.shutdown()


def _chart(name: str) -> bytes:
    noise = random.Random(name)  # noqa: S311  # the same charts on any day, not secrets
    metadata = f"apiVersion: v2\nname: {name}\nversion: 1.0.0\ndescription: for the benchmark\n"
    files = {"Chart.yaml": metadata, "values.yaml": "replicas: 1\n"}
    for number in range(_FILES):
        data = "".join(f"  key-{line}: {noise.getrandbits(64):x}\n" for line in range(60))
        head = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{number}}}\ndata:\n"
        files[f"templates/config-{number}.yaml"] = head + data
    entries = b"".join(tar_entry(f"{name}/{path}", text.encode()) for path, text in files.items())
    return gzip_member(entries + bytes(2 * tarfile.BLOCKSIZE))
