"""`create` under a policy: what its rules let in, and what a spec can and cannot change."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from tests.support.command import assert_refused, names
from tests.support.opened import opened
from tests.support.world import FOREIGN, UNSIGNED, VENDOR, WEB, WORKER, World, signer

if TYPE_CHECKING:
    from tests.support.command import Run

POLICY = ("--policy", "policy.yaml")


def test_a_policy_says_who_must_have_signed(world: World, petra: Run, create: Run) -> None:
    world.spec(WEB, WORKER, verify=None)
    policy = world.policy(world.rule("team/*", key="vendor.pub"))

    outcome = create(*POLICY)

    assert outcome.status == 0, outcome.err
    bundle = opened(world.bundle)
    assert bundle.metadata["policy"] == {
        "name": "platform",
        "digest": Digest.of(policy.read_bytes()),
    }
    for image in ("web", "worker"):
        (verified,) = bundle.image(image)["signatures"]["verified"]
        assert verified["method"] == "key"
        assert verified["key"] == signer(VENDOR).public_key.fingerprint
    assert "trustedRoot" not in bundle.metadata
    shown = petra("bundle", "inspect", "-f", world.bundle).out
    assert f"by policy platform, {Digest.of(policy.read_bytes())}" in shown


def test_every_refused_image_is_told_in_one_go(world: World, create: Run) -> None:
    world.spec(WEB, UNSIGNED, FOREIGN, verify=None)
    world.policy(
        world.rule("team/web", key="vendor.pub"), world.rule("team/unsigned", key="vendor.pub")
    )

    outcome = create(*POLICY)

    assert_refused(outcome, 3, "2 of 3 images are refused", "where: unsigned, foreign")
    lines = outcome.err.splitlines()
    host = world.host
    assert (
        f"    unsigned ({host}/team/unsigned:1.0), by rule {host}/team/unsigned of policy "
        "platform: image is not signed: no signature found"
    ) in lines
    assert (
        f"    foreign ({host}/team/foreign:1.0): policy platform has no rule for this image"
    ) in lines
    assert f"      expected: {host}/team/web or {host}/team/unsigned" in lines
    assert f"      found: {host}/team/foreign" in lines
    assert "web (" not in outcome.err
    assert names(world.dist) == []


def test_as_json_each_refusal_stands_by_itself(world: World, create: Run) -> None:
    world.spec(UNSIGNED, FOREIGN)

    outcome = create("--output", "json")

    assert outcome.status == 3
    error = outcome.json["error"]
    assert [cause["message"] for cause in error["causes"]] == [
        "image is not signed: no signature found",
        "no signature of the image verifies",
    ]


def test_a_policy_without_a_rule_for_an_image_refuses_it(world: World, create: Run) -> None:
    world.spec(WEB)
    world.policy(world.rule("other/*", key="vendor.pub"))

    assert_refused(
        create(*POLICY),
        3,
        "policy platform has no rule for this image",
        world.reference(WEB),
        world.reference("other/*"),
        "add a rule",
    )


def test_a_spec_cannot_weaken_the_policy(world: World, create: Run) -> None:
    world.policy(world.rule("**", key="vendor.pub"))

    world.spec(UNSIGNED, verify={"skip": "in a hurry"})
    assert_refused(create(*POLICY), 3, "the spec skips", world.reference(UNSIGNED), "in a hurry")

    for step in ("verify", "sign"):
        world.spec(WEB, output={step: False})
        assert_refused(create(*POLICY), 3, f"spec.output.{step}", "allowSkipped")

    # The spec's own key does not replace the policy's.
    world.spec(FOREIGN, verify={"key": "stranger.pub"})
    assert_refused(create(*POLICY), 3, world.reference(FOREIGN), "by rule")
    assert names(world.dist) == []


def test_a_policy_can_allow_what_a_spec_skips(world: World, create: Run) -> None:
    world.policy(world.rule("**", key="vendor.pub"), bundle={"allowSkipped": ["verify"]})
    world.spec(UNSIGNED, verify={"skip": "built here"})

    assert create(*POLICY).status == 0

    signatures = opened(world.bundle).image("unsigned")["signatures"]
    assert (signatures["status"], signatures["reason"]) == ("skipped", "built here")


def test_even_with_verification_off_an_image_needs_a_rule(world: World, create: Run) -> None:
    world.policy(world.rule("team/web", key="vendor.pub"), bundle={"allowSkipped": ["verify"]})

    world.spec(WEB, output={"verify": False})
    assert create(*POLICY).status == 0

    world.spec(WEB, WORKER, output={"verify": False})
    assert_refused(create(*POLICY), 3, "no rule for this image", world.reference(WORKER))


def test_the_keys_of_a_policy_lie_beside_it(world: World, create: Run) -> None:
    folder = world.folder / "policies"
    folder.mkdir()
    (world.folder / "vendor.pub").rename(folder / "vendor.pub")
    world.spec(WEB, verify=None)
    world.policy(world.rule("**", key="vendor.pub"), file="policies/policy.yaml")

    outcome = create("--policy", "policies/policy.yaml")

    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_the_policy_in_three_ways(
    world: World, create: Run, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.spec(UNSIGNED, verify={"skip": "in a hurry"})
    world.policy(world.rule("**", key="vendor.pub"))
    more: tuple[str, ...] = ()
    if way == "flag":
        more = POLICY
    elif way == "variable":
        monkeypatch.setenv("PETRA_POLICY", "policy.yaml")
    else:
        (world.folder / "config.yaml").write_text("policy: policy.yaml\n")
        more = ("--config", "config.yaml")

    assert_refused(create(*more), 3, "policy platform")
    assert create("--config", "/dev/null").status == (3 if way == "variable" else 0)


def test_a_policy_that_is_wrong_or_gone(world: World, create: Run) -> None:
    world.spec(WEB)
    assert_refused(create(*POLICY), 1, "policy.yaml")

    world.policy({"pattern": "a.io/*", "verify": {"key": "a.pub", "skip": "b"}})
    assert_refused(create(*POLICY), 2, "policy.yaml:8", "spec.images[0].verify", "exactly one of")

    world.policy(world.rule("**", key="gone.pub"))
    assert_refused(create(*POLICY), 1, "gone.pub")


def test_the_policy_stands_in_the_provenance(world: World, create: Run) -> None:
    world.spec(WEB)
    policy = world.policy(world.rule("**", key="vendor.pub"))
    assert create(*POLICY).status == 0

    envelope = json.loads(world.bundle.with_name(world.bundle.name + ".intoto.json").read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    flags = statement["predicate"]["buildDefinition"]["externalParameters"]["flags"]
    assert flags["policy"] == Digest.of(policy.read_bytes())
