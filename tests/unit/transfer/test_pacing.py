"""Bytes pass at the rate that a link takes, and no faster."""

from __future__ import annotations

from petra.transfer.pacing import TokenBucket
from tests.support.clock import Clock


def test_bytes_pass_at_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(1000, clock, burst=100)

    for _ in range(50):
        bucket.spend(100)

    assert clock.now == (50 * 100 - 100) / 1000  # the first burst passes at once


def test_a_piece_larger_than_a_burst_passes_whole() -> None:
    clock = Clock()

    TokenBucket(1000, clock, burst=100).spend(5000)

    assert clock.slept == [4.9]


def test_a_pause_saves_no_more_than_a_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(1000, clock, burst=100)

    bucket.spend(100)
    clock.now += 3600
    bucket.spend(100)
    bucket.spend(100)

    assert clock.slept == [0.1]


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()

    TokenBucket(None, clock).spend(1 << 40)

    assert clock.slept == []
