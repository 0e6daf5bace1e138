"""The images that the platform needs, and those of them that a bundle lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from petra.bundle.platform_files import listing, mapping
from petra.bundle.platform_releases import releases
from petra.content.digest import Digest
from petra.content.parallel import in_parallel
from petra.encoding.yaml import dump_yaml
from petra.errors import IncompleteError, UsageError
from petra.helm.images import images_in_manifests, missing_images
from petra.helm.template import KUBE_VERSION, declared_images, find_helm, rendered_images
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from petra.bundle.platform_files import Manifest, PlatformFiles
    from petra.bundle.platform_releases import Release
    from petra.helm.template import RenderedImages

#: Annotation on a HelmRelease: images that its chart names and nothing starts, by name.
NOT_NEEDED = "petra.sh/images-not-needed"

How = Literal["rendered", "declared", "manifest"]

# Rendering is helm's work, one process each; a few at once are enough.
_AT_ONCE = 4
# Objects of Flux and kustomize say what to deploy; their images are those of what they deploy.
_FLUX = re.compile(r".*\.toolkit\.fluxcd\.io|kustomize\.config\.k8s\.io")


@dataclass(frozen=True, slots=True)
class NeededImages:
    """What one HelmRelease, or one object in the manifests, needs.

    Attributes:
        owner: the object, ``HelmRelease flux-system/cilium``.
        file: the member that it stands in.
        how: ``rendered`` by helm, ``declared`` by the chart, or in the ``manifest`` itself.
        images: full references, in the order of their first use.
        guessed: further ones that the chart's default values seem to name (nothing rendered it).
        unreadable: where something stood in an image's place, and what.
    """

    owner: str
    file: str
    how: How
    images: tuple[str, ...]
    guessed: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MissingImage:
    """An image that is needed and not in the spec.

    Attributes:
        reference: the full reference.
        owners: what needs it.
    """

    reference: str
    owners: tuple[str, ...]


def needed_images(
    files: PlatformFiles,
    charts: Mapping[tuple[str, str], bytes],
    *,
    use_helm: bool = True,
    helm: Path | None = None,
    kube_version: str = KUBE_VERSION,
) -> list[NeededImages]:
    """Return the images that the manifests need: those of each HelmRelease and each plain object.

    Args:
        files: the manifests.
        charts: each release's chart, a ``.tgz``, by name and version.
        use_helm: render the charts where helm is at hand; False takes what charts declare.
        helm: the program; by default the one that ``PETRA_HELM`` or ``PATH`` names.
        kube_version: what charts are told of the cluster.

    Raises:
        IncompleteError: a release's chart is not among `charts`.
        ToolError: helm cannot render a chart with the release's values.
        UsageError: as for :func:`petra.bundle.platform_releases.releases`.
    """
    program = (helm or find_helm()) if use_helm else None
    items = releases(files)
    for release in items:
        if (release.chart, release.version) not in charts:
            raise IncompleteError(
                f"chart {release.chart} {release.version} is not in the bundle",
                where=release.file,
                hint=f"add it to spec.charts, with repo {release.source}",
            )

    def one(release: Release) -> NeededImages:
        chart = charts[release.chart, release.version]
        return _of_release(release, chart, program, kube_version)

    found = list(in_parallel(one, items, workers=_AT_ONCE))
    plain = (_of_object(item) for item in files.manifests if not _FLUX.fullmatch(item.group))
    return found + [item for item in plain if item.images or item.unreadable]


def find_missing(
    needed: Iterable[NeededImages], listed: Iterable[Reference | str]
) -> list[MissingImage]:
    """Return the needed images that none of the listed ones stands for, sorted.

    Args:
        needed: what :func:`needed_images` gave. Guessed images are not insisted on.
        listed: the bundle's images. One with a digest stands for that digest only.
    """
    owners: dict[str, list[str]] = {}
    for item in needed:
        for reference in item.images:
            owners.setdefault(reference, []).append(item.owner)
    missing = [str(item) for item in missing_images(owners, list(listed))]
    return [MissingImage(item, tuple(owners[item])) for item in sorted(missing)]


def missing_report(missing: Iterable[MissingImage], *, taken: Iterable[str] = ()) -> str:
    """Return which image is missing for what, and the YAML that adds them to the spec.

    Args:
        missing: what :func:`find_missing` gave.
        taken: names in ``spec.images`` that are in use.
    """
    items = list(missing)
    lines = [f"{item.reference}\n    for {', '.join(item.owners)}" for item in items]
    return "\n".join([*lines, "", "add to spec.images:", "", paste_ready(items, taken=taken)])


def paste_ready(missing: Iterable[MissingImage], *, taken: Iterable[str] = ()) -> str:
    """Return the missing images as items of ``spec.images``, ready to paste into a spec."""
    used = set(taken)
    items = [
        {"name": _short_name(item.reference, used), "image": item.reference} for item in missing
    ]
    text = dump_yaml(items).decode() if items else ""
    return "".join(f"    {line}\n" for line in text.splitlines())


def require_images(
    needed: Iterable[NeededImages],
    listed: Iterable[Reference | str],
    *,
    allow_missing: bool = False,
    taken: Iterable[str] = (),
) -> list[MissingImage]:
    """Return the missing images, or refuse to go on with them.

    Args:
        needed: what :func:`needed_images` gave.
        listed: the bundle's images.
        allow_missing: return them instead (``spec.platform.allowMissingImages``).
        taken: names in ``spec.images`` that are in use.

    Raises:
        IncompleteError: it names every one, what needs it, and the YAML to paste.
    """
    missing = find_missing(needed, listed)
    if missing and not allow_missing:
        raise IncompleteError(
            f"the platform needs images that spec.images lacks ({len(missing)})",
            where="spec.images",
            found="\n" + missing_report(missing, taken=taken),
            hint="paste the lines above into the spec, or set spec.platform.allowMissingImages",
        )
    return missing


def _of_release(
    release: Release, chart: bytes, helm: Path | None, kube_version: str
) -> NeededImages:
    where = f"{release.chart}-{release.version}.tgz"
    if helm is None:
        found = declared_images(chart, where=where)
    else:
        found = rendered_images(
            chart,
            helm=helm,
            values=release.values,
            release_name=release.release_name,
            namespace=release.target_namespace,
            kube_version=kube_version,
        )
    return _needed(release, found)


def _needed(release: Release, found: RenderedImages) -> NeededImages:
    spared = _not_needed(release.manifest)
    images: dict[str, None] = {}
    guessed: dict[str, None] = {}
    for image in found.images:
        reference = effective_reference(image.reference, release.manifest)
        if Reference.parse(reference).name not in spared:
            (guessed if image.source == "guessed" else images)[reference] = None
    return NeededImages(
        owner=str(release.manifest),
        file=release.file,
        how="rendered" if found.rendered else "declared",
        images=tuple(images),
        guessed=tuple(guessed),
        unreadable=found.unreadable,
    )


def _not_needed(item: Manifest) -> set[str]:
    text = item.annotations.get(NOT_NEEDED)
    names = re.split(r"[,\s]+", text.strip()) if isinstance(text, str) else []
    return {Reference.parse(name).name for name in names if name}


def _of_object(item: Manifest) -> NeededImages:
    found = images_in_manifests([item.value])
    return NeededImages(
        owner=str(item),
        file=item.file,
        how="manifest",
        images=tuple(image.reference for image in found.images),
        unreadable=found.unreadable,
    )


def effective_reference(reference: str, release: Manifest) -> str:
    """Return what a release's own ``postRenderers`` make of an image.

    Args:
        reference: the full reference, as the chart renders it.
        release: the HelmRelease.

    Source: kustomize's images transformer: a new tag or digest replaces both of the old.
    """
    current = Reference.parse(reference)
    for entry in _image_entries(release):
        if _name(entry.get("name")) == current.name:
            current = _transformed(current, entry)
    return str(current)


def _image_entries(release: Manifest) -> Iterable[Mapping[str, Any]]:
    for renderer in map(mapping, listing(release.spec.get("postRenderers"))):
        yield from map(mapping, listing(mapping(renderer.get("kustomize")).get("images")))


def _name(text: object) -> str | None:
    """Return a name in full, or None where it is none (a pattern, perhaps)."""
    try:
        return Reference.parse(str(text)).name
    except UsageError:
        return None


def _transformed(image: Reference, entry: Mapping[str, Any]) -> Reference:
    name, tag, digest = entry.get("newName"), entry.get("newTag"), entry.get("digest")
    renamed = Reference.parse(str(name)) if name else image
    if not tag and not digest:
        tag, digest = image.tag, image.digest
    return Reference(
        renamed.registry,
        renamed.repository,
        str(tag) if tag else None,
        Digest.parse(str(digest)) if digest else None,
    )


def _short_name(reference: str, used: set[str]) -> str:
    """Return a name for the spec that is not in use yet, and take it."""
    image = Reference.parse(reference)
    parts = [*image.repository.split("/"), image.tag or (image.digest or "")[7:19]]
    names = [parts[-2], "-".join(parts[-3:-1]), f"{parts[-2]}-{parts[-1]}"]
    names += [f"{parts[-2]}-{number}" for number in range(2, 1000)]
    for name in (re.sub(r"[^a-z0-9-]+", "-", text.lower())[:63].strip("-") for text in names):
        if name and name not in used:
            used.add(name)
            return name
    raise UsageError("no name left for an image", where=reference)
