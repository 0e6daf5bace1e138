"""What loads share: a bundle's blobs, counted as they leave."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Self

from petra.errors import NoSpaceError
from petra.oci.media_types import is_manifest

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from petra.content.descriptor import Descriptor
    from petra.content.progress import Progress
    from petra.content.protocols import ByteStream, Fetcher


class CountedSource:
    """A bundle's blobs; tells the progress of each byte, and takes back what has to go again.

    Args:
        archive: where they are; see :class:`petra.load.base.CompletedSource`.
        progress: is told.

    Attributes:
        sent: bytes of all that was sent.
    """

    def __init__(self, archive: Fetcher, progress: Progress) -> None:
        self._archive = archive
        self._progress = progress
        self._lock = threading.Lock()
        self.sent = 0

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return a blob's bytes, not yet checked.

        Raises:
            NotFoundError: the bundle does not carry it.
        """
        stream = self._archive.fetch(descriptor)
        if is_manifest(descriptor.media_type):
            return stream  # read here, and sent from memory
        return _Counted(stream, self._progress)

    def notify(self, descriptor: Descriptor, sent: bool) -> None:  # noqa: FBT001  # as it is called
        """Count a piece that is in place now."""
        if not sent or is_manifest(descriptor.media_type):
            self._progress.on_progress(descriptor.size)
        if sent:
            with self._lock:
                self.sent += descriptor.size


class _Counted:
    """Passes a stream on and counts; what was counted in vain is taken back."""

    def __init__(self, inner: ByteStream, progress: Progress) -> None:
        self._inner = inner
        self._counted = 0
        self._progress = progress

    def readinto(self, buffer: memoryview) -> int:
        count = self._inner.readinto(buffer)
        self._count(count)
        return count

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(size)
        self._count(len(data))
        return data

    def _count(self, count: int) -> None:
        if count:
            self._counted += count
            self._progress.on_progress(count)

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if kind is not None:
            self._count(-self._counted)


def check_space(folder: Path, size: int, what: str = "the images") -> None:
    """Refuse to begin where `size` more bytes do not fit, in a folder that need not be there yet.

    Raises:
        NoSpaceError: they do not.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if size > free:
        raise NoSpaceError(
            f"the disk has no room for {what}",
            where=str(folder),
            expected=f"{size} bytes",
            found=f"{free} bytes free",
            hint="make room there, or choose another folder",
        )
