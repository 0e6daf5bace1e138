"""`verify` under a receiver's policy: each rule refuses by itself, and nobody's word is taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from petra.archive.source import FileSource
from petra.bundle.lock import LockedAttachment
from petra.bundle.receive import receiver_policy
from petra.bundle.signatures import read_signatures
from petra.bundle.verify import verify_bundle
from petra.cli.policy_files import receiver_of
from petra.cli.settings import Settings
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import FormatError, SignatureError
from petra.trust.root import TrustedRoot
from tests.support.command import Outcome, assert_refused
from tests.support.fake_sigstore import IDENTITY, ISSUER, trusted_root
from tests.support.keyless_images import KEYLESS, add_keyless, write_root
from tests.support.world import OURS, UNSIGNED, VENDOR, WEB, WORKER, World, signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command import Run

FREE = "team/free:1.0"
KEY = ("--key", "ours.pub")
#: What the sender of these bundles skips anyway.
USUAL = ["scan"]


@pytest.fixture
def sent(world: World, create: Run) -> World:
    """A bundle of a keyed and a keyless image, and the trusted root that it was verified by."""
    write_root(world)
    add_keyless(world, FREE)
    images = world.entries([WEB, FREE])
    images[1]["verify"] = {"keyless": KEYLESS}
    world.spec(images=images)
    outcome = create("--trusted-root", "trusted_root.json")
    assert outcome.status == 0, outcome.err
    return world


@pytest.fixture
def verify(world: World, petra: Run) -> Callable[..., Outcome]:
    """Run ``petra bundle verify`` on the bundle, under the policy that lies in the folder."""

    def run(*more: str, key: tuple[str, ...] = KEY) -> Outcome:
        return petra("bundle", "verify", "-f", world.bundle, "--policy", "policy.yaml", *key, *more)

    return run


def policy(world: World, *rules: dict[str, Any], allow: Any = USUAL, **bundle: Any) -> None:
    """Write a receiver's policy; without rules, with those that let the bundle pass."""
    usual = (world.rule("team/web", key="vendor.pub"), world.rule("team/free", keyless=KEYLESS))
    world.policy(
        *(rules or usual),
        trustedRoot="trusted_root.json",
        scan={},
        bundle={"allowSkipped": allow, **bundle},
    )


def test_each_images_signatures_are_verified_anew(
    sent: World, verify: Callable[..., Outcome]
) -> None:
    policy(sent)

    outcome = verify("--output", "json")

    assert outcome.status == 0, outcome.err
    assert outcome.json["policy"] == "platform"
    web, free = (outcome.json["images"][name] for name in ("web", "free"))
    assert web["status"] == free["status"] == "verified"
    assert web["signatures"][0]["key"] == signer(VENDOR).public_key.fingerprint
    assert free["signatures"][0]["identity"] == IDENTITY
    assert free["signatures"][0]["root"] == trusted_root().digest
    assert "signatures of 2 of 2 images verified anew" in verify().out


# Each rule by itself.


def test_a_signer_who_may_not_send(sent: World, verify: Callable[..., Outcome]) -> None:
    policy(sent, signers=["stranger.pub"])

    outcome = verify()

    assert_refused(outcome, 3, "may not send", "shop 1.4.0", "spec.bundle.signers")
    assert signer(OURS).public_key.fingerprint in outcome.err


def test_the_policys_signers_are_the_keys_where_none_is_given(
    sent: World, verify: Callable[..., Outcome]
) -> None:
    policy(sent, signers=["stranger.pub", "ours.pub"])
    assert verify(key=()).status == 0

    policy(sent, signers=["stranger.pub"])
    assert_refused(verify(key=()), 3, "does not verify")

    policy(sent)
    assert_refused(verify(key=()), 2, "--key", "PETRA_VERIFY_KEY")


def test_what_was_skipped_and_is_not_allowed(sent: World, verify: Callable[..., Outcome]) -> None:
    policy(sent, allow=[])

    outcome = verify()

    assert_refused(
        outcome, 3, "skipped what may not be", "expected: nothing skipped\n", "scan of the bundle"
    )
    assert "scan of web" in outcome.err
    assert "--allow-skipped scan" in outcome.err
    assert verify("--allow-skipped", "scan").status == 0
    assert_refused(verify("--allow-skipped", "sign"), 3, "nothing skipped but sign")


def test_a_bundle_that_is_too_old(
    world: World, create: Run, verify: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(datetime(2020, 1, 2, tzinfo=UTC).timestamp())))
    world.spec(WEB)
    assert create().status == 0
    rule = world.rule("**", key="vendor.pub")

    world.policy(rule, bundle={"allowSkipped": USUAL, "maxAge": "30d"})
    assert_refused(verify(), 3, "too old", "2020-01-02T00:00:00Z", "less than 30d ago", "newer")

    world.policy(rule, bundle={"allowSkipped": USUAL, "maxAge": "99999d"})
    assert verify().status == 0


def test_a_bundle_from_the_future_has_no_age(
    world: World, create: Run, verify: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its sender could make one that never grows too old."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(datetime(2099, 1, 2, tzinfo=UTC).timestamp())))
    world.spec(WEB)
    assert create().status == 0
    rule = world.rule("**", key="vendor.pub")

    world.policy(rule, bundle={"allowSkipped": USUAL, "maxAge": "30d"})
    assert_refused(verify(), 3, "in the future", "2099-01-02T00:00:00Z", "clock")

    world.policy(rule, bundle={"allowSkipped": USUAL})
    assert verify().status == 0


def test_provenance_that_is_asked_for_and_gone(sent: World, verify: Callable[..., Outcome]) -> None:
    policy(sent, provenance=True)
    assert verify("--output", "json").json["provenance"] is True

    sent.bundle.with_name(sent.bundle.name + ".intoto.json").unlink()
    assert_refused(verify(), 3, "provenance")


def test_an_image_without_a_rule(sent: World, verify: Callable[..., Outcome]) -> None:
    policy(sent, sent.rule("team/web", key="vendor.pub"))

    assert_refused(
        verify(), 3, "no rule for this image", f"free ({sent.reference(FREE)})", "add a rule"
    )


def test_an_image_by_another_key(sent: World, verify: Callable[..., Outcome]) -> None:
    """The sender verified it, and said so; the receiver's rule is another."""
    policy(
        sent,
        sent.rule("team/web", key="stranger.pub"),
        sent.rule("team/free", keyless=KEYLESS),
    )

    outcome = verify()

    assert_refused(outcome, 3, f"web ({sent.reference(WEB)}), by rule", "team/web of policy")
    assert "is by none of the given keys" in outcome.err


def test_an_image_by_another_identity(sent: World, verify: Callable[..., Outcome]) -> None:
    other = {"identities": [{"issuer": ISSUER, "identity": IDENTITY + "-other"}]}
    policy(sent, sent.rule("team/web", key="vendor.pub"), sent.rule("team/free", keyless=other))

    assert_refused(verify(), 3, f"free ({sent.reference(FREE)}), by rule", IDENTITY + "-other")


def test_another_trusted_root_is_told_beside_the_senders(
    sent: World, verify: Callable[..., Outcome]
) -> None:
    policy(sent)
    (sent.folder / "trusted_root.json").write_bytes(TrustedRoot.pinned().data)

    outcome = verify()

    assert_refused(
        outcome,
        3,
        sent.reference(FREE),
        f"the sender's trusted root was {trusted_root().digest} (attestations/trusted_root.json",
        f"ours is {TrustedRoot.pinned().digest}",
    )


def test_every_refused_image_is_told_in_one_go(sent: World, verify: Callable[..., Outcome]) -> None:
    policy(sent, sent.rule("team/web", key="stranger.pub"))

    outcome = verify()

    assert_refused(outcome, 3, "2 of 2 images are refused", "where: web, free")


# What the sender recorded.


@pytest.fixture
def unverified(world: World, create: Run) -> World:
    """A bundle with an unsigned image that its sender let pass."""
    images = world.entries([WEB, UNSIGNED])
    images[1]["verify"] = {"skip": "in a hurry"}
    world.spec(images=images)
    assert create().status == 0
    return world


def test_a_skipped_verification_is_refused_unless_named(
    unverified: World, verify: Callable[..., Outcome]
) -> None:
    rule = unverified.rule("**", key="vendor.pub")
    unverified.policy(rule, bundle={"allowSkipped": USUAL})
    assert_refused(verify(), 3, "verify of unsigned: in a hurry", "nothing skipped but scan")

    unverified.policy(rule, bundle={"allowSkipped": [*USUAL, "verify"]})
    outcome = verify("--output", "json")
    assert outcome.status == 0, outcome.err
    assert [*outcome.json["images"]] == ["web"]


def test_a_rule_that_asks_for_nothing_excuses_its_images_only(
    unverified: World, verify: Callable[..., Outcome]
) -> None:
    excused = unverified.rule("team/unsigned", skip="our own")
    unverified.policy(
        excused, unverified.rule("**", key="vendor.pub"), bundle={"allowSkipped": USUAL}
    )
    assert verify().status == 0

    unverified.policy(
        unverified.rule("team/web", skip="our own"),
        unverified.rule("**", key="vendor.pub"),
        bundle={"allowSkipped": USUAL},
    )
    assert_refused(verify(), 3, "verify of unsigned: in a hurry")


def test_the_senders_word_counts_where_a_rule_says_so(
    unverified: World, verify: Callable[..., Outcome]
) -> None:
    unverified.policy(unverified.rule("**", recorded=True), bundle={"allowSkipped": USUAL})
    assert_refused(verify(), 3, "verify of unsigned: in a hurry")

    unverified.policy(
        unverified.rule("team/web", recorded=True),
        unverified.rule("**", skip="our own"),
        bundle={"allowSkipped": USUAL},
    )
    outcome = verify("--output", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["images"] == {}


def test_a_bundle_verified_by_nobody_is_refused_as_a_whole(
    world: World, create: Run, verify: Callable[..., Outcome]
) -> None:
    world.spec(WEB, output={"verify": False})
    assert create().status == 0
    world.policy(world.rule("**", key="vendor.pub"), bundle={"allowSkipped": USUAL})

    assert_refused(verify(), 3, "verify of the bundle: output.verify is false")


def test_a_scan_that_the_policy_does_not_ask_for_may_be_missing(
    world: World, create: Run, verify: Callable[..., Outcome]
) -> None:
    world.spec(WEB)
    assert create().status == 0
    world.policy(world.rule("**", key="vendor.pub"), scan={"skip": "scanned elsewhere"})
    assert verify().status == 0


# What the metadata say is compared with what is there.


def _received(world: World, **changed: Any) -> dict[str, Any]:
    """Take the bundle under a policy that it keeps, its first image's record changed."""
    policy = world.policy(world.rule("**", key="vendor.pub"), bundle={"allowSkipped": USUAL})
    settings = Settings(policy=str(policy))
    receiver = receiver_of(settings)
    assert receiver
    keys = [signer(OURS).public_key]
    with FileSource(world.bundle) as source:
        bundle = verify_bundle(source, read_signatures(world.bundle), keys, NoProgress())
        images = bundle.metadata.images
        first = images[0].model_copy(update=changed)
        metadata = bundle.metadata.model_copy(update={"images": (first, *images[1:])})
        return receiver_policy(receiver, replace(bundle, metadata=metadata))


@pytest.fixture
def two(world: World, create: Run) -> World:
    """A bundle of two keyed images."""
    world.spec(WEB, WORKER)
    assert create().status == 0
    return world


def test_what_is_there_and_described_passes(two: World) -> None:
    assert [*_received(two)] == ["web", "worker"]


@pytest.mark.parametrize(
    "change", [{"digest": Digest.of(b"another")}, {"reference": "elsewhere.example/team/web:1.4"}]
)
def test_an_image_that_is_named_and_not_described(two: World, change: dict[str, Any]) -> None:
    """What is loaded goes by the index: signatures of something else do not vouch for it."""
    with pytest.raises(FormatError, match="names other images than its metadata") as caught:
        _received(two, **change)
    assert two.images[WEB].digest in str(caught.value.found)


def test_a_signature_that_is_listed_and_not_there(two: World) -> None:
    listed = LockedAttachment(
        kind="signature",
        scheme="referrer",
        subject=two.images[WEB].digest,
        media_type="application/vnd.oci.image.manifest.v1+json",
        digest=Digest.of(b"gone"),
        size=4,
    )
    with pytest.raises(FormatError, match="lacks a signature that its metadata list"):
        _received(two, attachments=(listed,))


def test_a_record_of_signatures_is_not_a_signature(two: World) -> None:
    with pytest.raises(SignatureError, match="not signed"):
        _received(two, attachments=())


# Without a policy.


def test_without_a_policy_skips_are_told_and_with_the_flag_refused(
    unverified: World, petra: Run
) -> None:
    call = ("bundle", "verify", "-f", unverified.bundle, *KEY)
    plain = petra(*call)
    assert plain.status == 0
    assert "warning: the sender skipped: verify (in a hurry)" in plain.err

    assert_refused(petra(*call, "--allow-skipped", "scan"), 3, "verify of unsigned: in a hurry")
    for flags in (("scan,verify",), ("scan", "--allow-skipped", "verify")):
        assert petra(*call, "--allow-skipped", *flags).status == 0
    assert_refused(petra(*call, "--allow-skipped", "scna"), 2, "no such step", "'scan'")


def test_serve_keeps_to_the_policy_too(unverified: World, petra: Run) -> None:
    unverified.policy(unverified.rule("**", key="vendor.pub"), bundle={"allowSkipped": USUAL})
    serve = ("bundle", "serve", "-f", unverified.bundle, *KEY, "--listen", "127.0.0.1:0")

    assert_refused(petra(*serve, "--policy", "policy.yaml"), 3, "verify of unsigned")


def test_load_keeps_to_the_policy_too(unverified: World, petra: Run) -> None:
    """And touches nothing where it refuses."""
    rule = unverified.rule("**", key="vendor.pub")
    unverified.policy(rule, bundle={"allowSkipped": USUAL})
    there = unverified.folder / "layout"
    call = ("bundle", "load", "-f", unverified.bundle, *KEY, "--images-to", f"layout:{there}")

    refused = petra(*call, "--policy", "policy.yaml")
    assert_refused(refused, 3, "verify of unsigned: in a hurry")
    assert not there.exists()

    excused = unverified.rule("team/unsigned", skip="our own")
    unverified.policy(excused, rule, bundle={"allowSkipped": USUAL})
    outcome = petra(*call, "--policy", "policy.yaml")
    assert outcome.status == 0, outcome.err
    assert (there / "index.json").exists()


def test_what_comes_twice_is_taken_in_by_the_policys_signers_too(two: World, petra: Run) -> None:
    rule = two.rule("**", key="vendor.pub")
    two.policy(rule, bundle={"allowSkipped": USUAL, "signers": ["ours.pub"]})
    call = ("receive", two.dist, "--to", two.folder / "inbox", "--policy", "policy.yaml")
    assert petra(*call).status == 0

    again = petra(*call)

    assert again.status == 0, again.err
    assert "was there already" in again.out


def test_one_policy_serves_for_both_sides(
    world: World, create: Run, verify: Callable[..., Outcome]
) -> None:
    """What create lets in under it, verify lets in too."""
    world.policy(
        world.rule("team/unsigned", skip="our own"),
        world.rule("**", key="vendor.pub"),
        bundle={"allowSkipped": USUAL, "signers": ["ours.pub"]},
    )
    world.spec(WEB, WORKER, UNSIGNED, verify=None)
    outcome = create("--policy", "policy.yaml")
    assert outcome.status == 0, outcome.err

    outcome = verify("--output", "json", key=())

    assert outcome.status == 0, outcome.err
    assert [*outcome.json["images"]] == ["web", "worker"]
    assert outcome.json["digest"] == Digest.of(world.bundle.read_bytes())
