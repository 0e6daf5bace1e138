"""Blocks of files in a stream that loses, cuts and mixes parts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.transfer.framing import BLOCK, MAGIC, Block, Unframer, frames
from petra.transfer.shipment import ShippedFile
from petra.transfer.spool import Spool
from tests.support.command import names

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 5 * BLOCK + 1234


@pytest.fixture
def file(tmp_path: Path) -> ShippedFile:
    path = tmp_path / "content.bin"
    path.write_bytes(random.Random(1).randbytes(SIZE))  # noqa: S311  # the same each time
    return ShippedFile(path, SIZE, Digest.of(path.read_bytes()))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "landing")


def read(*pieces: bytes) -> list[Block]:
    unframer = Unframer()
    return [block for piece in pieces for block in unframer.feed(piece)]


def offsets(blocks: list[Block]) -> list[int]:
    return [block.header.offset // BLOCK for block in blocks]


def test_a_whole_stream_gives_the_file(file: ShippedFile, spool: Spool, tmp_path: Path) -> None:
    stream = b"".join(frames(file, "shop.0001"))
    pieces = [stream[start : start + 9999] for start in range(0, len(stream), 9999)]

    done = [spool.take(block) for block in read(*pieces)]

    assert done == [None] * 5 + ["shop.0001"]
    assert (tmp_path / "landing" / "shop.0001").read_bytes() == file.path.read_bytes()


@pytest.mark.parametrize("start", [0, 3, len(MAGIC) + 1, 40, BLOCK // 2, BLOCK + 100])
@pytest.mark.parametrize("length", [1, 7, 60_000])
def test_a_cut_costs_the_blocks_that_it_touches_alone(
    file: ShippedFile, start: int, length: int
) -> None:
    first, *rest = frames(file, "a")
    stream = first + b"".join(rest)
    touched = {start // len(first), (start + length - 1) // len(first)}

    found = read(stream[:start] + stream[start + length :])

    assert offsets(found) == [number for number in range(6) if number not in touched]


def test_a_changed_byte_costs_one_block(file: ShippedFile) -> None:
    stream = bytearray(b"".join(frames(file, "a")))
    stream[BLOCK + BLOCK // 2] ^= 1

    assert offsets(read(bytes(stream))) == [0, 2, 3, 4, 5]


def test_what_looks_like_a_block_inside_content_does_not_lead_astray(tmp_path: Path) -> None:
    path = tmp_path / "tricky"
    path.write_bytes((MAGIC + b"\x00\x10\x00\x03\xff\xff") * 9000)
    tricky = ShippedFile(path, path.stat().st_size, Digest.of(path.read_bytes()))
    stream = b"".join(frames(tricky, "a"))

    assert offsets(read(stream)) == [0]
    # The stream goes on behind: what was begun by mistake is found out.
    assert offsets(read(stream[10:] + bytes(BLOCK * 2) + stream)) == [0]


def test_a_reader_keeps_no_more_than_a_block(file: ShippedFile) -> None:
    unframer = Unframer()

    for _ in range(20):
        assert [*unframer.feed(bytes(BLOCK))] == []

    assert len(unframer._buffer) < len(MAGIC)
    assert unframer.skipped > 19 * BLOCK


def test_two_rounds_make_up_for_each_other(file: ShippedFile, spool: Spool, tmp_path: Path) -> None:
    blocks = read(*frames(file, "a"))

    assert [spool.take(blocks[number]) for number in (5, 0, 2)] == [None] * 3
    assert names(tmp_path / "landing") == [".petra-stream"]
    assert [spool.take(blocks[number]) for number in (2, 1, 4, 3)] == [None, None, None, "a"]
    assert (tmp_path / "landing" / "a").read_bytes() == file.path.read_bytes()


def test_a_file_that_is_there_is_not_written_again(
    file: ShippedFile, spool: Spool, tmp_path: Path
) -> None:
    for block in read(*frames(file, "a")):
        spool.take(block)
    before = (tmp_path / "landing" / "a").stat().st_mtime_ns

    for again in (spool, Spool(tmp_path / "landing")):
        assert [again.take(block) for block in read(*frames(file, "a"))] == [None] * 6

    assert (tmp_path / "landing" / "a").stat().st_mtime_ns == before


def test_blocks_that_are_not_their_files_give_no_file(
    file: ShippedFile, spool: Spool, tmp_path: Path
) -> None:
    blocks = read(*frames(file, "a"))
    wrong = Block(blocks[2].header, bytes(BLOCK))

    taken = [spool.take(block) for block in (*blocks[:2], wrong, *blocks[3:])]

    assert taken == [None] * 6
    assert names(tmp_path / "landing") == [".petra-stream"]
    assert [spool.take(block) for block in blocks][-1] == "a"  # another round is a new beginning


def test_a_block_that_claims_too_much_stops_no_other_file(
    file: ShippedFile, tmp_path: Path
) -> None:
    (tmp_path / "landing" / "folder").mkdir(parents=True)
    told: list[str] = []
    spool = Spool(tmp_path / "landing", told.append)
    blocks = read(*frames(file, "a"))
    huge = Block(blocks[0].header.model_copy(update={"size": 2**52}), blocks[0].payload)
    small = ShippedFile(tmp_path / "small", 3, Digest.of(b"abc"))
    small.path.write_bytes(b"abc")

    assert [spool.take(huge), spool.take(huge)] == [None, None]
    assert [spool.take(block) for block in read(*frames(small, "folder"))] == [None]
    assert [spool.take(block) for block in read(*frames(small, "b"))] == ["b"]
    assert names(tmp_path / "landing" / "folder") == []
    assert len(told) == 2
    assert f"a of the stream is passed over: {2**52} bytes" in told[0]
    assert "something else has its name" in told[1]


@pytest.mark.parametrize("name", ["../a", "a/b", ".hidden", "", "a\x00"])
def test_a_name_that_leads_elsewhere_is_no_block(file: ShippedFile, name: str) -> None:
    import zlib

    head = b'{"digest":"%s","name":"%s","offset":0,"size":3}' % (
        Digest.of(b"abc").encode(),
        name.encode(),
    )
    good = head.replace(b'"name":"%s"' % name.encode(), b'"name":"a"')

    def framed(header: bytes) -> bytes:
        body = len(header).to_bytes(2, "big") + (3).to_bytes(4, "big") + header + b"abc"
        return MAGIC + body + zlib.crc32(body).to_bytes(4, "big")

    assert [block.payload for block in read(framed(good))] == [b"abc"]
    assert read(framed(head)) == []
