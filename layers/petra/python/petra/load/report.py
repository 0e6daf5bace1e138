"""What a load did, or would do: at each destination, and in the cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from petra.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.errors import PetraError
    from petra.load.destination import Loaded, Part, Placed, Survey
    from petra.load.ledger import Stamp

#: ``not reconciled``: everything is in place, yet a release did not succeed.
Verdict: TypeAlias = Literal[
    "would load", "already loaded", "loaded", "rolled back", "not reconciled", "failed"
]
#: ``published``: in place, and not yet what the cluster reads.
State: TypeAlias = Literal["not begun", "failed", "published", "done"]


class Release(Protocol):
    """How one HelmRelease ended."""

    @property
    def succeeded(self) -> bool:
        """Whether it is at its end, with what the bundle brought."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--output json`` has it."""
        ...

    def line(self) -> str:
        """Return it in one line, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One destination.

    Attributes:
        part: what it takes.
        destination: its name, as the user gave it.
        state: how far it came.
        survey: what there was to do, where it could be found out.
        loaded: what is in place now.
        switched: what the cluster reads now, for what is published first.
        error: why it did not end.
    """

    part: Part
    destination: str
    state: State = "not begun"
    survey: Survey | None = None
    loaded: Loaded | None = None
    switched: Placed | None = None
    error: PetraError | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know."""
        said = self.loaded or self.survey
        return said.notes if said else ()

    def to_json(self) -> dict[str, Any]:
        """Return the step as ``--output json`` has it."""
        value: dict[str, Any] = {
            "part": self.part,
            "destination": self.destination,
            "state": self.state,
        }
        if self.survey:
            value |= {
                "items": self.survey.items,
                "present": self.survey.present,
                "bytesTotal": self.survey.bytes_total,
                "bytesToSend": self.survey.bytes_to_send,
            }
        if self.loaded:
            value["bytesSent"] = self.loaded.bytes_sent
            value["placed"] = [placed_json(one) for one in self.loaded.placed]
        if self.switched:
            value["switched"] = placed_json(self.switched)
        value["notes"] = list(self.notes)
        return value | ({"error": self.error.to_json()} if self.error else {})


@dataclass(frozen=True, slots=True)
class Report:
    """A whole load.

    Attributes:
        verdict: how it ended, in two words.
        bundle: what was loaded.
        steps: its destinations, in the order in which they are loaded.
        releases: how each ended; empty where no cluster was asked.
        notified: whether the cluster was told.
        notes: what a person does next, one sentence each.
        error: why it did not end.
    """

    verdict: Verdict
    bundle: Stamp
    steps: tuple[Step, ...] = ()
    releases: tuple[Release, ...] = ()
    notified: bool = False
    notes: tuple[str, ...] = ()
    error: PetraError | None = None

    @property
    def bytes_sent(self) -> int:
        """Bytes that went anywhere."""
        return sum(step.loaded.bytes_sent for step in self.steps if step.loaded)

    @property
    def bytes_to_send(self) -> int:
        """Bytes that there are to send, as far as known."""
        return sum(step.survey.bytes_to_send for step in self.steps if step.survey)

    @property
    def exit_status(self) -> int:
        """The command's exit status."""
        return self.error.exit_status if self.error else 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as ``--output json`` prints it."""
        value: dict[str, Any] = {
            "verdict": self.verdict,
            "bundle": stamp_json(self.bundle),
            "destinations": [step.to_json() for step in self.steps],
            "bytesToSend": self.bytes_to_send,
            "bytesSent": self.bytes_sent,
            "notified": self.notified,
            "notes": list(self.notes),
            "releases": [release.to_json() for release in self.releases],
        }
        return value | ({"error": self.error.to_json()} if self.error else {})


def with_releases(report: Report, releases: tuple[Release, ...]) -> Report:
    """Return `report` with how its releases ended."""
    bad = [one for one in releases if not one.succeeded]
    if not bad:
        return replace(report, releases=releases)
    error = ReconcileError(
        f"{len(bad)} of {len(releases)} HelmReleases did not come to what the bundle says",
        where=str(report.bundle),
        found=bad[0].line(),
    )
    return replace(report, verdict="not reconciled", releases=releases, error=error)


def stamp_json(bundle: Stamp) -> dict[str, Any]:
    """Return which bundle it is as ``--output json`` has it."""
    return {
        "name": bundle.name,
        "version": bundle.version,
        "serial": bundle.serial,
        "digest": bundle.digest,
        "signer": bundle.signer,
    }


def placed_json(placed: Placed) -> dict[str, Any]:
    """Return one thing that is in place as ``--output json`` has it."""
    value = {
        "name": placed.name,
        "reference": placed.reference,
        "digest": placed.digest,
        "sent": placed.sent,
    }
    return value | ({"note": placed.note} if placed.note else {})


def first_error(steps: Sequence[Step]) -> PetraError | None:
    """Return the error of the first step that has one."""
    return next((step.error for step in steps if step.error), None)
