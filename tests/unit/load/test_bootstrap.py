"""The first deployment: what a fresh k3s server is given."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from petra.bundle.platform import load_platform
from petra.content.progress import NoProgress
from petra.errors import NotFoundError, UsageError
from petra.load.bootstrap import FirstSource, K3sBootstrap, K3sFolders
from petra.load.k3s_objects import CHART_LIMIT, FirstChart, helm_chart, k3s_config
from petra.load.oci_places import RegistryPlace
from petra.load.rendering import LocalRegistry
from tests.support import signing
from tests.support.charts import chart
from tests.support.load_bundles import open_bundle
from tests.support.stops import StoppedError, StopsAfter
from tests.support.world import OURS

if TYPE_CHECKING:
    from petra.load.destination import Loaded

BASE = load_platform(base=True, observability=False).files
BOTH = load_platform(base=True, observability=True).files
CILIUM, FLUX = chart("cilium", "1.16.5"), chart("flux2", "2.18.3")
KEY = signing.public(signing.key(OURS))
RULES = b"mirrors: {}\n"
MANIFESTS = [
    "petra-10-namespace.yaml",
    "petra-20-cilium.yaml",
    "petra-30-flux.yaml",
    "petra-40-platform.yaml",
]


class Server:
    """A server's folders, empty at first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders = K3sFolders(root / "var", root / "etc")

    def bootstrap(
        self,
        platform: dict[str, bytes] | None = None,
        *,
        charts: tuple[bytes, ...] = (CILIUM, FLUX),
        registries: bytes | None = RULES,
        **local: Any,
    ) -> K3sBootstrap:
        bundle = open_bundle(
            self.root, charts=charts, platform=BASE if platform is None else platform
        )
        source = FirstSource(
            RegistryPlace.repository("oci://registry.local:5000/platform"),
            "stable",
            LocalRegistry("registry.local:5000/charts", **local),
            KEY,
        )
        return K3sBootstrap(bundle, self.folders, source, registries)

    def load(self, **more: Any) -> Loaded:
        return self.bootstrap(**more).load(NoProgress())

    def objects(self, name: str) -> list[dict[str, Any]]:
        return list(yaml.safe_load_all((self.folders.manifests / name).read_text()))

    def files(self) -> dict[str, tuple[bytes, int]]:
        found = [path for path in self.root.rglob("*.yaml*") if path.is_file()]
        return {path.name: (path.read_bytes(), path.stat().st_ino) for path in found}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_fresh_server_gets_settings_mirror_rules_and_manifests(server: Server) -> None:
    loaded = server.load()

    assert sorted(server.files()) == ["50-petra.yaml", *MANIFESTS, "registries.yaml"]
    assert sorted(path.name for path in server.folders.manifests.iterdir()) == MANIFESTS
    assert [one.name for one in loaded.placed] == [
        *("registries.yaml", "50-petra.yaml"),
        *MANIFESTS,
    ]
    assert all(one.sent for one in loaded.placed)


@pytest.mark.parametrize(
    ("file", "release", "namespace", "data"),
    [
        ("petra-20-cilium.yaml", "cilium", "kube-system", CILIUM),
        ("petra-30-flux.yaml", "flux", "flux-system", FLUX),
    ],
)
def test_k3s_installs_the_bundle_s_own_charts_under_the_names_that_flux_takes_over(
    server: Server, file: str, release: str, namespace: str, data: bytes
) -> None:
    server.load()

    (found,) = server.objects(file)
    assert (found["apiVersion"], found["kind"]) == ("helm.cattle.io/v1", "HelmChart")
    assert found["metadata"] == {"name": release, "namespace": "kube-system"}
    assert b64decode(found["spec"]["chartContent"]) == data
    assert found["spec"]["bootstrap"] is True
    assert found["spec"]["targetNamespace"] == namespace


def test_the_values_are_those_of_the_helmrelease_with_digests(server: Server) -> None:
    release = yaml.safe_load(BASE["platform/base/flux/release.yaml"])
    digest = "sha256:" + "1" * 64
    entry = {"name": "registry.example/team/app", "newTag": "1.0", "digest": digest}
    release["spec"]["postRenderers"] = [{"kustomize": {"images": [entry]}}]
    changed = yaml.safe_dump(release).encode()

    server.load(platform={**BASE, "platform/base/flux/release.yaml": changed})

    values = yaml.safe_load(server.objects("petra-30-flux.yaml")[0]["spec"]["valuesContent"])
    assert values == {**release["spec"]["values"], "image": {"tag": f"1.0@{digest}"}}


def test_flux_finds_the_manifests_and_verifies_them_with_the_local_key(server: Server) -> None:
    server.load()

    secret, source, kustomization = server.objects("petra-40-platform.yaml")
    assert secret["stringData"] == {"cosign.pub": KEY.pem.decode()}
    assert source["spec"]["url"] == "oci://registry.local:5000/platform"
    assert source["spec"]["ref"] == {"tag": "stable"}
    name = secret["metadata"]["name"]
    assert source["spec"]["verify"] == {"provider": "cosign", "secretRef": {"name": name}}
    assert kustomization["spec"]["sourceRef"]["name"] == source["metadata"]["name"]
    namespaces = {one["metadata"]["namespace"] for one in (secret, source, kustomization)}
    assert namespaces == {"flux-system"}


def test_the_kustomizations_are_those_in_the_manifests(server: Server) -> None:
    server.load(platform=BOTH)

    found = server.objects("petra-40-platform.yaml")[2:]
    shipped = [
        yaml.safe_load(BOTH[f"platform/{part}/flux-kustomization.yaml"])
        for part in ("base", "observability")
    ]
    assert found == shipped


def test_a_platform_without_a_kustomization_of_flux_gets_one(server: Server) -> None:
    own = {name: data for name, data in BASE.items() if "flux-kustomization" not in name}

    server.load(platform=own)

    (found,) = server.objects("petra-40-platform.yaml")[2:]
    assert found["metadata"]["name"] == "platform-base"
    assert (found["spec"]["path"], found["spec"]["prune"]) == ("./base", True)


def test_plain_http_and_secrets_are_said_of_the_first_source_too(server: Server) -> None:
    loaded = server.load(insecure=True, secret="login", ca_secret="ca")

    source = server.objects("petra-40-platform.yaml")[1]
    assert source["spec"]["insecure"] is True
    assert source["spec"]["secretRef"] == {"name": "login"}
    assert source["spec"]["certSecretRef"] == {"name": "ca"}
    assert "create the Secret login in flux-system" in loaded.notes
    assert "create the Secret ca in flux-system" in loaded.notes


def test_the_namespace_of_flux_is_the_manifests_own(server: Server) -> None:
    server.load()

    (found,) = server.objects("petra-10-namespace.yaml")
    assert found == yaml.safe_load(BASE["platform/base/flux/namespace.yaml"])


def test_k3s_leaves_the_network_to_cilium(server: Server) -> None:
    server.load()

    path = server.folders.config / "config.yaml.d" / "50-petra.yaml"
    assert yaml.safe_load(path.read_text()) == {
        "flannel-backend": "none",
        "disable-network-policy": True,
        "disable-kube-proxy": True,
    }


@pytest.mark.parametrize("value", [False, "false", "partial", None])
def test_kube_proxy_stays_where_cilium_does_not_replace_it(value: object) -> None:
    assert "disable-kube-proxy" not in k3s_config({"kubeProxyReplacement": value})


def test_a_second_load_touches_no_file(server: Server) -> None:
    server.load()
    before = server.files()

    loaded = server.load()

    assert server.files() == before
    assert (loaded.bytes_sent, {one.sent for one in loaded.placed}) == (0, {False})


def test_another_bundle_replaces_the_same_files_and_a_running_k3s_is_warned_of(
    server: Server,
) -> None:
    server.load()
    newer = server.bootstrap(charts=(chart("cilium", "1.16.5", description="new"), FLUX))

    notes = newer.survey().notes
    newer.load(NoProgress())

    assert any("petra-20-cilium.yaml changes" in note for note in notes)
    assert not any("petra-30" in note for note in notes)
    assert sorted(path.name for path in server.folders.manifests.iterdir()) == MANIFESTS


def test_a_survey_writes_nothing(server: Server) -> None:
    survey = server.bootstrap().survey()

    assert (survey.items, survey.present) == (6, 0)
    assert survey.bytes_to_send == survey.bytes_total > len(CILIUM)
    assert server.files() == {}


def test_mirror_rules_of_somebody_else_are_not_written_over(server: Server) -> None:
    theirs = server.folders.config / "registries.yaml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mirrors: {docker.io: {}}\n")

    loaded = server.load()

    assert theirs.read_text() == "mirrors: {docker.io: {}}\n"
    assert theirs.with_name("registries.yaml.petra").read_bytes().endswith(RULES)
    assert any("merge registries.yaml.petra" in note for note in loaded.notes)


def test_our_own_mirror_rules_are_replaced(server: Server) -> None:
    server.load()

    server.load(registries=b"mirrors: {cgr.dev: {}}\n")

    text = (server.folders.config / "registries.yaml").read_text()
    assert yaml.safe_load(text) == {"mirrors": {"cgr.dev": {}}}


def test_without_mirror_rules_none_are_written(server: Server) -> None:
    server.load(registries=None)

    assert "registries.yaml" not in server.files()


def test_values_that_the_manifests_do_not_have_are_named(server: Server) -> None:
    release = yaml.safe_load(BASE["platform/base/cilium/release.yaml"])
    release["spec"]["valuesFrom"] = [{"kind": "ConfigMap", "name": "site"}]
    changed = {**BASE, "platform/base/cilium/release.yaml": yaml.safe_dump(release).encode()}

    notes = server.bootstrap(changed).survey().notes

    assert any("ConfigMap site" in note for note in notes)


def test_a_bundle_that_lacks_flux_is_refused(server: Server) -> None:
    own = {name: data for name, data in BASE.items() if "/flux/" not in name}

    with pytest.raises(UsageError, match="does not install flux2"):
        server.bootstrap(own)


def test_a_bundle_that_lacks_a_chart_of_its_manifests_is_refused(server: Server) -> None:
    with pytest.raises(NotFoundError) as refused:
        server.bootstrap(charts=(CILIUM,))

    assert refused.value.expected == "flux2 2.18.3"


def test_a_chart_too_large_for_an_object_is_refused() -> None:
    with pytest.raises(UsageError, match="too large"):
        helm_chart(FirstChart("cilium", "kube-system", bytes(CHART_LIMIT * 3 // 4 + 3), {}))


def test_the_folders_are_k3s_s_own_or_all_below_the_one_that_is_named() -> None:
    assert K3sFolders.parse("k3s").manifests == Path("/var/lib/rancher/k3s/server/manifests")
    assert K3sFolders.parse("k3s").config == Path("/etc/rancher/k3s")
    named = K3sFolders.parse("k3s:/media/k3s")
    assert (named.images, named.config) == (
        Path("/media/k3s/agent/images"),
        Path("/media/k3s/etc"),
    )


@pytest.mark.parametrize("text", ["", "k3s:", "rke2", "rke2:/x"])
def test_nothing_but_k3s_is_bootstrapped(text: str) -> None:
    with pytest.raises(UsageError):
        K3sFolders.parse(text)


def test_settings_that_went_elsewhere_are_to_be_copied(server: Server) -> None:
    loaded = server.load()

    assert f"copy what is in {server.folders.config} to /etc/rancher/k3s" in loaded.notes


def test_stopped_after_any_file_and_run_again_the_end_is_the_same(tmp_path: Path) -> None:
    def content(server: Server) -> dict[str, bytes]:
        return {name: data for name, (data, _) in server.files().items()}

    whole = Server(tmp_path / "whole")
    whole.root.mkdir()
    whole.load()
    for pieces in range(len(content(whole))):
        server = Server(tmp_path / str(pieces))
        server.root.mkdir()
        with pytest.raises(StoppedError):
            server.bootstrap().load(StopsAfter(pieces))
        assert len(content(server)) == pieces + 1
        server.load()
        assert content(server) == content(whole)
