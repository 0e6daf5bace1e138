"""Archives that petra writes: read back by petra, and by plain tar, zstd and gzip."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petra.archive import members, tar, zstd
from petra.archive.framing import framing
from petra.archive.plan import PIECE_SIZE, Plan, Stored, Text
from petra.archive.sink import FileSink
from petra.archive.writer import pack
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.content.stream import BytesStream
from petra.errors import DigestMismatchError, FormatError, NotFoundError, SizeMismatchError
from tests.support import archives

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.content.protocols import ByteStream

FORMATS = ["tar.zst", "tar.gz"]
EDGES = [
    0,
    1,
    511,
    512,
    513,
    zstd.BLOCK - tar.BLOCK,
    zstd.BLOCK,
    65535 - 512,
    65535,
    PIECE_SIZE - 512,
    PIECE_SIZE,
    PIECE_SIZE + 1,
    2 * PIECE_SIZE + 77,
    # In gzip, a piece ends between data and padding.
    PIECE_SIZE // 65535 * 65535 - 512,
    7 * (PIECE_SIZE // 65535 * 65535) - 512,
]


def noise(size: int, seed: int = 1) -> bytes:
    block = bytes((i * 167 + seed * 31 + (i >> 8)) & 0xFF for i in range(65537))
    return (block * (size // len(block) + 1))[:size]


def unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)
    return reader.read()


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_read_back(tmp_path: Path, form: str) -> None:
    blobs = [archives.blob(noise(size, seed)) for seed, size in enumerate(EDGES)]
    path = tmp_path / f"b.{form}"
    packed = archives.write(path, archives.content(*blobs), form=form)

    verified = archives.verify(path)

    assert verified.digest == packed.digest == Digest.of(path.read_bytes())
    assert packed.size == path.stat().st_size
    for member in blobs:
        with verified.reader.open(member.name) as stream:
            assert Digest.of(stream.read()) == member.digest
    assert verified.reader.read(members.SPEC) == b"kind: Bundle\n"


@pytest.mark.parametrize("form", FORMATS)
def test_plain_tar_reads_it(tmp_path: Path, form: str) -> None:
    data = noise(300_000)
    path = tmp_path / f"b.{form}"
    archives.write(path, archives.content(archives.blob(data)), form=form)

    with tarfile.open(fileobj=io.BytesIO(unpacked(path))) as archive:
        infos = archive.getmembers()
        last = archive.extractfile(infos[-1])
        assert last is not None
        assert last.read() == data
    assert [info.name for info in infos[:6]] == list(members.HEAD)
    assert {(i.mode, i.uid, i.gid, i.uname, i.gname, i.mtime) for i in infos} == {
        (0o644, 0, 0, "", "", archives.TIME)
    }


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_members_give_the_same_bytes(tmp_path: Path, form: str) -> None:
    whole = archives.content(archives.blob(noise(PIECE_SIZE * 2)), archives.blob(b"x"))
    first, second = tmp_path / "1", tmp_path / "2"
    archives.write(first, whole, form=form)
    archives.write(second, whole, form=form)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_the_plan_knows_the_size_before_a_blob_is_fetched(tmp_path: Path, form: str) -> None:
    member = archives.blob(noise(PIECE_SIZE + 9))
    whole = archives.content(member)
    size = Plan(whole, archives.TIME, framing(form)).size
    assert member.source.asked == []  # type: ignore[attr-defined]  # Fixed
    assert archives.write(tmp_path / "b", whole, form=form).size == size


def test_a_blob_over_the_frame_limit_spans_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petra.archive.framing.ZstdFraming.frame_limit", PIECE_SIZE)
    data = noise(3 * PIECE_SIZE)
    path = tmp_path / "b.tar.zst"
    archives.write(path, archives.content(archives.blob(data)))

    reader = archives.verify(path).reader

    located = reader.find(Digest.of(data).blob_path)
    assert len(located.extents) == 4  # the tar header pushes the end into a fourth
    assert reader.open(located.name).read() == data
    middle = PIECE_SIZE - 600
    assert reader.open(located.name, middle, 1000).read() == data[middle : middle + 1000]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("form", FORMATS)
def test_any_range_is_read_in_place(tmp_path: Path, form: str, data: st.DataObject) -> None:
    content = noise(400_000)
    path = tmp_path / f"b.{form}"
    if not path.exists():
        archives.write(path, archives.content(archives.blob(content)), form=form)
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, len(content) - start))
    with archives.verify(path).reader as reader:
        stream = reader.open(Digest.of(content).blob_path, start, length)
        assert stream.read() == content[start : start + length]


def test_a_range_outside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.zst"
    archives.write(path, archives.content(archives.blob(b"four")))
    reader = archives.verify(path).reader
    with pytest.raises(NotFoundError, match="no such range"):
        reader.open(Digest.of(b"four").blob_path, 2, 3)
    with pytest.raises(NotFoundError, match="no such member"):
        reader.open(Digest.of(b"five").blob_path)


@pytest.mark.parametrize("form", FORMATS)
def test_text_that_does_not_compress_is_read_back(tmp_path: Path, form: str) -> None:
    data = os.urandom(200_000)
    text = Text("sbom/a.json", data)
    path = tmp_path / f"b.{form}"
    archives.write(path, archives.content(archives.blob(b"z"), texts=[text]), form=form)
    assert archives.verify(path).reader.read("sbom/a.json") == data


def test_a_member_over_8_gib_gets_one_pax_record() -> None:
    size = tar.USTAR_LIMIT + 1
    header = tar.header("blobs/x", size, archives.TIME)
    assert len(header) == 1536 == tar.header_size(size)
    assert tar.parse_header(header, where="test") == ("blobs/x", size, archives.TIME)
    assert header[512:1024].rstrip(b"\0") == b"19 size=%d\n" % size
    with tarfile.open(fileobj=io.BytesIO(header)) as archive:
        info = archive.next()
    assert info is not None
    assert (info.name, info.size) == ("blobs/x", size)


def test_wrong_bytes_from_a_source_leave_nothing(tmp_path: Path) -> None:
    wrong = archives.blob(b"x" * 100, announced=b"y" * 100)
    with pytest.raises(DigestMismatchError) as caught:
        archives.write(tmp_path / "b", archives.content(wrong))
    assert "example.com/app:1" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [b"x" * 99, b"x" * 101])
def test_fewer_or_more_bytes_from_a_source_leave_nothing(tmp_path: Path, given: bytes) -> None:
    wrong = archives.blob(given, announced=b"x" * 100)
    with pytest.raises(SizeMismatchError) as caught:
        archives.write(tmp_path / "b", archives.content(wrong))
    assert "example.com/app:1" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_range_leaves_nothing(tmp_path: Path) -> None:
    whole = noise(PIECE_SIZE * 2)
    wrong = archives.blob(whole[:-1], announced=whole)
    with pytest.raises(SizeMismatchError):
        archives.write(tmp_path / "b", archives.content(wrong))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "program", [b"\x7fELF\x02", b"MZ\x90", b"#!/bin/sh\n", b"\xcf\xfa\xed\xfe"]
)
def test_a_program_outside_blobs_is_refused(tmp_path: Path, program: bytes) -> None:
    text = Text("platform/base/run.yaml", program)
    with pytest.raises(Exception, match="outside blobs/") as caught:
        archives.write(tmp_path / "b", archives.content(texts=[text]))
    assert "platform/base/run.yaml" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="twice"):
        archives.write(tmp_path / "b", archives.content(archives.blob(b"a"), archives.blob(b"a")))


class WithoutRanges(archives.Fixed):
    """A source of several blobs whose streams say that the bytes before the range came as well."""

    def fetch(self, descriptor: Descriptor, /) -> ByteStream:
        self.asked.append((0, descriptor.size))
        return BytesStream(self._blob(descriptor))

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int, /) -> ByteStream:
        self.asked.append((offset, length))
        stream = BytesStream(self._blob(descriptor)[offset : offset + length])
        stream.is_partial = False  # type: ignore[attr-defined]  # as the registry client says it
        return stream

    def _blob(self, descriptor: Descriptor) -> bytes:
        return noise(descriptor.size, seed=descriptor.size)


def test_a_source_without_ranges_is_soon_asked_for_whole_blobs(tmp_path: Path) -> None:
    source = WithoutRanges(b"")
    sizes = [30 * PIECE_SIZE + number for number in range(3)]
    members_ = [archives.blob(noise(size, seed=size)) for size in sizes]
    blobs = [Stored(m.name, m.descriptor, source, m.origin) for m in members_]
    path = tmp_path / "b.tar.zst"
    plan = Plan(archives.content(*blobs), archives.TIME, framing("tar.zst"))
    sink = FileSink(path, plan.size)

    pack(plan, sink, NoProgress(), fetchers=1)  # one, so that the order of requests is known

    sink.commit()
    archives.verify(path)
    assert len(source.asked) < 6  # and not two for each of three blobs
    assert source.asked[-1] == (0, sizes[-1])
