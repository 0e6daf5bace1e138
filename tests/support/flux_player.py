"""Plays Flux's controllers on a real API server: run as a program, it shares no code with Petra.

It writes statuses as these versions do, read in their source: helm-controller v1.6.3
(``internal/controller/helmrelease_controller.go``, ``internal/reconcile/atomic_release.go``,
``install.go``, ``rollback_remediation.go``, ``release.go``), source-controller v1.9.1
(``internal/controller/ocirepository_controller.go``, ``helmchart_controller.go``) and
``fluxcd/pkg/runtime`` (``conditions``, ``patch``). Nothing is installed: what becomes of a release
its entry in the script says, ``{"releases": {NAME: {"role": …}}, "sources": {NAME: {…}}}``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import ssl
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REQUESTED = "reconcile.fluxcd.io/requestedAt"
HELM = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{}/helmreleases"
SOURCES = "/apis/source.toolkit.fluxcd.io/v1/namespaces/{}/"
INSTALLING = "Running 'install' action with timeout of 5m0s"


class Api:
    """As much of a client as the player needs."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url = options.url
        self.context = ssl.create_default_context(cafile=options.ca)
        self.context.load_cert_chain(options.cert, options.key)

    def call(self, method: str, path: str, body: object = None, kind: str = "json") -> Any:
        """Return the parsed answer; None for a 404 or a conflict."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": f"application/{kind}"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=20) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (404, 409):
                return None
            print(method, path, error.code, error.read().decode(), flush=True)  # noqa: T201
            raise

    def status(self, path: str, status: dict[str, Any]) -> None:
        """Replace fields of a status."""
        self.call("PATCH", f"{path}/status", {"status": status}, "merge-patch+json")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def condition(kind: str, status: str, reason: str, message: str, generation: int) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": now(),
    }


class Release:
    """One HelmRelease and its part."""

    def __init__(self, api: Api, path: str, value: dict[str, Any], part: dict[str, Any]) -> None:
        self.api, self.path, self.part = api, path, part
        self.name = value["metadata"]["name"]
        self.generation = value["metadata"]["generation"]
        self.token = value["metadata"].get("annotations", {}).get(REQUESTED)
        self.chart, self.version = part.get("chart", self.name), part.get("version", "1.2.3")
        self.oci = part.get("ociDigest")
        # mutateChartWithSourceRevision: the digest's first twelve digits become build metadata.
        self.revision = self.version + (f"+{self.oci.partition(':')[2][:12]}" if self.oci else "")

    def snapshot(self, number: int, status: str, action: str, revision: str = "") -> dict[str, Any]:
        snapshot = {
            "apiVersion": "v2",
            "digest": digest(f"release object {self.name} {number} {status}"),
            "name": self.name,
            "namespace": "apps",
            "version": number,
            "status": status,
            "action": action,
            "chartName": self.chart,
            "chartVersion": revision or self.revision,
            "appVersion": "1.0",
            "configDigest": digest("values"),
            "firstDeployed": now(),
            "lastDeployed": now(),
        }
        return snapshot | ({"ociDigest": self.oci} if self.oci and not revision else {})

    def attempt(self, action: str) -> dict[str, Any]:
        status: dict[str, Any] = {
            "lastAttemptedGeneration": self.generation,
            "lastAttemptedRevision": self.revision,
            "lastAttemptedConfigDigest": digest("values"),
            "lastAttemptedReleaseAction": action,
            "storageNamespace": "apps",
        }
        return status | ({"lastAttemptedRevisionDigest": self.oci} if self.oci else {})

    def condition(self, kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
        return condition(kind, status, reason, message, self.generation)

    def begin(self) -> None:
        """What the first patches of a reconciliation show; the token is not among it."""
        running = self.condition("Reconciling", "True", "Progressing", INSTALLING)
        ready = self.condition("Ready", "Unknown", "Progressing", INSTALLING)
        self.api.status(self.path, {"conditions": [running, ready], **self.attempt("install")})

    def end(self, *conditions: dict[str, Any], **status: Any) -> None:
        """Write what the deferred patch does where nothing is left to try."""
        ending = {
            "observedGeneration": self.generation,
            "lastHandledReconcileAt": self.token,
            "conditions": list(conditions),
        }
        self.api.status(self.path, ending | status)

    def succeeds(self) -> None:
        self.begin()
        chart = f"{self.chart}@{self.revision}"
        said = f"Helm install succeeded for release apps/{self.name}.v1 with chart {chart}"
        self.end(
            self.condition("Ready", "True", "InstallSucceeded", said),
            self.condition("Released", "True", "InstallSucceeded", said),
            history=[self.snapshot(1, "deployed", "install")],
            **self.attempt("install"),
        )

    def fails(self) -> None:
        self.begin()
        said = (
            f"Helm install failed for release apps/{self.name} with chart "
            f"{self.chart}@{self.revision}: timeout waiting for: [Deployment/apps/{self.name} "
            "status: 'InProgress']"
        )
        given_up = "Failed to install after 1 attempt(s)"
        self.end(
            self.condition("Stalled", "True", "RetriesExceeded", given_up),
            self.condition("Ready", "False", "InstallFailed", said),
            self.condition("Released", "False", "InstallFailed", said),
            history=[self.snapshot(1, "failed", "install")],
            failures=1,
            installFailures=1,
            **self.attempt("install"),
        )

    def remediated(self) -> None:
        self.begin()
        failed = (
            f"Helm upgrade failed for release apps/{self.name} with chart "
            f"{self.chart}@{self.revision}: context deadline exceeded"
        )
        said = (
            f"Helm rollback to previous release apps/{self.name}.v1 with chart "
            f"{self.chart}@1.2.2 succeeded"
        )
        given_up = "Failed to upgrade after 1 attempt(s)"
        self.end(
            self.condition("Stalled", "True", "RetriesExceeded", given_up),
            self.condition("Ready", "False", "RollbackSucceeded", said),
            self.condition("Released", "False", "UpgradeFailed", failed),
            self.condition("Remediated", "True", "RollbackSucceeded", said),
            history=[
                self.snapshot(3, "deployed", "rollback", "1.2.2"),
                self.snapshot(2, "failed", "upgrade"),
                self.snapshot(1, "superseded", "install", "1.2.2"),
            ],
            failures=1,
            upgradeFailures=1,
            **self.attempt("upgrade"),
        )

    def stalls(self) -> None:
        source = f"'OCIRepository/charts/{self.name}'"
        said = f"can't access {source}, cross-namespace references have been blocked"
        self.end(
            self.condition("Stalled", "True", "AccessDenied", said),
            self.condition("Ready", "False", "AccessDenied", said),
        )

    def suspended(self) -> None:
        # Reconcile returns early; the deferred patch still handles the request.
        self.end(*self.part.get("conditions", ()))

    def never(self) -> None:
        self.begin()

    def older(self) -> None:
        """What stands there when the spec changed while the controller was at work."""
        self.generation -= 1
        self.succeeds()


class Source:
    """An OCIRepository or a HelmChart, and what it finds upstream."""

    def __init__(self, api: Api, path: str, value: dict[str, Any], part: dict[str, Any]) -> None:
        self.api, self.path, self.part = api, path, part
        self.generation = value["metadata"]["generation"]
        self.token = value["metadata"].get("annotations", {}).get(REQUESTED)

    def play(self) -> None:
        revision, held = self.part["revision"], self.part["digest"]
        said = f"stored artifact for digest '{revision}'"
        status = {
            "observedGeneration": self.generation,
            "artifact": {
                "digest": held,
                "lastUpdateTime": now(),
                "path": f"chart/{revision}.tar.gz",
                "revision": revision,
                "size": 1234,
                "url": "http://source-controller.flux-system.svc.cluster.local./chart.tar.gz",
            },
            "conditions": [
                condition("Ready", "True", "Succeeded", said, self.generation),
                condition("ArtifactInStorage", "True", "Succeeded", said, self.generation),
            ],
        }
        self.api.status(
            self.path, status | ({"lastHandledReconcileAt": self.token} if self.token else {})
        )


def is_due(value: dict[str, Any], played: dict[str, Any]) -> bool:
    """Say whether a controller would reconcile: a new object, generation or request."""
    metadata = value["metadata"]
    state = metadata["generation"], metadata.get("annotations", {}).get(REQUESTED)
    key = metadata["uid"]
    due = bool(played.get(key) != state)
    played[key] = state
    return due


def play(api: Api, namespace: str, script: dict[str, Any]) -> None:
    """Go on until the process is ended."""
    played: dict[str, Any] = {}
    while True:
        for plural in ("ocirepositories", "helmcharts"):
            path = SOURCES.format(namespace) + plural
            for value in (api.call("GET", path) or {}).get("items", []):
                name = value["metadata"]["name"]
                if name in script["sources"] and is_due(value, played):
                    Source(api, f"{path}/{name}", value, script["sources"][name]).play()
                    print(plural, name, "played", flush=True)  # noqa: T201
        path = HELM.format(namespace)
        for value in (api.call("GET", path) or {}).get("items", []):
            name = value["metadata"]["name"]
            part = script["releases"].get(name)
            if (
                part
                and value["metadata"].get("annotations", {}).get(REQUESTED)
                and is_due(value, played)
            ):
                getattr(Release(api, f"{path}/{name}", value, part), part["role"])()
                print("helmreleases", name, "played as", part["role"], flush=True)  # noqa: T201
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "ca", "cert", "key", "namespace", "script"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    print("playing", flush=True)  # noqa: T201
    script = json.loads(Path(options.script).read_text())
    play(Api(options), options.namespace, {"sources": {}, "releases": {}} | script)


if __name__ == "__main__":
    main()
