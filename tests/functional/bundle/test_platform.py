"""A platform in a bundle: the user's own Flux manifests, their charts, and digests written in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.charts import chart
from tests.support.command import assert_refused, names
from tests.support.opened import opened
from tests.support.world import UNSIGNED, WEB, WORKER, World

if TYPE_CHECKING:
    from tests.support.command import Run

RELEASE = "platform/base/app/release.yaml"
JOB = "platform/base/job.yaml"


def chart_of(world: World, *images: str) -> bytes:
    """Return a chart that declares `images`, as Artifact Hub has it."""
    listed = [{"name": f"image-{n}", "image": image} for n, image in enumerate(images)]
    values = f"image:\n  repository: {world.reference('team/web')}\n  tag: '1.4'\n"
    return chart(
        "app",
        "2.0.0",
        {"values.yaml": values.encode()},
        annotations={"artifacthub.io/images": yaml.safe_dump(listed)},
    )


@pytest.fixture
def manifests(world: World) -> World:
    """A folder of Flux manifests: a HelmRelease, its source, and a Job without any chart."""
    world.add_chart("app", "2.0.0", chart_of(world, world.reference(WEB)))
    folder = world.folder / "manifests" / "base"
    write(
        folder / "app" / "release.yaml",
        {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmRepository",
            "metadata": {"name": "charts", "namespace": "flux-system"},
            "spec": {"interval": "1h", "url": f"{world.charts.url}/charts"},
        },
        {
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease",
            "metadata": {"name": "app", "namespace": "flux-system"},
            "spec": {
                "interval": "1h",
                "chart": {
                    "spec": {
                        "chart": "app",
                        "version": "2.0.0",
                        "sourceRef": {"kind": "HelmRepository", "name": "charts"},
                    }
                },
            },
        },
    )
    container = {"name": "main", "image": world.reference(WORKER)}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    write(
        folder / "job.yaml",
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "check", "namespace": "default"},
            "spec": {"template": template},
        },
    )
    return world


def write(path: Any, *documents: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))


def spec(world: World, *images: str, **platform: Any) -> None:
    world.spec(*images, platform={"includeBase": True, "path": "manifests", **platform})


def carried(world: World, name: str) -> list[Any]:
    return list(yaml.safe_load_all(opened(world.bundle).files[name]))


def test_digests_of_the_lock_are_written_into_the_manifests(manifests: World, create: Run) -> None:
    world = manifests
    spec(world, WEB, WORKER)

    outcome = create("--output", "json")

    assert outcome.status == 0, outcome.err
    source, release = carried(world, RELEASE)
    (renderer,) = release["spec"]["postRenderers"]
    (entry,) = renderer["kustomize"]["images"]
    web = world.images[WEB].digest
    assert entry == {"name": world.reference("team/web"), "newTag": "1.4", "digest": web}
    # Flux shall look at the local registry, which load fills in.
    assert source["spec"]["url"] == "oci://${PETRA_CHARTS}"
    assert source["spec"]["type"] == "oci"
    (job,) = carried(world, JOB)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f"@{world.images[WORKER].digest}")
    # What the user wrote stays as it is.
    assert (
        f"image: {world.reference(WORKER)}\n"
        in (world.folder / "manifests" / "base" / "job.yaml").read_text()
    )


def test_the_charts_of_releases_come_along(manifests: World, create: Run) -> None:
    world = manifests
    spec(world, WEB, WORKER)

    outcome = create("--output", "json")

    assert [one["name"] for one in outcome.json["charts"]] == ["app"]
    bundle = opened(world.bundle)
    assert bundle.files["charts/app-2.0.0.tgz"] == (
        world.charts.pages["/charts/app-2.0.0.tgz"].body
    )
    parts = {(one["name"], one["set"], one.get("chart")) for one in bundle.metadata["platform"]}
    assert parts == {("app", "base", "app"), ("check", "base", None)}


def test_the_platform_is_shown(manifests: World, petra: Run, create: Run) -> None:
    spec(manifests, WEB, WORKER)
    create()

    shown = petra("bundle", "inspect", "-f", manifests.bundle).out

    assert "platform (2)" in shown
    assert "base/app  app 2.0.0" in shown
    assert "base/check" in shown


def test_each_missing_image_is_named_with_what_needs_it_and_what_to_paste(
    manifests: World, create: Run
) -> None:
    world = manifests
    spec(world, UNSIGNED)

    outcome = create()

    assert_refused(
        outcome,
        1,
        "(2)",
        world.reference(WEB),
        "HelmRelease flux-system/app",
        world.reference(WORKER),
        "Job default/check",
        "allowMissingImages",
    )
    assert names(world.dist) == []
    # The lines to paste are YAML that the spec takes.
    lines = [
        line for line in outcome.err.splitlines() if line.strip().startswith(("- name", "image:"))
    ]
    pasted = yaml.safe_load("\n".join(lines))
    assert [one["image"] for one in pasted] == [world.reference(WEB), world.reference(WORKER)]


def test_a_pasted_answer_completes_the_spec(manifests: World, create: Run, petra: Run) -> None:
    world = manifests
    spec(world, WEB)
    missing = create().err
    assert world.reference(WORKER) in missing
    assert f"{world.reference(WEB)}\n" not in missing

    spec(world, WEB, WORKER)

    assert create().status == 0
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


@pytest.mark.parametrize("way", ["flag", "spec"])
@pytest.mark.parametrize("command", ["create", "lock"])
def test_missing_images_may_be_allowed(
    manifests: World, petra: Run, way: str, command: str
) -> None:
    world = manifests
    spec(world, WEB, **({"allowMissingImages": True} if way == "spec" else {}))
    more = ("--allow-missing-images",) if way == "flag" else ()
    key = ("--key", "ours.key") if command == "create" else ()

    outcome = petra("bundle", command, "-f", "bundle.yaml", *key, *more)

    assert outcome.status == 0, outcome.err
    assert (
        f"warning: the spec lacks {world.reference(WORKER)}, for Job default/check" in outcome.err
    )


def test_an_image_left_out_keeps_its_place_in_the_manifest(manifests: World, create: Run) -> None:
    world = manifests
    spec(world, WEB, allowMissingImages=True)
    create()

    (job,) = carried(world, JOB)

    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == world.reference(WORKER)


def test_a_chart_of_the_spec_may_say_what_it_deploys(world: World, create: Run) -> None:
    images = [world.reference(WEB), world.reference(WORKER)]
    world.spec(WEB, charts=[world.chart(images=images)])

    assert_refused(create(), 1, world.reference(WORKER), "chart app 1.2.3")

    world.spec(WEB, WORKER, charts=[world.chart(images=images)])
    assert create().status == 0


def test_locked_manifests_do_not_drift(manifests: World, petra: Run, create: Run) -> None:
    world = manifests
    spec(world, WEB, WORKER)
    petra("bundle", "lock", "-f", "bundle.yaml")
    assert create("--locked").status == 0
    made = world.bundle.read_bytes()
    path = world.folder / "manifests" / "base" / "job.yaml"
    path.write_text(path.read_text().replace("name: check", "name: other"))

    assert_refused(create("--locked"), 3, JOB, "petra bundle lock")

    assert world.bundle.read_bytes() == made


def test_observability_is_a_part_of_its_own(manifests: World, create: Run) -> None:
    world = manifests
    base = world.folder / "manifests" / "base"
    write(
        world.folder / "manifests" / "observability" / "rules.yaml",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rules"}},
    )
    world.spec(platform={"includeObservability": True, "path": "manifests"})

    assert create().status == 0

    found = [name for name in opened(world.bundle).names if name.startswith("platform/")]
    assert found == ["platform/observability/rules.yaml"]
    assert base.is_dir()


@pytest.mark.parametrize(
    ("name", "content", "status", "says"),
    [
        ("run.sh", b"#!/bin/sh\n", 2, "run.sh"),
        ("tool.yaml", b"\x7fELF" + bytes(60), 3, "platform/base/tool.yaml"),
        ("script.yaml", b"#!/bin/sh\necho\n", 3, "platform/base/script.yaml"),
        ("bad name.yaml", b"a: 1\n", 3, "bad name.yaml"),
        ("broken.yaml", b"a: [1\n", 2, "platform/base/broken.yaml:"),
        ("list.yaml", b"- 1\n", 2, "platform/base/list.yaml:1"),
        (
            "outside.yaml",
            (
                b"apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n"
                b"metadata: {name: x}\nspec: {url: 'https://git.example/x'}\n"
            ),
            1,
            "https://git.example/x",
        ),
    ],
)
def test_files_that_have_no_place_among_manifests(
    manifests: World, create: Run, name: str, content: bytes, status: int, says: str
) -> None:
    world = manifests
    (world.folder / "manifests" / "base" / name).write_bytes(content)
    spec(world, WEB, WORKER)

    assert_refused(create(), status, says)
    assert names(world.dist) == []


def test_a_link_among_the_manifests_is_refused(manifests: World, create: Run) -> None:
    world = manifests
    (world.folder / "manifests" / "base" / "keys.yaml").symlink_to(world.folder / "ours.key")
    spec(world, WEB, WORKER)

    assert_refused(create(), 2, "keys.yaml", "links")


def test_a_folder_that_is_not_there(world: World, create: Run) -> None:
    world.spec(platform={"includeBase": True, "path": "nowhere"})

    assert_refused(create(), 1, "nowhere", "spec.platform.path")


def test_a_chart_that_is_nowhere(manifests: World, create: Run) -> None:
    world = manifests
    path = world.folder / "manifests" / "base" / "app" / "release.yaml"
    path.write_text(path.read_text().replace("2.0.0", "9.9.9"))
    spec(world, WEB, WORKER)

    assert_refused(create(), 1, "app", "9.9.9", f"{world.charts.url}/charts")
    assert names(world.dist) == []


def test_the_json_of_lock_names_the_missing(manifests: World, petra: Run) -> None:
    world = manifests
    spec(world, WEB, allowMissingImages=True)

    outcome = petra("bundle", "lock", "-f", "bundle.yaml", "--output", "json")

    assert json.loads(outcome.out)["missingImages"] == [world.reference(WORKER)]


def _stand_in_for_helm(world: World, *images: str) -> None:
    """Write a program that renders whatever it is given to a pod of these images."""
    containers = ", ".join(f"{{name: c{n}, image: '{image}'}}" for n, image in enumerate(images))
    pod = f"kind: Pod\\nmetadata: {{name: p}}\\nspec: {{containers: [{containers}]}}\\n"
    path = world.folder / "helm"
    path.write_text(f"#!/bin/sh\nprintf \"{pod}\"\necho called >> '{world.folder}/helm.log'\n")
    path.chmod(0o755)


def test_what_helm_found_stays_in_the_lock(
    manifests: World, petra: Run, create: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever creates from the lock needs no helm, and gets the same bytes with and without."""
    world = manifests
    _stand_in_for_helm(world, world.reference(WEB), world.reference(WORKER))
    monkeypatch.setenv("PETRA_HELM", str(world.folder / "helm"))
    spec(world, WEB, WORKER)
    assert petra("bundle", "lock", "-f", "bundle.yaml").status == 0
    assert (world.folder / "helm.log").read_text() == "called\n"

    made = []
    for helm in (str(world.folder / "helm"), ""):
        monkeypatch.setenv("PETRA_HELM", helm)
        assert create("--locked").status == 0
        made.append(world.bundle.read_bytes())

    assert made[0] == made[1]
    assert (world.folder / "helm.log").read_text() == "called\n"
    (_, release) = carried(world, RELEASE)
    entries = release["spec"]["postRenderers"][0]["kustomize"]["images"]
    assert {entry["digest"] for entry in entries} == {
        world.images[WEB].digest,
        world.images[WORKER].digest,
    }


def test_without_helm_and_lock_the_chart_is_asked(manifests: World, create: Run) -> None:
    """It declares one image; helm would have found another one, which is not insisted on."""
    spec(manifests, WEB, WORKER)

    assert create().status == 0

    (_, release) = carried(manifests, RELEASE)
    entries = release["spec"]["postRenderers"][0]["kustomize"]["images"]
    assert [entry["digest"] for entry in entries] == [manifests.images[WEB].digest]


def test_a_helm_that_fails_is_told(
    manifests: World, create: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = manifests
    path = world.folder / "helm"
    path.write_text("#!/bin/sh\necho 'Error: values do not meet the schema' >&2\nexit 1\n")
    path.chmod(0o755)
    monkeypatch.setenv("PETRA_HELM", str(path))
    spec(world, WEB, WORKER)

    assert_refused(create(), 1, "values do not meet the schema", "app")
    assert names(world.dist) == []


def test_a_helm_that_is_not_there_is_told(
    manifests: World, create: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETRA_HELM", "/nowhere/helm")
    spec(manifests, WEB, WORKER)

    assert_refused(create(), 2, "PETRA_HELM", "/nowhere/helm")
