"""Takes from the destinations what only older bundles brought. Safe rather than broad.

Kept is what any of these needs: the last bundles of each name that were loaded, every load and
rollback that did not end, and the bundle that the cluster reads at each destination, whatever the
ledger says of it. Where the cluster reads something that the ledger does not know, nothing goes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from petra.errors import PetraError, PolicyError
from petra.load.ledger import Event, History
from petra.load.report import stamp_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from petra.content.digest import Digest
    from petra.load.ledger import DestinationRecord, ImageRecord, Ledger, LoadRecord, Stamp
    from petra.load.run import Clock


@dataclass(frozen=True, slots=True)
class Doomed:
    """What older bundles put at one destination, and nothing that is kept needs.

    Attributes:
        records: what each of them put there.
        images: their images, by which more than the image itself goes.
        kept: digests that stay, whatever else is said.
        kept_references: places that stay.
    """

    records: tuple[DestinationRecord, ...]
    images: tuple[ImageRecord, ...]
    kept: frozenset[Digest]
    kept_references: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of one destination.

    Attributes:
        part: what it takes.
        destination: its name.
        removed: what is gone.
        kept: what stays although no bundle that is kept brought it, and why.
        notes: what a person should know or do next.
        complete: whether nothing is left that should go.
        error: why it did not end.
    """

    part: str
    destination: str
    removed: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True
    error: PetraError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--output json`` has it."""
        value = {
            "part": self.part,
            "destination": self.destination,
            "removed": list(self.removed),
            "kept": [{"reference": reference, "why": why} for reference, why in self.kept],
            "notes": list(self.notes),
            "complete": self.complete,
        }
        return value | ({"error": self.error.to_json()} if self.error else {})


class Pruner(Protocol):
    """A destination that can forget."""

    def current(self) -> str | None:
        """Return the manifests that the cluster reads there, by digest or by their folder.

        None where it reads none.

        Raises:
            PetraError: that cannot be found out.
        """
        ...

    def remove(self, doomed: Doomed, /, *, dry_run: bool) -> Pruned:
        """Remove what is doomed and nothing that something else there still names.

        May be called again after any failure.

        Raises:
            PetraError: it did not end; what is left is usable.
        """
        ...


#: Opens a destination; None for a kind that nothing is taken from.
Pruners: TypeAlias = "Callable[[DestinationRecord], Pruner | None]"


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What became of all destinations.

    Attributes:
        bundles: those that are gone, or would go.
        kept: those that stay.
        destinations: what became of each.
    """

    bundles: tuple[Stamp, ...] = ()
    kept: tuple[Stamp, ...] = ()
    destinations: tuple[Pruned, ...] = ()

    @property
    def error(self) -> PetraError | None:
        """Why it did not end."""
        return next((one.error for one in self.destinations if one.error), None)

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--output json`` has it."""
        return {
            "pruned": [stamp_json(one) for one in self.bundles],
            "kept": [stamp_json(one) for one in self.kept],
            "destinations": [one.to_json() for one in self.destinations],
        }


@dataclass(frozen=True, slots=True)
class Prune:
    """One clean-up.

    Attributes:
        ledger: what was loaded; locked by the caller.
        pruners: opens destinations.
        clock: the time of events.
    """

    ledger: Ledger
    pruners: Pruners
    clock: Clock = field(default=lambda: datetime.now(UTC))

    def run(self, keep: int, *, dry_run: bool = False) -> PruneReport:
        """Remove what only bundles older than the last `keep` of each name brought.

        Raises:
            PolicyError: the cluster reads something that the ledger does not know.
            PetraError: what the cluster reads cannot be found out; nothing was removed.
        """
        history = History(self.ledger.events())
        records = self._records(history)
        live = self._live(history, records, keep)
        old = [record for record in records if record.bundle not in live]
        kept = [record for record in records if record.bundle in live]
        stamps = tuple(record.bundle for record in old)
        if not dry_run:
            for stamp in stamps:
                # From here on it is not to be gone back to, whatever happens.
                self._remember("pruning", stamp)
        done = tuple(self._prune(name, old, kept, dry_run=dry_run) for name in _names(old))
        if not dry_run and all(one.complete for one in done):
            for stamp in stamps:
                self._remember("pruned", stamp)
        return PruneReport(stamps, tuple(record.bundle for record in kept), done)

    def _records(self, history: History) -> list[LoadRecord]:
        """Return the records of all bundles that may have something somewhere."""
        stamps = history.with_state("begun", "complete", "rolled back", "pruning")
        return [record for stamp in stamps if (record := self.ledger.record(stamp))]

    def _live(self, history: History, records: list[LoadRecord], keep: int) -> set[Stamp]:
        live: set[Stamp] = set()
        for name in {record.bundle.name for record in records}:
            stamps = history.complete(name)[-keep:]
            live.update(stamps)
            # A load that did not end may go on, until something newer is complete; and what was
            # rolled back is newer than what is current.
            newest = max((stamp.serial for stamp in stamps), default=-1)
            live |= {
                stamp
                for stamp in history.with_state("begun", "rolled back")
                if stamp.name == name and stamp.serial > newest
            }
            live |= {stamp for stamp in (history.interrupted(name),) if stamp}
        return live | {record.bundle for record in self._read_by_clusters(records)}

    def _read_by_clusters(self, records: list[LoadRecord]) -> Iterable[LoadRecord]:
        """Return the records of what is read wherever a bundle's manifests were published."""
        places = {one.name: one for record in records for one in record.channels}
        for name, place in places.items():
            pruner = self.pruners(place)
            current = pruner.current() if pruner else None
            if current is None:
                continue
            found = [
                record
                for record in records
                for one in record.channels
                if one.name == name and current in _identities(one)
            ]
            if not found:
                raise PolicyError(
                    "the cluster reads manifests that the ledger does not know",
                    where=name,
                    expected="manifests of a bundle that was loaded by this ledger",
                    found=current,
                    hint="nothing was removed: load the bundle that the cluster is to run, then "
                    "prune again",
                )
            yield from found

    def _prune(
        self,
        name: tuple[str, str],
        old: list[LoadRecord],
        kept: list[LoadRecord],
        *,
        dry_run: bool,
    ) -> Pruned:
        places = [
            one for record in old for one in record.destinations if (one.part, one.name) == name
        ]
        pruner = self.pruners(places[0])
        if pruner is None:
            note = "nothing is taken from there: its content is shared in ways that are not known"
            return Pruned(*name, notes=(note,), complete=True)
        doomed = Doomed(
            records=tuple(places),
            images=tuple(image for record in old for image in record.images),
            kept=_digests(kept),
            kept_references=frozenset(
                placed.reference
                for record in kept
                for one in record.destinations
                for placed in (*one.placed, *filter(None, (one.switched,)))
            ),
        )
        try:
            return pruner.remove(doomed, dry_run=dry_run)
        except PetraError as error:
            error.name(f"{name[0]} at {name[1]}")
            return Pruned(*name, complete=False, error=error)

    def _remember(self, what: str, stamp: Stamp) -> None:
        event = {"time": self.clock(), "event": what, "bundle": stamp}
        self.ledger.append(Event.model_validate(event))


def _identities(record: DestinationRecord) -> set[str]:
    """Return what tells the manifests of a bundle apart from those of others."""
    digests = (record.switched.digest,) if record.switched else ()
    return {*digests, *(one.reference for one in record.placed)}


def _names(records: Iterable[LoadRecord]) -> list[tuple[str, str]]:
    """Return the destinations of records, each once, what points to others first."""
    found = dict.fromkeys((one.part, one.name) for record in records for one in record.destinations)
    order = ("manifests", "charts", "bootstrap", "images")
    return sorted(found, key=lambda name: order.index(name[0]))


def _digests(records: Iterable[LoadRecord]) -> frozenset[Digest]:
    """Return every digest that records know of."""
    found: set[Digest] = set()
    for record in records:
        for one in record.destinations:
            found |= {placed.digest for placed in one.placed}
            found |= {one.switched.digest} if one.switched else set()
        for image in record.images:
            found |= {image.root, *image.manifests}
    return frozenset(found)
