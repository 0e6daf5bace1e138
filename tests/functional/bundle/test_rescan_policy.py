"""`petra bundle scan` under a policy: its rules for scans decide, image by image."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import Outcome, assert_refused
from tests.support.fake_scanners import fake_grype, fake_syft, match
from tests.support.world import LEGACY, WORKER, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Run

FOUND = [match(), match("CVE-2099-0002", "Low")]
LATER = "2099-01-01T00:00:00Z"


@pytest.fixture
def rescan(
    world: World, create: Run, petra: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Outcome]:
    """Scan a bundle of two images, in each of which there is one high and one low finding."""
    monkeypatch.setenv("PETRA_SYFT", str(fake_syft(tmp_path).program))
    monkeypatch.setenv("PETRA_GRYPE", str(fake_grype(tmp_path).program))
    world.spec(WORKER, LEGACY, scan={})
    assert create().status == 0

    def run(*more: str, age: timedelta = timedelta(days=1), **policy: Any) -> Outcome:
        monkeypatch.setenv("PETRA_GRYPE", str(fake_grype(tmp_path, FOUND, FOUND, age=age).program))
        rules = policy.pop("rules", [world.rule("**", key="vendor.pub")])
        world.policy(*rules, **policy)
        call = ("bundle", "scan", "-f", world.bundle, "--key", "ours.pub", "--db", tmp_path)
        return petra(*call, "--policy", "policy.yaml", *more)

    return run


def test_the_policys_gate_decides(rescan: Callable[..., Outcome]) -> None:
    assert rescan(scan={"gate": {"failOn": "critical"}}).status == 0
    refused = rescan("--output", "json", scan={"gate": {"failOn": "low"}})
    assert refused.status == 3
    assert [len(one["verdict"]["refused"]) for one in refused.json["images"]] == [2, 2]


def test_an_images_own_rules_go_first(world: World, rescan: Callable[..., Outcome]) -> None:
    own = world.rule("team/legacy", key="vendor.pub") | {"scan": {"gate": {"failOn": "critical"}}}
    none = world.rule("team/worker", key="vendor.pub") | {"scan": {"skip": "elsewhere"}}
    other = world.rule("**", key="vendor.pub")

    refused = rescan("--output", "json", rules=[own, other], scan={})
    assert refused.status == 3
    assert [one["verdict"]["status"] for one in refused.json["images"]] == ["refused", "allowed"]

    allowed = rescan("--output", "json", rules=[own, none], scan={})
    assert allowed.status == 0, allowed.err
    assert ["verdict" in one for one in allowed.json["images"]] == [False, True]


def test_its_waivers_count_and_unused_ones_are_told(rescan: Callable[..., Outcome]) -> None:
    borne = {"vulnerability": "CVE-2099-0001", "reason": "not reachable", "expires": LATER}
    gone = {**borne, "vulnerability": "CVE-2099-0009"}

    outcome = rescan(scan={"waivers": [borne, gone]})

    assert outcome.status == 0, outcome.err
    assert "waived: not reachable (policy platform)" in outcome.out
    assert "a waiver is about nothing here: CVE-2099-0009" in outcome.err


def test_its_age_of_a_database_counts(rescan: Callable[..., Outcome]) -> None:
    gate = {"failOn": "none"}
    assert rescan(age=timedelta(days=8), scan={"gate": gate, "maxDatabaseAge": "9d"}).status == 0
    outcome = rescan(age=timedelta(days=8), scan={"gate": gate, "maxDatabaseAge": "7d"})
    assert_refused(outcome, 3, "too old")


def test_a_policy_that_asks_for_no_scan_refuses_nothing(rescan: Callable[..., Outcome]) -> None:
    outcome = rescan("--output", "json", scan={"skip": "elsewhere"})
    assert outcome.status == 0, outcome.err
    assert outcome.json["allowed"] is None


def test_a_flag_beside_the_policy_is_refused(rescan: Callable[..., Outcome]) -> None:
    outcome = rescan("--fail-on", "critical", scan={})
    assert_refused(outcome, 2, "--fail-on", "policy platform", "policy.yaml")
