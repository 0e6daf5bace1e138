"""Where the platform's manifests make Flux look: nowhere but at the local registry.

Flux pulls by itself and knows no mirrors of containerd's, so a URL in a manifest must be the local
one. Charts travel in the bundle; their sources get the URL that ``load`` fills in.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.bundle.platform_files import SUBSTITUTION, listing, mapping
from petra.bundle.platform_releases import (
    CHART,
    CHART_SOURCE,
    HELM_GROUP,
    SOURCE_GROUP,
    releases,
    source_of,
)
from petra.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from petra.bundle.platform_files import Manifest, PlatformFiles
    from petra.bundle.platform_releases import Release

#: Annotation on a source whose URL a person vouches for: it is inside the disconnected network.
LOCAL_SOURCE = "petra.sh/local-source"

# What belongs to the public place, and means nothing at the local one.
_PUBLIC_SIDE = ("secretRef", "certSecretRef", "proxySecretRef", "passCredentials", "provider")
_URL_FIELDS = ("url", "endpoint")
# Nothing may follow but a path: what stood for a host could become another one.
_LOCAL = re.compile(rf"oci://{re.escape(SUBSTITUTION)}(/[A-Za-z0-9._-]+)*/?")
_KUSTOMIZE_GROUP = "kustomize.config.k8s.io"
_REMOTE = re.compile(r"://|^git@|[?&]ref=|^(www\.)?(github|gitlab|bitbucket)\.(com|org)/")


@dataclass(frozen=True, slots=True)
class SourceURL:
    """A place that a source of Flux pulls from.

    Attributes:
        source: the object, ``OCIRepository flux-system/cilium``.
        file: the member that it stands in.
        url: as written.
        local: whether it is the substitution, or vouched for.
    """

    source: str
    file: str
    url: str
    local: bool


def source_urls(files: PlatformFiles) -> list[SourceURL]:
    """Return every place that the manifests make Flux pull from, kustomize's included."""
    found: list[SourceURL] = []
    for item in files.of_kind(_KUSTOMIZE_GROUP):
        found += [SourceURL(str(item), item.file, url, local=False) for url in _remote(item)]
    for item in files.of_kind(SOURCE_GROUP):
        for field in _URL_FIELDS:
            url = item.spec.get(field)
            if isinstance(url, str):
                local = _is_local(item) or _vouched(item)
                found.append(SourceURL(str(item), item.file, url, local))
    return found


def require_local(files: PlatformFiles) -> None:
    """Refuse manifests that make Flux leave the machine.

    Raises:
        IncompleteError: it names each source and its file.
    """
    away = [item for item in source_urls(files) if not item.local]
    if away:
        lines = [f"{item.source} in {item.file}: {item.url}" for item in away]
        raise IncompleteError(
            "the platform's manifests point outside",
            where=away[0].file,
            expected=f"oci://{SUBSTITUTION}/NAME: the local registry, which load fills in",
            found="\n    ".join(lines),
            hint=f"if a URL is inside the disconnected network, annotate it {LOCAL_SOURCE}: 'true'",
        )


def localise_sources(files: PlatformFiles) -> PlatformFiles:
    """Return the manifests with every chart's source at the local registry.

    An OCIRepository keeps its tag; a HelmRepository becomes one of type ``oci``. Credentials,
    certificates and signature checks of the public place go. The public source stays as an
    annotation. What is local already is not touched.

    Raises:
        UsageError: a source is neither of the two.
    """
    by_name = {(item.kind, item.namespace, item.name): item for item in files.of_kind(SOURCE_GROUP)}
    by_key = {release.key: release for release in releases(files)}
    changes: dict[tuple[str, int], Any] = {}
    for item in files.of_kind(HELM_GROUP, "HelmRelease"):
        source, _ = source_of(item, by_name)
        if source is None or _vouched(source) or _is_local(source):
            continue
        release = by_key[f"{item.namespace}/{item.name}"]
        changes[source.file, source.number] = _localised(source, release)
    return files.replaced(changes) if changes else files


def _remote(item: Manifest) -> list[str]:
    """Return what a kustomization takes from elsewhere: kustomize would fetch it in the cluster."""
    texts = [
        text
        for field in ("resources", "components", "bases", "crds")
        for text in listing(item.value.get(field))
        if isinstance(text, str) and _REMOTE.search(text)
    ]
    charts = map(mapping, listing(item.value.get("helmCharts")))
    return texts + [str(chart["repo"]) for chart in charts if chart.get("repo")]


def _vouched(item: Manifest) -> bool:
    return str(item.annotations.get(LOCAL_SOURCE, "")).lower() == "true"


def _is_local(item: Manifest) -> bool:
    return bool(_LOCAL.fullmatch(str(item.spec.get("url", ""))))


def _localised(source: Manifest, release: Release) -> dict[str, Any]:
    value: dict[str, Any] = copy.deepcopy(source.value)
    spec: dict[str, Any] = {
        key: part for key, part in source.spec.items() if key not in (*_PUBLIC_SIDE, "verify")
    }
    annotations = {CHART_SOURCE: release.source}
    if source.kind == "OCIRepository":
        spec["url"] = f"oci://{SUBSTITUTION}/{release.chart}"
        # A chart that is pushed again is another manifest, so a digest of it would not be found.
        spec["ref"] = {"tag": release.version.replace("+", "_")}
        annotations[CHART] = release.chart
    elif source.kind == "HelmRepository":
        spec |= {"type": "oci", "url": f"oci://{SUBSTITUTION}"}
    else:
        raise UsageError(
            f"{source}: a chart's source must be an OCIRepository or a HelmRepository",
            where=source.document.locate(("kind",)),
            hint=f"annotate it {LOCAL_SOURCE}: 'true' if it is inside the disconnected network",
        )
    metadata = mapping(value.get("metadata"))
    metadata["annotations"] = {**annotations, **mapping(metadata.get("annotations"))}
    value["spec"] = spec
    return value
