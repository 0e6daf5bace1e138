"""``petra bundle lint`` on real bundles of ours."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.transfer.guard.clamav import scan_files
from petra.transfer.guard.profile import load_profile
from tests.support.command import Outcome, Run, assert_refused, names
from tests.support.guarded import One, good, write
from tests.support.world import SIGNED, World

if TYPE_CHECKING:
    from pathlib import Path


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


def _guarded(run: Run, world: World, profile: str | Path, *more: str, **fields: Any) -> Outcome:
    spec = world.spec(*SIGNED, charts=[world.chart()], **fields)
    arguments = ("--key", "ours.key", "--profile", profile, *more)
    return run("bundle", "create", "-f", spec, *arguments, "-q")


def test_a_scanners_database_may_be_named_from_where_one_is(tmp_path: Path) -> None:
    scanner = tmp_path / "clamscan"
    scanner.write_text('#!/bin/sh\ncase "$*" in *"--database=/"*"/db "*) exit 0;; esac\nexit 2\n')
    scanner.chmod(0o755)
    named = {"PETRA_CLAMSCAN": str(scanner), "PETRA_CLAMAV_DB": "db"}
    (verdict,) = scan_files(load_profile("clamav"), [tmp_path / "file"], named)
    assert verdict.result == "passed"


def test_a_bundle_that_is_made_for_a_guard_passes_it(run: Run, world: World) -> None:
    made = _guarded(run, world, "strict", "--format", "tar.gz")
    assert made.status == 0, made.err
    bundle = world.dist / "shop-1.4.0.tar.gz"
    release = (world.dist / "shop-1.4.0.tar.gz.release.txt").read_text("ascii")
    assert f"bundle {bundle.name} {Digest.of(bundle.read_bytes())}" in release.splitlines()
    verdict = run("bundle", "lint", "-f", bundle, "--profile", "strict", "--output", "json").json
    assert verdict["passed"], verdict


def test_what_the_guard_would_refuse_is_not_written(run: Run, world: World) -> None:
    outcome = _guarded(run, world, "strict")
    assert_refused(outcome, 3, "container: shop-1.4.0.tar.zst: form not allowed", "'strict'")
    assert names(world.dist) == []


def test_a_member_that_the_guard_would_refuse_is_named_before_a_layer_is_fetched(
    run: Run, world: World, tmp_path: Path
) -> None:
    text = (files("petra.transfer.guard") / "profiles" / "default.yaml").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("kinds: [gzip]", "kinds: [zip]"))
    outcome = _guarded(run, world, own)
    assert_refused(outcome, 3, "kinds: charts/app-1.2.3.tgz: kind not allowed here (gzip)")
    assert names(world.dist) == []


def test_a_wrong_profile_is_told_before_a_registry_is_asked(run: Run, world: World) -> None:
    world.repository("team/web").__dict__.clear()  # whoever asks it fails otherwise
    assert_refused(_guarded(run, world, "strikt"), 1, "did you mean 'strict'?")


def test_chunks_are_held_to_the_guards_file_size(run: Run, world: World, tmp_path: Path) -> None:
    text = (files("petra.transfer.guard") / "profiles" / "default.yaml").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("  files:\n", "  files:\n    maxBytes: 30000\n"))
    whole = _guarded(run, world, own)
    assert_refused(whole, 3, "file-size: shop-1.4.0.tar.zst: file too large")
    cut = _guarded(run, world, own, "--chunks-to", str(tmp_path / "cut"), "--max-size", "30000")
    assert cut.status == 0, cut.err
    release = (tmp_path / "cut" / "shop-1.4.0.tar.zst.release.txt").read_text("ascii")
    assert "file shop-1.4.0.tar.zst.0001-of-" in release


def test_a_release_of_a_bundle_before_goes_with_it(run: Run, world: World) -> None:
    assert _guarded(run, world, "default").status == 0
    assert (world.dist / "shop-1.4.0.tar.zst.release.txt").exists()
    spec = world.spec(*SIGNED)
    assert run("bundle", "create", "-f", spec, "--key", "ours.key", "-q").status == 0
    assert not (world.dist / "shop-1.4.0.tar.zst.release.txt").exists()


def test_a_chunk_folder_is_linted_as_it_crosses(run: Run, world: World, tmp_path: Path) -> None:
    cut = ("--chunks-to", str(tmp_path / "cut"), "--max-size", "30000")
    assert _guarded(run, world, "default", *cut).status == 0
    value = run("bundle", "lint", "-f", tmp_path / "cut", "--output", "json").json
    assert value["passed"], value
    counts = {one["filter"]: one["checked"] for one in value["filters"]}
    assert counts["file-size"] == len(names(tmp_path / "cut"))
    assert counts["container"] == 1
    (tmp_path / "cut" / "notes (1).txt").write_text("not ours")
    refused = run("bundle", "lint", "-f", tmp_path / "cut", "--output", "json").json
    assert refused["filters"][0]["findings"][0]["where"] == "notes (1).txt"
