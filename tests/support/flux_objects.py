"""Objects with statuses as Flux's controllers write them, for tests of the pure judgement.

Written after helm-controller v1.6.3, source-controller v1.9.1 and kustomize-controller v1.9.4.
"""

from __future__ import annotations

from typing import Any

from petra.content.digest import Digest
from petra.load.releases import ExpectedRelease, PublishedManifests

TOKEN = "petra-0123456789ab-20261125T120000Z"
ARCHIVE = Digest.of(b"the chart's archive")
MANIFEST = Digest.of(b"the manifest that the load placed")
OTHER = Digest.of(b"another manifest")
PUBLISHED = PublishedManifests("flux-system", "petra-platform", Digest.of(b"the manifests"))
EXPECTED = ExpectedRelease("flux-system", "web", "web", "1.2.3", ARCHIVE, frozenset({MANIFEST}))
GENERATION = 4
INSTALLED = "Helm install succeeded for release apps/web.v1 with chart web@1.2.3"
FAILED = "Helm install failed for release apps/web with chart web@1.2.3: timed out"


def condition(
    kind: str, status: str, reason: str, message: str = "", generation: int = GENERATION
) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message or INSTALLED,
        "observedGeneration": generation,
        "lastTransitionTime": "2026-11-25T12:00:10Z",
    }


READY = condition("Ready", "True", "InstallSucceeded")
RELEASED = condition("Released", "True", "InstallSucceeded")
NOT_READY = condition("Ready", "False", "InstallFailed", FAILED)


def snapshot(**changes: Any) -> dict[str, Any]:
    """Return an entry of ``status.history``; `changes` of None leave a field out."""
    oci = changes.get("ociDigest", MANIFEST)
    short = f"+{oci.partition(':')[2][:12]}" if oci else ""
    value = {
        "apiVersion": "v2",
        "digest": Digest.of(b"the release object"),
        "name": "web",
        "namespace": "apps",
        "version": 1,
        "status": "deployed",
        "action": "install",
        "chartName": "web",
        "chartVersion": f"1.2.3{short}",
        "configDigest": Digest.of(b"values"),
        "firstDeployed": "2026-11-25T12:00:05Z",
        "lastDeployed": "2026-11-25T12:00:05Z",
        "ociDigest": oci,
    } | changes
    return {key: part for key, part in value.items() if part is not None}


def release(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    """Return a HelmRelease whose chart an OCIRepository gives; ready unless told otherwise."""
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {
            "name": "web",
            "namespace": "flux-system",
            "generation": GENERATION,
            "labels": {
                "kustomize.toolkit.fluxcd.io/name": "platform-base",
                "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            },
        },
        "spec": {"interval": "10m", "chartRef": {"kind": "OCIRepository", "name": "web"}},
        "status": {
            "observedGeneration": GENERATION,
            "lastAttemptedGeneration": GENERATION,
            "lastAttemptedRevision": f"1.2.3+{MANIFEST.hex[:12]}",
            "lastAttemptedRevisionDigest": MANIFEST,
            "lastHandledReconcileAt": TOKEN,
            "conditions": list(conditions or (READY, RELEASED)),
            "history": [snapshot()],
            **status,
        },
    }


def with_template(value: dict[str, Any]) -> dict[str, Any]:
    """Return a HelmRelease as one with a chart template, a HelmRepository behind it."""
    source = {"kind": "HelmRepository", "name": "charts"}
    spec = {"interval": "10m", "chart": {"spec": {"chart": "web", "sourceRef": source}}}
    status = value["status"] | {"helmChart": "flux-system/flux-system-web"}
    status |= {"history": [snapshot(ociDigest=None)]}
    del status["lastAttemptedRevisionDigest"]
    return {**value, "spec": spec, "status": status}


def _source(kind: str, name: str, artifact: dict[str, Any], status: dict[str, Any]) -> Any:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "flux-system", "generation": 2},
        "spec": {},
        "status": {
            "observedGeneration": 2,
            "lastHandledReconcileAt": TOKEN,
            "artifact": artifact,
            **status,
        },
    }


def oci_repository(
    revision: str = f"1.2.3@{MANIFEST}", digest: str = ARCHIVE, **status: Any
) -> Any:
    return _source("OCIRepository", "web", {"revision": revision, "digest": digest}, status)


def helm_chart(revision: str = "1.2.3", digest: str = ARCHIVE, **status: Any) -> Any:
    artifact = {"revision": revision, "digest": digest}
    return _source("HelmChart", "flux-system-web", artifact, status)


def kustomization(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    """Return the Kustomization that applies the release."""
    source = {"kind": "OCIRepository", "name": "petra-platform"}
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "platform-base", "namespace": "flux-system", "generation": GENERATION},
        "spec": {"sourceRef": source, "wait": True},
        "status": {"conditions": list(conditions), **status},
    }
