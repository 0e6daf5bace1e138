"""Small artifacts made in memory: a manifest and the few blobs that it names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from petra.content.descriptor import Descriptor
from petra.content.stream import BytesStream
from petra.encoding.json import canonical_json
from petra.oci.media_types import OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.content.digest import Digest
    from petra.content.protocols import Storage


@dataclass(frozen=True, slots=True)
class Part:
    """A blob of an artifact: its media type, its bytes, and what its descriptor says beside."""

    media_type: str
    data: bytes = field(repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def descriptor(self) -> Descriptor:
        """Return the descriptor by which a manifest names it."""
        return replace(Descriptor.of(self.media_type, self.data), annotations=self.annotations)


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact, ready to be pushed. The same parts give the same bytes.

    Attributes:
        descriptor: of the manifest.
        raw: the manifest.
        parts: config first, then the layers.
    """

    descriptor: Descriptor
    raw: bytes = field(repr=False)
    parts: tuple[Part, ...]

    @classmethod
    def of(
        cls,
        config: Part,
        layers: Sequence[Part],
        annotations: Mapping[str, str] | None = None,
        *,
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
    ) -> Self:
        """Return the artifact with these parts.

        Source: OCI image-spec v1.1, manifest.md.

        Args:
            config: its media type says what the artifact is.
            layers: in order.
            annotations: of the manifest.
            artifact_type: what it is, where the config does not say.
            subject: what it refers to.
        """
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor.to_json(),
            "layers": [layer.descriptor.to_json() for layer in layers],
        }
        if artifact_type:
            document["artifactType"] = artifact_type
        if subject:
            document["subject"] = Descriptor(
                subject.media_type, subject.digest, subject.size
            ).to_json()
        if annotations:
            document["annotations"] = dict(annotations)
        raw = canonical_json(document)
        return cls(Descriptor.of(OCI_MANIFEST, raw), raw, (config, *layers))

    @property
    def digest(self) -> Digest:
        """The manifest's digest."""
        return self.descriptor.digest

    @property
    def size(self) -> int:
        """Bytes of the manifest and all parts."""
        return len(self.raw) + sum(len(part.data) for part in self.parts)

    def missing(self, target: Storage) -> int:
        """Return how many bytes of it `target` lacks; nothing is sent."""
        return sum(
            descriptor.size for descriptor, _ in self._pieces() if not target.exists(descriptor)
        )

    def push(self, target: Storage) -> int:
        """Store it, the manifest after its blobs; return how many bytes went there.

        Raises:
            PetraError: as for ``Storage.push``; a further call goes on from there.
        """
        sent = 0
        for descriptor, data in self._pieces():
            if not target.exists(descriptor):
                target.push(descriptor, BytesStream(data))
                sent += descriptor.size
        return sent

    def _pieces(self) -> list[tuple[Descriptor, bytes]]:
        blobs = {part.descriptor.digest: (part.descriptor, part.data) for part in self.parts}
        return [*blobs.values(), (self.descriptor, self.raw)]
