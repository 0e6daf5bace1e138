"""Uploads under way: bytes as they come, hashed on the way, on disk where the target has one."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest, Hasher
from petra.content.stream import BytesStream
from petra.oci.media_types import OCTET_STREAM
from petra.serve.messages import ApiError
from petra.serve.repositories import Ingester

if TYPE_CHECKING:
    from petra.content.protocols import ByteStream
    from petra.serve.repositories import WritableTarget

_BUFFER_SIZE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much a client may send.

    At most ``uploads`` times ``memory_bytes`` are held in memory, for targets without a disk.

    Attributes:
        blob_bytes: of one blob, where the target keeps it on disk.
        memory_bytes: of one blob, where the target keeps it in memory.
        uploads: under way at once.
        idle_seconds: after which an upload that nobody continues may be dropped.
    """

    blob_bytes: int = 64 * 1024**3
    memory_bytes: int = 2 * 1024**3
    uploads: int = 64
    idle_seconds: float = 900.0


class _Sink(Protocol):
    """Where an upload's bytes lie until their digest is known."""

    def write(self, data: memoryview, /) -> None: ...

    def discard(self) -> None: ...


class _Memory:
    """A sink for targets that have no disk."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: memoryview) -> None:
        self.data += data

    def discard(self) -> None:
        self.data = bytearray()


class Upload:
    """One blob on its way into `target`. One request at a time uses it, under its ``lock``.

    Args:
        name: the repository's.
        target: the repository.
        limits: how much is taken.
    """

    def __init__(self, name: str, target: WritableTarget, limits: UploadLimits) -> None:
        self.identifier = secrets.token_hex(16)
        self.name = name
        self.size = 0
        self.touched = time.monotonic()
        self.lock = threading.Lock()
        self._target = target
        self._hasher = Hasher()
        self._file = target.ingest() if isinstance(target, Ingester) else None
        self._memory = _Memory()
        self._sink: _Sink = self._file or self._memory
        self._limit = limits.blob_bytes if self._file else limits.memory_bytes

    def append(self, body: ByteStream) -> None:
        """Take all of `body`. What came before a failure is kept: a client can go on from there.

        Raises:
            ApiError: the blob becomes too large.
            StorageError: the disk refused.
        """
        buffer = memoryview(bytearray(_BUFFER_SIZE))
        while count := body.readinto(buffer):
            if self.size + count > self._limit:
                raise ApiError(413, "SIZE_INVALID", f"a blob has at most {self._limit} bytes here")
            self._sink.write(buffer[:count])
            self._hasher.update(buffer[:count])
            self.size += count
        self.touched = time.monotonic()

    def commit(self, digest: Digest) -> None:
        """Let the bytes become the blob `digest`.

        Raises:
            ApiError: they have another digest.
            StorageError: the disk refused.
        """
        found = self._hasher.digest()
        if found != digest:
            message = "the content has another digest"
            detail = {"expected": digest, "found": found}
            raise ApiError(400, "DIGEST_INVALID", message, detail=detail)
        if self._file is not None:
            self._file.commit(digest.hex)
            return
        descriptor = Descriptor(OCTET_STREAM, digest, self.size)
        self._target.push(descriptor, BytesStream(self._memory.data))
        self._memory.discard()

    def discard(self) -> None:
        """Forget the bytes. Safe to call twice, and after :meth:`commit`."""
        self._sink.discard()


class Uploads:
    """All uploads under way.

    Args:
        limits: how much is taken.
    """

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def begin(self, name: str, target: WritableTarget) -> Upload:
        """Return a new upload into `target`, the repository `name`.

        Raises:
            ApiError: too many are under way.
            StorageError: the disk refused.
        """
        with self._lock:
            self._drop_idle()
            if len(self._uploads) >= self._limits.uploads:
                raise ApiError(
                    429,
                    "TOOMANYREQUESTS",
                    "too many uploads are under way",
                    headers={"Retry-After": "5"},
                )
            upload = Upload(name, target, self._limits)
            self._uploads[upload.identifier] = upload
        return upload

    def get(self, name: str, identifier: str) -> Upload:
        """Return the upload `identifier` of the repository `name`.

        Raises:
            ApiError: there is none.
        """
        with self._lock:
            upload = self._uploads.get(identifier)
        if upload is None or upload.name != name:
            raise ApiError(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        return upload

    def end(self, upload: Upload) -> None:
        """Forget `upload`, and its bytes unless they became a blob."""
        with self._lock:
            self._uploads.pop(upload.identifier, None)
        upload.discard()

    def close(self) -> None:
        """Forget all uploads."""
        with self._lock:
            uploads = list(self._uploads.values())
            self._uploads.clear()
        for upload in uploads:
            upload.discard()

    def _drop_idle(self) -> None:
        oldest = time.monotonic() - self._limits.idle_seconds
        idle = [
            upload
            for upload in self._uploads.values()
            if upload.touched < oldest and not upload.lock.locked()
        ]
        for upload in idle:
            del self._uploads[upload.identifier]
            upload.discard()
