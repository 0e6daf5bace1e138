"""`verify` under a policy that asks for SBOMs, provenance and scans: each rule by itself."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from petra.oci import media_types
from tests.support import signing
from tests.support.command import Outcome, assert_refused
from tests.support.fake_scanners import fake_grype, fake_syft, match
from tests.support.graphs import push_referrer
from tests.support.world import STRANGER, VENDOR, WORKER, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Run

    Verify = Callable[..., Outcome]

SLSA = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
BUILDER = "https://builder.example/v1"
LATER = "2099-01-01T00:00:00Z"


def attest(world: World, predicate_type: str, predicate: Any, by: str = VENDOR) -> None:
    """Attach an attestation about the worker's image, as cosign does."""
    image, key = world.images[WORKER], signing.key(by)
    statement = signing.statement(image, predicateType=predicate_type, predicate=predicate)
    bundle = signing.bundle(key, dsseEnvelope=signing.envelope(key, statement))
    push_referrer(
        world.repository(WORKER),
        image,
        artifact_type=media_types.SIGSTORE_BUNDLE,
        layer_type=media_types.SIGSTORE_BUNDLE,
        content=json.dumps(bundle).encode(),
        annotations={"dev.sigstore.bundle.predicateType": predicate_type},
    )


def built(by: str = BUILDER) -> dict[str, Any]:
    return {"buildDefinition": {}, "runDetails": {"builder": {"id": by}}}


@pytest.fixture
def send(world: World, create: Run) -> Callable[..., None]:
    """Make a bundle of the worker's image, as the spec alone says."""

    def run(**spec: Any) -> None:
        world.spec(WORKER, **spec)
        outcome = create()
        assert outcome.status == 0, outcome.err

    return run


@pytest.fixture
def verify(world: World, petra: Run) -> Verify:
    """Verify it under a policy; `verify` says who must have signed, the rest is the policy's."""

    def run(
        *more: str, verify: Any = None, allow: tuple[str, ...] = ("scan",), **policy: Any
    ) -> Outcome:
        rule = world.rule("**", **(verify or {"key": "vendor.pub"}))
        world.policy(rule, bundle={"allowSkipped": list(allow)}, **policy)
        call = ("verify", "-f", world.bundle, "--key", "ours.pub", "--policy", "policy.yaml")
        return petra("bundle", *call, *more)

    return run


@pytest.fixture
def syft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETRA_SYFT", str(fake_syft(tmp_path).program))


@pytest.fixture
def grype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a grype at hand that finds these in every image."""

    def put(*found: dict[str, Any], **more: timedelta) -> None:
        monkeypatch.setenv("PETRA_GRYPE", str(fake_grype(tmp_path, found, found, **more).program))

    return put


# SBOMs.


def test_a_required_sbom_that_is_missing(send: Callable[..., None], verify: Verify) -> None:
    send()
    required = {"required": True}

    assert_refused(verify(sbom=required), 3, "no SBOM that counts", "worker (", "nobody asks")
    assert verify(sbom=required, allow=("scan", "sbom")).status == 0
    assert verify(sbom={"required": False}).status == 0


def test_an_attested_sbom_counts_if_the_rule_vouches_for_it(
    world: World, send: Callable[..., None], verify: Verify
) -> None:
    attest(world, SPDX, {"spdxVersion": "SPDX-2.3", "packages": []})
    send()
    assert verify(sbom={"required": True}).status == 0


def test_an_sbom_that_a_stranger_attested_does_not_count(
    world: World, send: Callable[..., None], verify: Verify
) -> None:
    """The sender's rule let both in; the receiver's knows one of them."""
    attest(world, SPDX, {"spdxVersion": "SPDX-2.3", "packages": []}, by=STRANGER)
    send(verify={"keys": ["vendor.pub", "stranger.pub"]})

    assert_refused(verify(sbom={"required": True}), 3, "no SBOM that counts")
    # By the sender's word it does.
    outcome = verify(sbom={"required": True}, verify={"recorded": True})
    assert outcome.status == 0, outcome.err


@pytest.mark.usefixtures("syft")
def test_a_generated_sbom_counts_unless_the_policy_wants_none(
    send: Callable[..., None], verify: Verify, grype: Callable[..., None]
) -> None:
    grype()
    send(scan={})
    assert verify(sbom={"required": True}).status == 0
    assert_refused(verify(sbom={"required": True, "generate": False}), 3, "no SBOM that counts")


# Provenance.


def test_required_provenance_that_is_missing(send: Callable[..., None], verify: Verify) -> None:
    send()
    required = {"required": True}

    assert_refused(verify(provenance=required), 3, "provenance is not what", "worker (", "none")
    assert verify(provenance=required, allow=("scan", "provenance")).status == 0
    assert verify(provenance={"builders": [BUILDER]}).status == 0


def test_provenance_must_be_by_one_of_the_builders(
    world: World, send: Callable[..., None], verify: Verify
) -> None:
    attest(world, SLSA, built())
    send()

    for required in (True, False):
        good = {"required": required, "builders": ["https://other.example", BUILDER]}
        bad = {"required": required, "builders": ["https://other.example"]}
        assert verify(provenance=good).status == 0
        assert verify(provenance=good, verify={"recorded": True}).status == 0
        for way in (None, {"recorded": True}):
            outcome = verify(provenance=bad, verify=way)
            assert_refused(outcome, 3, f"found: {BUILDER}", "built by https://other.example")


def test_provenance_by_a_stranger_does_not_count(
    world: World, send: Callable[..., None], verify: Verify
) -> None:
    attest(world, SLSA, built(), by=STRANGER)
    send(verify={"keys": ["vendor.pub", "stranger.pub"]})

    assert_refused(verify(provenance={"required": True}), 3, "provenance is not what")


# Scans.


def test_a_receivers_gate_is_its_own(
    send: Callable[..., None], verify: Verify, grype: Callable[..., None]
) -> None:
    grype(match())
    send(scan={"gate": {"failOn": "critical"}})

    outcome = verify(scan={})

    assert_refused(outcome, 3, "CVE-2099-0001", "scan gate", "bash")
    assert verify(scan={"gate": {"failOn": "critical"}}).status == 0
    assert verify(scan={"gate": {"failOn": "none"}}).status == 0


def test_the_senders_waivers_are_not_the_receivers(
    send: Callable[..., None], verify: Verify, grype: Callable[..., None]
) -> None:
    borne = {"vulnerability": "CVE-2099-0001", "reason": "not here", "expires": LATER}
    grype(match())
    send(scan={"waivers": [borne]})

    assert_refused(verify(scan={}), 3, "CVE-2099-0001")
    assert verify(scan={"waivers": [borne]}).status == 0
    ended = {**borne, "expires": "2020-01-01T00:00:00Z"}
    assert_refused(
        verify(scan={"waivers": [ended]}), 3, "CVE-2099-0001", "these waivers have ended"
    )


def test_a_policy_that_says_nothing_of_scans_takes_what_the_sender_let_pass(
    world: World, send: Callable[..., None], petra: Run, grype: Callable[..., None]
) -> None:
    grype(match())
    send(scan={"gate": {"failOn": "critical"}})
    world.policy(world.rule("**", key="vendor.pub"), scan=None)

    call = ("bundle", "verify", "-f", world.bundle, "--key", "ours.pub")
    outcome = petra(*call, "--policy", "policy.yaml")

    assert outcome.status == 0, outcome.err


def test_a_scan_with_too_old_a_database(
    send: Callable[..., None], verify: Verify, grype: Callable[..., None]
) -> None:
    grype(age=timedelta(days=3))
    send(scan={})

    outcome = verify(scan={"maxDatabaseAge": "2d"})
    assert_refused(outcome, 3, "too old a database", "worker (", "last 2d before the scan")
    assert verify(scan={"maxDatabaseAge": "4d"}).status == 0
