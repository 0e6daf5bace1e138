"""Digests of images in the values of a chart, for installers that know no post-renderers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from petra.bundle.platform_files import listing, mapping
from petra.bundle.platform_releases import merge_values
from petra.content.digest import Digest
from petra.errors import UsageError
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petra.bundle.platform import Release

#: Where charts keep an image's name, in the mapping that also has its tag.
_FIELDS = ("repository", "image")


def release_pins(release: Release) -> dict[tuple[str, str], Digest]:
    """Return the digests that a release's post-renderers set, by image and tag.

    ``create`` wrote them from the lock; see :func:`petra.bundle.platform.apply_overrides`.
    """
    pins: dict[tuple[str, str], Digest] = {}
    for renderer in map(mapping, listing(release.manifest.spec.get("postRenderers"))):
        for entry in map(mapping, listing(mapping(renderer.get("kustomize")).get("images"))):
            name, tag, digest = (entry.get(key) for key in ("name", "newTag", "digest"))
            if isinstance(name, str) and isinstance(tag, str) and isinstance(digest, str):
                image = _reference(f"{name.removesuffix(f':{tag}')}:{tag}")
                if image is not None:
                    pins[image.name, tag] = Digest.parse(digest, where=str(release.manifest))
    return pins


def pin_values(
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    pins: Mapping[tuple[str, str], Digest],
    app_version: str = "",
) -> dict[str, Any]:
    """Return a release's values with the digest of each image that they or the defaults name.

    A mapping with ``repository`` (or ``image``) and ``tag`` takes the digest where it has a place
    for it (``digest``, ``sha``), else in the tag, ``TAG@sha256:…``; an ``image`` that is a whole
    reference takes it at its end. What stands in lists is left alone, since values cannot reach
    into a chart's own lists.

    Args:
        values: the release's.
        defaults: the chart's own ``values.yaml``.
        pins: digests by image and tag.
        app_version: what stands in for an empty tag.
    """
    pinned: dict[str, Any] = copy.deepcopy(dict(values))
    for path, found in _images(merge_values(defaults, values), app_version, ()):
        image, place = found
        digest = pins.get((image.name, image.tag or ""))
        if digest is not None:
            for key, value in _changes(place, image, digest):
                _set(pinned, (*path, key), value)
    return pinned


def _images(
    value: Any, app_version: str, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[Reference, Mapping[str, Any]]]]:
    """Yield path, image and mapping of each place that names one."""
    if not isinstance(value, dict):
        return
    for field in _FIELDS:
        image = _image(value, field, app_version)
        if image is not None:
            yield path, (image, value)
            break
    for key, part in value.items():
        yield from _images(part, app_version, (*path, str(key)))


def _image(value: Mapping[str, Any], field: str, app_version: str) -> Reference | None:
    text, registry = value.get(field), value.get("registry")
    if not isinstance(text, str) or not text:
        return None
    if "tag" not in value:
        # Without a tag beside it, only a whole reference says which image it is.
        is_whole = field == "image" and ":" in text.rpartition("/")[2] and "@" not in text
        return _reference(text) if is_whole else None
    name = f"{registry}/{text}" if isinstance(registry, str) and registry else text
    tag = str(value.get("tag") or app_version).partition("@")[0]
    return _reference(f"{name}:{tag}")


def _changes(
    place: Mapping[str, Any], image: Reference, digest: Digest
) -> Iterator[tuple[str, str | bool]]:
    if "tag" not in place:
        yield "image", f"{place['image']}@{digest}"
    elif "digest" in place:
        yield "digest", str(digest)
        if "useDigest" in place:
            yield "useDigest", True
    elif "sha" in place:
        yield "sha", digest.hex
    else:
        yield "tag", f"{image.tag}@{digest}"


def _set(values: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    place = values
    for key in path[:-1]:
        below = place.get(key)
        if not isinstance(below, dict):
            below = place[key] = {}
        place = below
    place[path[-1]] = value


def _reference(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except UsageError:
        return None
