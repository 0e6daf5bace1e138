"""How two bundles differ, from what their metadata say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from petra.archive.members import is_blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petra.bundle.metadata import Metadata

Kind = Literal["image", "chart", "file"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is in one bundle and not, or not the same, in the other.

    Attributes:
        kind: an image, a chart, or a file of the platform or the evidence.
        name: its name.
        old: its digest in the old bundle; None where it is new.
        new: its digest in the new bundle; None where it is gone.
    """

    kind: Kind
    name: str
    old: str | None
    new: str | None

    @property
    def verb(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        if self.old is None:
            return "added"
        return "removed" if self.new is None else "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs.

    Attributes:
        changes: in the order of the bundles.
        shared: bytes of blobs that both have.
        added: bytes of blobs that only the new one has.
        removed: bytes of blobs that only the old one has.
    """

    changes: tuple[Change, ...]
    shared: int
    added: int
    removed: int


def diff(old: Metadata, new: Metadata) -> Difference:
    """Return what differs between two bundles."""
    before, after = _blobs(old), _blobs(new)
    return Difference(
        tuple(_changes(old, new)),
        sum(size for name, size in after.items() if name in before),
        sum(size for name, size in after.items() if name not in before),
        sum(size for name, size in before.items() if name not in after),
    )


def _blobs(metadata: Metadata) -> dict[str, int]:
    """Return all blobs of its images by name, those too that a differential bundle leaves out."""
    carried = {member.name: member.size for member in metadata.members if is_blob(member.name)}
    return carried | {digest.blob_path: size for digest, size in metadata.absent.items()}


def _changes(old: Metadata, new: Metadata) -> Iterator[Change]:
    yield from _compare("image", _images(old), _images(new))
    yield from _compare("chart", _charts(old), _charts(new))
    yield from _compare("file", _files(old), _files(new))


def _images(metadata: Metadata) -> dict[str, str]:
    return {image.reference: image.digest for image in metadata.images}


def _charts(metadata: Metadata) -> dict[str, str]:
    return {f"{chart.name} {chart.version}": chart.digest for chart in metadata.charts}


def _files(metadata: Metadata) -> dict[str, str]:
    folders = ("platform/", "sbom/", "scan/", "attestations/")
    return {
        member.name: member.digest for member in metadata.members if member.name.startswith(folders)
    }


def _compare(kind: Kind, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield Change(kind, name, old.get(name), new.get(name))
