"""What a differential bundle leaves out: proven to be at a destination, or had from elsewhere.

A destination that lacks such a blob is given it from a place that has it, where the user names one
(``--base-from``). What is nowhere is named before anything is changed. Each blob that is brought is
checked by its digest as it passes, like those of the bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from petra.content.parallel import in_parallel
from petra.content.stream import VerifyReader
from petra.errors import IncompleteError, NotFoundError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from petra.archive.target import ArchiveTarget
    from petra.bundle.lock import Lock
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.protocols import ByteStream, Fetcher
    from petra.load.destination import OpenBundle
    from petra.oci.layout import LayoutTarget
    from petra.oci.repository import Repository

_BUFFER: Final = 1024 * 1024
_WORKERS: Final = 4
#: Blobs that an error lists.
_LISTED: Final = 20


class BaseSource(Protocol):
    """A place that may have what a bundle leaves out.

    Attributes:
        name: as the user gave it.
    """

    name: str

    def find(self, blobs: Sequence[Descriptor], /) -> Mapping[Digest, Fetcher]:
        """Return from where each of `blobs` can be fetched, of those that are there.

        Raises:
            PetraError: it cannot be asked.
        """
        ...


@dataclass
class BundleSource:
    """A whole bundle that was verified, or another differential one."""

    name: str
    archive: ArchiveTarget

    def find(self, blobs: Sequence[Descriptor], /) -> Mapping[Digest, Fetcher]:
        """Return what it carries; see :class:`BaseSource`."""
        return {blob.digest: self.archive for blob in blobs if self.archive.exists(blob)}


@dataclass
class LayoutSource:
    """An OCI image layout. What it has is read, and counts only if it has the right digest."""

    name: str
    layout: LayoutTarget

    def find(self, blobs: Sequence[Descriptor], /) -> Mapping[Digest, Fetcher]:
        """Return what it has; see :class:`BaseSource`."""
        return {blob.digest: self.layout for blob in blobs if has_intact(self.layout, blob)}


@dataclass
class RepositoriesSource:
    """Repositories of a registry, asked by digest."""

    name: str
    repositories: Sequence[Repository]

    def find(self, blobs: Sequence[Descriptor], /) -> Mapping[Digest, Fetcher]:
        """Return which repository has each; see :class:`BaseSource`."""

        def first(blob: Descriptor) -> Repository | None:
            return next((one for one in self.repositories if one.exists(blob)), None)

        homes = in_parallel(first, blobs, workers=_WORKERS)
        return {
            blob.digest: home for blob, home in zip(blobs, homes, strict=True) if home is not None
        }


class CompletedSource:
    """A bundle's blobs, and what it leaves out from elsewhere.

    Args:
        archive: the bundle.
        elsewhere: where a blob is fetched that the bundle does not carry.
    """

    def __init__(self, archive: ArchiveTarget, elsewhere: Mapping[Digest, Fetcher]) -> None:
        self._archive = archive
        self._elsewhere = elsewhere

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return a blob's bytes, not yet checked.

        Raises:
            NotFoundError: it is nowhere.
        """
        return self._elsewhere.get(descriptor.digest, self._archive).fetch(descriptor)


def has_intact(layout: LayoutTarget, blob: Descriptor) -> bool:
    """Say whether a layout has a blob of exactly this content, all of which is read."""
    buffer = memoryview(bytearray(min(_BUFFER, blob.size + 1)))
    try:
        with VerifyReader(layout.fetch(blob), blob) as stream:
            while stream.readinto(buffer):
                pass
    except (NotFoundError, VerificationError):
        return False
    return True


def found_elsewhere(
    bundle: OpenBundle, missing: Iterable[Digest], sources: Sequence[BaseSource], *, where: str
) -> dict[Digest, Fetcher]:
    """Return where what a destination lacks of the absent blobs can be fetched.

    Args:
        bundle: the differential bundle.
        missing: those of its absent blobs that the destination lacks.
        sources: asked one after the other.
        where: the destination's name.

    Raises:
        IncompleteError: some are nowhere; lists them, and the images that need them.
    """
    absent = bundle.absent
    left = {digest: absent[digest] for digest in missing}
    found: dict[Digest, Fetcher] = {}
    for source in sources:
        if left:
            found |= source.find([*left.values()])
            left = {digest: blob for digest, blob in left.items() if digest not in found}
    if left:
        raise _incomplete(bundle, left, sources, where)
    return found


def _incomplete(
    bundle: OpenBundle,
    left: Mapping[Digest, Descriptor],
    sources: Sequence[BaseSource],
    where: str,
) -> IncompleteError:
    lines = [
        f"{one.digest} ({one.size} bytes), of {_users(bundle.lock, one)}" for one in left.values()
    ]
    more = [f"… and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    listed = "".join(f"\n    {line}" for line in [*lines[:_LISTED], *more])
    asked = ", ".join(source.name for source in sources)
    return IncompleteError(
        f"the bundle is differential, and {len(left)} of the {len(bundle.absent)} layers that it "
        "leaves out are missing",
        where=f"{where}; asked too: {asked}" if asked else where,
        expected=f"what {bundle.metadata.base} has",
        found=listed,
        hint="nothing was changed; name a place that has them with --base-from, or make a new "
        "inventory (petra inventory) and ask the sender for a bundle made against it",
    )


def _users(lock: Lock, blob: Descriptor) -> str:
    names = (
        image.name
        for image in lock.images
        if any(layer.digest == blob.digest for layer in image.layers)
    )
    return ", ".join(names)


def base_notes(bundle: OpenBundle, elsewhere: Mapping[Digest, Fetcher]) -> tuple[str, ...]:
    """Return what a person should know of what the bundle leaves out, once it is proven there."""
    absent = len(bundle.absent)
    if not absent:
        return ()
    brought = f", {len(elsewhere)} of them from elsewhere" if elsewhere else ""
    return (f"differential: all {absent} layers that the bundle leaves out are at hand{brought}",)


def by_presence(blobs: Sequence[Descriptor], exists: Callable[[Descriptor], bool]) -> list[Digest]:
    """Return those of `blobs` that are not there, several asked for at a time."""
    found = in_parallel(exists, blobs, workers=_WORKERS)
    return [blob.digest for blob, there in zip(blobs, found, strict=True) if not there]
