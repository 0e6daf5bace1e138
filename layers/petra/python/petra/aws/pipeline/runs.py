"""What the steps of a run tell each other: small documents in S3, under ``runs/RUN/``.

What is written once is never replaced: a step that is tried again finds what its first try came to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.aws.objects import SCHEME
from petra.content.digest import Digest
from petra.encoding.json import dump_json, load_json
from petra.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

RUN_DIGITS: Final = 32
#: The most bytes of a document: the SBOMs and scans of one image are the largest.
LIMIT: Final = 256 * 1024 * 1024
_ABSENT: Final = ("404", "NoSuchKey", "NotFound")
_TAKEN: Final = ("PreconditionFailed", "412")


def run_of(*parts: str) -> str:
    """Return the name of the run that `parts` start: bucket, key and version of an object.

    The same event again is the same run.
    """
    return Digest.of("\0".join(parts).encode()).hex[:RUN_DIGITS]


def read_object(
    client: S3Client, bucket: str, key: str, version: str | None = None, *, limit: int = LIMIT
) -> bytes | None:
    """Return a small object, None where there is none.

    Args:
        client: for S3.
        bucket: the bucket.
        key: the key.
        version: the version; the newest where None.
        limit: the most bytes.

    Raises:
        StorageError: it is larger.
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415  # boto3 is an extra

    where = f"{SCHEME}{bucket}/{key}"
    more = {"VersionId": version} if version else {}
    with petra_errors(doing="read the object", where=where):
        try:
            answer = client.get_object(Bucket=bucket, Key=key, **more)  # type: ignore[arg-type]  # a version
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return None
            raise
        with answer["Body"] as body:
            if answer["ContentLength"] > limit:
                raise StorageError(
                    "the object is too large",
                    where=where,
                    expected=f"at most {limit} bytes",
                    found=answer["ContentLength"],
                )
            return body.read()


def write_object(client: S3Client, bucket: str, key: str, data: bytes, *, once: bool) -> bool:
    """Put a small object; return whether this call did.

    Args:
        client: for S3.
        bucket: the bucket.
        key: the key.
        data: its content.
        once: leave what is there already.

    Raises:
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415  # as above

    more = {"IfNoneMatch": "*"} if once else {}
    kind = "application/json" if key.endswith(".json") else "application/octet-stream"
    with petra_errors(doing="write the object", where=f"{SCHEME}{bucket}/{key}"):
        try:
            client.put_object(
                Bucket=bucket,
                Key=key,
                Body=data,
                ContentType=kind,
                ChecksumAlgorithm="SHA256",
                **more,  # type: ignore[arg-type]  # a condition
            )
        except ClientError as error:
            if once and error.response["Error"]["Code"] in _TAKEN:
                return False
            raise
    return True


@dataclass(frozen=True, slots=True)
class Runs:
    """The documents of one run.

    Attributes:
        client: for S3.
        bucket: that of the side's documents.
        run: which run.
    """

    client: S3Client
    bucket: str
    run: str

    def key(self, name: str) -> str:
        """Return the key of a document."""
        return f"runs/{self.run}/{name}"

    def find(self, name: str) -> bytes | None:
        """Return a document, None where there is none."""
        return read_object(self.client, self.bucket, self.key(name))

    def read(self, name: str) -> bytes:
        """Return a document.

        Raises:
            NotFoundError: a step that should have come before did not, or documents have expired.
        """
        found = self.find(name)
        if found is None:
            raise NotFoundError(
                "a document of the run is not there",
                where=f"{SCHEME}{self.bucket}/{self.key(name)}",
                hint="start the run anew: put the object again",
            )
        return found

    def keep(self, name: str, data: bytes) -> bytes:
        """Write a document once; return what is there now, of this call or of one before."""
        if write_object(self.client, self.bucket, self.key(name), data, once=True):
            return data
        return self.read(name)

    def put(self, name: str, data: bytes) -> None:
        """Write a document, in the place of one before."""
        write_object(self.client, self.bucket, self.key(name), data, once=False)

    def find_json(self, name: str) -> Any:
        """Return a JSON document, None where there is none."""
        data = self.find(name)
        return None if data is None else load_json(data, where=name)

    def read_json(self, name: str) -> Any:
        """Return a JSON document.

        Raises:
            NotFoundError: as for :meth:`read`.
        """
        return load_json(self.read(name), where=name)

    def keep_json(self, name: str, value: Any) -> Any:
        """Write a JSON document once; return what is there now."""
        return load_json(self.keep(name, dump_json(value)), where=name)

    def put_json(self, name: str, value: Any) -> None:
        """Write a JSON document, in the place of one before."""
        self.put(name, dump_json(value))
