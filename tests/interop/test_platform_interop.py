"""The platform with its real peers: kustomize, helm on the published charts, Flux's own schemas."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from petra.bundle.platform import (
    NeededImages,
    PlatformFiles,
    Release,
    apply_overrides,
    load_platform,
    needed_images,
    releases,
    substitute_charts,
)
from petra.content.digest import Digest
from petra.helm.template import render_chart
from petra.oci.reference import Reference
from tests.support.kubernetes import KubernetesApi, check_manifests
from tests.support.real_charts import real_chart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILES = load_platform(base=True, observability=True)
REAL = ("cilium", "tetragon")
# In the chart's values only as a comment; the rendering shows that it is heard.
UNLISTED = ["kubeProxyReplacement"]


@pytest.fixture
def kustomize(tools: Callable[[str], Path]) -> Callable[[Path], list[dict[str, Any]]]:
    program = tools("kustomize")

    def build(folder: Path) -> list[dict[str, Any]]:
        done = subprocess.run(
            [program, "build", folder], capture_output=True, check=False, text=True
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return build


def written(files: PlatformFiles, folder: Path) -> Path:
    """Write the files below `folder`, as a reader of the bundle has them."""
    for name, data in files.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "platform"


def release(name: str) -> Release:
    (found,) = (item for item in releases(FILES) if item.name == name)
    return found


def real(name: str) -> bytes:
    one = release(name)
    return real_chart(f"{one.chart}-{one.version}.tgz").read_bytes()


def only(name: str) -> PlatformFiles:
    return PlatformFiles(
        {path: data for path, data in FILES.files.items() if path.split("/")[2] == name}
    )


def rendered(name: str, helm: Path) -> list[dict[str, Any]]:
    one = release(name)
    manifests = render_chart(
        real(name),
        helm=helm,
        values=one.values,
        release_name=one.release_name,
        namespace=one.target_namespace,
    )
    return [item for item in yaml.safe_load_all(manifests) if item]


def containers(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from containers(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("containers", "initContainers"):
                yield from item
            else:
                yield from containers(item)


def images(documents: list[dict[str, Any]]) -> set[str]:
    return {container["image"] for container in containers(documents)}


def lock_of(needed: list[NeededImages]) -> dict[str, str]:
    """Return what a lock would say: digests asked for as they are, tags with made-up ones."""
    found: dict[str, str] = {}
    for text in (image for item in needed for image in item.images):
        image = Reference.parse(text)
        found[text] = image.digest or Digest.of(text.encode())
    return found


def overridden(needed: list[NeededImages], files: PlatformFiles) -> PlatformFiles:
    return apply_overrides(files, needed, lock_of(needed))


def entries(files: PlatformFiles, name: str) -> Any:
    (item,) = (one for one in files.manifests if (one.kind, one.name) == ("HelmRelease", name))
    return item.spec["postRenderers"][-1]["kustomize"]["images"]


def transformed(
    documents: list[dict[str, Any]],
    entries: object,
    folder: Path,
    build: Callable[[Path], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """Return what Flux's post-renderer makes: kustomize with the entries as its `images`."""
    (folder / "all.yaml").write_text(yaml.safe_dump_all(documents))
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["all.yaml"], "images": entries})
    )
    return build(folder)


@pytest.mark.parametrize(("part", "least"), [("base", 8), ("observability", 3)])
def test_kustomize_builds_each_part_as_it_is_in_the_bundle(
    tmp_path: Path,
    kustomize: Callable[[Path], list[dict[str, Any]]],
    part: str,
    least: int,
) -> None:
    built = kustomize(written(FILES, tmp_path) / part)

    kinds = [item["kind"] for item in built]
    assert kinds.count("HelmRelease") == kinds.count("OCIRepository") == least
    assert kinds.count("Kustomization") == 1
    mine = [item for item in FILES.manifests if item.file.startswith(f"platform/{part}/")]
    assert len(built) == len([item for item in mine if "kustomize.config" not in item.group])


@pytest.mark.parametrize("part", ["base", "observability"])
def test_with_digests_and_a_local_registry_kustomize_builds_and_flux_accepts_it(
    tmp_path: Path,
    kustomize: Callable[[Path], list[dict[str, Any]]],
    kubernetes_api: KubernetesApi,
    kubernetes_namespace: str,
    part: str,
) -> None:
    needed = [
        NeededImages(str(item.manifest), item.file, "declared", ("q.io/x:1", "busybox:1"))
        for item in releases(FILES)
    ]
    files = substitute_charts(overridden(needed, FILES), "registry.local:5000/charts")

    built = kustomize(written(files, tmp_path) / part)
    checked = check_manifests(kubernetes_api, built, kubernetes_namespace)

    assert checked.refused == {}
    flux = [item for item in built if "fluxcd.io" in item["apiVersion"]]
    assert len(checked.accepted) == len(flux)
    urls = [item["spec"]["url"] for item in built if item["kind"] == "OCIRepository"]
    assert urls
    assert all(url.startswith("oci://registry.local:5000/charts/") for url in urls)


def unknown(values: Any, chart: Any, path: str = "") -> list[str]:
    """Return the values of ours that the chart's own values do not have: misspelt ones."""
    found: list[str] = []
    for key, value in values.items():
        place = f"{path}.{key}".lstrip(".")
        if not isinstance(chart, dict) or key not in chart:
            found.append(place)
        elif isinstance(value, dict):
            found += unknown(value, chart[key], place)
    return found


@pytest.mark.parametrize("name", REAL)
def test_every_value_of_ours_is_one_of_the_real_charts(
    tools: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    chart = tmp_path / "chart.tgz"
    chart.write_bytes(real(name))
    shown = subprocess.run(
        [tools("helm"), "show", "values", chart], capture_output=True, check=True, text=True
    )

    values = dict(release(name).values)
    assert values
    expected = [place for place in UNLISTED if place in values]
    assert unknown(values, yaml.safe_load(shown.stdout)) == expected


def test_cilium_renders_as_a_network_for_k3s(tools: Callable[[str], Path]) -> None:
    documents = rendered("cilium", tools("helm"))

    by_name = {(item["kind"], item["metadata"]["name"]): item for item in documents}
    config = by_name["ConfigMap", "cilium-config"]["data"]
    assert config["kube-proxy-replacement"] == "true"
    assert config["ipam"] == "kubernetes"
    assert config["enable-wireguard"] == "true"
    assert config["enable-bpf-masquerade"] == "true"
    assert config["enable-hubble"] == "true"
    agent = by_name["DaemonSet", "cilium"]["spec"]["template"]["spec"]
    environment = {
        entry["name"]: entry.get("value")
        for container in agent["containers"] + agent["initContainers"]
        for entry in container.get("env", [])
    }
    assert environment["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
    assert environment["KUBERNETES_SERVICE_PORT"] == "6444"
    assert by_name["Deployment", "cilium-operator"]["spec"]["replicas"] == 1
    assert ("Deployment", "hubble-relay") in by_name
    assert ("Deployment", "hubble-ui") not in by_name
    assert {item["metadata"].get("namespace", "kube-system") for item in documents} <= {
        "kube-system",
        "cilium-secrets",
    }


def test_tetragon_renders_with_its_events_in_its_own_log(tools: Callable[[str], Path]) -> None:
    documents = rendered("tetragon", tools("helm"))

    by_name = {(item["kind"], item["metadata"]["name"]): item for item in documents}
    config = by_name["ConfigMap", "tetragon-config"]["data"]
    assert config["server-address"] == "localhost:54321"
    assert config["enable-process-cred"] == "true"
    assert config["enable-process-ns"] == "true"
    agent = by_name["DaemonSet", "tetragon"]["spec"]["template"]["spec"]
    assert [container["name"] for container in agent["containers"]] == [
        "export-stdout",
        "tetragon",
    ]
    assert {item["metadata"].get("namespace", "tetragon") for item in documents} == {"tetragon"}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        (
            "cilium",
            {
                "quay.io/cilium/cilium",
                "quay.io/cilium/cilium-envoy",
                "quay.io/cilium/operator-generic",
                "quay.io/cilium/hubble-relay",
            },
        ),
        (
            "tetragon",
            {
                "quay.io/cilium/tetragon",
                "quay.io/cilium/tetragon-operator",
                "quay.io/cilium/hubble-export-stdout",
            },
        ),
    ],
)
def test_the_images_of_the_real_charts_are_told_and_pinned_to_the_lock(
    tools: Callable[[str], Path],
    tmp_path: Path,
    kustomize: Callable[[Path], list[dict[str, Any]]],
    name: str,
    names: set[str],
) -> None:
    helm = tools("helm")
    one = release(name)

    needed = needed_images(only(name), {(one.chart, one.version): real(name)}, helm=helm)
    lock = lock_of(needed)
    after = transformed(
        rendered(name, helm), entries(overridden(needed, FILES), name), tmp_path, kustomize
    )

    assert {Reference.parse(text).name for text in lock} == names
    assert needed[0].how == "rendered"
    expected = {str(Reference.parse(text).pinned(Digest(digest))) for text, digest in lock.items()}
    assert images(after) == expected
    for image in images(after):
        assert image.count("@sha256:") == 1, "a digest of the chart's own is replaced, not added to"
        assert Reference.parse(image).tag


def pod(name: str, *images: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [
                {"name": f"c{number}", "image": image} for number, image in enumerate(images)
            ]
        },
    }


def test_kustomize_matches_every_way_to_write_an_image_and_tells_tags_apart(
    tmp_path: Path, kustomize: Callable[[Path], list[dict[str, Any]]]
) -> None:
    old = Digest.of(b"the chart's own")
    hub = ["busybox:1", "library/busybox:1", "docker.io/busybox:1", "docker.io/library/busybox:1"]
    tags = ["q.io/x/app:1", "q.io/x/app:2", "q.io/x/app-more:1", f"q.io/x/own:1@{old}"]
    needed = [
        NeededImages(
            "HelmRelease flux-system/tetragon",
            release("tetragon").file,
            "rendered",
            ("docker.io/library/busybox:1", "q.io/x/app:1", "q.io/x/app:2", f"q.io/x/own:1@{old}"),
        )
    ]
    lock = lock_of(needed)

    after = transformed(
        [pod("hub", *hub), pod("tags", *tags)],
        entries(overridden(needed, FILES), "tetragon"),
        tmp_path,
        kustomize,
    )

    busybox = lock["docker.io/library/busybox:1"]
    assert [item["image"] for item in containers(after)] == [
        *(f"{name}@{busybox}" for name in hub),
        f"q.io/x/app:1@{lock['q.io/x/app:1']}",
        f"q.io/x/app:2@{lock['q.io/x/app:2']}",
        "q.io/x/app-more:1",
        f"q.io/x/own:1@{old}",
    ]
