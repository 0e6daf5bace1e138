"""An image as it lies in a bundle, with what is attached to it: all that vouches for it offline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from petra.bundle.subjects import subjects
from petra.content.descriptor import Descriptor
from petra.content.stream import fetch_document
from petra.errors import FormatError, NotFoundError
from petra.oci.reference import Reference
from petra.oci.referrers import Attachment
from petra.trust.documents import signature_documents

if TYPE_CHECKING:
    from petra.archive.target import ArchiveTarget
    from petra.bundle.lock import LockedAttachment
    from petra.bundle.metadata import ImageRecord
    from petra.scan.model import Subject
    from petra.trust.documents import SignatureDocument


@dataclass(frozen=True)
class ReceivedImage:
    """An image of a bundle. Nothing that its record claims is taken for true.

    Attributes:
        record: what the metadata say of it.
        source: the bundle.
    """

    record: ImageRecord
    source: ArchiveTarget

    @property
    def title(self) -> str:
        """What people call it, ``NAME (REFERENCE)``."""
        return f"{self.record.name} ({self.record.reference})"

    @cached_property
    def reference(self) -> Reference:
        """Its reference, parsed."""
        return Reference.parse(self.record.reference)

    @cached_property
    def root(self) -> Descriptor:
        """The index or manifest that the reference stands for."""
        size = self.source.size(self.record.digest)
        return Descriptor(self.record.media_type, self.record.digest, size)

    @cached_property
    def platforms(self) -> tuple[tuple[Subject, Descriptor], ...]:
        """The manifests of the platforms that the bundle carries."""
        root = self.source.manifest(self.root)
        record = self.record
        return tuple(subjects(record.reference, root, record.platforms, self.source.exists))

    @property
    def documents(self) -> tuple[Descriptor, ...]:
        """The root, and the manifests of its platforms."""
        return (self.root, *(manifest for _, manifest in self.platforms))

    @cached_property
    def attachments(self) -> tuple[Attachment, ...]:
        """What refers to it.

        Raises:
            FormatError: the bundle lacks what its metadata list.
        """
        return tuple(self._attachment(entry) for entry in self.record.attachments)

    def signatures(self) -> list[SignatureDocument]:
        """Return its signatures, with their bytes."""
        return signature_documents(
            self.attachments,
            lambda descriptor: fetch_document(self.source, descriptor),
            subject=self.root.digest,
        )

    def _attachment(self, entry: LockedAttachment) -> Attachment:
        try:
            manifest = self.source.manifest(entry.descriptor)
        except NotFoundError as error:
            raise FormatError(
                f"the bundle lacks a {entry.kind} that its metadata list",
                where=error.where,
                hint="do not use it; ask the sender for a bundle made by petra",
            ) from None
        return Attachment(entry.kind, entry.scheme, entry.subject, manifest, entry.tag)
