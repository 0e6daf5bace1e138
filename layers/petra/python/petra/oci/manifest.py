"""Manifests and indexes: raw bytes kept beside the parsed form, never written again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from petra.content.descriptor import Descriptor
from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.json import load_json
from petra.errors import ContentRefusedError, FormatError
from petra.oci import media_types

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Layers of one image and children of one index. Docker stops at 127 layers, and the largest
#: indexes in public registries have some thirty children.
SUCCESSOR_LIMIT: Final = 1024
#: Bytes of one blob: far above what any registry takes, far below what overflows anything.
BLOB_LIMIT: Final = 1 << 40
_SCHEMA_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest or an index, OCI's or Docker's. Compared by its descriptor.

    Source: OCI image-spec v1.1, manifest.md and image-index.md; Docker image manifest v2,
    schema 2.

    Attributes:
        raw: the bytes, as they came: their digest is the manifest's name.
        descriptor: media type, digest and size of them.
        config: an image manifest's config.
        layers: an image manifest's layers, base first.
        manifests: an index's children.
        subject: what this refers to, where it is a referrer.
        artifact_type: as the document says it; see also :attr:`effective_artifact_type`.
        annotations: as the document has them.
    """

    raw: bytes = field(repr=False, compare=False)
    descriptor: Descriptor
    config: Descriptor | None = field(default=None, compare=False)
    layers: tuple[Descriptor, ...] = field(default=(), compare=False)
    manifests: tuple[Descriptor, ...] = field(default=(), compare=False)
    subject: Descriptor | None = field(default=None, compare=False)
    artifact_type: str | None = field(default=None, compare=False)
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_index(self) -> bool:
        """Whether this has children rather than layers."""
        return media_types.is_index(self.descriptor.media_type)

    @property
    def effective_artifact_type(self) -> str | None:
        """The artifact type, or else the config's media type.

        Source: distribution-spec v1.1, "Listing Referrers".
        """
        if self.artifact_type:
            return self.artifact_type
        return self.config.media_type if self.config else None

    def successors(self) -> tuple[Descriptor, ...]:
        """Return what this needs to be whole: config and layers, or children; not the subject."""
        if self.is_index:
            return self.manifests
        return (self.config, *self.layers) if self.config else self.layers

    def referrer_descriptor(self) -> Descriptor:
        """Return the descriptor by which a list of referrers shows this manifest."""
        return replace(
            self.descriptor,
            artifact_type=self.effective_artifact_type,
            annotations=self.annotations,
        )


def parse_manifest(raw: bytes, media_type: str | None = None, *, where: str) -> Manifest:
    """Return the manifest or index in `raw`.

    Args:
        raw: the document, at most DOCUMENT_LIMIT bytes.
        media_type: what it was announced as (parameters are passed over); None to go by what the
            document says of itself.
        where: a reference, URL or member for errors.

    Raises:
        FormatError: it is no manifest, contradicts itself or its media type, or is beyond bounds.
        ContentRefusedError: it is of Docker's schema 1, or has layers that others must deliver.
    """
    if len(raw) > DOCUMENT_LIMIT:
        raise FormatError(
            "manifest too large",
            where=where,
            expected=f"at most {DOCUMENT_LIMIT} bytes",
            found=f"{len(raw)} bytes",
        )
    announced = media_type.partition(";")[0].strip() if media_type else None
    _refuse_schema1(announced, None, where)
    document = load_json(raw, where=where)
    if not isinstance(document, dict):
        raise FormatError("not a manifest", where=where, expected="a JSON object")
    kind = _media_type(document, announced, where)
    descriptor = Descriptor.of(kind, raw)
    if media_types.is_index(kind):
        return _parse_index(document, raw, descriptor, where)
    return _parse_image(document, raw, descriptor, where)


def _parse_index(
    document: dict[str, Any], raw: bytes, descriptor: Descriptor, where: str
) -> Manifest:
    children = _descriptors(document, "manifests", where)
    return Manifest(raw, descriptor, manifests=children, **_shared(document, where))


def _parse_image(
    document: dict[str, Any], raw: bytes, descriptor: Descriptor, where: str
) -> Manifest:
    config = _descriptor(document.get("config"), f"{where}: config")
    layers = _descriptors(document, "layers", where)
    for name, part in (("config", config), *((f"layer {i}", x) for i, x in enumerate(layers))):
        # Its bytes would be asked for under /manifests/ by one reader and /blobs/ by another.
        if media_types.is_manifest(part.media_type):
            raise FormatError(f"{name} claims to be a manifest", where=where, found=part.media_type)
    return Manifest(raw, descriptor, config=config, layers=layers, **_shared(document, where))


def _shared(document: dict[str, Any], where: str) -> dict[str, Any]:
    subject, artifact_type = document.get("subject"), document.get("artifactType")
    if artifact_type is not None and not isinstance(artifact_type, str):
        raise FormatError("artifactType is not text", where=where, found=artifact_type)
    annotations = document.get("annotations")
    if annotations is None:
        annotations = {}
    if not isinstance(annotations, dict) or not all(
        isinstance(text, str) for text in annotations.values()
    ):
        raise FormatError("annotations that are not text by name", where=where)
    return {
        "subject": None if subject is None else _descriptor(subject, f"{where}: subject"),
        "artifact_type": artifact_type or None,
        "annotations": annotations,
    }


def _media_type(document: dict[str, Any], announced: str | None, where: str) -> str:
    declared = document.get("mediaType")
    if declared is not None and not isinstance(declared, str):
        raise FormatError("mediaType is not text", where=where, found=declared)
    _refuse_schema1(declared, document.get("schemaVersion"), where)
    if document.get("schemaVersion") != _SCHEMA_VERSION:
        raise FormatError(
            "manifest of an unknown schemaVersion",
            where=where,
            expected=_SCHEMA_VERSION,
            found=document.get("schemaVersion"),
        )
    if declared and announced and declared != announced:
        raise FormatError(
            "manifest announced as one media type says that it is another",
            where=where,
            expected=announced,
            found=declared,
        )
    kind = declared or announced or _guess(document)
    if not media_types.is_manifest(kind):
        raise FormatError(
            "not a manifest that Petra knows",
            where=where,
            expected=" or ".join(media_types.ACCEPTED_MANIFESTS),
            found=kind,
        )
    _refuse_ambiguity(document, kind, where)
    return kind


def _guess(document: dict[str, Any]) -> str:
    # OCI documents need not name their media type; Docker's always do.
    return media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST


def _refuse_ambiguity(document: dict[str, Any], kind: str, where: str) -> None:
    """Refuse one that reads as an image to some and as an index to others (CVE-2021-41190)."""
    foreign = {"layers", "config"} if media_types.is_index(kind) else {"manifests"}
    if found := sorted((foreign | {"fsLayers"}) & document.keys()):
        raise FormatError(
            "manifest can be read in two ways",
            where=where,
            expected=f"only what belongs to {kind}",
            found=", ".join(found),
            hint="do not use this image: its publisher's tool is broken or hostile",
        )


def _refuse_schema1(media_type: str | None, version: object, where: str) -> None:
    if version == 1 or media_types.is_schema1(media_type or ""):
        raise ContentRefusedError(
            "Docker image manifest of schema 1, which is obsolete and has no safe digest",
            where=where,
            expected="an OCI manifest or Docker schema 2",
            hint="push the image again with a current tool",
        )


def _descriptors(document: dict[str, Any], key: str, where: str) -> tuple[Descriptor, ...]:
    values = document.get(key)
    if values is None and key in document:
        values = []  # how Go writes a list that was never filled
    if not isinstance(values, list):
        raise FormatError(f"manifest without a list of {key}", where=where)
    if len(values) > SUCCESSOR_LIMIT:
        raise FormatError(
            f"too many {key}",
            where=where,
            expected=f"at most {SUCCESSOR_LIMIT}",
            found=len(values),
        )
    parts = tuple(_descriptor(value, f"{where}: {key}[{i}]") for i, value in enumerate(values))
    _check_agreement(parts, where)
    return parts


def _descriptor(value: Any, where: str) -> Descriptor:
    descriptor = Descriptor.from_json(value, where=where)
    if not media_types.is_media_type(descriptor.media_type):
        raise FormatError("not a media type", where=where, found=descriptor.media_type[:100])
    if descriptor.size > BLOB_LIMIT:
        raise FormatError(
            "descriptor of an impossible size",
            where=where,
            expected=f"at most {BLOB_LIMIT} bytes",
            found=descriptor.size,
        )
    if value.get("urls") or media_types.is_foreign_layer(descriptor.media_type):
        raise ContentRefusedError(
            "layer that its owner's server must deliver, not this registry",
            where=where,
            found=descriptor.media_type,
            hint="such a layer cannot cross an air gap; push the image again with it included",
        )
    _refuse_schema1(descriptor.media_type, None, where)
    return descriptor


def _check_agreement(parts: tuple[Descriptor, ...], where: str) -> None:
    sizes: dict[str, int] = {}
    for part in parts:
        if sizes.setdefault(part.digest, part.size) != part.size:
            raise FormatError(
                "one digest with two sizes",
                where=f"{where}: {part.digest}",
                expected=sizes[part.digest],
                found=part.size,
            )
