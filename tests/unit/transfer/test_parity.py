"""Parity is the code that the format names, whatever makes it; and any losses are undone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.transfer import parity as parity_module
from petra.transfer.parity import Code, rebuild, write_parity

if TYPE_CHECKING:
    from collections.abc import Sequence

EXP, LOG = [0] * 510, [0] * 256
_power = 1
for _place in range(255):
    EXP[_place] = EXP[_place + 255] = _power
    LOG[_power] = _place
    _power <<= 1
    if _power & 0x100:
        _power ^= 0x11D


def by_hand(columns: Sequence[bytes], row: int) -> bytes:
    """Return a row of parity as docs/bundle-format.md defines it, in plain Python."""
    result = bytearray(len(columns[0]))
    for number, column in enumerate(columns):
        inverse = 255 - LOG[(len(columns) + row) ^ number]
        for place, byte in enumerate(column):
            if byte:
                result[place] ^= EXP[(LOG[byte] + inverse) % 255]
    return bytes(result)


class Bytes:
    """A source, or a sink, in memory."""

    def __init__(self, data: bytes = b"", size: int | None = None) -> None:
        self.name = "memory"
        self.data = bytearray(data if size is None else size)
        self.size = len(self.data)

    def read_into(self, offset: int, buffer: memoryview, /) -> None:
        part = self.data[offset : offset + len(buffer)]
        assert len(part) == len(buffer)
        buffer[:] = part

    def write_at(self, offset: int, data: memoryview | bytes, /) -> None:
        assert offset + len(data) <= self.size
        self.data[offset : offset + len(data)] = data

    def close(self) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...


@pytest.mark.parametrize(("data", "parity"), [(1, 1), (1, 3), (2, 1), (7, 2), (40, 9), (200, 55)])
def test_the_code_is_the_one_that_the_format_names(data: int, parity: int) -> None:
    columns = [random.Random(number).randbytes(33) for number in range(data)]  # noqa: S311

    made = Code(data, parity).encode(b"".join(columns))

    assert made == [by_hand(columns, row) for row in range(parity)]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_losses_as_many_as_there_is_parity_for(data: st.DataObject) -> None:
    """Sizes lie around the width of a column, which is small here."""
    count, parity = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    full = data.draw(st.sampled_from([1, 2, 15, 16, 17, 31, 32, 33, 100]))
    last = data.draw(st.integers(1, full))
    chunks = [random.Random(number).randbytes(full) for number in range(count - 1)]  # noqa: S311
    chunks.append(random.Random(99).randbytes(last))  # noqa: S311
    size = max(map(len, chunks))
    lost = data.draw(st.sets(st.integers(0, count + parity - 1), min_size=1, max_size=parity))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity_module, "STRIPE", 16 * count)
        sinks = [Bytes(size=size) for _ in range(parity)]
        digests = write_parity([Bytes(one) for one in chunks], sinks, NoProgress())
        whole = [*chunks, *(bytes(sink.data) for sink in sinks)]
        made = {number: Bytes(size=len(whole[number])) for number in lost}
        found = rebuild(
            [None if number in lost else Bytes(one) for number, one in enumerate(whole)],
            [len(one) for one in whole],
            count,
            made.__getitem__,
            NoProgress(),
        )

    assert digests == [Digest.of(bytes(sink.data)) for sink in sinks]
    assert {number: bytes(one.data) for number, one in made.items()} == {
        number: whole[number] for number in lost
    }
    assert found == {number: Digest.of(whole[number]) for number in lost}


def test_a_stripe_is_the_memory_of_a_group() -> None:
    """However many chunks there are, and however large."""
    for count in (1, 7, 254):
        columns = [*parity_module._columns(10**9, count)]
        assert max(width for _, width in columns) * count <= parity_module.STRIPE
        assert sum(width for _, width in columns) == 10**9
