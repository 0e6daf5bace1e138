"""An object in S3, written in one pass as parts. Nothing is there before all is well.

Memory: the parts that are being filled (as many as the writers' window spans, and one) and those
that are being uploaded, ``UPLOADS``; with a window of 42 MiB and parts of 8 MiB at most 96 MiB.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.aws.objects import DIGEST_KEY, SCHEME, abort_upload, complete_upload, describe
from petra.errors import StorageError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from petra.aws.objects import Stored
    from petra.content.digest import Digest

#: Bytes of a part, unless there would be too many. S3 takes none below 5 MiB but the last.
PART: Final = 8 * 1024 * 1024
UPLOADS: Final = 3
_PARTS: Final = 10_000


class S3Sink:
    """One object of known size. A :class:`petra.archive.sink.Sink`.

    Args:
        client: for S3.
        bucket: the bucket.
        key: the key; what is there already is never replaced.
        size: bytes to come; each is written once, in any order.
        part: bytes of a part, at least 5 MiB.

    Attributes:
        stored: what was written, after :meth:`commit`.

    Raises:
        StorageError: there is an object under this key.
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """

    def __init__(
        self, client: S3Client, bucket: str, key: str, size: int, *, part: int = PART
    ) -> None:
        self.stored: Stored | None = None
        self._client = client
        self._size = size
        self._where = f"{SCHEME}{bucket}/{key}"
        self._part = max(part, -(-size // _PARTS))
        self._filling: dict[int, _Part] = {}
        self._uploads: list[Future[dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._room = threading.Semaphore(UPLOADS)
        self._failure: BaseException | None = None
        self._open = False
        if describe(client, bucket, key) is not None:
            raise _taken(self._where)
        with petra_errors(doing="begin the object", where=self._where):
            begun = client.create_multipart_upload(
                Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256"
            )
        self._target = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
        self._open = True
        self._pool = ThreadPoolExecutor(UPLOADS, thread_name_prefix="petra-s3")

    def write_at(self, offset: int, data: memoryview | bytes) -> None:
        """Write `data` to its place; see :class:`petra.archive.sink.Sink`."""
        view = memoryview(data)
        while view:
            number, start = divmod(offset, self._part)
            piece = view[: self._part - start]
            self._put(number, start, piece)
            view, offset = view[len(piece) :], offset + len(piece)

    def _put(self, number: int, start: int, piece: memoryview) -> None:
        with self._lock:
            if number not in self._filling:
                size = min(self._part, self._size - number * self._part)
                self._filling[number] = _Part(size)
            part = self._filling[number]
        part.buffer[start : start + len(piece)] = piece
        with self._lock:
            part.left -= len(piece)
            if part.left:
                return
            del self._filling[number]
        self._room.acquire()
        if self._failure is not None:
            self._room.release()  # others wait for it, to be told the same
            raise self._failure  # at the next part, and not when all of it was packed for nothing
        with self._lock:
            self._uploads.append(self._pool.submit(self._upload, number, part.buffer))

    def _upload(self, number: int, buffer: bytearray) -> dict[str, Any]:
        try:
            with petra_errors(doing="upload a part", where=self._where):
                answer = self._client.upload_part(
                    **self._target,  # type: ignore[arg-type]  # bucket, key and upload
                    PartNumber=number + 1,
                    Body=bytes(buffer),
                    ChecksumAlgorithm="SHA256",
                )
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._room.release()
        checksum = answer.get("ChecksumSHA256")
        more = {"ChecksumSHA256": checksum} if checksum else {}
        return {"PartNumber": number + 1, "ETag": answer["ETag"], **more}

    def commit(self) -> None:
        """Let the object appear, unless there is one by now.

        Raises:
            StorageError: there is one, or not all bytes were written.
            TransportError: a part could not be uploaded.
        """
        parts = sorted((one.result() for one in self._uploads), key=lambda one: one["PartNumber"])
        if self._filling or len(parts) != -(-self._size // self._part):
            raise StorageError("not all of the object was written", where=self._where)
        self.stored = complete_upload(self._client, self._target, parts, self._size, self._where)
        if self.stored is None:
            raise _taken(self._where)
        self._open = False
        self._pool.shutdown()

    def label(self, digest: Digest) -> None:
        """Tag the object with its digest, which is known only at its last byte.

        Raises:
            TransportError: S3 failed or cannot be reached.
        """
        version = self.stored.version if self.stored else None
        more = {"VersionId": version} if version else {}
        with petra_errors(doing="tag the object", where=self._where):
            self._client.put_object_tagging(
                Bucket=self._target["Bucket"],
                Key=self._target["Key"],
                Tagging={"TagSet": [{"Key": DIGEST_KEY, "Value": digest.hex}]},
                **more,  # type: ignore[arg-type]  # a version
            )

    def abort(self) -> None:
        """Give up what was written. Safe to call at any time, also after :meth:`commit`."""
        if not self._open:
            return
        self._open = False
        self._pool.shutdown(wait=True, cancel_futures=True)
        abort_upload(self._client, self._target)


class _Part:
    """A part that is being filled."""

    __slots__ = ("buffer", "left")

    def __init__(self, size: int) -> None:
        self.buffer = bytearray(size)
        self.left = size


def _taken(where: str) -> StorageError:
    return StorageError(
        "there is an object under this key already; nothing is replaced",
        where=where,
        hint="give the bundle a new version, or remove the object yourself",
    )
