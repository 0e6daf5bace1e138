"""A bundle as repositories and a chart repository, straight out of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.archive import members
from petra.content.descriptor import Descriptor
from petra.content.stream import VerifyReader
from petra.errors import NotFoundError
from petra.oci.media_types import is_manifest
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from petra.archive.reader import ArchiveReader
    from petra.archive.target import ArchiveTarget
    from petra.bundle.lock import Lock, LockedImage
    from petra.content.digest import Digest
    from petra.content.protocols import ByteStream


class BundleRepository:
    """One repository of a bundle: what its images need, and nothing else.

    Args:
        archive: the bundle's blobs.
        images: the bundle's images in this repository.
    """

    def __init__(self, archive: ArchiveTarget, images: list[LockedImage]) -> None:
        self._archive = archive
        self._content: dict[Digest, Descriptor] = {}
        self._tags: dict[str, Descriptor] = {}
        for image in images:
            for blob in (*image.documents, *image.layers):
                self._content[blob.digest] = blob.descriptor
            tag = Reference.parse(image.reference).tag
            if tag:
                self._tags[tag] = image.root.descriptor
            for one in image.attachments:
                if one.tag:
                    self._tags[one.tag] = one.descriptor

    def tags(self) -> list[str]:
        """Return the tags, those of cosign's signatures among them, sorted."""
        return sorted(self._tags)

    def resolve(self, reference: str) -> Descriptor:
        """Return what a tag or a digest stands for.

        Raises:
            NotFoundError: there is no such tag or manifest.
        """
        found = self._tags.get(reference)
        if found is None:
            found = next((d for digest, d in self._content.items() if digest == reference), None)
        if found is None or not is_manifest(found.media_type):
            raise NotFoundError("the repository has no such image", where=reference)
        return found

    def describe(self, digest: Digest) -> Descriptor:
        """Return the descriptor of the content `digest`.

        Raises:
            NotFoundError: the repository has none, or the bundle left that platform out.
        """
        found = self._content.get(digest)
        if found is None:
            raise NotFoundError("the repository has no such content", where=digest)
        return found

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return the content's bytes."""
        return self._archive.fetch(self.describe(descriptor.digest))

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int) -> ByteStream:
        """Return a part of the content's bytes."""
        return self._archive.fetch_range(self.describe(descriptor.digest), offset, length)

    def referrers(self, subject: Descriptor) -> list[Descriptor]:
        """Return the attachments whose subject this is."""
        listed = self._archive.referrers(subject)
        return [descriptor for descriptor in listed if descriptor.digest in self._content]


class BundleRepositories:
    """All repositories of a bundle, by their full names, ``registry/repository``.

    Args:
        archive: the bundle's blobs.
        lock: the bundle's lock, which says what belongs where.
    """

    def __init__(self, archive: ArchiveTarget, lock: Lock) -> None:
        images: dict[str, list[LockedImage]] = {}
        for image in lock.images:
            images.setdefault(Reference.parse(image.reference).name, []).append(image)
        self._repositories = {
            name: BundleRepository(archive, listed) for name, listed in images.items()
        }

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._repositories)

    def get(self, name: str) -> BundleRepository | None:
        """Return the repository of exactly that name; None where there is none."""
        return self._repositories.get(name)

    def tags(self, name: str) -> list[str]:
        """Return the tags of that repository; empty where there is none."""
        found = self.get(name)
        return [] if found is None else found.tags()


class BundleCharts:
    """The chart repository in a bundle.

    Args:
        reader: the bundle.
    """

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader

    def read(self, path: str) -> bytes | None:
        """Return ``index.yaml`` or a chart, checked; None where the bundle has none.

        Raises:
            DigestMismatchError: it is not what the metadata says.
        """
        located = self._reader.members.get(f"charts/{path}")
        if located is None:
            return None
        if located.digest is None or not members.is_stored(located.name):
            return self._reader.read(located.name)
        descriptor = Descriptor("application/gzip", located.digest, located.size)
        stream = self._reader.open(located.name)
        with VerifyReader(stream, descriptor, where=located.name) as checked:
            return checked.read()
