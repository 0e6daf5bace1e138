"""`petra bundle verify --provenance`, and the provenance that `create` writes."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from petra.content.digest import Digest
from tests.support.command import assert_refused, names
from tests.support.opened import opened
from tests.support.world import NAME, SIGNED, WORKER, World

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.command import Outcome, Run


def provenance(world: World) -> Path:
    return world.bundle.with_name(f"{world.bundle.name}.intoto.json")


def said(path: Path) -> Any:
    return json.loads(b64decode(json.loads(path.read_bytes())["payload"]))


def verify(petra: Run, bundle: Path, *more: str) -> Outcome:
    return petra("bundle", "verify", "-f", bundle, "--key", "ours.pub", "--provenance", *more)


def test_it_verifies_with_the_bundles_key(world: World, create: Run, petra: Run) -> None:
    world.spec(*SIGNED, charts=[world.chart()])
    assert create().status == 0

    outcome = verify(petra, world.bundle, "--output", "json")

    assert outcome.status == 0, outcome.err
    assert outcome.json["provenance"] is True
    assert "as its provenance says" in verify(petra, world.bundle).out


def test_it_names_spec_lock_flags_and_every_image_and_chart(world: World, create: Run) -> None:
    world.spec(*SIGNED, charts=[world.chart()])
    create("--format", "tar.gz")
    bundle = world.dist / f"{NAME}.tar.gz"

    statement = said(bundle.with_name(f"{bundle.name}.intoto.json"))

    digest = Digest.of(bundle.read_bytes())
    assert statement["subject"] == [{"name": bundle.name, "digest": {"sha256": digest.hex}}]
    definition = statement["predicate"]["buildDefinition"]
    files = opened(bundle).files
    parameters = definition["externalParameters"]
    assert parameters["spec"]["digest"]["sha256"] == Digest.of(files["bundle.yaml"]).hex
    assert parameters["lock"]["digest"]["sha256"] == Digest.of(files["bundle.lock.yaml"]).hex
    assert parameters["flags"] == {
        "format": "tar.gz",
        "locked": False,
        "allowMissingImages": False,
    }
    digests = {one["digest"]["sha256"] for one in definition["resolvedDependencies"]}
    chart = Digest.of(world.charts.pages["/charts/app-1.2.3.tgz"].body)
    assert digests == {world.images[image].digest.hex for image in SIGNED} | {chart.hex}


def test_the_same_lock_gives_the_same_statement(
    world: World, create: Run, petra: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.spec(*SIGNED)
    petra("bundle", "lock", "-f", "bundle.yaml")
    create("--locked")
    first = said(provenance(world))

    create("--locked")
    assert said(provenance(world)) == first

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    create("--locked")
    started = said(provenance(world))["predicate"]["runDetails"]["metadata"]["startedOn"]
    assert started == "2023-11-14T22:13:20Z"


def test_a_bundle_without_it_is_refused(world: World, create: Run, petra: Run) -> None:
    world.spec(WORKER)
    create()
    provenance(world).unlink()

    assert_refused(verify(petra, world.bundle), 3, "no provenance", f"{NAME}.tar.zst.intoto.json")
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


def test_that_of_another_bundle_is_refused(world: World, create: Run, petra: Run) -> None:
    world.spec(WORKER, serial=1)
    create()
    other = provenance(world).read_bytes()
    world.spec(WORKER, serial=2)
    create()
    provenance(world).write_bytes(other)

    assert_refused(verify(petra, world.bundle), 3, "about another file")


def test_that_of_another_signer_is_refused(world: World, petra: Run) -> None:
    world.spec(WORKER, serial=1)
    made = ("bundle", "create", "-f", "bundle.yaml", "--key")
    petra(*made, "stranger.key")
    other = provenance(world).read_bytes()
    petra(*made, "ours.key")
    provenance(world).write_bytes(other)

    assert_refused(verify(petra, world.bundle), 3, "signature does not verify", "intoto.json")


def test_an_unsigned_bundle_has_none_and_removes_that_of_the_one_before(
    world: World, create: Run
) -> None:
    world.spec(WORKER)
    create()
    world.spec(WORKER, output={"sign": False})

    outcome = create("--output", "json")

    assert outcome.status == 0, outcome.err
    assert outcome.json["provenance"] is None
    assert names(world.dist) == [f"{NAME}.tar.zst"]
