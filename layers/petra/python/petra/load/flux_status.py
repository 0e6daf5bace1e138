"""What Flux's objects say of themselves, read with nothing taken for granted.

The sources are those of :mod:`petra.load.releases`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.bundle.platform_files import listing, mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Labels that kustomize-controller puts on all that it applies.
OWNER_NAME: Final = "kustomize.toolkit.fluxcd.io/name"
OWNER_NAMESPACE: Final = "kustomize.toolkit.fluxcd.io/namespace"

_TEXT_LIMIT: Final = 2000


def source_key(release: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return kind, namespace and name of the object that a HelmRelease's chart comes from.

    A HelmRelease with a template has a HelmChart made for it, which its status names.
    """
    spec, metadata = mapping(release.get("spec")), mapping(release.get("metadata"))
    namespace = str(metadata.get("namespace", ""))
    reference = mapping(spec.get("chartRef"))
    if reference:
        home = str(reference.get("namespace") or namespace)
        return str(reference.get("kind")), home, str(reference.get("name"))
    named = str(mapping(release.get("status")).get("helmChart") or "")
    if not named:
        return None
    home, _, name = named.partition("/")
    return "HelmChart", home, name


def owner_key(release: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return namespace and name of the Kustomization that applies a HelmRelease."""
    labels = mapping(mapping(release.get("metadata")).get("labels"))
    name, namespace = labels.get(OWNER_NAME), labels.get(OWNER_NAMESPACE)
    return (str(namespace), str(name)) if name and namespace else None


def condition(value: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition if it is about the current generation; an empty one otherwise."""
    for one in listing(mapping(value.get("status")).get("conditions")):
        if mapping(one).get("type") == kind:
            current = one.get("observedGeneration") == generation(value)
            return dict(one) if current else {}
    return {}


def generation(value: Mapping[str, Any]) -> Any:
    """Return the generation of an object as it is wanted now."""
    return mapping(value.get("metadata")).get("generation", -1)


def said(*conditions: Mapping[str, Any]) -> tuple[str, str]:
    """Return the first condition's reason, and what all of them say, each sentence once."""
    messages = dict.fromkeys(str(one.get("message") or "") for one in conditions)
    text = "; ".join(filter(None, messages))
    return str(conditions[0].get("reason") or "Unknown"), text[:_TEXT_LIMIT]


def latest(release: Mapping[str, Any]) -> dict[str, Any]:
    """Return the newest snapshot of the history; an empty one where nothing was released."""
    history = [mapping(one) for one in listing(mapping(release.get("status")).get("history"))]
    numbered = [one for one in history if isinstance(one.get("version"), int)]
    return max(numbered, key=lambda one: int(one["version"]), default={})


def released(release: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the chart that runs, and its manifest's digest; None where that is not known."""
    snapshot = latest(release)
    return chart_text(snapshot), snapshot.get("ociDigest") or None


def chart_text(snapshot: Mapping[str, Any]) -> str | None:
    """Return a snapshot's chart, ``NAME VERSION``; None of an empty one."""
    return f"{snapshot.get('chartName')} {snapshot.get('chartVersion')}" if snapshot else None


def is_version(snapshot: Mapping[str, Any], version: str) -> bool:
    """Say whether a snapshot is of chart `version`; a source's digest takes its metadata's place.

    Source: ``mutateChartWithSourceRevision``, which also writes the version without its ``v``.
    """
    found, wanted = plain_version(str(snapshot.get("chartVersion", ""))), plain_version(version)
    short = str(snapshot.get("ociDigest") or "").partition(":")[2][:12]
    return found == wanted or (bool(short) and found == f"{wanted.partition('+')[0]}+{short}")


def plain_version(version: str) -> str:
    """Return a version without its ``v``."""
    return version.removeprefix("v")


def revision_digest(revision: Any) -> str:
    """Return the digest in a revision, ``TAG@sha256:HEX`` or ``sha256:HEX``."""
    text = str(revision or "").rpartition("@")[2]
    return text if text.startswith("sha256:") else ""
