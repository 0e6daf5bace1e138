"""Back to the last good bundle: its manifests become what the cluster reads again.

No file of a bundle is needed: images, charts and manifests of the older one are still in place, and
the ledger knows under which digest. What the newer one put there stays until it is pruned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

from petra.errors import NotFoundError, PetraError, UsageError
from petra.load.ledger import Event, History
from petra.load.report import Report, Step, with_releases

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.content.progress import Progress
    from petra.load.destination import Placed
    from petra.load.ledger import DestinationRecord, Ledger, LoadRecord, Stamp
    from petra.load.run import Clock, Follower


class Channel(Protocol):
    """What the cluster reads at one destination: a tag, or a pointer file."""

    def move(self) -> Placed:
        """Let it stand for what was published for the older bundle, which must still be there.

        Raises:
            NotFoundError: it is not there any more; the cluster reads what it read before.
            PetraError: as for :meth:`petra.load.destination.Publication.switch`.
        """
        ...


#: Opens the channel of a destination, ready to be moved to what the record says.
Channels: TypeAlias = "Callable[[DestinationRecord], Channel]"


@dataclass(frozen=True, slots=True)
class Rollback:
    """A way back.

    Attributes:
        ledger: what was loaded; locked by the caller.
        channels: opens a destination's channel.
        progress: who listens.
        follower: the cluster; None where there is none to tell.
        clock: the time of events.
    """

    ledger: Ledger
    channels: Channels
    progress: Progress
    follower: Follower | None = None
    clock: Clock = lambda: datetime.now(UTC)

    def run(self, name: str | None = None) -> Report:
        """Go back from the bundle that is current, or whose load did not end, to the one before.

        A rollback that was interrupted goes on, to the same bundle.

        Args:
            name: of the bundle; may be left out where the ledger knows only one.

        Raises:
            UsageError: the ledger knows several names, and none was given.
            NotFoundError: there is no bundle to go back to.
        """
        history = History(self.ledger.events())
        name = name or _only_name(history)
        begun = history.rolling_back(name)
        if begun:
            there = _by_digest(history, name, begun)
            return self._go(begun.bundle, there, self._record(there), begun.time)
        here = history.interrupted(name) or _current(history, name)
        there = self._last_good(history, here)
        record = self._record(there)
        moment = self.clock()
        self._remember("rolling back", here, there, moment)
        return self._go(here, there, record, moment)

    def _last_good(self, history: History, here: Stamp) -> Stamp:
        """Return the newest complete bundle before `here` that is not known to have failed."""
        for stamp in reversed(history.complete(here.name)):
            record = self.ledger.record(stamp)
            if stamp != here and record and record.channels and record.healthy is not False:
                return stamp
        raise NotFoundError(
            "there is no good bundle to go back to",
            where=str(here),
            expected="an older bundle whose manifests were published, and whose releases did not "
            "fail",
            hint="load the older bundle's file with --allow-rollback",
        )

    def _record(self, there: Stamp) -> LoadRecord:
        record = self.ledger.record(there)
        if record is None or not record.channels:
            raise NotFoundError(
                "the ledger does not say where the older bundle's manifests are",
                where=str(there),
                hint="load its file with --allow-rollback",
            )
        return record

    def _go(self, here: Stamp, there: Stamp, record: LoadRecord, moment: datetime) -> Report:
        steps = [Step(one.part, one.name, state="published") for one in record.channels]
        try:
            for number, one in enumerate(record.channels):
                steps[number] = self._moved(steps[number], one)
                if (error := steps[number].error) is not None:
                    return Report("failed", there, tuple(steps), error=error)
            if self.follower:
                self.follower.notify(self.progress)
            self._remember("rolled back", here, there, self.clock())
        except PetraError as error:
            return Report("failed", there, tuple(steps), error=error)
        notified, notes = bool(self.follower), self._left(here, record)
        report = Report("rolled back", there, tuple(steps), notified=notified, notes=notes)
        return self._watched(report, record, moment)

    def _left(self, here: Stamp, record: LoadRecord) -> tuple[str, ...]:
        """Name the places that go on reading `here`: the older bundle was never published there."""
        left = self.ledger.record(here)
        moved = {one.name for one in record.channels}
        return tuple(
            f"{one.name} still reads {here}: {record.bundle} was never published there"
            for one in (left.channels if left else ())
            if one.name not in moved
        )

    def _moved(self, step: Step, at: DestinationRecord) -> Step:
        try:
            return replace(step, state="done", switched=self.channels(at).move())
        except PetraError as error:
            error.name(f"{step.part} at {step.destination}")
            return replace(step, state="failed", error=error)

    def _watched(self, report: Report, record: LoadRecord, moment: datetime) -> Report:
        if not self.follower:
            return report
        try:
            releases = tuple(self.follower.watch(record, moment, self.progress))
        except PetraError as error:
            return replace(report, verdict="failed", error=error)
        return with_releases(report, releases)

    def _remember(self, what: str, here: Stamp, there: Stamp, moment: datetime) -> None:
        event = {"time": moment, "event": what, "bundle": here, "to": there.digest}
        self.ledger.append(Event.model_validate(event))


def _only_name(history: History) -> str:
    names = history.names
    if len(names) == 1:
        return names[0]
    raise UsageError(
        "which bundle?" if names else "nothing was loaded yet",
        expected=f"one of {', '.join(names)}" if names else None,
        hint="name it: petra bundle rollback NAME" if names else "check --ledger",
    )


def _current(history: History, name: str) -> Stamp:
    complete = history.complete(name)
    if not complete:
        raise NotFoundError(
            "no bundle of this name was loaded",
            where=name,
            expected=f"one of {', '.join(history.names)}" if history.names else None,
            hint="check the name, and --ledger",
        )
    return complete[-1]


def _by_digest(history: History, name: str, begun: Event) -> Stamp:
    """Return the bundle that a rollback was on its way to."""
    found = (one for one in history.complete(name) if one.digest == begun.to)
    there = next(found, None)
    if there is None:
        raise NotFoundError(
            "the bundle that a rollback was on its way to is gone from the ledger",
            where=name,
            expected=begun.to,
            hint="load its file with --allow-rollback",
        )
    return there
