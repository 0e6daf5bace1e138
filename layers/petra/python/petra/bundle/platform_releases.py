"""What the platform's manifests deploy: HelmReleases with their charts and values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from petra.bundle.platform_files import SUBSTITUTION, listing, mapping
from petra.encoding.yaml import load_yaml
from petra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from petra.bundle.platform_files import Manifest, PlatformFiles

HELM_GROUP = "helm.toolkit.fluxcd.io"
SOURCE_GROUP = "source.toolkit.fluxcd.io"

#: Annotations on a HelmRelease or on its source. The chart's name, exact version and public source.
CHART = "petra.sh/chart"
CHART_VERSION = "petra.sh/chart-version"
CHART_SOURCE = "petra.sh/chart-source"

_EXACT = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?([+_][0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Release:
    """A HelmRelease and the chart that it installs.

    Attributes:
        name: the object's name.
        namespace: the object's namespace.
        release_name: what Helm calls the release.
        target_namespace: where the chart's objects go.
        chart: the chart's name.
        version: its exact version.
        source: its public repository, ``https://…`` or ``oci://…``.
        values: the values that are in the manifests: ``valuesFrom`` ConfigMaps, then ``values``.
        unseen: sources of values that are not in the manifests (a Secret, a site's ConfigMap).
        manifest: the object.
    """

    name: str
    namespace: str
    release_name: str
    target_namespace: str
    chart: str
    version: str
    source: str
    values: Mapping[str, Any]
    unseen: tuple[str, ...]
    manifest: Manifest = field(repr=False)

    @property
    def key(self) -> str:
        """What reports call it, ``flux-system/cilium``."""
        return f"{self.namespace}/{self.name}"

    @property
    def file(self) -> str:
        """The member that it stands in."""
        return self.manifest.file


def releases(files: PlatformFiles) -> list[Release]:
    """Return every HelmRelease, in the order of the files.

    Both forms are understood: ``chartRef`` to an OCIRepository or HelmChart, and
    ``chart.spec.sourceRef`` to a HelmRepository. What the manifests do not say (a chart's exact
    version, its public source) annotations say, on the HelmRelease or on its source.

    Raises:
        UsageError: a release's chart cannot be told, or its version is a range.
    """
    by_name = {
        (item.kind, item.namespace, item.name): item
        for item in files.manifests
        if item.group == SOURCE_GROUP or (item.group == "" and item.kind == "ConfigMap")
    }
    return [_release(item, by_name) for item in files.of_kind(HELM_GROUP, "HelmRelease")]


def required_charts(items: Iterable[Release]) -> list[tuple[str, str, str]]:
    """Return name, version and public source of each chart, each once, sorted.

    Raises:
        UsageError: one chart is to come from two places.
    """
    found: dict[tuple[str, str], Release] = {}
    for release in items:
        first = found.setdefault((release.chart, release.version), release)
        if first.source != release.source:
            raise UsageError(
                f"chart {release.chart} {release.version} is to come from two places",
                where=release.file,
                expected=f"{first.source}, as {first.file} has it",
                found=release.source,
                hint=f"name one source in both ({CHART_SOURCE})",
            )
    return sorted((name, version, one.source) for (name, version), one in found.items())


def _release(item: Manifest, by_name: Mapping[tuple[str, str, str], Manifest]) -> Release:
    spec = item.spec
    chart, version, source = _chart(item, by_name)
    values, unseen = _values(item, by_name)
    target = str(spec.get("targetNamespace") or item.namespace)
    # Helm controller's rule for the name: targetNamespace-name where the two namespaces differ.
    name = f"{target}-{item.name}" if spec.get("targetNamespace") else item.name
    return Release(
        name=item.name,
        namespace=item.namespace,
        release_name=str(spec.get("releaseName") or name),
        target_namespace=target,
        chart=chart,
        version=version,
        source=source,
        values=values,
        unseen=unseen,
        manifest=item,
    )


def source_of(
    item: Manifest, by_name: Mapping[tuple[str, str, str], Manifest]
) -> tuple[Manifest | None, Manifest | None]:
    """Return the source of a HelmRelease and the HelmChart between the two, where they are here.

    Args:
        item: the HelmRelease.
        by_name: sources by kind, namespace and name.
    """
    reference = mapping(item.spec.get("chartRef"))
    found = _follow(reference, item, by_name)
    if found is not None and found.kind == "HelmChart":
        return _follow(mapping(found.spec.get("sourceRef")), found, by_name), found
    if reference:
        return found, None
    template = mapping(mapping(item.spec.get("chart")).get("spec"))
    return _follow(mapping(template.get("sourceRef")), item, by_name), None


def _follow(
    reference: Mapping[str, Any],
    item: Manifest,
    by_name: Mapping[tuple[str, str, str], Manifest],
) -> Manifest | None:
    namespace = str(reference.get("namespace") or item.namespace)
    return by_name.get((str(reference.get("kind")), namespace, str(reference.get("name"))))


def _chart(
    item: Manifest, by_name: Mapping[tuple[str, str, str], Manifest]
) -> tuple[str, str, str]:
    """Return the chart's name, version and public source."""
    if not item.spec.get("chart") and not item.spec.get("chartRef"):
        raise UsageError(
            f"{item} has no chart",
            where=item.document.locate(("spec",)),
            expected="spec.chartRef or spec.chart",
            hint="patches are not applied here: put what `kustomize build` makes into the folder",
        )
    source, chart = source_of(item, by_name)
    said: dict[str, Any] = {}
    for part in (source, chart, item):
        said |= part.annotations if part else {}
    wanted = _wanted(item, source, chart)
    name = said.get(CHART) or wanted["name"]
    version = said.get(CHART_VERSION) or wanted["version"]
    repository = said.get(CHART_SOURCE) or wanted["source"]
    for value, what, annotation in (
        (name, "chart", CHART),
        (repository, "chart's public source", CHART_SOURCE),
    ):
        if not isinstance(value, str) or not value or SUBSTITUTION in value:
            raise _untold(item, what, annotation, source)
    if not isinstance(version, str) or not _EXACT.fullmatch(version):
        raise UsageError(
            f"{item} pins no exact chart version",
            where=item.document.locate(("spec",)),
            expected="MAJOR.MINOR.PATCH",
            found=version,
            hint=f"pin the version in its source, or name it in the annotation {CHART_VERSION}",
        )
    # A tag has no plus sign: Helm puts an underscore there.
    return str(name), version.replace("_", "+"), str(repository).rstrip("/")


def _wanted(
    item: Manifest, source: Manifest | None, chart: Manifest | None
) -> dict[str, str | None]:
    """Return what the objects themselves say of the chart."""
    if source is not None and source.kind == "OCIRepository":
        url = str(source.spec.get("url", "")).rstrip("/")
        parent, _, name = url.rpartition("/")
        tag = mapping(source.spec.get("ref")).get("tag")
        return {"name": name, "version": tag, "source": parent}
    template = chart.spec if chart else mapping(mapping(item.spec.get("chart")).get("spec"))
    is_repository = source is not None and source.kind == "HelmRepository"
    return {
        "name": template.get("chart"),
        "version": template.get("version"),
        "source": str(source.spec.get("url", "")) if source and is_repository else None,
    }


def _untold(item: Manifest, what: str, annotation: str, source: Manifest | None) -> UsageError:
    return UsageError(
        f"{item}: its {what} cannot be told",
        where=item.document.locate(("spec",)),
        found=f"source {source} in {source.file}" if source else "a source that is not here",
        hint=f"add its source to the manifests, or the annotation {annotation}",
    )


def _values(
    item: Manifest, by_name: Mapping[tuple[str, str, str], Manifest]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the values in Flux's order, the inline ones last, and what of them is not here."""
    merged: dict[str, Any] = {}
    unseen: list[str] = []
    for entry in map(mapping, listing(item.spec.get("valuesFrom"))):
        name = str(entry.get("name"))
        config = by_name.get((str(entry.get("kind")), item.namespace, name))
        key = str(entry.get("valuesKey") or "values.yaml")
        text = mapping(config.value.get("data")).get(key) if config else None
        if isinstance(text, str) and config is not None and not entry.get("targetPath"):
            where = f"{config.file} {name}[{key}]"
            merged = merge_values(merged, mapping(load_yaml(text.encode(), where=where).value))
        else:
            unseen.append(f"{entry.get('kind')} {name}[{key}]")
    return merge_values(merged, mapping(item.spec.get("values"))), tuple(unseen)


def merge_values(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it: mappings merge, anything else replaces, as in Helm."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = merge_values(mapping(below), value) if both else value
    return merged
