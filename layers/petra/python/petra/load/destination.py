"""Where parts of a bundle go: one small interface for registries, folders, nodes and artifacts.

A load first surveys every destination, which changes nothing, and then loads them one after the
other. Loading is idempotent: what is in place already is not sent again, so a load that was killed
is run again from the start and goes on where it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

from petra.archive.target import ArchiveTarget
from petra.bundle.agreement import bundle_lock
from petra.bundle.differential import absent_layers

if TYPE_CHECKING:
    from petra.archive.reader import ArchiveReader
    from petra.bundle.lock import Lock
    from petra.bundle.metadata import Metadata
    from petra.bundle.verify import VerifiedBundle
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.load.base import BaseSource

#: What of a bundle a destination takes.
Part: TypeAlias = Literal["images", "charts", "manifests", "bootstrap"]


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A verified bundle, held open while it is loaded.

    Attributes:
        reader: its members, on the very file that was verified.
        archive: its images.
        metadata: what it says of itself.
        lock: what it was made from.
        digest: the file's digest.
        signer: the fingerprint of the key that signed it.
        base_from: where blobs that it leaves out are looked for, beside the destinations.
        loaded_before: repositories, ``HOST/PATH``, that older bundles were loaded to.
    """

    reader: ArchiveReader
    archive: ArchiveTarget
    metadata: Metadata
    lock: Lock
    digest: Digest
    signer: str
    base_from: tuple[BaseSource, ...] = ()
    loaded_before: tuple[str, ...] = ()

    @property
    def absent(self) -> dict[Digest, Descriptor]:
        """What it leaves out; empty for a whole bundle."""
        return absent_layers(self.metadata, self.lock) if self.metadata.base else {}

    @classmethod
    def of(cls, verified: VerifiedBundle) -> Self:
        """Return `verified`, opened for loading.

        Raises:
            FormatError: its index or its lock is malformed, or says something else than the
                metadata.
        """
        reader = verified.archive.reader
        return cls(
            reader=reader,
            archive=ArchiveTarget(reader),
            metadata=verified.metadata,
            lock=bundle_lock(reader, verified.metadata),
            digest=verified.archive.digest,
            signer=verified.key.fingerprint,
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """What a load would do at one destination; nothing was changed to find out.

    Attributes:
        part: what it takes.
        destination: its name, as the user gave it.
        items: images, charts or files in all.
        present: those of them that are in place already, whole.
        bytes_total: their bytes.
        bytes_to_send: those that would be sent; an upper bound where it cannot be known.
        notes: what a person should know, one sentence each.
    """

    part: Part
    destination: str
    items: int
    present: int
    bytes_total: int
    bytes_to_send: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """One thing that is in place now.

    Attributes:
        name: what the bundle calls it.
        reference: how it is asked for there: a reference by digest, a path.
        digest: its digest there.
        sent: whether this load put it there; it was there before otherwise.
        note: what is out of the ordinary about it, such as a child pushed for a sparse index.
    """

    name: str
    reference: str
    digest: Digest
    sent: bool
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was done at one destination.

    Attributes:
        part: what it takes.
        destination: its name, as the user gave it.
        placed: everything that is in place now.
        bytes_sent: bytes that went there.
        notes: what a person should know or do next, one sentence each.
    """

    part: Part
    destination: str
    placed: tuple[Placed, ...]
    bytes_sent: int
    notes: tuple[str, ...] = ()


class Destination(Protocol):
    """A place that takes a part of a bundle, made for one bundle.

    Attributes:
        part: what it takes.
        name: as the user gave it.
    """

    part: Part
    name: str

    def survey(self) -> Survey:
        """Find out what a load would do; change nothing.

        Raises:
            TransportError: it cannot be reached.
            AccessError: it refuses us.
            NoSpaceError: what is to come does not fit.
        """
        ...

    def load(self, progress: Progress, /) -> Loaded:
        """Put everything in place, each blob checked by digest as it passes.

        May be called again after any failure, and after success; what is in place stays. Whoever
        reads the destination meanwhile sees each thing as it was before or as it is after.

        Raises:
            PetraError: what is in place is usable, and a further call goes on from there.
        """
        ...


class Publication(Destination, Protocol):
    """A destination whose content becomes what the cluster reads in one last step.

    ``load`` is :meth:`publish` and then :meth:`switch`. Whoever loads several parts calls the two
    by themselves, so that the switch comes after everything else.

    Attributes:
        digest: of what is published.
    """

    @property
    def digest(self) -> Digest:
        """What :meth:`switch` will say that the cluster reads."""
        ...

    def publish(self, progress: Progress, /) -> Loaded:
        """Put everything in place beside what the cluster reads; the cluster sees no difference.

        Raises:
            PetraError: as for :meth:`load`.
        """
        ...

    def switch(self) -> Placed:
        """Let the cluster read what was published. Does nothing where it does so already.

        Raises:
            NotFoundError: it was not published.
            PetraError: as for :meth:`load`; the cluster reads what it read before.
        """
        ...
