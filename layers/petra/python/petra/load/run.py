"""One load, in its order: survey everything, then images, charts, manifests, the switch, and told.

Nothing is changed before every destination was surveyed, and nothing becomes what the cluster
reads before everything that it needs is in place. The ledger knows that a load was begun before
the first change, and that it is complete after the last; a load that ends anywhere between is run
again from the start and sends only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from petra.errors import PetraError
from petra.load.expected import expected_releases, release_records
from petra.load.ledger import DestinationRecord, Event, History, ImageRecord, LoadRecord, Stamp
from petra.load.report import Report, Step, first_error, with_releases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.progress import Progress
    from petra.load.destination import Destination, Loaded, OpenBundle, Part, Placed, Publication
    from petra.load.ledger import Ledger
    from petra.load.report import Release, State, Verdict

Clock: TypeAlias = Callable[[], datetime]

#: What comes before what.
ORDER: Final[tuple[Part, ...]] = ("images", "charts", "bootstrap", "manifests")


class Follower(Protocol):
    """The cluster that reads what was loaded, and is told of it."""

    def reach(self) -> None:
        """Find out whether it can be told; change nothing.

        Raises:
            TransportError: it cannot be reached.
            AccessError: it refuses us.
        """
        ...

    def notify(self, progress: Progress, /) -> None:
        """Tell it that there is something new.

        Raises:
            PetraError: it did not take it.
        """
        ...

    def watch(
        self, record: LoadRecord, moment: datetime, progress: Progress, /
    ) -> Sequence[Release]:
        """Wait until each release is at its end, or time is up; return how each ended.

        Args:
            record: what was put where, and the releases that it is for.
            moment: when the load began; the same moment is the same request to look.
            progress: who listens.

        Raises:
            PetraError: the cluster could not be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """A bundle, where it goes, and who remembers.

    Attributes:
        bundle: what is loaded.
        destinations: where to, in any order.
        ledger: what was loaded before; locked by the caller.
        progress: who listens.
        about: what is to be remembered of the bundle beside where it went: an empty record of it.
        follower: the cluster; None where there is none to tell.
        clock: the time of events.
    """

    bundle: Stamp
    destinations: Sequence[Destination]
    ledger: Ledger
    progress: Progress
    about: LoadRecord | None = None
    follower: Follower | None = None
    clock: Clock = lambda: datetime.now(UTC)

    def survey(self) -> Report:
        """Find out what there is to do and whether it can be done; change nothing.

        All destinations are asked, so that the report has everything that is wrong.
        """
        steps = self._surveyed()
        unreachable = self._unreachable()
        error = first_error(steps) or unreachable
        return self._report("failed" if error else "would load", steps, error=error)

    def run(self, *, again: bool = False) -> Report:
        """Load, tell the cluster and wait for it; see :meth:`place` and :meth:`watched`."""
        return self.watched(self.place(again=again))

    def place(self, *, again: bool = False) -> Report:
        """Load, tell the cluster, and report what is in place, all of it or not.

        Args:
            again: check every destination though the ledger says that all is in place.
        """
        if not again and self._is_loaded():
            return self._report("already loaded")
        surveyed = self.survey()
        if surveyed.error:
            return surveyed
        steps = [*surveyed.steps]
        try:
            self._remember("begun")
            self._place(steps)
            self._switch(steps)
            notified = self._notify()
            self._remember("complete")
        except PetraError as error:
            return self._report("failed", steps, error=error)
        return self._report("loaded", steps, notified=notified)

    def _is_loaded(self) -> bool:
        history = History(self.ledger.events())
        current = history.complete(self.bundle.name)[-1:] == [self.bundle]
        record = self.ledger.record(self.bundle)
        wanted = ((one.part, one.name) for one in self.destinations)
        # A rollback that did not end may have moved what the cluster reads.
        is_open = history.is_open(self.bundle.digest) or history.rolling_back(self.bundle.name)
        if not current or is_open or record is None or not record.covers(wanted):
            return False
        return all(self._is_switched(record, one) for one in self.destinations)

    def _is_switched(self, record: LoadRecord, destination: Destination) -> bool:
        """Say whether what the cluster reads is what would be published now, by other flags too."""
        publication = as_publication(destination)
        return publication is None or any(
            one.switched and one.switched.digest == publication.digest
            for one in record.destinations
            if (one.part, one.name) == (destination.part, destination.name)
        )

    def _surveyed(self) -> list[Step]:
        ordered = sorted(self.destinations, key=lambda one: ORDER.index(one.part))
        return [_surveyed(destination) for destination in ordered]

    def _unreachable(self) -> PetraError | None:
        try:
            if self.follower:
                self.follower.reach()
        except PetraError as error:
            return error
        return None

    def _place(self, steps: list[Step]) -> None:
        """Load each destination in its turn; publications stay beside what the cluster reads."""
        by_name = {(one.part, one.name): one for one in self.destinations}
        for number, step in enumerate(steps):
            destination = by_name[step.part, step.destination]
            publication = as_publication(destination)
            work = publication.publish if publication else destination.load
            with _failing(steps, number):
                loaded = work(self.progress)
                state: State = "published" if publication else "done"
                steps[number] = replace(step, state=state, loaded=loaded)
                self._keep(loaded)

    def _keep(self, loaded: Loaded, switched: Placed | None = None) -> None:
        record = self._record()
        at = DestinationRecord.of(loaded, switched)
        before = (one.switched for one in record.channels if one.name == at.name)
        if switched is None:
            at = at.model_copy(update={"switched": next(before, None)})
        self.ledger.keep(record.at(at))

    def _record(self) -> LoadRecord:
        return self.ledger.record(self.bundle) or self.about or LoadRecord(bundle=self.bundle)

    def _switch(self, steps: list[Step]) -> None:
        """Let the cluster read what was published: the last change of all."""
        by_name = {(one.part, one.name): one for one in self.destinations}
        for number, step in enumerate(steps):
            publication = as_publication(by_name[step.part, step.destination])
            if publication is None or step.loaded is None:
                continue
            with _failing(steps, number):
                switched = publication.switch()
                steps[number] = replace(step, state="done", switched=switched)
                self._keep(step.loaded, switched)

    def _notify(self) -> bool:
        if self.follower:
            self.follower.notify(self.progress)
        return bool(self.follower)

    def watched(self, report: Report) -> Report:
        """Add how the releases ended to the report of a load; nothing to one that failed."""
        if not self.follower or report.error:
            return report
        try:
            releases = tuple(self.follower.watch(self._record(), self._began(), self.progress))
            if releases:  # of a Receiver alone nobody hears how they are
                healthy = all(one.succeeded for one in releases)
                self.ledger.keep(self._record().model_copy(update={"healthy": healthy}))
        except PetraError as error:
            return replace(report, verdict="failed", error=error)
        return with_releases(report, releases)

    def _began(self) -> datetime:
        began = History(self.ledger.events()).began(self.bundle.digest)
        return began or self.clock()

    def _remember(self, what: str) -> None:
        names = tuple(one.name for one in self.destinations)
        event = {"time": self.clock(), "event": what, "bundle": self.bundle, "destinations": names}
        self.ledger.append(Event.model_validate(event))

    def _report(
        self,
        verdict: Verdict,
        steps: Sequence[Step] = (),
        *,
        error: PetraError | None = None,
        notified: bool = False,
    ) -> Report:
        return Report(verdict, self.bundle, tuple(steps), error=error, notified=notified)


def new_record(bundle: OpenBundle) -> LoadRecord:
    """Return what is to be remembered of `bundle`, before it was put anywhere.

    Raises:
        FormatError: its manifests need a chart that it does not hold.
        UsageError: a release's chart cannot be told.
    """
    expected = expected_releases(bundle.reader, bundle.metadata)
    return LoadRecord(
        bundle=Stamp.of(bundle),
        images=tuple(ImageRecord.of(image) for image in bundle.lock.images),
        releases=release_records(expected),
    )


def as_publication(destination: Destination) -> Publication | None:
    """Return `destination` as one that is published first and switched last; None if it is not."""
    return cast("Publication", destination) if hasattr(destination, "switch") else None


def _surveyed(destination: Destination) -> Step:
    try:
        return Step(destination.part, destination.name, survey=destination.survey())
    except PetraError as error:
        error.name(f"{destination.part} to {destination.name}")
        return Step(destination.part, destination.name, state="failed", error=error)


@contextmanager
def _failing(steps: list[Step], number: int) -> Iterator[None]:
    """Note at step `number` what ends it."""
    try:
        yield
    except PetraError as error:
        step = steps[number]
        error.name(f"{step.part} to {step.destination}")
        steps[number] = replace(step, state="failed", error=error)
        raise
