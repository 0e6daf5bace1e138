"""The flags of ``petra bundle load`` that concern images."""

from __future__ import annotations

import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command import assert_refused, names
from tests.support.sites import Bundles, There, disconnected_side
from tests.support.world import WEB, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command import Outcome, Run


@pytest.fixture
def there(petra: Run, tmp_path: Path) -> Iterator[There]:
    with disconnected_side(tmp_path, petra) as site:
        yield site


@pytest.fixture
def bundle(world: World, petra: Run) -> Path:
    return Bundles(world, petra).make()


def load(there: There, bundle: Path, *images: str | Path) -> Outcome:
    charts = ("--charts-to", there.folder / "charts")
    return there.petra("bundle", "load", "-f", bundle, *there.options(), *charts, *images)


def test_mirror_rules_are_written_and_explained(
    world: World, there: There, bundle: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    to = ("--images-to", f"registry://{there.host}/mirror", "--mirror-config", rules)

    dry = load(there, bundle, *to, "--dry-run")
    assert (dry.status, rules.exists()) == (0, False)
    outcome = load(there, bundle, *to)

    assert outcome.status == 0, outcome.err
    (source,) = yaml.safe_load((rules / "registries.yaml").read_bytes())["mirrors"].items()
    assert source == (
        world.host,
        {"endpoint": [f"http://{there.host}"], "rewrite": {"^(.*)$": "mirror/$1"}},
    )
    (folder,) = names(rules / "certs.d")
    hosts = tomllib.loads((rules / "certs.d" / folder / "hosts.toml").read_text())
    assert hosts["server"] == f"http://{there.host}/v2/mirror"
    assert "/etc/rancher/k3s/" in outcome.out
    assert "/etc/containerd/certs.d" in outcome.out


def test_mirror_rules_without_a_registry_are_refused_before_anything_is_touched(
    there: There, bundle: Path, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"

    outcome = load(there, bundle, "--images-to", f"layout:{layout}", "--mirror-config", "rules")

    assert_refused(outcome, 2, "no images go to one", "--mirror-config rules")
    assert not layout.exists()
    assert names(there.folder / "charts") == []


def test_kept_hosts_stand_in_the_path(world: World, there: There, bundle: Path) -> None:
    outcome = load(there, bundle, "--images-to", f"registry://{there.host}/m", "--keep-hosts")

    assert outcome.status == 0, outcome.err
    host = world.host.replace(":", "-")
    assert there.content.names() == [f"m/{host}/{WEB.partition(':')[0]}"]


def test_chunks_of_that_size_are_sent(there: There, bundle: Path) -> None:
    to = ("--images-to", f"registry://{there.host}/mirror", "--chunk-size")

    assert_refused(load(there, bundle, *to, "many"), 2, "--chunk-size", "not a size")
    assert load(there, bundle, *to, "1MiB").status == 0
    assert any(line.startswith("PATCH ") for line in there.requests)


@pytest.mark.parametrize(("flag", "ending"), [("--images-only", ".tar"), ("-q", ".tar.zst")])
def test_k3s_gets_the_bundle_or_its_images(
    there: There, bundle: Path, tmp_path: Path, flag: str, ending: str
) -> None:
    folder = tmp_path / "agent"

    outcome = load(there, bundle, "--images-to", f"k3s:{folder}", "--k3s-cache", flag)

    assert outcome.status == 0, outcome.err
    cache, file = names(folder)
    assert cache == ".cache.json"
    assert file.startswith("shop-1.4.0-")
    assert file.endswith(ending)
    assert "the node will import 1 image(s) under 2 names" in outcome.out


def test_containerd_is_spoken_to_by_the_program_that_is_named(
    there: There, bundle: Path, tmp_path: Path
) -> None:
    script = tmp_path / "ctr.py"
    script.write_text("import sys; sys.exit('ctr: no containerd here')")
    ctr = ("--ctr", f"{sys.executable} {script}")

    outcome = load(there, bundle, "--images-to", "containerd", *ctr)

    assert outcome.status == 1
    assert "no containerd here" in outcome.err


def test_a_program_that_is_none_is_refused(there: There, bundle: Path) -> None:
    outcome = load(there, bundle, "--images-to", "containerd", "--ctr", "k3s 'ctr")

    assert_refused(outcome, 2, "where: --ctr", "k3s 'ctr", "No closing quotation")


def test_a_child_may_stand_for_a_sparse_index(
    world: World, there: There, petra: Run, create: Run
) -> None:
    world.spec(WEB, platforms=["linux/amd64"])
    assert create().status == 0
    to = ("--images-to", f"registry://{there.host}/mirror", "--sparse-index")
    arguments = ("bundle", "load", "-f", world.bundle, *there.options(), *to)

    refused = petra(*arguments, "refuse")
    taken = petra(*arguments, "child")

    assert refused.status == 1
    assert "--sparse-index child" in refused.err
    assert taken.status == 0, taken.err
    assert "for linux/amd64 of index sha256:" in taken.out
