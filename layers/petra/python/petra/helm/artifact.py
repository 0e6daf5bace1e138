"""A chart as an artifact of a registry, as ``helm push`` makes it but for the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.encoding.json import canonical_json
from petra.helm.chart import inspect_chart
from petra.helm.index import describe_chart
from petra.oci.artifact import Artifact, Part
from petra.oci.media_types import HELM_CHART, HELM_CONFIG, HELM_PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ANNOTATIONS = (
    ("org.opencontainers.image.description", "description"),
    ("org.opencontainers.image.title", "name"),
    ("org.opencontainers.image.version", "version"),
)


def chart_artifact(data: bytes, provenance: bytes | None = None, *, where: str) -> Artifact:
    """Return a chart's ``.tgz``, byte for byte, as what is pushed to a registry.

    It depends on the chart alone, so that a chart which comes in two bundles is one to Flux.

    Args:
        data: the ``.tgz``.
        provenance: the ``.prov``, where there is one.
        where: the chart, for errors.

    Raises:
        FormatError: it is no chart.
        ContentRefusedError: it is a trap.

    Source: Helm, HIP 6, "OCI Support".
    """
    metadata = describe_chart(inspect_chart(data, where=where).metadata)
    layers = [Part(HELM_CHART, data)]
    if provenance is not None:
        layers.append(Part(HELM_PROVENANCE, provenance))
    return Artifact.of(Part(HELM_CONFIG, canonical_json(metadata)), layers, _annotations(metadata))


def chart_tag(version: str) -> str:
    """Return the tag of a chart's version: a tag has no plus sign, and Helm writes ``_``."""
    return version.replace("+", "_")


def _annotations(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {name: metadata[key] for name, key in _ANNOTATIONS if key in metadata}
