"""Each Lambda layer is unpacked once, and all functions read that one copy.

MiniStack unpacks every layer anew for every worker: a hundred megabytes for each cold start. On AWS
a layer is read-only and shared, so nothing that could be seen changes, but for the time it takes.
"""

from __future__ import annotations

import tempfile
import threading
import types
import zipfile
import zlib
from pathlib import Path
from typing import Any

_LOCK = threading.Lock()


class SharedZip(zipfile.ZipFile):
    """A zip that becomes a link to the one copy there is, where it is unpacked as a layer."""

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        """Unpack into `path`, or make it a link."""
        folder = Path(path)
        if not folder.name.startswith("layer_"):
            super().extractall(path, members, pwd)
            return
        shared = Path(tempfile.gettempdir()) / "layers" / self._name()
        with _LOCK:
            if not shared.exists():
                beside = shared.with_suffix(".part")
                super().extractall(beside)
                beside.rename(shared)
        folder.rmdir()
        folder.symlink_to(shared, target_is_directory=True)

    def _name(self) -> str:
        listed = [(one.filename, one.CRC, one.file_size) for one in self.infolist()]
        return f"{len(listed)}-{zlib.crc32(repr(sorted(listed)).encode()):08x}"


def install() -> None:
    """Let MiniStack's workers share layers."""
    from ministack.core import lambda_runtime  # noqa: PLC0415  # MiniStack's own environment

    lambda_runtime.zipfile = types.SimpleNamespace(**{**vars(zipfile), "ZipFile": SharedZip})
