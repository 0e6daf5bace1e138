"""Digests from the lock, written into the platform's manifests.

A HelmRelease gets them through Flux's post-renderer (``spec.postRenderers[].kustomize.images``),
which works for any chart: it pins every container that the chart renders, whatever its values are
called. Where a chart hands an image on in another way (an argument, a custom resource, a hook), the
annotation ``petra.sh/digest-values`` names the value that takes the digest. A plain workload gets
``image: name:tag@sha256:…``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from petra.bundle.platform_files import listing, mapping
from petra.content.digest import Digest
from petra.encoding.yaml import load_yaml
from petra.errors import DocumentError, PetraError, UsageError
from petra.oci.reference import DEFAULT_REGISTRY, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from petra.bundle.platform_files import Manifest, PlatformFiles
    from petra.bundle.platform_images import NeededImages

#: Annotation on a HelmRelease, a YAML mapping from the path of a value to an image's name.
#: A value called ``sha`` takes the hex digits, ``tag`` tag and digest, any other ``sha256:HEX``.
DIGEST_VALUES = "petra.sh/digest-values"

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def apply_overrides(
    files: PlatformFiles, needed: Iterable[NeededImages], images: Mapping[str, str]
) -> PlatformFiles:
    """Return the manifests with every image pinned to its digest in the lock.

    The result depends on the arguments alone. Files in which nothing changes keep every byte.

    Args:
        files: the manifests.
        needed: what each release and object needs, as
            :func:`petra.bundle.platform_images.needed_images` gave it.
        images: the lock's: a reference, as ``name:tag`` or ``name@sha256:…``, and its digest.
            Needed images that it lacks keep their tags.

    Raises:
        DocumentError: an annotation of a release is malformed.
    """
    table = _Table(images)
    wanted = {(item.file, item.owner): item.images for item in needed}
    changes: dict[tuple[str, int], Any] = {}
    for item in files.manifests:
        if references := wanted.get((item.file, str(item))):
            pinned = table.pinned(references)
            is_release = item.kind == "HelmRelease"
            value = _release(item, pinned) if is_release else _workload(item, pinned)
            if value != item.value:
                changes[item.file, item.number] = value
    return files.replaced(changes) if changes else files


class _Table:
    """The lock's digests, by name and tag and by name and digest."""

    def __init__(self, images: Mapping[str, str]) -> None:
        self._digests: dict[tuple[str, str], Digest] = {}
        for text, digest in images.items():
            image, found = Reference.parse(text), Digest.parse(digest, where=text)
            self._digests[image.name, found] = found
            if image.tag and image.digest in (None, found):
                self._digests[image.name, image.tag] = found

    def pinned(self, references: Iterable[str]) -> dict[str, Reference]:
        """Return those references that the lock knows, with their digests."""
        found: dict[str, Reference] = {}
        for text in references:
            image = Reference.parse(text)
            # What is asked for by digest is that digest or nothing; a tag may have moved.
            digest = self._digests.get((image.name, image.digest or image.tag or ""))
            if digest:
                found[text] = image.pinned(digest)
        return found


def _release(item: Manifest, pinned: Mapping[str, Reference]) -> dict[str, Any]:
    value: dict[str, Any] = copy.deepcopy(item.value)
    spec = value.setdefault("spec", {})
    present = [
        entry
        for renderer in map(mapping, listing(spec.get("postRenderers")))
        for entry in listing(mapping(renderer.get("kustomize")).get("images"))
    ]
    entries = [entry for entry in _entries(pinned.values()) if entry not in present]
    if entries:
        # After the release's own, which may have renamed images.
        renderers = [*listing(spec.get("postRenderers")), {"kustomize": {"images": entries}}]
        spec["postRenderers"] = renderers
    for path, name in _digest_values(item):
        images = [image for image in pinned.values() if image.name == name]
        if len(images) == 1:
            _set(spec, path, images[0], item)
    return value


def _entries(images: Iterable[Reference]) -> list[dict[str, str]]:
    """Return entries for kustomize's images transformer, sorted.

    It matches what the manifest says, so each image appears under every name that people write for
    it. It takes the name as the start of a pattern: with a tag in the name, two tags of one
    repository are told apart.
    """
    chosen = sorted(set(images), key=str)
    tags: dict[str, int] = {}
    for image in chosen:
        tags[image.name] = tags.get(image.name, 0) + 1
    entries: list[dict[str, str]] = []
    for image in chosen:
        for name in _written(image):
            full = f"{name}:{image.tag}" if tags[image.name] > 1 and image.tag else name
            entry = {"name": full}
            if image.tag:
                entry["newTag"] = image.tag
            entries.append({**entry, "digest": str(image.digest)})
    return entries


def _written(image: Reference) -> list[str]:
    """Return the names that stand for an image's repository: Docker Hub's need not be in full."""
    names = [image.name]
    if image.registry == DEFAULT_REGISTRY:
        names.append(image.repository)
        short = image.repository.removeprefix("library/")
        if short != image.repository:
            names += [f"{image.registry}/{short}", short]
    return sorted(names)


def _digest_values(item: Manifest) -> Iterator[tuple[list[str], str]]:
    """Yield the path of each value that takes a digest, and the image's name."""
    text = item.annotations.get(DIGEST_VALUES)
    if text is None:
        return
    where = f"{item.file} {item} {DIGEST_VALUES}"
    try:
        pairs = load_yaml(str(text).encode(), where=where).value
        for path, name in pairs.items():
            yield path.split("."), Reference.parse(name).name
    except (AttributeError, TypeError, PetraError) as error:
        raise DocumentError(
            "the annotation is malformed",
            where=item.document.locate(("metadata", "annotations", DIGEST_VALUES)),
            expected="lines of PATH.OF.VALUE: IMAGE-NAME",
            found=error.message if isinstance(error, PetraError) else str(text)[:100],
        ) from None


def _set(spec: dict[str, Any], path: list[str], image: Reference, item: Manifest) -> None:
    digest = Digest(image.digest or "")
    texts = {"sha": digest.hex, "tag": f"{image.tag}@{digest}"}
    place = spec
    for key in ("values", *path[:-1]):
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise DocumentError(
                "the annotation names a value that is not there",
                where=item.document.locate(("metadata", "annotations", DIGEST_VALUES)),
                expected=f"a mapping at values.{'.'.join(path[:-1])}",
            )
    place[path[-1]] = texts.get(path[-1], str(digest))


def _workload(item: Manifest, pinned: Mapping[str, Reference]) -> dict[str, Any]:
    value: dict[str, Any] = copy.deepcopy(item.value)
    for container in _containers(value):
        text = container.get("image")
        if isinstance(text, str) and (image := pinned.get(_full(text))):
            name = text.partition("@")[0].removesuffix(f":{image.tag}")
            tag = f":{image.tag}" if image.tag else ""
            container["image"] = f"{name}{tag}@{image.digest}"
    return value


def _full(text: str) -> str:
    try:
        return str(Reference.parse(text))
    except UsageError:  # a variable, perhaps; it was reported as unreadable
        return ""


def _containers(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every container of every pod template below `value`."""
    if isinstance(value, list):
        for part in value:
            yield from _containers(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in _CONTAINERS:
                yield from (entry for entry in listing(part) if isinstance(entry, dict))
            else:
                yield from _containers(part)
