"""The lock: what a spec resolved to, ``bundle.lock.yaml``.

From the lock (and the evidence) every member of the archive, its order and its offset follow; so it
names every blob with its size, and everything else that decides a byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from petra.bundle.fields import (
    API_VERSION,
    INTEGER_LIMIT,
    ChartName,
    ChartVersion,
    DigestField,
    Label,
    Moment,
    Name,
    PlatformField,
    Size,
    Text,
    Version,
)
from petra.content.descriptor import Descriptor
from petra.encoding.models import FieldError, Items, Model, reading, to_value, validate
from petra.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from petra.content.digest import Digest
    from petra.errors import PetraError

#: Four bundles' worth of the largest known index; a lock has some 150 bytes for each blob.
LOCK_LIMIT = 64 * 1024 * 1024


class LockedBlob(Model):
    """A piece of content: what, which and how much."""

    media_type: Text
    digest: DigestField
    size: Size

    @classmethod
    def of(cls, descriptor: Descriptor) -> Self:
        """Return `descriptor` without what only its own document needs."""
        return cls(media_type=descriptor.media_type, digest=descriptor.digest, size=descriptor.size)

    @property
    def descriptor(self) -> Descriptor:
        """The blob as the other packages know it."""
        return Descriptor(self.media_type, self.digest, self.size)


class LockedAttachment(Model):
    """A signature, attestation or other referrer of an image, by its manifest."""

    kind: Literal["signature", "attestation", "sbom", "referrer"]
    scheme: Literal["tag", "referrer"] = Field(description="How it was found.")
    subject: DigestField = Field(description="What it speaks about.")
    media_type: Text
    digest: DigestField
    size: Size
    artifact_type: Text | None = None
    tag: Text | None = Field(None, description="Its tag, where it was found by one.")

    @model_validator(mode="after")
    def _own_tag(self) -> LockedAttachment:
        """Its tag follows from its subject: it can never take the place of an image's."""
        tags = {f"sha256-{self.subject.hex}{ending}" for ending in (".sig", ".att", ".sbom")}
        if self.scheme == "tag" and self.tag not in tags:
            raise FieldError(
                "not the tag of what it is attached to", expected=" or ".join(sorted(tags))
            )
        if self.scheme == "referrer" and self.tag is not None:
            raise FieldError("a tag of what is found without one", expected="no tag")
        return self

    @property
    def descriptor(self) -> Descriptor:
        """The attachment's manifest."""
        return Descriptor(self.media_type, self.digest, self.size, artifact_type=self.artifact_type)


class LockedImage(Model):
    """An image, pinned.

    Attributes:
        name: as the spec has it.
        reference: as the spec has it, in full: registry, repository, tag and digest where given.
        root: the index or manifest that the reference stood for when it was resolved.
        platforms: those that the bundle carries.
        absent_platforms: those that the index names and the bundle leaves out.
        documents: indexes, manifests and configs, those of the attachments and their small blobs
            too, the root among them, in archive order.
        layers: the layers, in order of first use.
        attachments: signatures, attestations and other referrers.
    """

    name: Name
    reference: Text
    root: LockedBlob
    platforms: Items[PlatformField] = ()
    absent_platforms: Items[PlatformField] = ()
    documents: Items[LockedBlob]
    layers: Items[LockedBlob]
    attachments: Items[LockedAttachment] = ()

    @property
    def size(self) -> int:
        """The bytes of all its blobs."""
        return sum(blob.size for blob in (*self.documents, *self.layers))


class LockedChart(Model):
    """A chart, pinned: `digest` and `size` are those of the ``.tgz`` as it was served."""

    name: ChartName
    version: ChartVersion
    repo: Text
    url: Text
    digest: DigestField
    size: Size

    @property
    def file_name(self) -> str:
        """The name of its archive, ``NAME-VERSION.tgz``."""
        return f"{self.name}-{self.version}.tgz"


class LockedFile(Model):
    """A member that is made here: a platform manifest, with its path in the bundle."""

    path: Text
    digest: DigestField
    size: Size


class LockedNeed(Model):
    """The images that a release or an object of the platform needs, and how that was found out.

    Kept here because finding out takes helm, which the next machine may not have: the images'
    digests stand in the manifests, so other findings would give other bytes.
    """

    owner: Text
    file: Text
    how: Literal["rendered", "declared", "manifest"]
    images: Items[Text] = ()


class LockedTools(Model):
    """The versions that decide bytes: of Petra, and of libzstd, which compresses the text."""

    petra: Text
    zstd: Text


class Lock(Model):
    """All that a spec resolved to.

    Attributes:
        spec_digest: of the bytes of the spec; another spec needs another lock.
        serial: the spec's, or else the second of resolving.
        created: the moment of resolving; the mtime of every member.
        platforms: the spec's; empty for all.
    """

    api_version: Literal["petra.sh/v1alpha1"] = API_VERSION
    kind: Literal["BundleLock"] = "BundleLock"
    name: Label
    version: Version
    serial: int = Field(ge=0, le=INTEGER_LIMIT)
    created: Moment
    spec_digest: DigestField
    tools: LockedTools
    platforms: Items[PlatformField] = ()
    images: Items[LockedImage] = ()
    charts: Items[LockedChart] = ()
    platform_files: Items[LockedFile] = ()
    needs: Items[LockedNeed] = ()

    @property
    def stem(self) -> str:
        """The start of the names of the bundle's files, ``NAME-VERSION``."""
        return f"{self.name}-{self.version}"

    def blobs(self) -> Iterator[Descriptor]:
        """Yield every blob once, in archive order: all documents, then layers by first use."""
        seen: set[Digest] = set()
        documents = (blob for image in self.images for blob in image.documents)
        layers = (blob for image in self.images for blob in image.layers)
        for part in (documents, layers):
            for blob in part:
                if blob.digest not in seen:
                    seen.add(blob.digest)
                    yield blob.descriptor


def load_lock(data: bytes, *, where: str, error: type[PetraError] = DocumentError) -> Lock:
    """Return the lock in `data`, the bytes of a ``bundle.lock.yaml``.

    Args:
        data: the whole file.
        where: its name, for errors.
        error: the class to raise; FormatError for the member of a bundle.

    Raises:
        PetraError: `error`; it is no such document. Names file, line, path and every fault.
    """
    document = reading(data, LOCK_LIMIT, where=where, error=error)
    return validate(Lock, document.value, where=where, document=document, error=error)


def dump_lock(lock: Lock) -> bytes:
    """Return `lock` as YAML, in one form: ``dump_lock(load_lock(data)) == data`` for its output."""
    from petra.encoding.yaml import dump_yaml  # noqa: PLC0415  # who reads metadata needs no YAML

    return dump_yaml(to_value(lock))
