"""The scanner's database from the staging bucket: whole, once, and the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from petra.aws.pipeline import scanner_database
from petra.aws.pipeline.scanner_database import fetch_database
from petra.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3.client import S3Client

BUCKET = "staging"


@pytest.fixture
def s3() -> Iterator[S3Client]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def put(s3: S3Client, content: bytes, name: str = "6/vulnerability.db") -> None:
    s3.put_object(Bucket=BUCKET, Key=f"scanner/{name}", Body=content)


def test_a_database_comes_as_grype_keeps_it(s3: S3Client, tmp_path: Path) -> None:
    put(s3, b"db")
    put(s3, b"{}", "6/import.json")
    folder = fetch_database(s3, BUCKET, tmp_path / "disk")
    assert (folder / "6" / "vulnerability.db").read_bytes() == b"db"
    assert (folder / "6" / "import.json").read_bytes() == b"{}"


def test_the_same_database_is_fetched_once(s3: S3Client, tmp_path: Path) -> None:
    put(s3, b"db")
    first = fetch_database(s3, BUCKET, tmp_path / "disk")
    kept = first / "6" / "vulnerability.db"
    kept.write_bytes(b"ours")
    assert fetch_database(s3, BUCKET, tmp_path / "disk") == first
    assert kept.read_bytes() == b"ours"


def test_a_new_database_replaces_the_one_before(s3: S3Client, tmp_path: Path) -> None:
    put(s3, b"old")
    old = fetch_database(s3, BUCKET, tmp_path / "disk")
    put(s3, b"new")
    new = fetch_database(s3, BUCKET, tmp_path / "disk")
    assert (new / "6" / "vulnerability.db").read_bytes() == b"new"
    assert not old.exists()


def test_no_database_is_an_error_that_says_where_it_belongs(s3: S3Client, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="s3://staging/scanner/"):
        fetch_database(s3, BUCKET, tmp_path / "disk")


def test_a_name_that_leads_out_is_refused(s3: S3Client, tmp_path: Path) -> None:
    put(s3, b"x", "../../evil")
    with pytest.raises(StorageError, match="leads out"):
        fetch_database(s3, BUCKET, tmp_path / "disk")
    assert not (tmp_path / "disk").exists()


def test_a_database_beyond_the_limit_is_refused(
    s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, b"x" * 100)
    monkeypatch.setattr(scanner_database, "LIMIT", 99)
    with pytest.raises(StorageError, match="too large"):
        fetch_database(s3, BUCKET, tmp_path / "disk")
