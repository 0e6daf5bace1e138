"""The images that a chart needs: those that its manifests name, and those that it declares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from petra.errors import FormatError, UsageError
from petra.helm.documents import load_document
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Source = Literal["rendered", "declared", "guessed"]

#: What Artifact Hub and Bitnami's charts name the images in, a YAML list each.
ANNOTATIONS = ("artifacthub.io/images", "images")

_CONTAINERS = {"containers", "initContainers", "ephemeralContainers"}
_TAG = r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
# A reference that nothing else looks like: a host with a dot, a path, and a tag or a digest.
_FULL = re.compile(
    r"(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+(?::[0-9]{1,5})?/[a-z0-9._-]+(?:/[a-z0-9._-]+)*"
    rf"(?=[:@]){_TAG}"
)
_TAGGED = re.compile(rf"[A-Za-z0-9./_-]+(?=[:@]){_TAG}")
_FLAG = re.compile(r"--?(?P<name>[A-Za-z0-9_.-]+)=(?P<value>.+)")


@dataclass(frozen=True, slots=True)
class ChartImage:
    """An image that a chart names.

    Attributes:
        reference: the full reference, ``quay.io/cilium/cilium:v1.16.5@sha256:…``.
        source: ``rendered`` by Helm, ``declared`` in an annotation, or ``guessed`` from values.
        path: where it stands, ``DaemonSet/cilium spec.template.spec.containers[0].image``.
    """

    reference: str
    source: Source
    path: str


@dataclass(frozen=True, slots=True)
class Found:
    """Images by their full reference, each once, and what stood in an image's place but is none.

    Attributes:
        images: in the order of their first use.
        unreadable: path and text of those that are no references.
    """

    images: tuple[ChartImage, ...]
    unreadable: tuple[tuple[str, str], ...] = ()


def images_in_manifests(documents: Iterable[Any]) -> Found:
    """Return the images in Kubernetes manifests.

    Found are: the containers of any pod template, wherever it stands; image volumes; any other
    ``image`` that is a whole reference (custom resources have them); and whole references in
    arguments and environment variables, which is how operators are told of images that they start.

    Args:
        documents: parsed manifests. Definitions of custom resources are passed over: their
            schemas speak of images without naming any.
    """
    found: list[tuple[str, str]] = []
    for document in documents:
        if isinstance(document, dict) and document.get("kind") != "CustomResourceDefinition":
            found += _walk(document, _title(document), ())
    return _normalised(found, "rendered")


def images_in_annotations(annotations: Mapping[str, Any], *, where: str) -> Found:
    """Return the images that a chart's annotations declare.

    Args:
        annotations: as ``Chart.yaml`` has them.
        where: the chart, for the paths.

    Source: Artifact Hub, "Helm annotations", ``artifacthub.io/images``.
    """
    found: list[tuple[str, str]] = []
    broken: list[tuple[str, str]] = []
    for key in ANNOTATIONS:
        if not isinstance(text := annotations.get(key), str):
            continue
        path = f"{where} annotations[{key}]"
        try:
            items = load_document(text.encode(), where=path)
        except FormatError as error:
            broken.append((path, error.message))
            continue
        for number, item in enumerate(items if isinstance(items, list) else []):
            if isinstance(item, dict) and isinstance(item.get("image"), str):
                found.append((f"{path}[{number}]", item["image"]))
    result = _normalised(found, "declared")
    return Found(result.images, (*broken, *result.unreadable))


def images_in_values(values: Any, app_version: str, *, where: str) -> Found:
    """Return the images that a chart's default values seem to name: guesses, many of them unused.

    Args:
        values: ``values.yaml``. Mappings with ``repository`` and ``tag`` or ``digest`` count, with
            ``registry`` where it stands beside them, and any ``image`` that is a whole reference.
        app_version: stands in for an empty tag, as chart templates have it.
        where: the chart, for the paths.
    """
    return _normalised(list(_guess(values, app_version, where)), "guessed")


def missing_images(
    needed: Iterable[ChartImage | Reference | str], listed: Iterable[Reference | str]
) -> list[ChartImage | Reference | str]:
    """Return those of `needed` that no image in `listed` stands for, in their order.

    An image stands for another of the same repository with the same digest. Where one of the two
    has no digest, the same tag is enough. (Same tag and another digest is another image: a pod that
    asks by digest would not find it.)

    Raises:
        UsageError: one of them is no reference.
    """
    have: dict[str, list[Reference]] = {}
    for item in listed:
        reference = _reference(item)
        have.setdefault(reference.name, []).append(reference)
    return [
        item
        for item in needed
        if not any(
            _covers(other, _reference(item)) for other in have.get(_reference(item).name, ())
        )
    ]


def _covers(listed: Reference, needed: Reference) -> bool:
    if listed.digest and needed.digest:
        return listed.digest == needed.digest
    return needed.tag is not None and needed.tag == listed.tag


def _reference(item: ChartImage | Reference | str) -> Reference:
    if isinstance(item, Reference):
        return item
    return Reference.parse(item.reference if isinstance(item, ChartImage) else item)


def _normalised(found: Iterable[tuple[str, str]], source: Source) -> Found:
    images: dict[str, ChartImage] = {}
    unreadable: list[tuple[str, str]] = []
    for path, text in found:
        try:
            reference = str(Reference.parse(text))
        except UsageError:
            unreadable.append((path, text))
            continue
        images.setdefault(reference, ChartImage(reference, source, path))
    return Found(tuple(images.values()), tuple(unreadable))


def _title(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{document.get('kind', '')}/{name} "


def _walk(value: Any, path: str, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield path and text of each image below `value`; `keys` are those on the way to it."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(item, f"{path}[{number}]", keys)
    elif isinstance(value, dict):
        for key, item in value.items():
            below = f"{path}.{key}" if keys else f"{path}{key}"
            if key == "image" and isinstance(item, str):
                yield from _in_field(item, below, keys)
            else:
                yield from _walk(item, below, (*keys, key))
    elif isinstance(value, str) and keys:
        yield from _in_text(value, path, keys)


def _in_field(text: str, path: str, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield what a field ``image`` holds: in a container always, elsewhere where it is sure."""
    if text and ((keys and keys[-1] in _CONTAINERS) or _FULL.fullmatch(text)):
        yield path, text


def _in_text(text: str, path: str, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the image that an argument, a variable, an image volume or a setting names."""
    if keys[-3:] == ("volumes", "image", "reference"):
        yield path, text
    elif keys[-1] in {"args", "command"} or keys[-2:] == ("env", "value"):
        flag = _FLAG.fullmatch(text)
        bare = flag["value"] if flag else text
        speaks_of_image = flag and "image" in flag["name"].lower() and _TAGGED.fullmatch(bare)
        if speaks_of_image or _FULL.fullmatch(bare):
            yield path, bare
    elif "image" in keys[-1].lower() and keys[0] == "data" and _FULL.fullmatch(text):
        yield path, text


def _guess(value: Any, app_version: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each image that values seem to name."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _guess(item, app_version, f"{path}[{number}]")
    elif isinstance(value, dict):
        for field in ("repository", "image"):
            yield from _guess_field(value, field, app_version, path)
        for key, item in value.items():
            yield from _guess(item, app_version, f"{path}.{key}")


def _guess_field(
    value: Mapping[str, Any], field: str, app_version: str, path: str
) -> Iterator[tuple[str, str]]:
    text = value.get(field)
    if not isinstance(text, str) or not text:
        return
    if field == "image" and _FULL.fullmatch(text):
        yield f"{path}.{field}", text
    elif value.keys() & {"tag", "digest"}:
        yield path, _assembled(value, text, app_version)


def _assembled(value: Mapping[str, Any], repository: str, app_version: str) -> str:
    """Return the reference that ``registry``, ``repository``, ``tag`` and ``digest`` make."""
    registry = value.get("registry")
    name = f"{registry}/{repository}" if isinstance(registry, str) and registry else repository
    tag, digest = value.get("tag") or app_version, value.get("digest")
    # Some charts keep both in the tag, and some leave the digest out unless told to use it.
    if not isinstance(digest, str) or value.get("useDigest") is False or "@" in str(tag):
        digest = ""
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
