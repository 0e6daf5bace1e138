"""A chunk folder read as one file, by offset."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petra.archive.source import FileSource, read
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import ChunksError, FormatError, StorageError
from petra.transfer.chunking import ChunkOptions, ChunkSink, chunk
from petra.transfer.source import ChunkSource, open_folder
from tests.support.world import OURS, signer

DATA = bytes(range(256)) * 5
SIZES = [1, 7, 255, 256, 640, 1279, 1280, 1281]


def cut(folder: Path, limit: int, data: bytes = DATA, parity: int = 0) -> Path:
    """Cut `data` as if it were a bundle with a good signature."""
    file = folder / "b.tar.zst"
    file.write_bytes(data)
    target = folder / f"chunks-{limit}-{parity}"
    options = ChunkOptions(target, limit, parity)
    with FileSource(file) as source:
        chunk(source, file.name, options, lambda _: {}, signer(OURS), NoProgress())
    return target


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(SIZES), st.integers(0, len(DATA)), st.integers(0, len(DATA)))
def test_any_range_is_what_the_file_has_there(
    tmp_path_factory: pytest.TempPathFactory, limit: int, start: int, length: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"chunks-{limit}-0"
    if not folder.exists():
        cut(folder.parent, limit)
    end = min(start + length, len(DATA))

    with ChunkSource(open_folder(folder)) as source:
        assert source.size == len(DATA)
        assert read(source, start, end - start) == DATA[start:end]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 700), st.integers(1, 300))
def test_any_size_and_limit_come_back(
    tmp_path_factory: pytest.TempPathFactory, size: int, limit: int
) -> None:
    folder = cut(tmp_path_factory.mktemp("cut"), limit, DATA[:size])

    with ChunkSource(open_folder(folder)) as source:
        assert read(source, 0, source.size) == DATA[:size]
        assert [file.size for file in source.folder.manifest.chunks[:-1]] == [limit] * (
            -(-size // limit) - 1
        )


def test_reading_behind_the_end_is_refused(tmp_path: Path) -> None:
    with (
        ChunkSource(open_folder(cut(tmp_path, 300))) as source,
        pytest.raises(FormatError, match="ends too early"),
    ):
        read(source, len(DATA) - 1, 2)


def test_what_was_opened_is_what_is_read(tmp_path: Path) -> None:
    folder = cut(tmp_path, 300)
    with ChunkSource(open_folder(folder)) as source:
        for path in folder.iterdir():
            path.unlink()
        assert read(source, 0, len(DATA)) == DATA


def test_all_that_is_missing_or_of_another_size_is_named_at_once(tmp_path: Path) -> None:
    folder = cut(tmp_path, 300)
    (folder / "b.tar.zst.0002-of-0005").unlink()
    os.truncate(folder / "b.tar.zst.0004-of-0005", 3)
    os.truncate(folder / "b.tar.zst.0005-of-0005", 0)

    with pytest.raises(ChunksError) as caught:
        ChunkSource(open_folder(folder))

    assert caught.value.missing == ("b.tar.zst.0002-of-0005",)
    assert caught.value.damaged == ("b.tar.zst.0004-of-0005", "b.tar.zst.0005-of-0005")
    assert caught.value.exit_status == 3


def test_no_file_stays_open_when_one_is_missing(tmp_path: Path) -> None:
    folder = cut(tmp_path, 300)
    (folder / "b.tar.zst.0005-of-0005").unlink()
    before = open_files()

    with pytest.raises(ChunksError):
        ChunkSource(open_folder(folder))

    assert open_files() == before


def test_the_limit_of_open_files_is_raised_where_the_system_lets_us(tmp_path: Path) -> None:
    folder, (soft, hard) = cut(tmp_path, 10), resource.getrlimit(resource.RLIMIT_NOFILE)
    low = open_files() + 70  # 128 chunks do not fit below it
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        with ChunkSource(open_folder(folder)) as source:
            assert len(source.folder.manifest.chunks) == 128
            assert read(source, 0, len(DATA)) == DATA
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_sink_takes_pieces_in_any_order(tmp_path: Path) -> None:
    options = ChunkOptions(tmp_path / "c", 100, 2)
    sink = ChunkSink("b.tar.zst", len(DATA), options)
    for start in (900, 0, 450):
        sink.write_at(start, DATA[start : start + 450])
    for start in range(0, len(DATA), 33):
        sink.watch(DATA[start : start + 33])
    sink.seal(Digest.of(DATA), {"b.tar.zst.sig": b"s"}, signer(OURS), NoProgress())
    assert not (tmp_path / "c" / "manifest.json").exists()

    sink.commit()
    sink.abort()  # safe afterwards

    with ChunkSource(open_folder(tmp_path / "c", [signer(OURS).public_key])) as source:
        assert read(source, 0, len(DATA)) == DATA
        for record in source.folder.manifest.files:
            assert Digest.of((tmp_path / "c" / record.name).read_bytes()) == record.digest
    assert not [path for path in (tmp_path / "c").iterdir() if path.name.startswith(".")]


def test_an_aborted_sink_leaves_nothing(tmp_path: Path) -> None:
    sink = ChunkSink("b.tar.zst", len(DATA), ChunkOptions(tmp_path / "c", 100))
    sink.write_at(0, DATA)
    sink.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "README").write_text("hello")
    sink = ChunkSink("b.tar.zst", len(DATA), ChunkOptions(tmp_path / "c", 100))
    sink.write_at(0, DATA)
    sink.abort()
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["README"]


def test_an_empty_bundle_is_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="empty"):
        cut(tmp_path, 100, b"")


def test_a_folder_whose_name_is_taken_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    with pytest.raises(StorageError):
        ChunkSink("b.tar.zst", 1, ChunkOptions(tmp_path / "c", 100))
    assert (tmp_path / "c").read_text() == "a file"


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sig", "b.tar.zst.0001-of-0002"])
def test_a_pipe_in_a_folder_hangs_nobody(tmp_path: Path, name: str) -> None:
    folder = cut(tmp_path, 640)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(StorageError, match="regular file") as caught:
        ChunkSource(open_folder(folder, [signer(OURS).public_key]))
    assert caught.value.where == str(folder / name)
