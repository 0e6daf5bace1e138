"""A bundle packed straight into S3, and verified in place there, on moto."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from petra.archive.framing import framing
from petra.archive.plan import Plan
from petra.archive.verify import verify_archive
from petra.archive.writer import pack
from petra.aws import s3_source
from petra.aws.objects import DIGEST_KEY, describe
from petra.aws.s3_sink import S3Sink
from petra.aws.s3_source import S3Source
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import AccessError, FormatError, NotFoundError, PetraError, StorageError
from tests.support import archives
from tests.support.s3 import buckets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3.client import S3Client

PART = 5 * 1024 * 1024


def _accept(_: object) -> None:
    """Accept every signature and policy."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An outbox and a landing bucket, empty."""
    with buckets(monkeypatch, "outbox", "landing") as client:
        yield client


def _plan(size: int = 12_000_000) -> Plan:
    blobs = [archives.blob(random.Random(n).randbytes(size // 3)) for n in range(3)]  # noqa: S311
    return Plan(archives.content(*blobs), archives.TIME, framing("tar.zst"))


def _pack(client: S3Client, plan: Plan, key: str = "app") -> tuple[S3Sink, Digest]:
    sink = S3Sink(client, "outbox", key, plan.size, part=PART)
    packed = pack(plan, sink, NoProgress())
    sink.commit()
    return sink, packed.digest


def _uploads(client: S3Client) -> list[Any]:
    return list(client.list_multipart_uploads(Bucket="outbox").get("Uploads", []))


def test_what_is_packed_into_s3_verifies_in_place(s3: S3Client) -> None:
    sink, digest = _pack(s3, _plan())
    assert sink.stored
    data = s3.get_object(Bucket="outbox", Key="app")["Body"].read()
    assert Digest.of(data) == digest
    with S3Source(s3, "outbox", "app", sink.stored.version) as source:
        found = verify_archive(source, _accept, _accept, NoProgress())
    assert found.digest == digest


def test_only_the_version_that_was_opened_is_read(s3: S3Client) -> None:
    sink, digest = _pack(s3, _plan(300_000))
    assert sink.stored
    s3.put_object(Bucket="outbox", Key="app", Body=b"put there later")
    with S3Source(s3, "outbox", "app", sink.stored.version) as source:
        assert verify_archive(source, _accept, _accept, NoProgress()).digest == digest


def test_without_versions_an_object_that_was_replaced_is_noticed(s3: S3Client) -> None:
    s3.put_object(Bucket="outbox", Key="a", Body=b"x" * 100)
    with S3Source(s3, "outbox", "a", None) as source:
        s3.put_object(Bucket="outbox", Key="a", Body=b"y" * 100)
        with pytest.raises(NotFoundError, match="replaced while it was read"):
            source.read_into(0, memoryview(bytearray(10)))


@pytest.mark.parametrize("offset", [0, 1, 999, 5000])
def test_reads_elsewhere_ask_for_their_range_alone(
    s3: S3Client, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(250)) * 40
    s3.put_object(Bucket="outbox", Key="a", Body=content)
    monkeypatch.setattr(s3_source, "BLOCK", 1024)
    with S3Source(s3, "outbox", "a", None) as source:
        for start in (offset, 9000, 20):  # the first may be the start of a pass
            buffer = bytearray(700)
            source.read_into(start, memoryview(buffer))
            assert bytes(buffer) == content[start : start + 700]


def test_several_passes_at_once_each_get_their_own(
    s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(1).randbytes(60_000)  # noqa: S311  # a fixed input
    s3.put_object(Bucket="outbox", Key="a", Body=content)
    monkeypatch.setattr(s3_source, "BLOCK", 4096)
    found: dict[int, bytes] = {}

    def read(start: int, source: S3Source) -> None:
        parts = []
        for offset in range(start, start + 20_000, 1000):
            buffer = bytearray(1000)
            source.read_into(offset, memoryview(buffer))
            parts.append(bytes(buffer))
        found[start] = b"".join(parts)

    with S3Source(s3, "outbox", "a", None) as source:
        threads = [
            threading.Thread(target=read, args=(start, source)) for start in (0, 20_000, 40_000)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {start: content[start : start + 20_000] for start in (0, 20_000, 40_000)}


def test_reading_past_the_end_is_told(s3: S3Client) -> None:
    s3.put_object(Bucket="outbox", Key="a", Body=b"short")
    with S3Source(s3, "outbox", "a", None) as source, pytest.raises(FormatError, match="too early"):
        source.read_into(3, memoryview(bytearray(3)))


def test_an_object_that_is_not_there_is_told(s3: S3Client) -> None:
    with pytest.raises(NotFoundError, match="no such bucket or object"):
        S3Source(s3, "outbox", "none", None)


def test_what_is_there_is_not_replaced(s3: S3Client) -> None:
    s3.put_object(Bucket="outbox", Key="app", Body=b"theirs")
    with pytest.raises(StorageError, match="nothing is replaced"):
        S3Sink(s3, "outbox", "app", 10)
    assert _uploads(s3) == []


def test_what_comes_in_while_packing_is_not_replaced(s3: S3Client) -> None:
    sink = S3Sink(s3, "outbox", "app", 10)
    sink.write_at(0, b"0123456789")
    s3.put_object(Bucket="outbox", Key="app", Body=b"theirs")
    with pytest.raises(StorageError, match="nothing is replaced"):
        sink.commit()
    sink.abort()
    assert s3.get_object(Bucket="outbox", Key="app")["Body"].read() == b"theirs"
    assert _uploads(s3) == []


def test_an_aborted_pass_leaves_nothing(s3: S3Client) -> None:
    sink = S3Sink(s3, "outbox", "app", 2 * PART, part=PART)
    sink.write_at(0, bytes(PART))
    sink.abort()
    sink.abort()
    assert describe(s3, "outbox", "app") is None
    assert _uploads(s3) == []


def test_half_an_object_is_never_committed(s3: S3Client) -> None:
    sink = S3Sink(s3, "outbox", "app", 2 * PART, part=PART)
    sink.write_at(0, bytes(PART + 5))
    with pytest.raises(StorageError, match="not all of the object"):
        sink.commit()
    sink.abort()
    assert describe(s3, "outbox", "app") is None


class _Refusing:
    """S3, but for parts, which it takes no more."""

    def __init__(self, inner: S3Client) -> None:
        self._inner = inner
        self.asked = 0

    def upload_part(self, **given: Any) -> Any:
        self.asked += 1
        answer = {"Error": {"Code": "AccessDenied", "Message": "no"}}
        raise ClientError(answer, "UploadPart")  # type: ignore[arg-type]  # all that is read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_part_that_is_refused_ends_the_pass(s3: S3Client) -> None:
    client: Any = _Refusing(s3)
    sink = S3Sink(client, "outbox", "app", 40 * PART, part=PART)

    def write() -> None:
        for number in range(40):
            sink.write_at(number * PART, bytes(PART))

    with pytest.raises(AccessError, match="upload a part"):
        write()
    assert client.asked < 10
    sink.abort()
    assert _uploads(s3) == []


def test_every_writer_is_told_of_a_part_that_is_refused(s3: S3Client) -> None:
    client: Any = _Refusing(s3)
    sink = S3Sink(client, "outbox", "app", 12 * PART, part=PART)
    told: list[str] = []

    def write(number: int) -> None:
        try:
            sink.write_at(number * PART, bytes(PART))
        except PetraError as error:
            told.append(error.message)

    write(0)
    with pytest.raises(AccessError):
        sink.commit()  # which waits for the part
    writers = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(1, 12)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert len(told) == len(writers)
    sink.abort()


def test_the_digest_is_put_on_the_object_when_it_is_known(s3: S3Client) -> None:
    sink, digest = _pack(s3, _plan(300_000))
    sink.label(digest)
    tags = s3.get_object_tagging(Bucket="outbox", Key="app")["TagSet"]
    assert tags == [{"Key": DIGEST_KEY, "Value": digest.hex}]
