"""Objects in S3: names, uploads in one pass that never replace anything, and copies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from petra.aws.faults import petra_errors
from petra.content.digest import Digest, Hasher
from petra.errors import DigestMismatchError, SettingError, StorageError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from petra.archive.source import Source
    from petra.content.progress import Progress

SCHEME: Final = "s3://"
#: Metadata that holds the content's SHA-256, hex: S3's own checksum of a multipart object is none.
DIGEST_KEY: Final = "petra-sha256"
#: Parts of an upload. Memory is one part; 10,000 of them make 312 GiB.
PART: Final = 32 * 1024 * 1024
#: Parts of a copy inside S3, which go through nobody's memory.
COPY_PART: Final = 1024 * 1024 * 1024
#: Up to here one copy will do. Source: S3 API Reference, CopyObject.
COPY_LIMIT: Final = 5 * 1024 * 1024 * 1024
_PARTS: Final = 10_000
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PRECONDITION: Final = "PreconditionFailed"


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and the start of keys in it.

    Attributes:
        bucket: the bucket.
        prefix: the start of keys, empty or with a slash at its end.
    """

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return ``s3://BUCKET[/PREFIX]`` as a place.

        Raises:
            SettingError: it has another form.
        """
        bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
        if not text.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
            raise SettingError("not a place in S3", where=text, expected="s3://BUCKET[/PREFIX]")
        prefix = prefix.strip("/")
        return cls(bucket, f"{prefix}/" if prefix else "")

    def key(self, name: str) -> str:
        """Return the key of `name` here."""
        return self.prefix + name

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there.

    Attributes:
        version: its version; None in a bucket without versions.
        size: bytes.
        digest: as its metadata says; None where it says nothing.
    """

    version: str | None
    size: int
    digest: Digest | None


def describe(client: S3Client, bucket: str, key: str) -> Stored | None:
    """Return what is at `key`, or None.

    Raises:
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415  # boto3 is an extra

    where = f"{SCHEME}{bucket}/{key}"
    with petra_errors(doing="look at the object", where=where):
        try:
            answer = client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
    text = answer["Metadata"].get(DIGEST_KEY)
    digest = Digest.parse(f"sha256:{text}", where=where) if text else None
    return Stored(_version(answer), answer["ContentLength"], digest)


def upload(  # what, to where, and who is told
    client: S3Client,
    source: Source,
    digest: Digest,
    bucket: str,
    key: str,
    progress: Progress,
    *,
    part: int = PART,
) -> Stored:
    """Put `source` at `key`, where nothing may be yet; the same content there is found and kept.

    The bytes are hashed as they are sent; the object appears only if they have `digest`.

    Args:
        client: for S3.
        source: the content, open.
        digest: of the content, as it was verified.
        bucket: the bucket.
        key: the key.
        progress: told of each part.
        part: bytes sent at a time, at least 5 MiB; raised where there would be too many.

    Raises:
        DigestMismatchError: the content has another digest, or other content is at `key`.
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached; nothing is at `key`.
    """
    where = f"{SCHEME}{bucket}/{key}"
    if there := describe(client, bucket, key):
        return _same(there, digest, source.size, where)
    part = max(part, -(-source.size // _PARTS))
    metadata = {DIGEST_KEY: digest.hex}
    with petra_errors(doing="upload the object", where=where):
        begun = client.create_multipart_upload(
            Bucket=bucket, Key=key, Metadata=metadata, ChecksumAlgorithm="SHA256"
        )
        target = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
        try:
            parts = _send(client, source, digest, target, progress, part)
            made = complete_upload(client, target, parts, source.size, where)
        except BaseException:
            abort_upload(client, target)
            raise
    if made is not None:
        return Stored(made.version, made.size, digest)
    there = describe(client, bucket, key)
    return _same(there or Stored(None, 0, None), digest, source.size, where)


def _send(  # as above
    client: S3Client,
    source: Source,
    digest: Digest,
    target: dict[str, str],
    progress: Progress,
    part: int,
) -> list[dict[str, Any]]:
    hasher, buffer = Hasher(), memoryview(bytearray(max(1, min(part, source.size))))
    sent: list[dict[str, Any]] = []
    for number, offset in enumerate(range(0, max(source.size, 1), len(buffer)), start=1):
        view = buffer[: source.size - offset]
        source.read_into(offset, view)
        hasher.update(view)
        answer = client.upload_part(
            **target,  # type: ignore[arg-type]  # bucket, key and upload
            PartNumber=number,
            Body=bytes(view),
            ChecksumAlgorithm="SHA256",
        )
        sent.append({"PartNumber": number, "ETag": answer["ETag"], **_checksum(answer)})
        progress.on_progress(len(view))
    if hasher.digest() != digest:
        raise DigestMismatchError(
            "the file is not what was verified",
            where=source.name,
            expected=digest,
            found=hasher.digest(),
            hint="it changed meanwhile; verify it again. Nothing was put into the bucket",
        )
    return sent


def _checksum(answer: Any) -> dict[str, str]:
    found = answer.get("ChecksumSHA256")
    return {"ChecksumSHA256": found} if found else {}


def complete_upload(
    client: S3Client, target: dict[str, str], parts: list[dict[str, Any]], size: int, where: str
) -> Stored | None:
    """Let an object appear from its parts, unless there is one under its key by now.

    Args:
        client: for S3.
        target: ``Bucket``, ``Key`` and ``UploadId``.
        parts: as S3 answered them, in order.
        size: bytes of all parts.
        where: the object, for errors.

    Returns:
        What is there now, without a digest; None where another object came first. The upload is
        given up then.

    Raises:
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415  # boto3 is an extra

    with petra_errors(doing="complete the object", where=where):
        try:
            answer = client.complete_multipart_upload(
                **target,  # type: ignore[arg-type]  # bucket, key and upload
                MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]  # as S3 gave them
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != _PRECONDITION:
                raise
            abort_upload(client, target)
            return None
    return Stored(_version(answer), size, None)


def abort_upload(client: S3Client, target: dict[str, str]) -> None:
    """Give up an upload, so that no part of it stays and costs; it may be gone already.

    Args:
        client: for S3.
        target: ``Bucket``, ``Key`` and ``UploadId``.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415  # boto3 is an extra

    try:
        client.abort_multipart_upload(**target)  # type: ignore[arg-type]  # bucket, key and upload
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchUpload":
            raise


def _same(there: Stored, digest: Digest, size: int, where: str) -> Stored:
    """Return what is there already, if it is what was to come."""
    if (there.digest, there.size) == (digest, size):
        return there
    raise DigestMismatchError(
        "another object is there already; nothing is replaced",
        where=where,
        expected=f"{digest}, {size} bytes",
        found=f"{there.digest or 'no digest in its metadata'}, {there.size} bytes",
        hint="send under another prefix, or give the bundle a new version",
    )


def _version(answer: Any) -> str | None:
    version = answer.get("VersionId")
    return None if version in (None, "null") else str(version)


def copy_object(
    client: S3Client, source: dict[str, str], there: Stored, bucket: str, key: str
) -> Stored:
    """Copy one object version inside S3, whole or not at all; the same object there is kept.

    Args:
        client: for S3.
        source: ``Bucket``, ``Key`` and, where there are versions, ``VersionId``.
        there: what the source is, with its digest.
        bucket: where it goes.
        key: its key there.

    Raises:
        DigestMismatchError: another object is at `key`.
        StorageError: what arrived has another size.
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached; nothing is at `key`.
    """
    where = f"{SCHEME}{bucket}/{key}"
    if there.digest is None:
        raise SettingError("the object's metadata has no digest", where=str(source))
    if found := describe(client, bucket, key):
        return _same(found, there.digest, there.size, where)
    with petra_errors(doing="copy the object", where=where):
        if there.size <= COPY_LIMIT:
            client.copy_object(
                CopySource=source,  # type: ignore[arg-type]  # the three above
                Bucket=bucket,
                Key=key,
                MetadataDirective="REPLACE",  # a packed object has its digest as a tag alone
                Metadata={DIGEST_KEY: there.digest.hex},
                TaggingDirective="COPY",
                ChecksumAlgorithm="SHA256",
            )
        else:
            _copy_in_parts(client, source, there, bucket, key)
    arrived = describe(client, bucket, key)
    if arrived is None or arrived.size != there.size:
        raise StorageError("the copy did not arrive whole", where=where, expected=there.size)
    return arrived


def _copy_in_parts(
    client: S3Client, source: dict[str, str], there: Stored, bucket: str, key: str
) -> None:
    tags = client.get_object_tagging(**source)["TagSet"]  # type: ignore[arg-type]  # as above
    begun = client.create_multipart_upload(
        Bucket=bucket,
        Key=key,
        Metadata={DIGEST_KEY: there.digest.hex if there.digest else ""},
        Tagging="&".join(f"{_quoted(tag['Key'])}={_quoted(tag['Value'])}" for tag in tags),
        ChecksumAlgorithm="SHA256",
    )
    target = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
    try:
        parts = []
        for number, offset in enumerate(range(0, there.size, COPY_PART), start=1):
            end = min(offset + COPY_PART, there.size) - 1
            answer = client.upload_part_copy(
                **target,  # type: ignore[arg-type]  # as above
                PartNumber=number,
                CopySource=source,  # type: ignore[arg-type]  # as above
                CopySourceRange=f"bytes={offset}-{end}",
            )["CopyPartResult"]
            parts.append({"PartNumber": number, "ETag": answer["ETag"], **_checksum(answer)})
        client.complete_multipart_upload(
            **target,  # type: ignore[arg-type]  # as above
            MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]  # as S3 gave them
            IfNoneMatch="*",
        )
    except BaseException:
        abort_upload(client, target)
        raise


def _quoted(text: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415  # tags are rare

    return quote(text, safe="")
