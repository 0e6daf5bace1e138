"""``petra bundle load --bootstrap k3s`` as a user calls it, for a server's folders elsewhere."""

from __future__ import annotations

import shutil
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from petra.helm.registry import fetch_oci_chart
from petra.oci.registry import RegistryClient
from tests.support.charts import chart
from tests.support.command import assert_refused, names
from tests.support.sites import There, disconnected_side
from tests.support.tools import REPOSITORY
from tests.support.world import WEB, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command import Run

CHARTS = {"cilium": "1.16.5", "flux2": "2.18.3"}
FILES = [
    "petra-10-namespace.yaml",
    "petra-20-cilium.yaml",
    "petra-30-flux.yaml",
    "petra-40-platform.yaml",
]


@pytest.fixture
def there(petra: Run, tmp_path: Path) -> Iterator[There]:
    with disconnected_side(tmp_path, petra) as site:
        yield site


def make(world: World, petra: Run, serial: int = 4) -> Path:
    """Make a bundle of Cilium and Flux as they ship, with stand-ins for the two charts."""
    image = world.reference(WEB)
    for name, version in CHARTS.items():
        values = f"image: {image}\n".encode()
        world.add_chart(name, version, chart(name, version, {"values.yaml": values}))
    for name in ("cilium", "flux"):
        folder = world.folder / "own/base" / name
        shutil.copytree(REPOSITORY / "platform" / "base" / name, folder, dirs_exist_ok=True)
    charts = [world.chart(name, version) for name, version in CHARTS.items()]
    platform = {"path": "own", "includeBase": True, "allowMissingImages": True}
    version = f"1.{serial}.0"
    spec = world.spec(WEB, charts=charts, platform=platform, version=version, serial=serial)
    made = petra("bundle", "create", "-f", spec, "--key", "ours.key")
    assert made.status == 0, made.err
    return world.dist / f"shop-{version}.tar.zst"


@pytest.fixture
def bundle(world: World, petra: Run) -> Path:
    return make(world, petra)


def objects(there: There, file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((there.folder / "k3s/server/manifests" / file).read_text()))


def test_a_server_is_given_what_comes_before_flux(bundle: Path, there: There) -> None:
    outcome = there.load(bundle, "--bootstrap", f"k3s:{there.folder / 'k3s'}")

    assert outcome.status == 0, outcome.err
    assert names(there.folder / "k3s/server/manifests") == FILES
    source = objects(there, "petra-40-platform.yaml")[1]["spec"]
    assert source["url"] == f"oci://{there.host}/platform"
    assert source["insecure"] is True
    assert there.tags()["platform"].keys() >= {"stable", "1.4.0"}
    assert "systemctl enable --now k3s" in outcome.out


def test_the_mirror_rules_lead_to_where_the_images_went(
    bundle: Path, there: There, world: World
) -> None:
    there.load(bundle, "--bootstrap", f"k3s:{there.folder / 'k3s'}")

    rules = yaml.safe_load((there.folder / "k3s/etc/registries.yaml").read_text())
    assert rules["mirrors"] == {
        world.host: {
            "endpoint": [f"http://{there.host}"],
            "rewrite": {"^(.*)$": "mirror/$1"},
        }
    }


def test_everything_names_the_registry_as_the_cluster_knows_it(
    bundle: Path, there: There, world: World
) -> None:
    there.load(
        bundle,
        *("--bootstrap", f"k3s:{there.folder / 'k3s'}"),
        *("--cluster-registry", "registry.local:5000/charts"),
    )

    source = objects(there, "petra-40-platform.yaml")[1]["spec"]
    assert source["url"] == "oci://registry.local:5000/platform"
    assert "insecure" not in source
    rules = yaml.safe_load((there.folder / "k3s/etc/registries.yaml").read_text())
    assert rules["mirrors"][world.host]["endpoint"] == ["https://registry.local:5000"]


def test_the_charts_in_it_are_those_in_the_registry(bundle: Path, there: There) -> None:
    there.load(bundle, "--bootstrap", f"k3s:{there.folder / 'k3s'}")

    content = objects(there, "petra-20-cilium.yaml")[0]["spec"]["chartContent"]
    with RegistryClient(environ={}) as client:
        url = f"oci://{there.host}/charts/cilium:1.16.5"
        assert b64decode(content) == fetch_oci_chart(client, url).data


def test_a_dry_run_writes_nothing(bundle: Path, there: There) -> None:
    outcome = there.load(bundle, "--bootstrap", f"k3s:{there.folder / 'k3s'}", "--dry-run")

    assert outcome.status == 0, outcome.err
    assert "bootstrap" in outcome.out
    assert not (there.folder / "k3s").exists()


def test_manifests_that_are_in_no_registry_are_refused(bundle: Path, there: There) -> None:
    outcome = there.petra(
        *("bundle", "load", "-f", bundle, *there.options()),
        *("--images-to", f"registry://{there.host}/mirror"),
        *("--charts-to", f"oci://{there.host}/charts"),
        *("--bootstrap", f"k3s:{there.folder / 'k3s'}"),
    )

    assert_refused(outcome, 2, "--manifests-to oci://")
    assert not (there.folder / "k3s").exists()


def test_something_else_than_k3s_is_refused(bundle: Path, there: There) -> None:
    assert_refused(there.load(bundle, "--bootstrap", "rke2"), 2, "k3s or k3s:DIR", "rke2")


def test_pruning_leaves_the_files_that_the_server_runs_by(
    bundle: Path, there: There, world: World, petra: Run
) -> None:
    there.load(bundle, "--bootstrap", f"k3s:{there.folder / 'k3s'}")
    newer = there.load(make(world, petra, 5))  # Flux manages them by now
    assert newer.status == 0, newer.err
    before = set((there.folder / "k3s").rglob("*.yaml"))

    pruned = petra("bundle", "prune", "--keep", "1", "--ledger", there.ledger)

    assert pruned.status == 0, pruned.err
    assert "shop 1.4.0" in pruned.out
    assert set((there.folder / "k3s").rglob("*.yaml")) == before
    assert len(before) == len(FILES) + 2
