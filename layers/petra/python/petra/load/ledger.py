"""What was loaded, when, by which signer, and where it went: the receiver's memory.

A ledger is events in the order in which they happened, and beside them one record for each bundle:
what it put where. It is kept by :class:`petra.load.ledger_folder.FolderLedger`, or by a table that
has the same few operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

from pydantic import Field

from petra.bundle.fields import (
    API_VERSION,
    INTEGER_LIMIT,
    DigestField,
    Label,
    Moment,
    Text,
    Version,
    time_text,
)
from petra.encoding.models import Items, Model
from petra.errors import PolicyError
from petra.load.destination import Part  # noqa: TC001  # a model's field
from petra.oci.media_types import is_manifest
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from petra.bundle.lock import LockedImage
    from petra.bundle.metadata import Metadata
    from petra.bundle.verify import Signed
    from petra.content.digest import Digest
    from petra.load.destination import Loaded, OpenBundle, Placed

#: How far a bundle came.
State: TypeAlias = Literal["begun", "complete", "rolled back", "pruning", "pruned"]


class Stamp(Model):
    """Which bundle: what decides whether it is newer, the same, or another."""

    name: Label
    version: Version
    serial: int = Field(ge=0, le=INTEGER_LIMIT)
    signer: Text = Field(description="The SHA-256 fingerprint of the key that signed it, hex.")
    digest: DigestField = Field(description="Of the whole file.")

    @classmethod
    def of(cls, bundle: OpenBundle) -> Self:
        """Return the stamp of `bundle`."""
        return cls._made(bundle.metadata, bundle.digest, bundle.signer)

    @classmethod
    def of_signed(cls, signed: Signed) -> Self:
        """Return the stamp of a bundle whose signature is good and whose members are unread."""
        return cls._made(signed.metadata, signed.digest, signed.key.fingerprint)

    @classmethod
    def _made(cls, metadata: Metadata, digest: Digest, signer: str) -> Self:
        return cls(
            name=metadata.name,
            version=metadata.version,
            serial=metadata.serial,
            signer=signer,
            digest=digest,
        )

    def __str__(self) -> str:
        return f"{self.name} {self.version}, serial {self.serial}"


class Event(Model):
    """A line of the ledger.

    Attributes:
        destinations: where to, as the user named them.
        to: the bundle that a rollback goes back to.
    """

    time: Moment
    event: Literal["begun", "complete", "rolling back", "rolled back", "pruning", "pruned"]
    bundle: Stamp
    destinations: Items[Text] = ()
    to: DigestField | None = None


class PlacedRecord(Model):
    """One thing that a bundle put somewhere; see :class:`petra.load.destination.Placed`."""

    name: Text
    reference: Text
    digest: DigestField

    @classmethod
    def of(cls, placed: Placed) -> Self:
        """Return what is to be remembered of `placed`."""
        return cls(name=placed.name, reference=placed.reference, digest=placed.digest)


class DestinationRecord(Model):
    """What a bundle put at one destination.

    Attributes:
        switched: what the cluster reads since, where that is a step of its own.
    """

    part: Part
    name: Text
    placed: Items[PlacedRecord] = ()
    switched: PlacedRecord | None = None

    @classmethod
    def of(cls, loaded: Loaded, switched: Placed | None = None) -> Self:
        """Return what is to be remembered of `loaded`."""
        return cls(
            part=loaded.part,
            name=loaded.destination,
            placed=tuple(PlacedRecord.of(one) for one in loaded.placed),
            switched=PlacedRecord.of(switched) if switched else None,
        )


class ImageRecord(Model):
    """An image of the bundle: what goes from a registry together.

    Attributes:
        root: its index or manifest.
        tags: what it is tagged with there.
        manifests: all its manifests by digest, those of what refers to it too.
    """

    root: DigestField
    tags: Items[Text] = ()
    manifests: Items[DigestField] = ()

    @classmethod
    def of(cls, image: LockedImage) -> Self:
        """Return what is to be remembered of a bundle's image."""
        tag = Reference.parse(image.reference).tag
        manifests = (one.digest for one in image.documents if is_manifest(one.media_type))
        return cls(root=image.root.digest, tags=(tag,) if tag else (), manifests=tuple(manifests))


class ReleaseRecord(Model):
    """A HelmRelease that the bundle's manifests hold, and the chart that it is to run."""

    namespace: Text
    name: Text
    chart: Text
    version: Text
    archive: DigestField = Field(description="Of the chart's .tgz.")
    source_namespace: Text | None = None


class LoadRecord(Model):
    """What a bundle put where, so that it can be rolled back to, and pruned, without its file.

    Attributes:
        healthy: whether all releases succeeded with it; None where nobody looked.
    """

    api_version: Literal["petra.sh/v1alpha1"] = API_VERSION
    kind: Literal["LoadRecord"] = "LoadRecord"
    bundle: Stamp
    destinations: Items[DestinationRecord] = ()
    images: Items[ImageRecord] = ()
    releases: Items[ReleaseRecord] = ()
    healthy: bool | None = None

    @property
    def channels(self) -> tuple[DestinationRecord, ...]:
        """The destinations where it became what the cluster reads."""
        return tuple(one for one in self.destinations if one.switched)

    def at(self, destination: DestinationRecord) -> Self:
        """Return this record with `destination` added, or in the place of the one so named."""
        others = (
            one
            for one in self.destinations
            if (one.part, one.name) != (destination.part, destination.name)
        )
        return self.model_copy(update={"destinations": (*others, destination)})

    def covers(self, wanted: Iterable[tuple[Part, str]]) -> bool:
        """Say whether the bundle is at each of `wanted`, part and name."""
        return set(wanted) <= {(one.part, one.name) for one in self.destinations}


class Ledger(Protocol):
    """Where events and records are kept. What a call has stored survives a crash."""

    def lock(self) -> AbstractContextManager[None]:
        """Keep every other load, rollback and prune out until the block ends.

        Raises:
            BusyError: one is under way.
        """
        ...

    def events(self) -> list[Event]:
        """Return all events, oldest first.

        Raises:
            StorageError: the ledger cannot be read, or is damaged.
        """
        ...

    def append(self, event: Event, /) -> None:
        """Store an event.

        Raises:
            StorageError: the ledger cannot be written.
        """
        ...

    def record(self, bundle: Stamp, /) -> LoadRecord | None:
        """Return what is known of a bundle; None for one that put nothing anywhere.

        Raises:
            StorageError: the ledger cannot be read, or is damaged.
        """
        ...

    def keep(self, record: LoadRecord, /) -> None:
        """Store a record, in the place of the one of the same bundle.

        Raises:
            StorageError: the ledger cannot be written.
        """
        ...


class History:
    """What a ledger's events come to.

    Args:
        events: oldest first.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self._states: dict[Digest, State] = {}
        self._stamps: dict[Digest, Stamp] = {}
        self._times: dict[Digest, datetime] = {}
        # Complete bundles by name, in the order in which they became the current one.
        self._stacks: dict[str, list[Digest]] = {}
        self._unfinished: dict[str, Event] = {}
        self._begun: dict[str, Stamp] = {}
        self._began: dict[Digest, datetime] = {}
        self._open: set[Digest] = set()
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        name, digest = event.bundle.name, event.bundle.digest
        self._stamps[digest] = event.bundle
        stack = self._stacks.setdefault(name, [])
        if event.event == "rolling back":
            self._unfinished[name] = event
            return
        if event.event == "begun":
            self._begun[name] = event.bundle
            self._began[digest] = event.time
            self._open.add(digest)
        elif digest in stack:
            stack.remove(digest)
        if event.event == "complete":
            stack.append(digest)
        if event.event != "begun":
            self._open.discard(digest)
        if event.event in ("complete", "rolled back"):
            self._unfinished.pop(name, None)
        if event.event != "begun" or self._states.get(digest) != "complete":
            self._states[digest] = event.event
        self._times[digest] = event.time

    @property
    def names(self) -> list[str]:
        """The names of all bundles that were ever complete."""
        return sorted(name for name, stack in self._stacks.items() if stack)

    def state(self, digest: Digest) -> State | None:
        """Return how far the bundle with this digest came; None for one never heard of."""
        return self._states.get(digest)

    def since(self, digest: Digest) -> datetime | None:
        """Return when it came to that state."""
        return self._times.get(digest)

    def is_open(self, digest: Digest) -> bool:
        """Say whether its last load did not end; an earlier one, to other places, may have."""
        return digest in self._open

    def began(self, digest: Digest) -> datetime | None:
        """Return when its last load began."""
        return self._began.get(digest)

    def complete(self, name: str) -> list[Stamp]:
        """Return the complete bundles of this name, the current one last."""
        return [self._stamps[digest] for digest in self._stacks.get(name, ())]

    def with_state(self, *states: State) -> list[Stamp]:
        """Return the bundles in one of these states."""
        return [self._stamps[digest] for digest, one in self._states.items() if one in states]

    def interrupted(self, name: str) -> Stamp | None:
        """Return the bundle whose load was the last to begin, where that load did not end."""
        last = self._begun.get(name)
        return last if last and self._states[last.digest] == "begun" else None

    def rolling_back(self, name: str) -> Event | None:
        """Return the rollback of this name that was begun and did not end, if there is one."""
        return self._unfinished.get(name)

    def highest(self, name: str, signer: str) -> Stamp | None:
        """Return the bundle of this name and signer with the highest serial ever begun."""
        found = (one for one in self._stamps.values() if (one.name, one.signer) == (name, signer))
        return max(found, key=lambda one: one.serial, default=None)

    def admit(self, bundle: Stamp, *, allow_rollback: bool = False) -> None:
        """Refuse a bundle that is older than one that was loaded, or that was rolled back.

        The current one passes, and so does one whose load was begun: it goes on.

        Args:
            bundle: the one that is to be loaded.
            allow_rollback: let it pass.

        Raises:
            PolicyError: it would be a replay, or a way back that nobody asked for.
        """
        current = [*self.complete(bundle.name)[-1:]]
        if allow_rollback or bundle in current:
            return
        if self.state(bundle.digest) == "rolled back":
            raise PolicyError(
                "this bundle was rolled back",
                where=str(bundle),
                found=f"rolled back at {_time(self.since(bundle.digest))}",
                hint="load a newer one, or give --allow-rollback if this one is wanted after all",
            )
        highest = self.highest(bundle.name, bundle.signer)
        if highest is None or highest.digest == bundle.digest or highest.serial < bundle.serial:
            return
        older = "is older than one that was loaded"
        other = "has the serial of another one that was loaded"
        raise PolicyError(
            f"the bundle {older if bundle.serial < highest.serial else other}",
            where=str(bundle),
            expected=f"a serial above {highest.serial} ({highest.version}, of the same signer)",
            found=f"{bundle.serial}",
            hint="load a newer bundle, or go back on purpose with `petra bundle rollback` or "
            "--allow-rollback",
        )


def _time(moment: datetime | None) -> str:
    return time_text(moment) if moment else "an unknown time"
