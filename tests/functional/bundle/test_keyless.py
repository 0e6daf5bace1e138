"""Keyless images in `create`: who signed them is asked for, recorded, and else refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.x509 import UniformResourceIdentifier

from demo import content
from petra.content.digest import Digest
from petra.trust.root import TrustedRoot
from tests.support.command import assert_refused, names
from tests.support.fake_scanners import fake_grype, match
from tests.support.fake_sigstore import (
    IDENTITY,
    ISSUER,
    LOG,
    leaf,
    profiled,
    trusted_root,
)
from tests.support.keyless_images import KEYLESS, add_keyless, write_root
from tests.support.opened import opened
from tests.support.world import LEGACY, UNSIGNED, VENDOR, WEB, WORKER, World, signer

if TYPE_CHECKING:
    from tests.support.command import Run

ROOT = ("--trusted-root", "trusted_root.json")
FREE = "team/free:1.0"


@pytest.fixture(autouse=True)
def _root(world: World) -> None:
    write_root(world)


@pytest.mark.parametrize("form", ["tag", "bundle"])
def test_the_metadata_say_who_signed_and_when(
    world: World, petra: Run, create: Run, form: Any
) -> None:
    add_keyless(world, FREE, form)
    world.spec(FREE, verify={"keyless": KEYLESS})

    outcome = create(*ROOT)

    assert outcome.status == 0, outcome.err
    bundle = opened(world.bundle)
    (verified,) = bundle.image("free")["signatures"]["verified"]
    (attachment,) = bundle.image("free")["attachments"]
    assert verified == {
        "method": "keyless",
        "identity": IDENTITY,
        "issuer": ISSUER,
        "certificate": Digest.of(leaf().der),
        "log": {"id": LOG.id.hex(), "index": 4242},
        "time": "2026-01-15T12:00:00Z",
        "root": trusted_root().digest,
        "scheme": "tag" if form == "tag" else "referrer",
        "digest": attachment["digest"],
    }
    shown = petra("bundle", "inspect", "-f", world.bundle).out
    assert f"signed by {IDENTITY} ({ISSUER}, 2026-01-15)" in shown
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


def test_the_trusted_root_travels_by_its_digest(world: World, create: Run) -> None:
    add_keyless(world, FREE)
    world.spec(FREE, verify={"keyless": KEYLESS})
    assert create(*ROOT).status == 0

    bundle = opened(world.bundle)

    member = "attestations/trusted_root.json"
    assert bundle.metadata["trustedRoot"] == {"member": member, "digest": trusted_root().digest}
    assert bundle.files[member] == trusted_root().data


def test_without_a_keyless_signature_no_trusted_root_travels(world: World, create: Run) -> None:
    world.spec(WEB)
    assert create(*ROOT).status == 0
    assert "trustedRoot" not in opened(world.bundle).metadata


def test_another_trusted_root_verifies_nothing(world: World, create: Run) -> None:
    """The one that ships with petra knows nothing of this instance."""
    add_keyless(world, FREE)
    world.spec(FREE, verify={"keyless": KEYLESS})

    assert_refused(create(), 3, world.reference(FREE), "no signature of the image verifies")


def test_another_identity_is_refused_by_name(world: World, create: Run) -> None:
    add_keyless(world, FREE)
    other = {"issuer": ISSUER, "identity": IDENTITY + "-other"}
    world.spec(FREE, verify={"keyless": {"identities": [other]}})

    assert_refused(create(*ROOT), 3, world.reference(FREE), IDENTITY + "-other", ISSUER)


def test_a_preset_means_its_own_signers_only(world: World, create: Run) -> None:
    add_keyless(world, FREE)
    world.spec(FREE, verify={"keyless": {"preset": "chainguard"}})

    assert_refused(create(*ROOT), 3, "chainguard-images/images/.github/workflows/release.yaml")


def test_a_signature_must_be_old_enough(
    world: World, create: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_keyless(world, FREE)
    world.spec(FREE, verify={"keyless": KEYLESS, "minAge": "2d"})
    assert create(*ROOT).status == 0

    world.spec(FREE, verify={"keyless": KEYLESS, "minAge": "900000d"}, version="2.0")
    outcome = create(*ROOT)
    assert_refused(
        outcome, 3, world.reference(FREE), "too young", "at 2026-01-15T12:00:00Z", "21600000 hours"
    )


def test_two_trusted_roots_are_one_too_many(world: World, create: Run) -> None:
    add_keyless(world, FREE)
    world.spec(FREE, verify=None)
    world.policy(world.rule("**", keyless=KEYLESS), trustedRoot="trusted_root.json")
    assert create("--policy", "policy.yaml", *ROOT).status == 0

    (world.folder / "other.json").write_bytes(TrustedRoot.pinned().data)
    outcome = create("--policy", "policy.yaml", "--trusted-root", "other.json")
    assert_refused(outcome, 2, "two trusted roots", trusted_root().digest)


def test_a_trusted_root_that_is_none(world: World, create: Run) -> None:
    world.spec(WEB, verify={"keyless": KEYLESS})
    (world.folder / "bad.json").write_text("{}")
    assert_refused(create("--trusted-root", "bad.json"), 2, "bad.json", "trusted root")
    assert_refused(create("--trusted-root", "gone.json"), 1, "gone.json")


def test_each_image_of_a_mixed_spec_gets_its_own_verdict(
    world: World, create: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keyed, keyless in both forms, skipped; vulnerable, unsigned, foreign, young, without rule."""
    monkeypatch.setenv("PETRA_GRYPE", str(fake_grype(world.folder, [], [match()]).program))
    add_keyless(world, "free/tag:1", "tag")
    add_keyless(world, "free/bundle:1", "bundle")
    stranger = profiled(names=_uri("https://ci.example/stranger"))
    add_keyless(world, "free/stranger:1", leaf=stranger)
    add_keyless(world, "young/one:1")
    add_keyless(world, "wild/one:1")
    rules = (
        world.rule("team/web", key="vendor.pub"),
        world.rule("team/worker", skip="built by ourselves"),
        world.rule("team/legacy", key="vendor.pub") | {"scan": {"gate": {"failOn": "high"}}},
        world.rule("team/*", key="vendor.pub"),
        world.rule("free/*", keyless=KEYLESS),
        world.rule("young/*", keyless=KEYLESS, minAge="900000d"),
    )
    world.policy(*rules, trustedRoot="trusted_root.json")
    good = (WEB, WORKER, "free/tag:1", "free/bundle:1")
    bad = (LEGACY, UNSIGNED, "free/stranger:1", "young/one:1", "wild/one:1")

    world.spec(*good, *bad, verify=None)
    outcome = create("--policy", "policy.yaml", "--output", "json")

    assert outcome.status == 3
    host = world.host
    assert [
        (cause["code"], cause["message"], cause["where"])
        for cause in outcome.json["error"]["causes"]
    ] == [
        (
            "POLICY",
            "1 vulnerability that the scan gate does not let pass",
            f"{host}/team/legacy:1.0 (linux/amd64)",
        ),
        (
            "SIGNATURE",
            "image is not signed: no signature found",
            f"unsigned ({host}/team/unsigned:1.0), by rule {host}/team/* of policy platform",
        ),
        (
            "SIGNATURE",
            "no signature of the image verifies",
            f"stranger ({host}/free/stranger:1), by rule {host}/free/* of policy platform",
        ),
        (
            "POLICY",
            "no signature of the image verifies",
            f"one-7 ({host}/young/one:1), by rule {host}/young/* of policy platform",
        ),
        (
            "POLICY",
            "policy platform has no rule for this image",
            f"one-8 ({host}/wild/one:1)",
        ),
    ]
    (finding,) = [one for one in outcome.json["error"]["causes"] if "vulnerab" in one["message"]]
    assert "CVE-2099-0001 bash 5.1-1 (high; fixed in 5.1-2)" in finding["found"]
    assert outcome.json["error"]["message"] == "5 of 9 images are refused"
    assert names(world.dist) == []

    world.spec(*good, verify=None)
    assert create("--policy", "policy.yaml").status == 0
    images = {
        image["name"]: image["signatures"] for image in opened(world.bundle).metadata["images"]
    }
    methods = {name: [v["method"] for v in one["verified"]] for name, one in images.items()}
    assert methods == {"web": ["key"], "worker": [], "tag": ["keyless"], "bundle": ["keyless"]}
    assert images["worker"]["reason"] == "built by ourselves"
    assert images["web"]["verified"][0]["key"] == signer(VENDOR).public_key.fingerprint


def test_a_spec_may_ask_for_a_key_beside_the_policys_identity(world: World, create: Run) -> None:
    image = add_keyless(world, FREE)
    world.policy(world.rule("**", keyless=KEYLESS), trustedRoot="trusted_root.json")
    world.spec(FREE, verify={"key": "vendor.pub"})
    assert_refused(create("--policy", "policy.yaml"), 3, world.reference(FREE))

    content.sign_by_referrer(world.repository(FREE), image, signer(VENDOR))
    outcome = create("--policy", "policy.yaml")

    assert outcome.status == 0, outcome.err
    verified = opened(world.bundle).image("free")["signatures"]["verified"]
    assert [one["method"] for one in verified] == ["keyless", "key"]


def test_a_keyless_signature_of_another_image_is_refused(world: World, create: Run) -> None:
    other = add_keyless(world, "free/other:1")
    image = add_keyless(world, FREE, subject=other)
    assert image != other
    world.spec(FREE, verify={"keyless": KEYLESS})
    assert_refused(create(*ROOT), 3, world.reference(FREE), "another image")


def _uri(text: str) -> Any:
    return (UniformResourceIdentifier(text),)
