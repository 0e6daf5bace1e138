"""A bundle as a target: blobs by digest, images by name, referrers by subject, in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from petra.archive import members
from petra.content.descriptor import Descriptor
from petra.content.stream import fetch_document
from petra.encoding.json import load_json
from petra.errors import FormatError, NotFoundError
from petra.oci.manifest import Manifest, parse_manifest
from petra.oci.media_types import is_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.archive.reader import ArchiveReader
    from petra.content.digest import Digest
    from petra.content.protocols import ByteStream

#: What readers of layouts take for an image's name, and what containerd looks for before it.
NAME = "org.opencontainers.image.ref.name"
RUNTIME_NAME = "io.containerd.image.name"


class ArchiveTarget:
    """Reads a bundle as one would read a registry. Nothing can be pushed.

    Args:
        reader: the bundle, verified.

    Attributes:
        entries: the descriptors in ``index.json``, in order.

    Raises:
        FormatError: ``index.json`` is malformed.
    """

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self.entries = tuple(_entries(reader.read(members.INDEX)))
        self._names = {e.annotations[NAME]: e for e in self.entries if NAME in e.annotations}
        self._referrers: Mapping[Digest, list[Descriptor]] | None = None

    @property
    def names(self) -> Mapping[str, Descriptor]:
        """The images by name, ``repository:tag`` and ``repository@digest``."""
        return self._names

    def resolve(self, reference: str) -> Descriptor:
        """Return what a name or a digest stands for.

        Args:
            reference: a whole name as in ``index.json``, or the digest of a listed manifest.

        Raises:
            NotFoundError: the bundle has no such image.
        """
        found = self._names.get(reference)
        if found is None:
            found = next((e for e in self.entries if e.digest == reference), None)
        if found is None:
            raise NotFoundError("the bundle has no such image", where=reference)
        return found

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return a blob's bytes, not yet checked.

        Raises:
            NotFoundError: the bundle does not carry it.
        """
        return self._reader.open(self._name(descriptor))

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int) -> ByteStream:
        """Return a part of a blob's bytes, not yet checked.

        Raises:
            NotFoundError: the bundle does not carry it, or it is shorter.
        """
        return self._reader.open(self._name(descriptor), offset, length)

    def exists(self, descriptor: Descriptor) -> bool:
        """Say whether the bundle carries a blob of this digest and size."""
        located = self._reader.members.get(descriptor.digest.blob_path)
        return located is not None and located.size == descriptor.size

    def size(self, digest: Digest) -> int:
        """Return a blob's length in bytes.

        Raises:
            NotFoundError: the bundle does not carry it.
        """
        return self._reader.find(digest.blob_path).size

    def referrers(self, subject: Descriptor) -> list[Descriptor]:
        """Return the attachments that name `subject` as their subject."""
        if self._referrers is None:
            self._referrers = self._find_referrers()
        return list(self._referrers.get(subject.digest, []))

    def _find_referrers(self) -> dict[Digest, list[Descriptor]]:
        found: dict[Digest, list[Descriptor]] = {}
        for entry in self.entries:
            if NAME in entry.annotations or not is_manifest(entry.media_type):
                continue
            manifest = self.manifest(entry)
            if manifest.subject:
                listed = found.setdefault(manifest.subject.digest, [])
                listed.append(manifest.referrer_descriptor())
        return found

    def manifest(self, descriptor: Descriptor) -> Manifest:
        """Return a manifest or index, checked and parsed.

        Raises:
            NotFoundError: the bundle does not carry it.
            VerificationError: it is not what the descriptor says.
        """
        raw = fetch_document(self, descriptor, where=descriptor.digest.blob_path)
        return parse_manifest(raw, descriptor.media_type, where=descriptor.digest)

    def _name(self, descriptor: Descriptor) -> str:
        name = descriptor.digest.blob_path
        if name not in self._reader.members:
            raise NotFoundError(
                "the bundle does not carry this blob",
                where=descriptor.digest,
                hint="a differential bundle leaves out what its receiver holds (petra bundle "
                "inspect says so); any other should carry it: get it anew",
            )
        return name


def _entries(index: bytes) -> list[Descriptor]:
    value: Any = load_json(index, where=members.INDEX)
    listed = value.get("manifests") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise FormatError("not an image index", where=members.INDEX)
    return [Descriptor.from_json(entry, where=members.INDEX) for entry in listed]
