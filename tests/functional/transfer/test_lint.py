"""``petra bundle lint`` on real bundles of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import Run, assert_refused, runner
from tests.support.guarded import One, good, write
from tests.support.world import SIGNED, World, connected_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    with connected_side(tmp_path) as side:
        yield side


def _create(run: Run, world: World, form: str) -> Path:
    spec = world.spec(*SIGNED, charts=[world.chart()], platform={"includeBase": False})
    made = run("bundle", "create", "-f", spec, "--key", "ours.key", "--format", form, "-q")
    assert made.status == 0, made.err
    return world.dist / f"shop-1.4.0.{form}"


@pytest.mark.parametrize(
    ("form", "profile"), [("tar.gz", "default"), ("tar.zst", "default"), ("tar.gz", "strict")]
)
def test_a_bundle_of_ours_passes(run: Run, world: World, form: str, profile: str) -> None:
    bundle = _create(run, world, form)
    value = run("bundle", "lint", "-f", bundle, "--profile", profile, "--output", "json").json
    assert value["passed"], value
    assert {one["verdict"] for one in value["filters"]} == {"passed"}


def test_what_is_refused_is_told_by_filter(run: Run, tmp_path: Path) -> None:
    bad = write(tmp_path / "app-1.0.tar.gz", good(One("platform/run.yaml", b"#!/bin/sh\n")))
    outcome = run("bundle", "lint", "-f", bad)
    assert outcome.status == 3
    assert "programs: platform/run.yaml: a program (a script (#!))" in outcome.err
    assert "programs      refused      9 checked, 1 refused" in outcome.out


def test_as_json_the_verdicts_come_with_the_error(run: Run, tmp_path: Path) -> None:
    bad = write(tmp_path / "app-1.0.tar.gz", good(One("platform/run.yaml", b"#!/bin/sh\n")))
    outcome = run("bundle", "lint", "-f", bad, "--output", "json")
    refused = [one for one in outcome.json["filters"] if one["verdict"] == "refused"]
    assert (outcome.status, outcome.json["error"]["code"]) == (3, "POLICY")
    assert [one["filter"] for one in refused] == ["programs"]
    assert refused[0]["findings"][0]["where"] == "platform/run.yaml"


def test_signatures_beside_a_bundle_cross_with_it(run: Run, tmp_path: Path) -> None:
    bundle = write(tmp_path / "app-1.0.tar.gz", good())
    (tmp_path / "app-1.0.tar.gz.SIG (copy)").write_bytes(b"x")
    outcome = run("bundle", "lint", "-f", bundle, "--output", "json")
    finding = outcome.json["filters"][0]["findings"][0]
    assert (outcome.status, finding["where"]) == (3, "app-1.0.tar.gz.SIG (copy)")


def test_an_unknown_profile_is_a_wrong_call(run: Run, tmp_path: Path) -> None:
    bundle = write(tmp_path / "app-1.0.tar.gz", good())
    assert_refused(run("bundle", "lint", "-f", bundle, "--profile", "strikt"), 1, "strict")


def test_a_required_scanner_that_is_not_there_is_an_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PETRA_CLAMSCAN", raising=False)
    bundle = write(tmp_path / "app-1.0.tar.gz", good())
    outcome = run("bundle", "lint", "-f", bundle, "--profile", "clamav")
    assert_refused(outcome, 1, "requires a scan by ClamAV", "PETRA_CLAMSCAN")
