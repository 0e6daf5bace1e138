"""What the platform's manifests and the spec's charts need, against what the spec lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from petra.bundle import platform
from petra.bundle.metadata import ComponentRecord
from petra.bundle.resolve import WantedChart
from petra.helm.template import find_helm, rendered_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from petra.bundle.images import ResolvedImage
    from petra.bundle.lock import Lock, LockedNeed
    from petra.bundle.spec import ChartSpec, Spec
    from petra.helm.repository import ResolvedChart


_WORKLOADS = ("CronJob", "DaemonSet", "Deployment", "Job", "Pod", "StatefulSet")


@dataclass(frozen=True, slots=True)
class Settled:
    """Manifests as they stand in the bundle.

    Attributes:
        files: with every image that the bundle carries pinned by digest.
        needed: what was found to be needed by them.
        missing: what they need and the bundle lacks; empty unless that was allowed.
    """

    files: platform.PlatformFiles
    needed: tuple[platform.NeededImages, ...]
    missing: tuple[platform.MissingImage, ...]


def read_platform(spec: Spec, path: Path | None) -> platform.PlatformFiles:
    """Return the manifests that `spec` asks for, with every chart's source made local.

    Args:
        spec: the spec.
        path: the folder of the user's manifests; None for those that ship with Petra.

    Raises:
        PetraError: they are missing, malformed, or point outside.
    """
    wanted = spec.spec.platform
    files = platform.load_platform(
        base=wanted.include_base, observability=wanted.include_observability, path=path
    )
    files = platform.localise_sources(files)
    platform.require_local(files)
    return files


def wanted_charts(spec: Spec, files: platform.PlatformFiles) -> list[WantedChart]:
    """Return the charts of the spec, then those that bundled releases need and the spec lacks.

    Raises:
        UsageError: a release's chart cannot be told.
    """
    listed = [
        WantedChart(chart.name, chart.repo, chart.version, chart.allow_scripts)
        for chart in spec.spec.charts
    ]
    have = {(chart.name, chart.version) for chart in listed}
    needed = platform.required_charts(platform.releases(files))
    more = [
        WantedChart(name, source, version)
        for name, version, source in needed
        if (name, version) not in have
    ]
    return [*listed, *more]


def settle(
    spec: Spec,
    files: platform.PlatformFiles,
    charts: Sequence[ResolvedChart],
    images: Sequence[ResolvedImage],
    *,
    allow_missing: bool,
    locked: Lock | None = None,
) -> Settled:
    """Compare needs with what there is, and write the digests into the manifests.

    Args:
        spec: the spec.
        files: the manifests.
        charts: the bundle's charts.
        images: the bundle's images.
        allow_missing: go on although images are missing.
        locked: knows what is needed already; None to find out.

    Raises:
        IncompleteError: images are missing; names each, what needs it, and the YAML to paste.
        ToolError: helm cannot render a chart.
    """
    by_name = {(chart.name, chart.requested): chart for chart in charts}
    data = {key: chart.data for key, chart in by_name.items()}
    if locked:
        needed = [_needed(entry) for entry in locked.needs]
    else:
        needed = platform.needed_images(files, data) if files.files else []
    asserted = list(_needs_of_charts(spec.spec.charts, by_name))
    missing = platform.require_images(
        [*needed, *asserted],
        # By digest: a tag that has moved since a chart was made is another image.
        [image.reference.pinned(image.root.digest) for image in images],
        allow_missing=allow_missing,
        taken=[image.name for image in spec.spec.images],
    )
    pins = dict(_pins(images))
    pinned = platform.apply_overrides(files, needed, pins)
    return Settled(pinned, tuple(needed), tuple(missing))


def _needed(entry: LockedNeed) -> platform.NeededImages:
    return platform.NeededImages(entry.owner, entry.file, entry.how, entry.images)


def components(files: platform.PlatformFiles) -> tuple[ComponentRecord, ...]:
    """Return what the manifests deploy: each release, and each workload that stands by itself."""
    found = [
        ComponentRecord(
            name=release.name,
            set=_part(release.file),
            chart=release.chart,
            version=release.version,
        )
        for release in platform.releases(files)
    ]
    workloads = (item for item in files.manifests if item.kind in _WORKLOADS)
    found += [ComponentRecord(name=item.name, set=_part(item.file)) for item in workloads]
    return tuple(found)


def _part(file: str) -> Literal["base", "observability"]:
    return "observability" if file.startswith("platform/observability/") else "base"


def _needs_of_charts(
    specs: Iterable[ChartSpec], charts: dict[tuple[str, str], ResolvedChart]
) -> Iterator[platform.NeededImages]:
    """Give the images of those charts for which the spec says how to find them."""
    for spec in specs:
        owner = f"chart {spec.name} {spec.version}"
        if spec.images is not None:
            yield platform.NeededImages(owner, "spec.charts", "declared", spec.images)
        elif spec.values is not None and (helm := find_helm()):
            chart = charts[spec.name, spec.version]
            found = rendered_images(chart.data, helm=helm, values=spec.values)
            names = tuple(image.reference for image in found.images)
            yield platform.NeededImages(owner, "spec.charts", "rendered", names)


def _pins(images: Iterable[ResolvedImage]) -> Iterator[tuple[str, str]]:
    for image in images:
        yield str(image.reference.with_digest(image.root.digest)), image.root.digest
        if image.reference.tagged:
            yield image.reference.tagged, image.root.digest
