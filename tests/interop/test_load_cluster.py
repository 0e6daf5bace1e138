"""petra bundle load, status and rollback, with a real API server; a process plays Flux."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from tests.support.command import Outcome, Run, runner
from tests.support.flux_stage import Stage
from tests.support.sites import Bundles, There, disconnected_side
from tests.support.world import connected_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kubernetes import KubernetesApi

_NAMESPACE = "flux-system"
_PATIENCE = ("--timeout", "90s")


@pytest.fixture
def petra(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


@pytest.fixture
def bundle(petra: Run, tmp_path: Path) -> Path:
    with connected_side(tmp_path) as world:
        return Bundles(world, petra).make()


@pytest.fixture
def there(petra: Run, tmp_path: Path) -> Iterator[There]:
    with disconnected_side(tmp_path, petra) as there:
        yield there


class Site:
    """A cluster with Flux that reads what is loaded, and knows the release ``app`` already."""

    def __init__(self, api: KubernetesApi, there: There, folder: Path) -> None:
        self.there = there
        self.stage = Stage(api, _NAMESPACE, folder)
        self.kubeconfig = ("--kubeconfig", api.kubeconfig)
        chart = {"chart": "app", "version": "1.4.0"}
        template = {**chart, "sourceRef": {"kind": "HelmRepository", "name": "charts"}}
        self.release: dict[str, Any] = {
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease",
            "metadata": {
                "name": "app",
                "labels": {
                    "kustomize.toolkit.fluxcd.io/name": "platform-base",
                    "kustomize.toolkit.fluxcd.io/namespace": _NAMESPACE,
                },
            },
            "spec": {"interval": "1h", "chart": {"spec": template}},
        }
        self.chart = f"{_NAMESPACE}-app"
        api.apply(self.release, _NAMESPACE)
        made = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmChart",
            "metadata": {"name": self.chart},
            "spec": {**template, "interval": "1h"},
        }
        api.apply(made, _NAMESPACE)
        helm_chart = {"helmChart": f"{_NAMESPACE}/{self.chart}"}
        api.set_status(self.release, _NAMESPACE, helm_chart)
        follows = {"kind": "OCIRepository", "name": "petra-platform"}
        self.owner: dict[str, Any] = {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": "platform-base"},
            "spec": {"interval": "10m", "prune": True, "path": "./base", "sourceRef": follows},
        }
        api.apply(self.owner, _NAMESPACE)

    def plays(self, role: str, archive: str) -> None:
        self.stage.script["releases"]["app"] = {"role": role, "version": "1.4.0"}
        self.stage.script["sources"][self.chart] = {"revision": "1.4.0", "digest": archive}

    def applied(self, manifests: str) -> None:
        """Let kustomize-controller have applied these manifests."""
        revision = f"stable@{manifests}"
        status = {"lastAppliedRevision": revision, "lastAttemptedRevision": revision}
        self.stage.api.set_status(self.owner, _NAMESPACE, status)

    def load(self, bundle: Path, *more: str) -> Outcome:
        with self.stage.playing():
            return self.there.load(bundle, *self.kubeconfig, "--output", "json", *more)

    def status(self, *bundle: str | Path) -> Outcome:
        given = (*self.kubeconfig, "--ledger", self.there.ledger)
        return self.there.petra("status", *bundle, *given)


@pytest.fixture
def site(kubernetes_api: KubernetesApi, there: There, tmp_path: Path) -> Iterator[Site]:
    site = Site(kubernetes_api, there, tmp_path)
    yield site
    for value in (site.release, site.owner):
        resource = kubernetes_api.resource(value)
        assert resource is not None
        kubernetes_api.request("DELETE", resource.path(_NAMESPACE, value["metadata"]["name"]))


def _placed(there: There, bundle: Path) -> tuple[str, str]:
    """Load without a cluster; return the digests of the chart's archive and the manifests."""
    outcome = there.load(bundle, "--output", "json")
    assert outcome.status == 0, outcome.err
    _, _, manifests = outcome.json["destinations"]
    shown = there.petra("bundle", "inspect", "-f", bundle, "--output", "json").json
    (chart,) = shown["metadata"]["charts"] if "metadata" in shown else shown["charts"]
    return chart["digest"], manifests["switched"]["digest"]


def test_a_load_ends_when_its_releases_have(site: Site, bundle: Path) -> None:
    archive, manifests = _placed(site.there, bundle)
    site.plays("succeeds", archive)
    site.applied(manifests)
    outcome = site.load(bundle, "--again", *_PATIENCE)
    assert outcome.status == 0, outcome.out + outcome.err
    report = outcome.json
    assert (report["verdict"], report["notified"]) == ("loaded", True)
    (release,) = report["releases"]
    assert (release["name"], release["state"]) == ("app", "SUCCEEDED")
    assert release["found"]["digest"] == archive
    assert site.status("-f", bundle, "--key", "ours.pub").status == 0
    assert site.status().status == 0


def test_a_release_that_fails_fails_the_load_and_the_status(site: Site, bundle: Path) -> None:
    archive, manifests = _placed(site.there, bundle)
    site.plays("fails", archive)
    site.applied(manifests)
    outcome = site.load(bundle, "--again", *_PATIENCE)
    assert outcome.status == 1
    assert outcome.json["verdict"] == "not reconciled"
    assert outcome.json["releases"][0]["state"] == "FAILED"
    after = site.status()
    assert after.status == 1
    assert "FAILED      flux-system/app  app 1.4.0  InstallFailed: Helm install" in after.out


def test_until_the_manifests_are_applied_nothing_has_succeeded(site: Site, bundle: Path) -> None:
    archive, _ = _placed(site.there, bundle)
    site.plays("succeeds", archive)
    site.applied(Digest.of(b"older manifests"))
    outcome = site.load(bundle, "--again", "--timeout", "4s")
    assert outcome.status == 1
    (release,) = outcome.json["releases"]
    assert (release["state"], release["reason"]) == ("TIMEOUT", "ManifestsNotApplied")


def test_a_cluster_that_is_away_is_told_before_anything_is_loaded(
    site: Site, bundle: Path, tmp_path: Path
) -> None:
    away = json.loads(json.dumps(_kubeconfig("https://127.0.0.1:1")))
    (tmp_path / "away").write_text(json.dumps(away))
    site.kubeconfig = ("--kubeconfig", tmp_path / "away")
    outcome = site.load(bundle)
    assert outcome.status == 1
    assert outcome.json["error"]["code"] == "TRANSPORT"
    assert site.there.tags() == {}


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
