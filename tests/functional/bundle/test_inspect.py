"""`petra bundle inspect` and `diff`: what is in a bundle, and how two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.charts import chart
from tests.support.command import assert_refused
from tests.support.opened import opened
from tests.support.world import (
    LEGACY,
    SIGNED,
    VENDOR,
    WEB,
    WORKER,
    World,
    layers_of,
    push_docker_image,
    signer,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Run

UNVERIFIED = "UNVERIFIED: nobody checked the signature; give --key to do so"


@pytest.fixture(params=["tar.zst", "tar.gz"])
def bundle(request: pytest.FixtureRequest, world: World, create: Run) -> Path:
    form: str = request.param
    world.spec(*SIGNED, charts=[world.chart()])
    assert create("--format", form).status == 0
    return world.bundle.with_name(world.bundle.name.replace("tar.zst", form))


def test_json_holds_the_metadata_as_they_are(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "inspect", "-f", bundle, "--output", "json")

    assert outcome.status == 0
    assert [*outcome.json] == ["verified", "file", "size", "metadata"]
    assert outcome.json["verified"] is False
    assert outcome.json["size"] == bundle.stat().st_size
    expected = opened(bundle).metadata
    assert {**outcome.json["metadata"], "base": None} == expected
    assert outcome.err == ""


def test_with_a_key_it_is_verified_first(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "inspect", "-f", bundle, "--key", "ours.pub", "--output", "json")
    assert outcome.json["verified"] is True
    assert UNVERIFIED not in petra("bundle", "inspect", "-f", bundle, "--key", "ours.pub").out

    assert_refused(
        petra("bundle", "inspect", "-f", bundle, "--key", "stranger.pub"), 3, bundle.name
    )


def test_people_see_a_tree(world: World, bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "inspect", "-f", bundle)

    lines = outcome.out.splitlines()
    assert lines[0] == UNVERIFIED
    assert lines[1].startswith("shop 1.4.0  serial ")
    for image in SIGNED:
        (line,) = [line for line in lines if world.reference(image) in line]
        assert line.startswith(("├── ", "└── "))
        assert world.images[image].digest in outcome.out
    assert "linux/amd64, linux/arm64, linux/arm/v7" in outcome.out
    assert signer(VENDOR).public_key.fingerprint[:16] in outcome.out
    assert "app 1.2.3" in outcome.out
    assert "images (3)" in lines
    assert "charts (1)" in lines
    assert any("blobs/" in line for line in lines)
    assert "skipped: scan" in outcome.out


def test_it_reads_little_of_a_large_file(world: World, bundle: Path, petra: Run) -> None:
    """What is not asked for may be damaged: an unverified view says nothing about it."""
    last = layers_of(world, LEGACY)[-1]
    target = world.repository(LEGACY)
    with target.fetch(last) as stream:
        content = stream.read()
    data = bundle.read_bytes()
    at = data.index(content[:500]) + 100
    bundle.write_bytes(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])

    assert petra("bundle", "inspect", "-f", bundle).status == 0
    assert petra("bundle", "inspect", "-f", bundle, "--key", "ours.pub").status == 3


def test_the_same_bundle_differs_in_nothing(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "diff", bundle, bundle, "--output", "json")

    assert outcome.status == 0
    assert outcome.json["changes"] == []
    blobs = outcome.json["blobs"]
    assert blobs["shared"] > 50_000
    assert (blobs["added"], blobs["removed"]) == (0, 0)
    assert outcome.json["verified"] is False


@pytest.fixture
def two(world: World, create: Run) -> tuple[Path, Path]:
    """An old bundle, and a new one in which everything that can happen has happened."""
    world.add_chart("other", "2.0.0", chart("other", "2.0.0"))
    world.spec(WEB, WORKER, charts=[world.chart(), world.chart("other", "2.0.0")])
    assert create().status == 0
    old = world.bundle.rename(world.folder / "old.tar.zst")
    for ending in (".sig", ".sigstore.json"):
        path = world.bundle.with_name(world.bundle.name + ending)
        path.rename(world.folder / f"old.tar.zst{ending}")
    web = world.repository(WEB)
    web.tag(push_docker_image(web), "1.4")
    world.add_chart("app", "1.2.3", chart(appVersion="changed"))
    world.add_chart("new", "0.1.0", chart("new", "0.1.0"))
    world.spec(
        WEB, LEGACY, charts=[world.chart(), world.chart("new", "0.1.0")], verify={"skip": "-"}
    )
    assert create().status == 0
    return old, world.bundle


def test_a_difference_is_told_by_image_and_chart(
    world: World, two: tuple[Path, Path], petra: Run
) -> None:
    outcome = petra("bundle", "diff", *two, "--output", "json")

    assert outcome.status == 0
    changes = {(one["kind"], one["name"]): one for one in outcome.json["changes"]}
    assert {key: one["change"] for key, one in changes.items()} == {
        ("image", world.reference(WEB)): "changed",
        ("image", world.reference(WORKER)): "removed",
        ("image", world.reference(LEGACY)): "added",
        ("chart", "app 1.2.3"): "changed",
        ("chart", "other 2.0.0"): "removed",
        ("chart", "new 0.1.0"): "added",
    }
    web = changes["image", world.reference(WEB)]
    assert web["old"] == world.images[WEB].digest
    assert web["new"] == world.images[LEGACY].digest
    assert changes["chart", "new 0.1.0"]["old"] is None
    blobs = outcome.json["blobs"]
    assert min(blobs.values()) > 0


def test_a_difference_reads_like_a_patch(world: World, two: tuple[Path, Path], petra: Run) -> None:
    outcome = petra("bundle", "diff", *two)

    lines = outcome.out.splitlines()
    assert lines[0] == UNVERIFIED
    assert [line[:2] for line in lines[1:-1]] == ["~ ", "- ", "+ ", "~ ", "- ", "+ "]
    assert lines[-1].startswith("blobs: ")
    assert UNVERIFIED not in petra("bundle", "diff", *two, "--key", "ours.pub").out


def test_with_a_key_both_must_be_good(two: tuple[Path, Path], petra: Run) -> None:
    old, new = two
    new.with_name(f"{new.name}.sig").unlink()
    new.with_name(f"{new.name}.sigstore.json").unlink()

    assert_refused(petra("bundle", "diff", old, new, "--key", "ours.pub"), 3, new.name)
    assert_refused(petra("bundle", "diff", new, old, "--key", "ours.pub"), 3, new.name)
    assert petra("bundle", "diff", old, new).status == 0


@pytest.mark.parametrize("command", [("inspect", "-f"), ("diff",)])
def test_what_is_no_bundle_is_refused(world: World, petra: Run, command: tuple[str, ...]) -> None:
    path = world.folder / "x"
    for content in (b"", b"PK\x03\x04 a zip", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"):
        path.write_bytes(content)
        files = (path, path) if command == ("diff",) else (path,)
        assert_refused(petra("bundle", *command, *files), 3, str(path))
