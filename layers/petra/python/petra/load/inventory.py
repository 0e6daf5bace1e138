"""Builds a receiver's inventory: what its destinations hold of the bundles that were loaded.

Nothing is taken for granted because it was loaded once. Each manifest is read where it was put, and
each blob that it names is asked for there: of a registry by its digest, while a layout's file is
read and hashed. What is gone is named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from petra.bundle.inventory import HeldBundle, new_inventory
from petra.bundle.verify import Signed
from petra.content.parallel import in_parallel
from petra.errors import NotFoundError
from petra.load.base import has_intact
from petra.load.ledger import History, Stamp
from petra.oci.manifest import parse_manifest
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from petra.bundle.inventory import Inventory
    from petra.bundle.verify import VerifiedBundle
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.load.ledger import DestinationRecord, Ledger, LoadRecord
    from petra.oci.layout import LayoutTarget
    from petra.oci.manifest import Manifest

_WORKERS: Final = 4
_IMAGES: Final = "images"


class Repository(Protocol):
    """A repository of a registry; petra.oci.repository.Repository."""

    def fetch_manifest(self, reference: str, /) -> Manifest:
        """Return the manifest that a digest stands for.

        Raises:
            NotFoundError: it is not there.
        """
        ...

    def exists(self, descriptor: Descriptor, /) -> bool:
        """Say whether a blob of this digest and size is there."""
        ...


class Registries(Protocol):
    """Opens repositories; petra.oci.registry.RegistryClient."""

    def repository(self, registry: str, repository: str, /) -> Repository:
        """Return the repository."""
        ...


class Place(Protocol):
    """Where one image lies."""

    def manifest(self, digest: Digest, /) -> Manifest:
        """Return a manifest, checked.

        Raises:
            NotFoundError: it is not there.
        """
        ...

    def has(self, blob: Descriptor, /) -> bool:
        """Say whether a blob of this digest and size is there."""
        ...


@dataclass(frozen=True, slots=True)
class _RegistryPlace:
    repository: Repository

    def manifest(self, digest: Digest) -> Manifest:
        return self.repository.fetch_manifest(digest)

    def has(self, blob: Descriptor) -> bool:
        return self.repository.exists(blob)


@dataclass(frozen=True, slots=True)
class _LayoutPlace:
    layout: LayoutTarget

    def manifest(self, digest: Digest) -> Manifest:
        descriptor = self.layout.resolve(digest)
        with self.layout.fetch(descriptor) as stream:
            return parse_manifest(stream.read(), descriptor.media_type, where=digest)

    def has(self, blob: Descriptor) -> bool:
        return has_intact(self.layout, blob)


@dataclass
class Found:
    """What was found at the destinations.

    Attributes:
        blobs: what is there, sizes in bytes by digest.
        lost: what should be there and is not, one sentence each.
        uncounted: destinations that cannot be asked, one sentence each.
        bundles: whose blobs were looked for.
        serial: how far the ledger has come.
    """

    serial: int = 0
    blobs: dict[Digest, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)
    bundles: list[HeldBundle] = field(default_factory=list)

    def add_bundle(self, bundle: VerifiedBundle) -> None:
        """Add what a bundle's file holds, which was verified."""
        signed = Signed(bundle.metadata, bundle.archive.digest, bundle.key)
        self.bundles.append(_held(Stamp.of_signed(signed)))
        for member in bundle.metadata.members:
            if member.name == member.digest.blob_path:
                self.blobs[member.digest] = member.size

    def inventory(self, name: str, created: datetime) -> Inventory:
        """Return the inventory of the receiver `name`."""
        return new_inventory(name, self.serial, created, self.bundles, self.blobs)


def take_inventory(ledger: Ledger, registries: Registries) -> Found:
    """Ask all destinations for what the loaded bundles put there.

    Args:
        ledger: knows what was loaded where.
        registries: opens repositories.

    Raises:
        PetraError: a destination cannot be asked.
    """
    events = ledger.events()
    found = Found(serial=len(events))
    looked: set[tuple[str, Digest]] = set()
    for bundle in History(events).with_state("complete"):
        record = ledger.record(bundle)
        if record is None:
            continue
        found.bundles.append(_held(bundle))
        for at in record.destinations:
            if at.part == _IMAGES:
                _look(found, record, at, registries, looked)
    found.uncounted = [*dict.fromkeys(found.uncounted)]
    return found


def repositories_of(ledger: Ledger) -> tuple[str, ...]:
    """Return the repositories, ``HOST/PATH``, that bundles were ever loaded to."""
    names: dict[str, None] = {}
    for bundle in History(ledger.events()).with_state("complete", "begun", "rolled back"):
        record = ledger.record(bundle)
        for at in record.destinations if record else ():
            if at.part == _IMAGES and at.name.startswith("registry://"):
                names |= dict.fromkeys(Reference.parse(one.reference).name for one in at.placed)
    return tuple(names)


def _held(bundle: Stamp) -> HeldBundle:
    return HeldBundle.model_validate(bundle.model_dump(by_alias=False), by_name=True)


def _look(
    found: Found,
    record: LoadRecord,
    at: DestinationRecord,
    registries: Registries,
    looked: set[tuple[str, Digest]],
) -> None:
    """Look at one destination for what a bundle put there."""
    for placed in at.placed:
        place = _place(at, placed.reference, registries)
        if place is None:
            found.uncounted.append(f"{at.name}: what it holds cannot be asked for by digest")
            return
        where = placed.reference.partition("@")[0] if at.name.startswith("registry:") else at.name
        for digest in _manifests(record, placed.digest):
            if (where, digest) not in looked:
                looked.add((where, digest))
                _look_at_manifest(found, place, digest, f"{where} ({record.bundle})")


def _manifests(record: LoadRecord, placed: Digest) -> Iterator[Digest]:
    """Give what came with a manifest that was placed, itself first.

    Where a child stands for an index that its registry refused, the index is not there.
    """
    yield placed
    for image in record.images:
        if placed in (image.root, *image.manifests):
            yield from (one for one in image.manifests if one not in (placed, image.root))


def _place(at: DestinationRecord, reference: str, registries: Registries) -> Place | None:
    if at.name.startswith("registry://"):
        parsed = Reference.parse(reference)
        return _RegistryPlace(registries.repository(parsed.registry, parsed.repository))
    if at.name.startswith("layout:"):
        from petra.oci.layout import LayoutTarget  # noqa: PLC0415  # as needed

        return _LayoutPlace(LayoutTarget(Path(at.name.removeprefix("layout:"))))
    return None


def _look_at_manifest(found: Found, place: Place, digest: Digest, where: str) -> None:
    try:
        manifest = place.manifest(digest)
    except NotFoundError:
        found.lost.append(f"manifest {digest} is not at {where}")
        return
    found.blobs[digest] = manifest.descriptor.size
    # What a manifest of manifests names is looked at by itself, as far as it was loaded.
    blobs = [*_blobs(manifest)]
    there = in_parallel(place.has, blobs, workers=_WORKERS)
    for blob, is_there in zip(blobs, there, strict=True):
        if is_there:
            found.blobs[blob.digest] = blob.size
        else:
            found.lost.append(f"blob {blob.digest} ({blob.size} bytes) is not at {where}")


def _blobs(manifest: Manifest) -> Iterator[Descriptor]:
    config: Iterable[Descriptor] = (manifest.config,) if manifest.config else ()
    unique = {blob.digest: blob for blob in (*config, *manifest.layers)}
    yield from unique.values()
