"""Sends objects across by a service that does it for us, such as a managed diode.

A :class:`Transfer` starts and watches one object at a time; :func:`carry` keeps to the service's
limits, retries only what a retry can help, and sends what announces a set only after the set.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from petra.content.digest import Digest
from petra.errors import PetraError, RateLimitedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from petra.content.progress import Progress

_FIELD_END: Final = b"\0"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One object to be sent.

    Attributes:
        bucket: where it lies.
        key: its key there.
        version: the version that was verified; None in a bucket without versions.
        size: bytes.
        digest: of its content.
        description: what it is, for people.
    """

    bucket: str
    key: str
    version: str | None
    size: int
    digest: Digest
    description: str

    @property
    def token(self) -> str:
        """What names this transfer: 64 hex digits, the same whoever asks again.

        A service that knows idempotency tokens starts one transfer for one token.
        """
        parts = (self.bucket, self.key, self.version or "", self.digest)
        return Digest.of(_FIELD_END.join(part.encode("utf-8") for part in parts)).hex


class State(StrEnum):
    """Where a transfer stands."""

    UNDER_WAY = "under-way"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """What a service says of a transfer.

    Attributes:
        state: where it stands.
        detail: the service's own words.
    """

    state: State
    detail: str = ""


class Transfer(Protocol):
    """Sends one object. Both calls may be repeated."""

    def start(self, parcel: Parcel, /) -> str:
        """Begin to send, or find the transfer that was begun before; return the service's id.

        Raises:
            TransportError: the service failed; the same call can help.
            PetraError: it will not do it.
        """
        ...

    def status(self, parcel: Parcel, identifier: str, /) -> Status:
        """Return where a transfer stands.

        Raises:
            TransportError: the service failed; the same call can help.
            PetraError: it does not say.
        """
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes.

    Attributes:
        in_flight: transfers at once.
        per_second: starts a second, at most.
        attempts: how often one call is tried.
        seconds: how long one transfer may take.
        poll_seconds: the time between two looks at it.
    """

    in_flight: int = 4
    per_second: float = 5.0
    attempts: int = 5
    seconds: float = 6 * 3600.0
    poll_seconds: float = 5.0


class Clock(Protocol):
    """Time, as far as waiting needs it."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Wait."""
        ...


@dataclass(slots=True)
class _Flight:
    """A transfer under way."""

    parcel: Parcel
    identifier: str
    deadline: float


@dataclass(slots=True)
class _Carrier:
    """One call of :func:`carry`."""

    transfer: Transfer
    limits: Limits
    progress: Progress
    clock: Clock
    next_start: float = 0.0
    flights: list[_Flight] = field(default_factory=list)

    def group(self, parcels: Sequence[Parcel]) -> None:
        """Send `parcels`, several at once, and see each to its end."""
        waiting = [*parcels]
        while waiting or self.flights:
            while waiting and len(self.flights) < self.limits.in_flight:
                self._start(waiting.pop(0))
            self.flights = [one for one in self.flights if not self._ended(one)]
            if self.flights:
                self.clock.sleep(self.limits.poll_seconds)

    def _start(self, parcel: Parcel) -> None:
        now = self.clock.monotonic()
        if now < self.next_start:
            self.clock.sleep(self.next_start - now)
        self.next_start = max(now, self.next_start) + 1 / self.limits.per_second
        identifier = self._tried(lambda: self.transfer.start(parcel))
        deadline = self.clock.monotonic() + self.limits.seconds
        self.flights.append(_Flight(parcel, identifier, deadline))

    def _ended(self, flight: _Flight) -> bool:
        status = self._tried(lambda: self.transfer.status(flight.parcel, flight.identifier))
        if status.state is State.FAILED:
            raise _failed(flight, status)
        if status.state is State.DONE:
            self.progress.on_progress(flight.parcel.size)
            return True
        if self.clock.monotonic() > flight.deadline:
            raise _stalled(flight, status, self.limits)
        return False

    def _tried(self, call: Callable[[], T]) -> T:
        """Call, and again after a pause where the error says that this can help."""
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return call()
            except PetraError as error:
                if not error.retryable or attempt == self.limits.attempts:
                    raise
                asked = error.retry_after if isinstance(error, RateLimitedError) else None
                self.clock.sleep(asked or min(2.0**attempt, 60.0))
        raise AssertionError("attempts is at least 1")


def carry(
    transfer: Transfer,
    groups: Sequence[Sequence[Parcel]],
    limits: Limits,
    progress: Progress,
    clock: Clock | None = None,
) -> None:
    """Send all groups, one after the other; a group begins when the one before has arrived.

    Args:
        transfer: the service.
        groups: what is sent; what announces a set (its manifest, its signature) stands in a later
            group than the set.
        limits: what the service takes.
        progress: told of each object that arrived.
        clock: for waiting; the system's where None.

    Raises:
        TransportError: a transfer failed, did not end in time, or the service stayed away. What
            had arrived stays; the same call goes on, since tokens name transfers.
        PetraError: the service refuses.
    """
    total = sum(parcel.size for group in groups for parcel in group)
    progress.on_start("transfer", total)
    carrier = _Carrier(transfer, limits, progress, clock or time)
    for group in groups:
        carrier.group(group)
    progress.on_done()


def _failed(flight: _Flight, status: Status) -> TransportError:
    return TransportError(
        "the transfer of an object failed",
        where=f"s3://{flight.parcel.bucket}/{flight.parcel.key}",
        expected="an object on the other side",
        found=f"{status.detail or 'failed'} (transfer {flight.identifier})",
        hint="read what the service says of that transfer; then send again, what arrived stays",
    )


def _stalled(flight: _Flight, status: Status, limits: Limits) -> TransportError:
    return TransportError(
        "the transfer of an object does not end",
        where=f"s3://{flight.parcel.bucket}/{flight.parcel.key}",
        expected=f"an end within {limits.seconds:.0f} s",
        found=f"{status.detail or status.state} (transfer {flight.identifier})",
        hint="ask the service's operators; send again to watch it further",
    )
