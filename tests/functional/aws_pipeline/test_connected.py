"""What ends a run of the connected side, and what is done twice without harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from demo import content
from petra.aws.config_folder import ConfigFolder
from petra.aws.pipeline import assembling
from petra.aws.pipeline.locks import RunLock
from petra.aws.pipeline.runs import Runs
from petra.aws.pipeline.status import by_spec
from petra.errors import (
    BusyError,
    DigestMismatchError,
    DocumentError,
    NotFoundError,
    PolicyError,
    SignatureError,
    TransportError,
)
from tests.support.pipeline import OUTBOX, SPEC_KEY, STAGING, STEM, invoke
from tests.support.s3 import REGION
from tests.support.world import FOREIGN, UNSIGNED, WEB, WORKER, layer

if TYPE_CHECKING:
    from tests.support.pipeline import Pipeline

BUNDLE = f"out/{STEM}/{STEM}.tar.zst"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def begun(pipeline: Pipeline, *images: str, **more: Any) -> dict[str, str]:
    """Upload a spec and resolve it."""
    start = pipeline.upload(pipeline.world.spec(*images, **more))
    invoke("resolve_spec", start)
    return start


def allow(pipeline: Pipeline, image: str) -> None:
    """Give an image a rule of the policy, by the vendor's key."""
    world = pipeline.world
    rule = world.rule(image.partition(":")[0], key="vendor.pub")
    world.policy(rule, world.rule("team/*", key="vendor.pub"), bundle={"signers": ["sender.pub"]})


def test_a_poisoned_spec_is_refused_before_any_registry_is_asked(pipeline: Pipeline) -> None:
    spec = pipeline.world.spec(WEB, host="127.0.0.1:1", output={"sign": False})
    with pytest.raises(PolicyError, match="only the stack may"):
        invoke("resolve_spec", pipeline.upload(spec))
    assert pipeline.json(STAGING, by_spec(SPEC_KEY))["state"] == "running"
    assert pipeline.keys(OUTBOX) == []


def test_a_spec_that_skips_a_verification_is_refused(pipeline: Pipeline) -> None:
    start = begun(pipeline, WEB, verify={"skip": "trust me"})
    with pytest.raises(PolicyError, match="skips a verification that the policy asks for"):
        invoke("verify_image", {"run": start["run"], "index": 0})


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "awskms:///alias/other"])
def test_a_key_outside_the_configuration_is_refused(pipeline: Pipeline, key: str) -> None:
    start = begun(pipeline, WEB, verify={"key": key})
    with pytest.raises(PolicyError, match="only files of the stack's own configuration"):
        invoke("verify_image", {"run": start["run"], "index": 0})


def test_a_key_that_lies_beside_the_spec_is_not_found(pipeline: Pipeline) -> None:
    start = begun(pipeline, WEB, verify={"key": "mine.pub"})
    with pytest.raises(NotFoundError, match="no such file in the stack's configuration"):
        invoke("verify_image", {"run": start["run"], "index": 0})


def test_a_spec_may_ask_for_another_key_as_well(pipeline: Pipeline) -> None:
    start = begun(pipeline, WEB, verify={"key": "stranger.pub"})
    with pytest.raises(SignatureError):
        invoke("verify_image", {"run": start["run"], "index": 0})


def test_an_image_that_is_not_there_is_named(pipeline: Pipeline) -> None:
    spec = pipeline.world.spec(WEB)
    text = spec.read_text().replace("team/web:1.4", "team/web:9.9")
    spec.write_text(text)
    with pytest.raises(NotFoundError, match=r"9\.9"):
        invoke("resolve_spec", pipeline.upload(spec))


@pytest.mark.parametrize("image", [UNSIGNED, FOREIGN])
def test_an_image_without_the_vendors_signature_is_refused(pipeline: Pipeline, image: str) -> None:
    allow(pipeline, image)
    start = begun(pipeline, image)
    with pytest.raises(SignatureError):
        invoke("verify_image", {"run": start["run"], "index": 0})


def test_assembly_verifies_signatures_itself(pipeline: Pipeline) -> None:
    allow(pipeline, UNSIGNED)
    start = begun(pipeline, UNSIGNED)
    runs = Runs(pipeline.s3, STAGING, start["run"])
    runs.put_json(
        "images/0.scan.json", {"image": {"scan": {"status": "done"}}, "members": {}, "notes": []}
    )
    with pytest.raises(SignatureError):
        invoke("assemble_bundle", {"run": start["run"]})
    assert pipeline.keys(OUTBOX) == []


def test_a_registry_that_is_down_is_a_transport_error(pipeline: Pipeline) -> None:
    spec = pipeline.world.spec(WEB, host="127.0.0.1:1")
    pipeline.world.policy(
        {"pattern": "127.0.0.1:1/**", "verify": {"key": "vendor.pub"}}, bundle={"signers": []}
    )
    pipeline.side("connected", sources=["127.0.0.1:1"])
    start = pipeline.put(STAGING, SPEC_KEY, spec.read_bytes())
    with pytest.raises(TransportError):
        invoke("resolve_spec", start)


def test_what_is_no_spec_is_told_with_its_line(pipeline: Pipeline) -> None:
    pipeline.side("connected")
    start = pipeline.put(STAGING, SPEC_KEY, b"kind: Bundle\nspec: 7\n")
    with pytest.raises(DocumentError) as caught:
        invoke("resolve_spec", start)
    assert str(caught.value.where).startswith("specs/shop.yaml:")


def test_a_step_without_its_input_says_what_is_missing(pipeline: Pipeline) -> None:
    pipeline.side("connected")
    with pytest.raises(DocumentError, match="the step's input is not what it should be") as caught:
        invoke("verify_image", {"run": "0" * 32})
    assert "index" in str(caught.value.found)


def test_steps_that_are_done_twice_come_to_the_same(pipeline: Pipeline) -> None:
    start = pipeline.upload(pipeline.world.spec(WEB, WORKER))
    first = pipeline.assemble(start)
    before = {key: pipeline.get(OUTBOX, key) for key in pipeline.keys(OUTBOX)}
    assert pipeline.assemble(start) == first
    assert {key: pipeline.get(OUTBOX, key) for key in pipeline.keys(OUTBOX)} == before
    versions = pipeline.s3.list_object_versions(Bucket=OUTBOX)["Versions"]
    assert len(versions) == len(before)


def test_a_bundle_that_was_put_by_a_function_that_then_died_is_found(pipeline: Pipeline) -> None:
    start = pipeline.upload(pipeline.world.spec(WEB))
    pipeline.assemble(start)
    before = pipeline.get(OUTBOX, BUNDLE)
    key = f"runs/{start['run']}/bundle.json"
    told = pipeline.json(STAGING, key)
    pipeline.s3.delete_object(Bucket=STAGING, Key=key)
    invoke("assemble_bundle", {"run": start["run"]})
    assert pipeline.json(STAGING, key) == told
    assert pipeline.get(OUTBOX, BUNDLE) == before


def test_an_object_that_took_the_bundles_place_is_not_signed(pipeline: Pipeline) -> None:
    start = pipeline.upload(pipeline.world.spec(WEB))
    pipeline.assemble(start)
    pipeline.s3.delete_object(Bucket=STAGING, Key=f"runs/{start['run']}/bundle.json")
    pipeline.put(OUTBOX, BUNDLE, b"something else")
    with pytest.raises(DigestMismatchError, match="another object stands where the bundle"):
        invoke("assemble_bundle", {"run": start["run"]})


def test_a_version_is_made_once(pipeline: Pipeline) -> None:
    spec = pipeline.world.spec(WEB)
    first = pipeline.upload(spec)
    pipeline.assemble(first)
    pipeline.finish(first)
    with pytest.raises(PolicyError, match="was made already; nothing is replaced"):
        invoke("resolve_spec", pipeline.upload(spec))


def test_two_runs_of_one_version_come_one_after_the_other(pipeline: Pipeline) -> None:
    spec = pipeline.world.spec(WEB)
    first, second = pipeline.upload(spec), pipeline.upload(spec)
    invoke("resolve_spec", first)
    with pytest.raises(BusyError, match="another run makes a bundle of this name"):
        invoke("resolve_spec", second)
    invoke("report_run", first | {"outcome": "failed"})
    assert invoke("resolve_spec", second)["run"] == second["run"]


def test_a_run_that_never_ended_holds_its_version_for_a_day(pipeline: Pipeline) -> None:
    client = boto3.client("dynamodb", region_name=REGION)
    dead = RunLock(client, "petra-idempotency", "shop#1.4.0", "dead")
    dead.take(datetime(2020, 1, 1, tzinfo=UTC))
    RunLock(client, "petra-idempotency", "shop#1.4.0", "other").take(NOON)
    with pytest.raises(BusyError):
        dead.take(NOON)


def test_nobody_frees_anothers_lock(pipeline: Pipeline) -> None:
    client = boto3.client("dynamodb", region_name=REGION)
    RunLock(client, "petra-idempotency", "shop#1.4.0", "one").take(NOON)
    RunLock(client, "petra-idempotency", "shop#1.4.0", "other").free()
    with pytest.raises(BusyError):
        RunLock(client, "petra-idempotency", "shop#1.4.0", "other").take(NOON)


def test_a_status_says_what_failed_and_what_to_do(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    start = pipeline.upload(pipeline.world.spec(WEB))
    text = str(PolicyError("the spec says too much", where="spec.x", hint="take it out"))
    cause = json.dumps({"errorType": "PolicyError", "errorMessage": text, "stackTrace": []})
    error = {"Error": "PolicyError", "Cause": cause}
    failures = [{"index": 3, "Error": "SignatureError", "Cause": "no signature"}]
    capsys.readouterr()
    invoke("report_run", start | {"outcome": "refused", "error": error, "failures": failures})
    status = pipeline.json(STAGING, by_spec(SPEC_KEY))
    assert status["state"] == "refused"
    assert status["error"] == {
        "type": "PolicyError",
        "code": "POLICY",
        "message": "the spec says too much",
        "where": "spec.x",
        "next": "take it out",
    }
    assert [(one["image"], one["code"], one["message"]) for one in status["failures"]] == [
        (3, "SIGNATURE", "no signature")
    ]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    counted = {name for line in lines for name in line if line.get("side") == "connected"}
    assert {"RunFailed", "VerificationFailed"} <= counted


def test_a_large_bundle_is_the_tasks(pipeline: Pipeline) -> None:
    repository = pipeline.world.repository(WEB)
    repository.tag(content.push_image(repository, [layer("big", 1_200_000)]), "big")
    pipeline.side("connected", taskBytes=1024 * 1024)
    spec = pipeline.world.spec(WEB)
    spec.write_text(spec.read_text().replace("team/web:1.4", "team/web:big"))
    plan = invoke("resolve_spec", pipeline.upload(spec))
    assert plan["route"] == "task"
    assert 1_200_000 < plan["bytes"] < 1_300_000


def test_a_bundle_that_would_be_too_large_is_refused(pipeline: Pipeline) -> None:
    repository = pipeline.world.repository(WEB)
    repository.tag(content.push_image(repository, [layer("big", 1_200_000)]), "big")
    pipeline.side("connected", limits={"bundleBytes": 1024 * 1024})
    spec = pipeline.world.spec(WEB)
    spec.write_text(spec.read_text().replace("team/web:1.4", "team/web:big"))
    with pytest.raises(PolicyError, match="the bundle would be too large"):
        invoke("resolve_spec", pipeline.upload(spec))


def test_a_finished_bundle_is_verified_and_crosses(pipeline: Pipeline) -> None:
    given = finished(pipeline)
    plan = pipeline.assemble(given)
    assert plan["assembled"]
    assert BUNDLE in pipeline.keys(OUTBOX)


def finished(pipeline: Pipeline) -> dict[str, str]:
    """Make a bundle, take it out of the outbox, and upload it as a finished one."""
    start = pipeline.upload(pipeline.world.spec(WEB))
    pipeline.assemble(start)
    files = {key: pipeline.get(OUTBOX, key) for key in pipeline.keys(OUTBOX)}
    for key in files:
        pipeline.s3.delete_object(Bucket=OUTBOX, Key=key)
    invoke("report_run", start | {"outcome": "failed"})
    for key, file in files.items():
        if key != BUNDLE:
            pipeline.put(STAGING, f"bundles/{key.rpartition('/')[2]}", file)
    return pipeline.put(STAGING, f"bundles/{STEM}.tar.zst", files[BUNDLE])


def test_a_finished_bundle_without_a_signature_is_refused(pipeline: Pipeline) -> None:
    given = finished(pipeline)
    for suffix in (".sig", ".sigstore.json"):
        pipeline.s3.delete_object(Bucket=STAGING, Key=f"bundles/{STEM}.tar.zst{suffix}")
    with pytest.raises(SignatureError, match="has no signature beside it"):
        invoke("resolve_spec", given)


def test_a_finished_bundle_that_was_changed_does_not_cross(pipeline: Pipeline) -> None:
    given = finished(pipeline)
    data = bytearray(pipeline.get(STAGING, given["key"]))
    data[len(data) // 2] ^= 1
    given = pipeline.put(STAGING, given["key"], bytes(data))
    invoke("resolve_spec", given)
    with pytest.raises(SignatureError):
        invoke("sign_bundle", {"run": given["run"]})
    assert BUNDLE not in pipeline.keys(OUTBOX)


def test_a_finished_bundle_is_held_to_the_policy_of_images(pipeline: Pipeline) -> None:
    given = finished(pipeline)
    world = pipeline.world
    world.policy(world.rule("team/web", key="stranger.pub"), bundle={"signers": []})
    invoke("resolve_spec", given)
    with pytest.raises(SignatureError):
        invoke("sign_bundle", {"run": given["run"]})
    assert BUNDLE not in pipeline.keys(OUTBOX)


def test_a_link_in_the_configuration_leads_nowhere_else(pipeline: Pipeline) -> None:
    folder = pipeline.world.folder / "inner"
    folder.mkdir()
    (folder / "out.pub").symlink_to("/etc/hostname")
    with pytest.raises(PolicyError):
        ConfigFolder(folder).read("out.pub")


def test_the_task_that_signs_later_cannot_sign() -> None:
    with pytest.raises(AssertionError):
        _ = assembling._Later().public_key
