"""Destinations, clusters and ledgers in memory, which note in one list what was done to them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from petra.content.digest import Digest
from petra.errors import TransportError
from petra.load.destination import Loaded, Part, Placed, Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from petra.content.progress import Progress
    from petra.load.ledger import Event, LoadRecord, Stamp


class Killed(BaseException):
    """What a SIGKILL is to a process, as far as one process can show it."""


@dataclass
class Diary:
    """What was done, in order, and where it is to break.

    Attributes:
        lines: what was done so far.
        fails: raised, once, before the line that it is named for is done.
    """

    lines: list[str] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)

    def note(self, line: str) -> None:
        if line in self.fails:
            raise self.fails.pop(line)
        self.lines.append(line)


@dataclass
class FakeDestination:
    """A place that takes `items`; what it holds is in `held`, by name."""

    diary: Diary
    part: Part
    name: str
    items: Sequence[str] = ("a", "b")
    held: set[str] = field(default_factory=set)

    def survey(self) -> Survey:
        self.diary.note(f"survey {self.name}")
        present = len(self.held & set(self.items))
        count = len(self.items)
        return Survey(self.part, self.name, count, present, count * 10, (count - present) * 10)

    def load(self, progress: Progress) -> Loaded:
        placed = []
        for item in self.items:
            sent = item not in self.held
            if sent:
                self.diary.note(f"{self.name} {item}")
                self.held.add(item)
            digest = Digest.of(item.encode())
            placed.append(Placed(item, f"{self.name}/{item}", digest, sent))
        sent_bytes = 10 * sum(one.sent for one in placed)
        return Loaded(self.part, self.name, tuple(placed), sent_bytes)


@dataclass
class FakePublication(FakeDestination):
    """A place that is published to first; the cluster reads `live`."""

    live: tuple[str, ...] = ()
    digest: Digest = field(default_factory=lambda: Digest.of(b"live"))

    def publish(self, progress: Progress) -> Loaded:
        return super().load(progress)

    def switch(self) -> Placed:
        self.diary.note(f"switch {self.name}")
        self.live = tuple(self.items)
        return Placed("channel", f"{self.name}/stable", self.digest, sent=True)


@dataclass
class FakeRelease:
    """A release that ended so."""

    succeeded: bool = True

    def to_json(self) -> dict[str, Any]:
        return {"name": "cilium", "succeeded": self.succeeded}

    def line(self) -> str:
        return f"cilium {'SUCCEEDED' if self.succeeded else 'FAILED'}"


@dataclass
class FakeFollower:
    """A cluster that says `releases`."""

    diary: Diary
    releases: Sequence[FakeRelease] = (FakeRelease(),)
    asked: list[tuple[Stamp, datetime]] = field(default_factory=list)

    def reach(self) -> None:
        self.diary.note("reach")

    def notify(self, progress: Progress) -> None:
        self.diary.note("notify")

    def watch(
        self, record: LoadRecord, moment: datetime, progress: Progress
    ) -> Sequence[FakeRelease]:
        self.diary.note("watch")
        self.asked.append((record.bundle, moment))
        return self.releases


@dataclass
class MemoryLedger:
    """A ledger that is lost with the process."""

    diary: Diary
    stored: list[Event] = field(default_factory=list)
    records: dict[Stamp, LoadRecord] = field(default_factory=dict)

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def events(self) -> list[Event]:
        return list(self.stored)

    def append(self, event: Event) -> None:
        self.diary.note(event.event)
        self.stored.append(event)

    def record(self, bundle: Stamp) -> LoadRecord | None:
        return self.records.get(bundle)

    def keep(self, record: LoadRecord) -> None:
        self.diary.note(self._line(record))
        self.records[record.bundle] = record

    def _line(self, record: LoadRecord) -> str:
        known = self.records.get(record.bundle)
        if known and known.healthy != record.healthy:
            return f"record healthy {record.healthy}"
        last = record.destinations[-1]
        return f"record {last.name}{' switched' if last.switched else ''}"


def away(where: str) -> TransportError:
    """Return the error of a place that is not there."""
    return TransportError("it does not answer", where=where)
