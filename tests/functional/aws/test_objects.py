"""Objects in S3, on moto: what is put there is what was verified, and nothing is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from petra.archive.source import FileSource
from petra.aws.objects import DIGEST_KEY, Place, Stored, copy_object, describe, upload
from petra.aws.s3_copy import S3Copy
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import DigestMismatchError, NotFoundError, SettingError
from petra.transfer.crossing import Limits, Parcel, carry
from tests.support.s3 import buckets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3.client import S3Client

PART = 5 * 1024 * 1024
CONTENT = bytes(range(256)) * (11 * 1024 * 1024 // 256) + b"end"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An outbox and a landing bucket, empty."""
    with buckets(monkeypatch, "outbox", "landing") as client:
        yield client


def _file(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "app-1.0.tar.zst"
    path.write_bytes(content)
    return path


def _upload(client: S3Client, path: Path, digest: Digest | None = None) -> Stored:
    with FileSource(path) as source:
        wanted = digest or Digest.of(path.read_bytes())
        return upload(client, source, wanted, "outbox", "a/app", NoProgress(), part=PART)


def _uploads(client: S3Client, bucket: str = "outbox") -> list[Any]:
    return list(client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@pytest.mark.parametrize("content", [CONTENT, b"small", b""], ids=["parts", "small", "empty"])
def test_what_is_put_there_is_the_file(s3: S3Client, tmp_path: Path, content: bytes) -> None:
    stored = _upload(s3, _file(tmp_path, content))
    assert s3.get_object(Bucket="outbox", Key="a/app")["Body"].read() == content
    assert describe(s3, "outbox", "a/app") == stored
    assert (stored.size, stored.digest) == (len(content), Digest.of(content))


def test_the_same_content_is_found_and_not_sent_again(s3: S3Client, tmp_path: Path) -> None:
    path = _file(tmp_path)
    first, second = _upload(s3, path), _upload(s3, path)
    assert first == second
    assert len(s3.list_object_versions(Bucket="outbox")["Versions"]) == 1


def test_other_content_is_never_replaced(s3: S3Client, tmp_path: Path) -> None:
    _upload(s3, _file(tmp_path))
    with pytest.raises(DigestMismatchError, match="nothing is replaced"):
        _upload(s3, _file(tmp_path, b"other"))
    assert s3.get_object(Bucket="outbox", Key="a/app")["Body"].read() == CONTENT


def test_an_object_that_came_in_meanwhile_wins(s3: S3Client, tmp_path: Path) -> None:
    path = _file(tmp_path)

    class Late(NoProgress):
        def on_progress(self, count: int, /) -> None:
            s3.put_object(Bucket="outbox", Key="a/app", Body=b"theirs")

    with FileSource(path) as source, pytest.raises(DigestMismatchError, match="nothing is"):
        upload(s3, source, Digest.of(CONTENT), "outbox", "a/app", Late(), part=PART)
    assert s3.get_object(Bucket="outbox", Key="a/app")["Body"].read() == b"theirs"
    assert _uploads(s3) == []


def test_a_file_that_is_not_what_was_verified_never_appears(s3: S3Client, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError, match="not what was verified"):
        _upload(s3, _file(tmp_path), Digest.of(b"verified"))
    assert describe(s3, "outbox", "a/app") is None
    assert _uploads(s3) == []


def test_an_interrupted_upload_leaves_nothing(s3: S3Client, tmp_path: Path) -> None:
    class Interrupt(NoProgress):
        def on_progress(self, count: int, /) -> None:
            raise KeyboardInterrupt

    path = _file(tmp_path)
    with FileSource(path) as source, pytest.raises(KeyboardInterrupt):
        upload(s3, source, Digest.of(CONTENT), "outbox", "a/app", Interrupt(), part=PART)
    assert describe(s3, "outbox", "a/app") is None
    assert _uploads(s3) == []


def test_a_missing_bucket_is_named(s3: S3Client, tmp_path: Path) -> None:
    with (
        FileSource(_file(tmp_path)) as source,
        pytest.raises(NotFoundError, match="no such bucket") as caught,
    ):
        upload(s3, source, Digest.of(CONTENT), "nowhere", "a/app", NoProgress())
    assert "s3://nowhere/a/app" in str(caught.value)


def _parcel(stored: Stored) -> Parcel:
    assert stored.digest
    return Parcel("outbox", "a/app", stored.version, stored.size, stored.digest, "app")


def test_a_copy_is_of_the_version_that_was_verified(s3: S3Client, tmp_path: Path) -> None:
    stored = _upload(s3, _file(tmp_path))
    s3.put_object_tagging(
        Bucket="outbox", Key="a/app", Tagging={"TagSet": [{"Key": "bundle", "Value": "app 1.0"}]}
    )
    s3.put_object(Bucket="outbox", Key="a/app", Body=b"put there later by somebody")
    transfer = S3Copy(s3, Place.parse("s3://landing/in"))
    carry(transfer, [[_parcel(stored)]], Limits(), NoProgress())
    arrived = s3.get_object(Bucket="landing", Key="in/app")
    assert arrived["Body"].read() == CONTENT
    assert arrived["Metadata"] == {DIGEST_KEY: Digest.of(CONTENT).hex}
    tags = s3.get_object_tagging(Bucket="landing", Key="in/app")["TagSet"]
    assert tags == [{"Key": "bundle", "Value": "app 1.0"}]


def test_a_large_object_is_copied_in_parts(
    s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petra.aws.objects.COPY_LIMIT", PART)
    monkeypatch.setattr("petra.aws.objects.COPY_PART", PART)
    stored = _upload(s3, _file(tmp_path))
    s3.put_object_tagging(
        Bucket="outbox", Key="a/app", Tagging={"TagSet": [{"Key": "a b", "Value": "c+d"}]}
    )
    source = {"Bucket": "outbox", "Key": "a/app", "VersionId": str(stored.version)}
    arrived = copy_object(s3, source, stored, "landing", "app")
    assert s3.get_object(Bucket="landing", Key="app")["Body"].read() == CONTENT
    assert (arrived.size, arrived.digest) == (stored.size, stored.digest)
    tags = s3.get_object_tagging(Bucket="landing", Key="app")["TagSet"]
    assert tags == [{"Key": "a b", "Value": "c+d"}]
    assert _uploads(s3, "landing") == []


def test_a_copy_that_is_there_is_kept_and_another_object_never_replaced(
    s3: S3Client, tmp_path: Path
) -> None:
    stored = _upload(s3, _file(tmp_path))
    transfer = S3Copy(s3, Place.parse("s3://landing"))
    carry(transfer, [[_parcel(stored)], [_parcel(stored)]], Limits(), NoProgress())
    assert len(s3.list_object_versions(Bucket="landing")["Versions"]) == 1
    s3.put_object(Bucket="landing", Key="app", Body=b"other")
    with pytest.raises(DigestMismatchError, match="nothing is replaced"):
        carry(transfer, [[_parcel(stored)]], Limits(), NoProgress())


@pytest.mark.parametrize("text", ["landing", "s3://", "s3://Upper/x", "https://landing", "s3:///x"])
def test_what_is_no_place_in_s3_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="not a place in S3"):
        Place.parse(text)
