"""Sizes, names and groups of chunks: arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petra.errors import SettingError, UsageError
from petra.transfer.names import (
    CHUNKS_LIMIT,
    PARITY_LIMIT,
    SHARDS_LIMIT,
    belongs_to_chunks,
    check_file_name,
    chunk_name,
    chunk_sizes,
    parity_groups,
    parity_name,
)
from petra.transfer.sizes import PRESETS, parse_size


@given(st.integers(1, 10**7), st.integers(1, 10**4))
def test_chunks_cover_the_bundle_and_none_is_larger_than_the_limit(size: int, limit: int) -> None:
    if size > limit * CHUNKS_LIMIT:
        with pytest.raises(SettingError, match="too many chunks"):
            chunk_sizes(size, limit)
        return
    sizes = chunk_sizes(size, limit)

    assert sum(sizes) == size
    assert set(sizes[:-1]) <= {limit}
    assert 1 <= sizes[-1] <= limit


@pytest.mark.parametrize(
    ("size", "expected"), [(1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (20, [10, 10])]
)
def test_sizes_around_a_boundary(size: int, expected: list[int]) -> None:
    assert chunk_sizes(size, 10) == expected


@given(st.integers(1, CHUNKS_LIMIT), st.integers(1, PARITY_LIMIT))
def test_each_chunk_is_in_one_group_that_the_code_can_hold(count: int, parity: int) -> None:
    groups = parity_groups(count, parity)

    assert sorted(number for group in groups for number in group) == [*range(1, count + 1)]
    assert all(len(group) + parity <= SHARDS_LIMIT for group in groups)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    if count + parity <= SHARDS_LIMIT:
        assert len(groups) == 1


def test_neighbours_are_in_different_groups() -> None:
    first, second = parity_groups(300, 3)

    assert (first[:3], second[:3]) == ([1, 3, 5], [2, 4, 6])


@pytest.mark.parametrize("parity", [-1, 0, PARITY_LIMIT + 1])
def test_parity_out_of_range(parity: int) -> None:
    with pytest.raises(SettingError, match="--parity"):
        parity_groups(10, parity)


def test_names() -> None:
    assert chunk_name("a.tar.zst", 3, 12) == "a.tar.zst.0003-of-0012"
    assert parity_name("a.tar.zst", 1) == "a.tar.zst.p01"
    assert parity_name("a.tar.zst", 120) == "a.tar.zst.p120"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("a.tar.zst.0001-of-0007", True),
        ("a.tar.zst.p01", True),
        ("a.tar.zst.p120", True),
        ("manifest.json", True),
        ("Manifest-2.JSON", True),
        ("a.tar.zst.0001-of-0007.damaged", False),
        ("a.tar.zst.sig", False),
        ("README.txt", False),
        ("custody.jsonl", False),
    ],
)
def test_what_belongs_to_a_chunk_set(name: str, ours: bool) -> None:  # noqa: FBT001  # a case
    assert belongs_to_chunks(name) is ours


@pytest.mark.parametrize("name", ["a b", "", ".hidden", "a/b", "ü.tar.zst", "a\n", "x" * 201, ".."])
def test_file_names_that_no_medium_is_sure_to_hold(name: str) -> None:
    with pytest.raises(UsageError):
        check_file_name(name)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("100MiB", 100 * 1024**2),
        ("100 mib", 100 * 1024**2),
        ("4GB", 4 * 10**9),
        ("64KiB", 65536),
        ("fat32", 2**32 - 1),
        ("FAT32", 2**32 - 1),
        ("dvd", 2**32 - 2048),
        ("clamav", 2**31 - 1),
        ("1000MiB", 1000 * 1024**2),
        ("95MiB", 95 * 1024**2),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text, where="--max-size") == size


@pytest.mark.parametrize("text", ["", "0", "1.5GiB", "-1", "MiB", "4 furlongs", "1e6", "9" * 16])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SettingError, match="--max-size") as caught:
        parse_size(text, where="--max-size")
    assert all(name in str(caught.value.expected) for name in PRESETS)
