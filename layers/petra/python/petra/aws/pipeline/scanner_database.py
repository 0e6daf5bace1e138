"""The scanner's database, out of ``scanner/`` in the staging bucket onto a function's own disk."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from petra.aws.faults import petra_errors
from petra.content.digest import Digest
from petra.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectTypeDef

PREFIX: Final = "scanner/"
#: Most bytes and files of a database: grype's has two gigabytes in two files.
LIMIT: Final = 5 * 1024 * 1024 * 1024
MOST_FILES: Final = 100
_CHUNK: Final = 1024 * 1024


def fetch_database(s3: S3Client, bucket: str, disk: Path) -> Path:
    """Return a folder with the database, fetched unless the very same is there already.

    A function that stays warm fetches once; another database replaces the one before.

    Args:
        s3: the client.
        bucket: has grype's own folder below ``scanner/`` (``6/vulnerability.db`` …).
        disk: the folder for it.

    Raises:
        NotFoundError: there is none, or it was exchanged meanwhile.
        StorageError: it is too large, or names a file outside.
        PetraError: S3 failed.
    """
    where = f"s3://{bucket}/{PREFIX}"
    with petra_errors(doing="list the scanner's database", where=where):
        found = s3.list_objects_v2(Bucket=bucket, Prefix=PREFIX, MaxKeys=MOST_FILES + 1)
    files = [each for each in found.get("Contents", []) if not each["Key"].endswith("/")]
    _check(files, where)
    folder = disk / _name(files)
    if not folder.is_dir():
        shutil.rmtree(disk, ignore_errors=True)
        disk.mkdir(parents=True)
        _fetch_all(s3, bucket, files, folder)
    return folder


def _check(files: list[ObjectTypeDef], where: str) -> None:
    if not files:
        raise NotFoundError(
            "there is no database of the scanner", where=where, hint="bring grype's folder there"
        )
    if len(files) > MOST_FILES or sum(each["Size"] for each in files) > LIMIT:
        raise StorageError(
            "the scanner's database is too large",
            where=where,
            expected=f"at most {MOST_FILES} files of {LIMIT} bytes together",
        )
    for each in files:
        if ".." in each["Key"].split("/"):
            raise StorageError("a name leads out of the folder", where=where, found=each["Key"])


def _name(files: Iterable[ObjectTypeDef]) -> str:
    lines = sorted(f"{each['Key']} {each['ETag']}" for each in files)
    return Digest.of("\n".join(lines).encode()).hex[:32]


def _fetch_all(s3: S3Client, bucket: str, files: list[ObjectTypeDef], folder: Path) -> None:
    """Fetch aside, and give the folder its name when it is whole."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        new = Path(aside, "new")
        for each in files:
            path = new / each["Key"].removeprefix(PREFIX)
            path.parent.mkdir(parents=True, exist_ok=True)
            _fetch(s3, bucket, each, path)
        new.rename(folder)


def _fetch(s3: S3Client, bucket: str, each: ObjectTypeDef, path: Path) -> None:
    key = each["Key"]
    with petra_errors(doing="read the scanner's database", where=f"s3://{bucket}/{key}"):
        answer = s3.get_object(Bucket=bucket, Key=key, IfMatch=each["ETag"])
        with path.open("wb") as file:
            for block in answer["Body"].iter_chunks(_CHUNK):
                file.write(block)
