"""A bundle's object as chunks: cut inside S3, hashed in one pass. Bundle format, section 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.aws.objects import (
    COPY_PART,
    DIGEST_KEY,
    SCHEME,
    Stored,
    abort_upload,
    complete_upload,
    describe,
)
from petra.content.digest import Digest, Hasher
from petra.errors import DigestMismatchError
from petra.transfer.manifest import FileRecord, dump_manifest, make_manifest
from petra.transfer.names import chunk_name, chunk_sizes
from petra.transfer.source import split

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from petra.archive.source import Source
    from petra.transfer.manifest import ChunkManifest

_BLOCK: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Whole:
    """The object that is cut.

    Attributes:
        bucket: its bucket, which the chunks go to as well.
        key: its key.
        version: its version.
        digest: of its content.
        size: bytes.
    """

    bucket: str
    key: str
    version: str | None
    digest: Digest
    size: int

    @property
    def file(self) -> str:
        """Its file name."""
        return self.key.rpartition("/")[2]

    def beside(self, name: str) -> str:
        """Return the key of a file beside it."""
        return f"{self.key.rpartition('/')[0]}/{name}"

    @property
    def source(self) -> dict[str, str]:
        """It, as S3's copies name it."""
        more = {"VersionId": self.version} if self.version else {}
        return {"Bucket": self.bucket, "Key": self.key, **more}


def chunk_records(source: Source, whole: Whole, limit: int) -> ChunkManifest:
    """Return the manifest of a bundle's chunks; the bundle is read once.

    Args:
        source: the bundle.
        whole: what it is.
        limit: the most bytes of a chunk.

    Raises:
        DigestMismatchError: it is not what was packed.
        SettingError: there would be too many.
    """
    sizes = chunk_sizes(whole.size, limit)
    every, hashers = Hasher(), [Hasher() for _ in sizes]
    buffer = memoryview(bytearray(min(_BLOCK, max(whole.size, 1))))
    for offset in range(0, whole.size, len(buffer)):
        view = buffer[: whole.size - offset]
        source.read_into(offset, view)
        every.update(view)
        for number, _, part in split(offset, view, limit):
            hashers[number].update(part)
    if every.digest() != whole.digest:
        raise DigestMismatchError(
            "the object is not what was packed",
            where=source.name,
            expected=whole.digest,
            found=every.digest(),
        )
    names = [chunk_name(whole.file, number, len(sizes)) for number in range(1, len(sizes) + 1)]
    records = [
        FileRecord(name=name, size=size, digest=hasher.digest())
        for name, size, hasher in zip(names, sizes, hashers, strict=True)
    ]
    return make_manifest(
        FileRecord(name=whole.file, size=whole.size, digest=whole.digest), records, []
    )


def cut(client: S3Client, whole: Whole, manifest: ChunkManifest) -> list[Stored]:
    """Let each chunk of `manifest` appear beside the bundle, copied inside S3.

    Raises:
        DigestMismatchError: another object is there.
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """
    found, offset = [], 0
    for record in manifest.chunks:
        found.append(_cut_one(client, whole, record, offset))
        offset += record.size
    return found


def _cut_one(client: S3Client, whole: Whole, record: FileRecord, offset: int) -> Stored:
    key = whole.beside(record.name)
    where = f"{SCHEME}{whole.bucket}/{key}"
    if there := describe(client, whole.bucket, key):
        return _same(there, record, where)
    with petra_errors(doing="cut a chunk", where=where):
        begun = client.create_multipart_upload(
            Bucket=whole.bucket,
            Key=key,
            Metadata={DIGEST_KEY: record.digest.hex},
            ChecksumAlgorithm="SHA256",
        )
        target = {"Bucket": whole.bucket, "Key": key, "UploadId": begun["UploadId"]}
        try:
            parts = _copied(client, whole, target, offset, record.size)
            made = complete_upload(client, target, parts, record.size, where)
        except BaseException:
            abort_upload(client, target)
            raise
    made = made or describe(client, whole.bucket, key) or Stored(None, 0, None)
    return Stored(made.version, made.size, record.digest)


def _copied(
    client: S3Client, whole: Whole, target: dict[str, str], start: int, size: int
) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for number, offset in enumerate(range(start, start + size, COPY_PART), 1):
        end = min(offset + COPY_PART, start + size) - 1
        answer = client.upload_part_copy(
            **target,  # type: ignore[arg-type]  # bucket, key and upload
            PartNumber=number,
            CopySource=whole.source,  # type: ignore[arg-type]  # the three above
            CopySourceRange=f"bytes={offset}-{end}",
        )["CopyPartResult"]
        checksum = answer.get("ChecksumSHA256")
        more = {"ChecksumSHA256": checksum} if checksum else {}
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **more})
    return parts


def _same(there: Stored, record: FileRecord, where: str) -> Stored:
    if (there.digest, there.size) == (record.digest, record.size):
        return there
    raise DigestMismatchError(
        "another object stands where a chunk goes; nothing is replaced",
        where=where,
        expected=f"{record.digest}, {record.size} bytes",
        found=f"{there.digest or 'no digest'}, {there.size} bytes",
    )


def manifest_bytes(manifest: ChunkManifest) -> bytes:
    """Return the manifest's file."""
    return dump_manifest(manifest)
