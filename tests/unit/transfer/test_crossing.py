"""Transfers by a service: order, limits, retries and ends, on a service that the test plays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import AccessError, PetraError, RateLimitedError, TransportError
from petra.transfer.crossing import Limits, Parcel, State, Status, carry
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Service:
    """Arrives after so many looks; raises what it is told to, once each."""

    looks: int = 1
    start_errors: list[PetraError] = field(default_factory=list)
    status_errors: list[PetraError] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    log: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    at_once: int = 0

    def start(self, parcel: Parcel) -> str:
        if self.start_errors:
            raise self.start_errors.pop(0)
        self.log.append(f"start {parcel.key}")
        self.seen[parcel.key] = 0
        under_way = sum(looks <= self.looks for looks in self.seen.values())
        self.at_once = max(self.at_once, under_way)
        return f"id-{parcel.key}"

    def status(self, parcel: Parcel, identifier: str) -> Status:
        if self.status_errors:
            raise self.status_errors.pop(0)
        assert identifier == f"id-{parcel.key}"
        if parcel.key in self.refused:
            return Status(State.FAILED, "refused by policy")
        self.seen[parcel.key] += 1
        if self.seen[parcel.key] <= self.looks:
            return Status(State.UNDER_WAY, "moving")
        self.log.append(f"done {parcel.key}")
        return Status(State.DONE)


def _parcel(key: str, version: str | None = "v1") -> Parcel:
    return Parcel("outbox", key, version, 10, Digest.of(key.encode()), f"the {key}")


def _carry(
    service: Service, groups: Sequence[Sequence[str]], clock: Clock | None = None, **limits: float
) -> Clock:
    clock = clock or Clock()
    parcels = [[_parcel(key) for key in group] for group in groups]
    carry(service, parcels, Limits(**limits), NoProgress(), clock)  # type: ignore[arg-type]  # numbers
    return clock


def test_what_announces_a_set_goes_after_the_set_has_arrived() -> None:
    service = Service()
    _carry(service, [["a", "b"], ["manifest"], ["signature"]])
    order = service.log
    assert order.index("start manifest") > max(order.index("done a"), order.index("done b"))
    assert order.index("start signature") > order.index("done manifest")


def test_no_more_are_under_way_than_the_service_takes() -> None:
    service = Service(looks=3)
    _carry(service, [[f"k{n}" for n in range(9)]], in_flight=2)
    assert service.at_once == 2
    assert sum(line.startswith("done") for line in service.log) == 9


def test_starts_keep_to_the_rate() -> None:
    clock = _carry(Service(looks=0), [["a", "b", "c"]], per_second=0.5, in_flight=3)
    assert [seconds for seconds in clock.slept if seconds == 2.0] == [2.0, 2.0]


def test_a_passing_fault_is_tried_again_under_the_same_token() -> None:
    service = Service(start_errors=[TransportError("away")], status_errors=[TransportError("away")])
    _carry(service, [["a"]])
    assert service.log == ["start a", "done a"]


def test_the_service_says_how_long_to_wait() -> None:
    clock = _carry(Service(start_errors=[RateLimitedError("slow", retry_after=17.0)]), [["a"]])
    assert 17.0 in clock.slept


def test_a_fault_that_stays_ends_it() -> None:
    service = Service(start_errors=[TransportError("away")] * 9)
    with pytest.raises(TransportError, match="away"):
        _carry(service, [["a"]], attempts=3)
    assert len(service.start_errors) == 6


def test_a_refusal_is_not_tried_again() -> None:
    service = Service(start_errors=[AccessError("no"), AccessError("no")])
    with pytest.raises(AccessError):
        _carry(service, [["a"]])
    assert len(service.start_errors) == 1


def test_a_transfer_that_failed_is_told_with_its_reason_and_nothing_later_is_sent() -> None:
    service = Service(refused=("b",))
    with pytest.raises(TransportError) as caught:
        _carry(service, [["a", "b"], ["manifest"]])
    assert "refused by policy (transfer id-b)" in str(caught.value)
    assert "s3://outbox/b" in str(caught.value)
    assert "start manifest" not in service.log


def test_a_transfer_that_never_ends_is_given_up_at_its_deadline() -> None:
    clock = Clock()
    with pytest.raises(TransportError, match="does not end") as caught:
        _carry(Service(looks=10**9), [["a"]], clock, seconds=100, poll_seconds=5)
    assert "moving" in str(caught.value)
    assert 100 < clock.now < 120


def test_a_token_names_bucket_key_version_and_content() -> None:
    digest = Digest.of(b"x")
    one = Parcel("b", "k", "v", 1, digest, "d")
    others = [
        Parcel("B", "k", "v", 1, digest, "d"),
        Parcel("b", "K", "v", 1, digest, "d"),
        Parcel("b", "k", "V", 1, digest, "d"),
        Parcel("b", "k", "v", 1, Digest.of(b"y"), "d"),
        Parcel("bk", "", "v", 1, digest, "d"),
    ]
    assert one.token == Parcel("b", "k", "v", 1, digest, "another description").token
    assert len({one.token, *(other.token for other in others)}) == len(others) + 1
