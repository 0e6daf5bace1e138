"""An object version in S3, read in place by ranges: what a file is to the rest of Petra.

A pass from front to back is met by read-ahead; a read elsewhere asks for exactly its range. Memory
is at most ``BLOCK * BLOCKS`` bytes (48 MiB), whatever the object's size.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from petra.aws.faults import petra_errors
from petra.aws.objects import SCHEME
from petra.errors import FormatError, NotFoundError, TransportError

if TYPE_CHECKING:
    from types import TracebackType

    from types_boto3_s3.client import S3Client

#: Bytes of a request of a pass from front to back; a power of two.
BLOCK: Final = 8 * 1024 * 1024
#: Blocks in memory, those under way among them.
BLOCKS: Final = 6
#: Requests at once.
AHEAD: Final = 3
_ATTEMPTS: Final = 4
#: Ends of recent reads: a read that begins at one of them goes on with a pass.
_PASSES: Final = 16


class S3Source:
    """One version of an object. A :class:`petra.archive.source.Source`.

    Args:
        client: for S3.
        bucket: the bucket.
        key: the key.
        version: the version that is read, and no other; None in a bucket without versions, where
            the object is pinned by its ETag instead.

    Raises:
        NotFoundError: there is no such object version.
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, version: str | None) -> None:
        self.name = f"{SCHEME}{bucket}/{key}" + (f"?versionId={version}" if version else "")
        self._client = client
        self._object = {"Bucket": bucket, "Key": key}
        if version:
            self._object["VersionId"] = version
        with petra_errors(doing="look at the object", where=self.name):
            answer = client.head_object(**self._object)  # type: ignore[arg-type]  # the three above
        self.size: int = answer["ContentLength"]
        self.version = version
        self._etag = answer["ETag"]
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._ends: OrderedDict[int, None] = OrderedDict({0: None})
        self._pool: ThreadPoolExecutor | None = None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset` on; see :class:`petra.archive.source.Source`."""
        end = offset + len(buffer)
        if end > self.size:
            raise FormatError(
                "the object ends too early",
                where=self.name,
                expected=f"{len(buffer)} bytes at {offset}",
                found=f"{self.size} bytes in all",
            )
        if not len(buffer):
            return
        if not self._goes_on(offset, end):
            buffer[:] = self._get(offset, end)
            return
        position = offset
        while position < end:
            number, start = divmod(position, BLOCK)
            part = self._block(number)[start : start + end - position]
            buffer[position - offset : position - offset + len(part)] = part
            position += len(part)

    def _goes_on(self, offset: int, end: int) -> bool:
        """Say whether this read goes on where one before ended, and remember its end."""
        with self._lock:
            goes_on = offset in self._ends
            self._ends.pop(offset, None)
            self._ends[end] = None
            while len(self._ends) > _PASSES:
                self._ends.popitem(last=False)
        return goes_on

    def _block(self, number: int) -> bytes:
        """Return a block, and ask for those after it."""
        with self._lock:
            last = (self.size - 1) // BLOCK
            for wanted in range(number, min(number + AHEAD, last + 1)):
                if wanted not in self._blocks:
                    self._blocks[wanted] = self._ask(wanted)
            self._blocks.move_to_end(number)
            found = self._blocks[number]
            while len(self._blocks) > BLOCKS:
                _, dropped = self._blocks.popitem(last=False)
                dropped.cancel()
        try:
            return found.result()
        except CancelledError:  # another pass needed the room before this block's turn came
            return self._get(number * BLOCK, min((number + 1) * BLOCK, self.size))
        except BaseException:
            with self._lock:
                self._blocks.pop(number, None)  # the next read asks again
            raise

    def _ask(self, number: int) -> Future[bytes]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="petra-s3")
        start = number * BLOCK
        return self._pool.submit(self._get, start, min(start + BLOCK, self.size))

    def _get(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`, asking again where a connection breaks."""
        from botocore.exceptions import (  # noqa: PLC0415  # boto3 is an extra
            HTTPClientError,
            IncompleteReadError,
            ResponseStreamingError,
        )

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                data = self._request(start, end)
            except (HTTPClientError, IncompleteReadError, ResponseStreamingError) as error:
                if attempt == _ATTEMPTS:
                    raise TransportError(
                        "S3 broke off", where=self.name, found=type(error).__name__
                    ) from None
                continue
            if len(data) == end - start:
                return data
        raise TransportError("S3 sent fewer bytes than it was asked for", where=self.name)

    def _request(self, start: int, end: int) -> bytes:
        from botocore.exceptions import ClientError  # noqa: PLC0415  # as above

        try:
            answer = self._client.get_object(
                **self._object,  # type: ignore[arg-type]  # bucket, key and version
                Range=f"bytes={start}-{end - 1}",
                IfMatch=self._etag,
            )
            with answer["Body"] as body:
                return body.read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                raise NotFoundError(
                    "the object was replaced while it was read",
                    where=self.name,
                    hint="turn on versions for the bucket, and begin anew",
                ) from None
            with petra_errors(doing="read the object", where=self.name):
                raise
            raise  # pragma: no cover  # petra_errors has raised

    def close(self) -> None:
        """Let go of what was read ahead. Safe to call twice."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._blocks.clear()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
