"""Differential bundles: what a receiver holds stays out. Bundle format, section 7.

Only layers stay out. Indexes, manifests, configs, and all that is attached to an image travel
always, so that a differential bundle is read, inspected and verified like any other. The lock is
that of the whole bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from petra.archive import members
from petra.bundle.metadata import Base, HeldBlob
from petra.errors import ContentRefusedError, FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from petra.bundle.images import ResolvedImage
    from petra.bundle.inventory import Inventory
    from petra.bundle.lock import Lock
    from petra.bundle.metadata import Metadata
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest

_BAD: Final = "do not use it; ask the sender for a bundle made by petra"


@dataclass(frozen=True, slots=True)
class Held:
    """What a receiver holds, as its inventory or an older bundle says.

    Attributes:
        kind: which of the two.
        name: the receiver's, or the bundle's.
        version: the bundle's.
        serial: the inventory's or the bundle's.
        digest: of the file that says so.
        blobs: sizes in bytes by digest.
    """

    kind: Literal["bundle", "inventory"]
    name: str
    version: str | None
    serial: int
    digest: Digest
    blobs: Mapping[Digest, int]

    @classmethod
    def of_inventory(cls, inventory: Inventory, digest: Digest) -> Held:
        """Return what an inventory lists whose file has `digest`."""
        blobs = {blob.digest: blob.size for blob in inventory.blobs}
        return cls("inventory", inventory.name, None, inventory.serial, digest, blobs)

    @classmethod
    def of_bundle(cls, metadata: Metadata, digest: Digest) -> Held:
        """Return what who loaded a bundle holds, those blobs too that it left out itself."""
        blobs = _carried(metadata) | metadata.absent
        name, version = metadata.name, metadata.version
        return cls("bundle", name, version, metadata.serial, digest, blobs)


def differential_base(lock: Lock, images: Sequence[ResolvedImage], held: Held) -> Base:
    """Return what stays out of the bundle that `lock` describes.

    Args:
        lock: of the whole bundle.
        images: what it was made from.
        held: what the receiver holds.

    Raises:
        FormatError: `held` has one of the blobs with another size.
    """
    kept = set(_kept(images))
    known = [blob for blob in lock.blobs() if blob.digest in held.blobs]
    for blob in known:
        if held.blobs[blob.digest] != blob.size:
            raise FormatError(
                f"the base {held.kind} lists a blob with another size",
                where=f"{held.kind} {held.name}, {blob.digest}",
                expected=f"{blob.size} bytes",
                found=f"{held.blobs[blob.digest]} bytes",
                hint="do not use it; ask the receiver for a new inventory",
            )
    absent = (blob for blob in known if blob.digest not in kept)
    return Base(
        kind=held.kind,
        name=held.name,
        version=held.version,
        serial=held.serial,
        digest=held.digest,
        absent=tuple(HeldBlob(digest=blob.digest, size=blob.size) for blob in absent),
    )


def _kept(images: Sequence[ResolvedImage]) -> Iterator[Digest]:
    """Give what travels always: documents, and whatever is attached, however large."""
    for image in images:
        yield from (blob.digest for blob in image.documents)
        for attachment in image.attachments:
            yield from (blob.digest for blob in attachment.manifest.successors())


def check_blobs(metadata: Metadata, lock: Lock) -> None:
    """Refuse a bundle that lacks a blob of its images which it does not list as absent.

    Args:
        metadata: whose members were all found.
        lock: the bundle's.

    Raises:
        FormatError: it does; or its list of absent blobs is wrong. Names the blob.
    """
    wanted = {blob.digest: blob.size for blob in lock.blobs()}
    documents = {blob.digest for image in lock.images for blob in image.documents}
    carried, absent = _carried(metadata), metadata.absent
    for digest, size in absent.items():
        if digest in carried:
            raise _refused("a blob is listed as absent, and is there", digest)
        if digest not in wanted or digest in documents:
            raise _refused("a blob is listed as absent that is no layer of its images", digest)
        if size != wanted[digest]:
            raise _refused("an absent blob has another size than in the lock", digest)
    for digest in wanted:
        if digest not in carried and digest not in absent:
            raise _refused("the bundle lacks a blob that it does not list as absent", digest)


def require_whole(metadata: Metadata, what: str) -> None:
    """Refuse a differential bundle where all of a bundle is needed.

    Args:
        metadata: the bundle's.
        what: what needs it, as the error has it.

    Raises:
        ContentRefusedError: it leaves blobs out.
    """
    if metadata.base is None or not metadata.absent:
        return
    raise ContentRefusedError(
        f"the bundle is differential, and {what} needs a whole one",
        where=f"{metadata.name} {metadata.version}",
        expected="every blob of its images",
        found=f"{len(metadata.absent)} layers left out, which {metadata.base} has",
        hint="load it to a registry or layout that has them, or ask the sender for a whole bundle",
    )


def absent_layers(metadata: Metadata, lock: Lock) -> dict[Digest, Descriptor]:
    """Return the blobs that a bundle leaves out, with their media types, by digest."""
    absent = metadata.absent
    return {blob.digest: blob for blob in lock.blobs() if blob.digest in absent}


def _carried(metadata: Metadata) -> dict[Digest, int]:
    return {one.digest: one.size for one in metadata.members if members.is_blob(one.name)}


def _refused(message: str, digest: Digest) -> FormatError:
    return FormatError(message, where=digest, hint=_BAD)
