"""Resolves images: from a reference to every blob that travels, each by digest and size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.bundle.documents import KeepingRepository
from petra.content.descriptor import Platform
from petra.content.stream import DOCUMENT_LIMIT, fetch_document
from petra.encoding.json import load_json
from petra.errors import DriftError, FormatError, NotFoundError, PetraError
from petra.oci.copy import Graph, walk_graph
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import is_image_config, is_manifest
from petra.oci.referrers import Attachment, attachments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from petra.bundle.documents import ContentStore, Kept, Registries
    from petra.bundle.lock import LockedAttachment, LockedImage
    from petra.bundle.spec import ImageSpec
    from petra.content.descriptor import Descriptor
    from petra.oci.manifest import Manifest
    from petra.oci.reference import Reference

#: BuildKit keeps attestations as children of the index, under a platform that nothing runs on.
_UNKNOWN = Platform("unknown", "unknown")
_SUBJECT_OF_CHILD = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """An image and all that travels with it.

    Attributes:
        name: as the spec calls it.
        reference: as the spec has it, in full.
        root: the index or manifest that the reference stands for.
        platforms: those that travel.
        absent: those that the index names and that stay behind.
        documents: manifests, configs and other small blobs, the root first.
        layers: everything else, in order of first use.
        attachments: signatures, attestations and other referrers.
        source: where the blobs are fetched from.
    """

    name: str
    reference: Reference
    root: Descriptor
    platforms: tuple[Platform, ...]
    absent: tuple[Platform, ...]
    documents: tuple[Descriptor, ...]
    layers: tuple[Descriptor, ...]
    attachments: tuple[Attachment, ...]
    source: KeepingRepository


def resolve_image(
    image: ImageSpec,
    platforms: Sequence[Platform],
    registries: Registries,
    kept: Kept,
    locked: LockedImage | None = None,
    store: ContentStore | None = None,
) -> ResolvedImage:
    """Resolve one image.

    Args:
        image: from the spec.
        platforms: those wanted; none for all.
        registries: where repositories are found.
        kept: takes the documents that are read.
        locked: what the image must be, digest by digest; None to ask the registry's tags.
        store: where blobs are looked for first.

    Raises:
        NotFoundError: no such tag, digest or platform.
        VerificationError: the registry serves something else than it says.
        DriftError: a locked attachment is not there any more.
        TransportError: the registry failed.
    """
    reference = image.reference
    inner = registries.repository(reference.registry, reference.repository)
    source = KeepingRepository(inner, kept, store, origin=f"image {reference}")
    try:
        return _resolve(image, platforms, source, locked)
    except PetraError as error:
        error.name(source.origin)
        raise


def _resolve(
    image: ImageSpec,
    platforms: Sequence[Platform],
    source: KeepingRepository,
    locked: LockedImage | None,
) -> ResolvedImage:
    reference = image.reference
    root = locked.root.descriptor if locked else source.resolve(reference.identifier)
    choice = _Choice(platforms, str(reference))
    graph = walk_graph(source, root, select=choice.takes)
    carried = tuple(choice.taken) or _own_platform(source, graph, root, platforms, str(reference))
    choice.check(carried)
    if locked:
        found = [_locked_attachment(source, entry) for entry in locked.attachments]
    else:
        found = list(_discover(source, graph, root))
    documents, layers = _split(graph, root, found)
    return ResolvedImage(
        image.name,
        reference,
        root,
        carried,
        tuple(choice.left),
        documents,
        layers,
        tuple(found),
        source,
    )


class _Choice:
    """Which children of an index travel.

    Args:
        wanted: platforms; none for all.
        where: the image, for errors.
    """

    def __init__(self, wanted: Sequence[Platform], where: str) -> None:
        self._wanted = wanted
        self._where = where
        self._digests: set[str] = set()
        self.taken: dict[Platform, None] = {}
        self.left: dict[Platform, None] = {}

    def takes(self, child: Descriptor) -> bool:
        """Say whether `child` travels; what is no manifest always does."""
        if not is_manifest(child.media_type) or child.platform is None:
            return True
        if child.platform == _UNKNOWN:
            subject = child.annotations.get(_SUBJECT_OF_CHILD)
            return not self._wanted or subject in self._digests
        if self._wanted and not any(one.matches(child.platform) for one in self._wanted):
            self.left[child.platform] = None
            return False
        self.taken[child.platform] = None
        self._digests.add(child.digest)
        return True

    def check(self, carried: Iterable[Platform]) -> None:
        """Refuse an image that lacks a wanted platform.

        Raises:
            NotFoundError: it names the platforms that there are.
        """
        have = list(carried)
        for wanted in self._wanted:
            if not any(wanted.matches(platform) for platform in have):
                raise NotFoundError(
                    f"the image is not made for {wanted}",
                    where=self._where,
                    expected=str(wanted),
                    found=", ".join(str(one) for one in (*have, *self.left)) or "none",
                    hint="take the platform out of spec.platforms, or use another image",
                )


def _own_platform(
    source: KeepingRepository,
    graph: Graph,
    root: Descriptor,
    wanted: Sequence[Platform],
    where: str,
) -> tuple[Platform, ...]:
    """Return the platform that a single image's config names; none for artifacts."""
    manifest = graph.manifests[root.digest]
    config = manifest.config
    if config is None or not is_image_config(config.media_type) or config.size > DOCUMENT_LIMIT:
        return ()
    value = load_json(fetch_document(source, config, where=where), where=where)
    if not isinstance(value, dict):
        raise FormatError("the image's config is no object", where=where)
    parts = [value.get(key) or "" for key in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) for part in parts) or not (parts[0] and parts[1]):
        return ()
    platform = Platform(*parts)
    # An image without an index is for one platform, with or without the variant that was asked for.
    same = [one for one in wanted if (one.os, one.architecture) == tuple(parts[:2])]
    return (same[0],) if same and not parts[2] else (platform,)


def _discover(source: KeepingRepository, graph: Graph, root: Descriptor) -> Iterator[Attachment]:
    """Give the attachments of the image, then those of each platform's manifest, each once."""
    seen = set()
    children = (m.descriptor for m in graph.manifests.values() if m.descriptor != root)
    for subject in (root, *children):
        for attachment in attachments(source, subject):
            digest = attachment.manifest.descriptor.digest
            if digest not in seen and digest not in graph.manifests:
                seen.add(digest)
                yield attachment


def _locked_attachment(source: KeepingRepository, entry: LockedAttachment) -> Attachment:
    try:
        raw = fetch_document(source, entry.descriptor)
    except NotFoundError as error:
        raise DriftError(
            f"a locked {entry.kind} is not in the registry any more",
            where=error.where,
            expected=entry.digest,
            hint="make a new lock: petra bundle lock",
        ) from None
    manifest = parse_manifest(raw, entry.media_type, where=entry.digest)
    return Attachment(entry.kind, entry.scheme, entry.subject, manifest, entry.tag)


def _split(
    graph: Graph, root: Descriptor, found: Sequence[Attachment]
) -> tuple[tuple[Descriptor, ...], tuple[Descriptor, ...]]:
    """Return the small documents and the layers, each once, the root first."""
    manifests = [graph.manifests[root.digest], *reversed(graph.manifests.values())]
    documents = {m.descriptor.digest: m.descriptor for m in manifests}
    layers: dict[str, Descriptor] = {}
    attached = [attachment.manifest for attachment in found]
    documents |= {m.descriptor.digest: m.descriptor for m in attached}
    configs = _configs([*manifests, *attached])
    small = {blob.digest for m in attached for blob in m.layers if blob.size <= DOCUMENT_LIMIT}
    for blob in (*graph.blobs.values(), *(b for m in attached for b in m.successors())):
        is_document = blob.digest in configs or blob.digest in small
        (documents if is_document else layers).setdefault(blob.digest, blob)
    return tuple(documents.values()), tuple(layers.values())


def _configs(manifests: Iterable[Manifest]) -> set[Any]:
    return {
        manifest.config.digest
        for manifest in manifests
        if manifest.config and manifest.config.size <= DOCUMENT_LIMIT
    }
