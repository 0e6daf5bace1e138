"""What ends a run of the classified side; what arrives twice, late, or in another order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import pytest

from demo import content
from petra.aws.dynamo_ledger import DynamoLedger
from petra.aws.pipeline.receiving import REASON_TAG
from petra.aws.pipeline.status import by_spec
from petra.errors import (
    ChunksError,
    DigestMismatchError,
    NotFoundError,
    PolicyError,
    SettingError,
    SignatureError,
    TransportError,
    UnsupportedError,
    UsageError,
)
from petra.load.ledger import History
from petra.oci.registry import RegistryClient
from tests.support.pipeline import DEPOT, LANDING, OUTBOX, QUARANTINE, STEM, invoke
from tests.support.s3 import REGION
from tests.support.world import VENDOR, WEB, layer, signer

if TYPE_CHECKING:
    from tests.support.pipeline import Pipeline

FILE = f"{STEM}.tar.zst"
CHUNK = 1024 * 1024


def made(pipeline: Pipeline, **more: object) -> None:
    """Make a bundle, on the connected side."""
    start = pipeline.upload(pipeline.world.spec(WEB, **more))  # type: ignore[arg-type]  # fields
    pipeline.assemble(start)
    pipeline.finish(start)


def ledger() -> DynamoLedger:
    return DynamoLedger(boto3.client("dynamodb", region_name=REGION), "petra-ledger")


def reasons(pipeline: Pipeline) -> dict[str, str]:
    """Return why each object is in quarantine, by its key."""
    found = {}
    for key in pipeline.keys(QUARANTINE):
        tags = pipeline.s3.get_object_tagging(Bucket=QUARANTINE, Key=key)["TagSet"]
        found[key] = {tag["Key"]: tag["Value"] for tag in tags}[REASON_TAG]
    return found


def nothing_is_loaded(pipeline: Pipeline) -> bool:
    names = [name for name in pipeline.world.registry.names() if name.startswith("inside/")]
    return names == [] and ledger().events() == []


def test_one_changed_byte_is_refused_and_put_aside(pipeline: Pipeline) -> None:
    made(pipeline)
    started = pipeline.cross()
    data = bytearray(pipeline.get(LANDING, f"in/{STEM}/{FILE}"))
    data[len(data) // 2] ^= 1
    started.append(pipeline.put(LANDING, f"in/{STEM}/{FILE}", bytes(data)))
    run = pipeline.arrive(started[-1:])
    with pytest.raises(SignatureError):
        invoke("verify_bundle", {"run": run})
    assert set(reasons(pipeline).values()) == {"SignatureError"}
    assert f"in/{STEM}/{FILE}" in reasons(pipeline)
    assert f"in/{STEM}/{FILE}" in pipeline.keys(LANDING)
    assert nothing_is_loaded(pipeline)


def test_a_key_that_may_not_send_is_refused(pipeline: Pipeline) -> None:
    made(pipeline)
    world = pipeline.world
    rule = world.rule("team/web", key="vendor.pub")
    world.policy(rule, bundle={"signers": ["stranger.pub"]})
    run = pipeline.arrive(pipeline.cross())
    with pytest.raises(SignatureError):
        invoke("verify_bundle", {"run": run})
    assert nothing_is_loaded(pipeline)


def test_a_policy_that_names_no_sender_lets_nobody_in(pipeline: Pipeline) -> None:
    made(pipeline)
    pipeline.world.policy(pipeline.world.rule("team/web", key="vendor.pub"))
    run = pipeline.arrive(pipeline.cross())
    with pytest.raises(SettingError, match="names nobody who may send"):
        invoke("verify_bundle", {"run": run})
    assert pipeline.keys(QUARANTINE) == []


def test_an_image_that_this_sides_policy_refuses_is_not_loaded(pipeline: Pipeline) -> None:
    made(pipeline)
    world = pipeline.world
    world.policy(world.rule("team/web", key="ours.pub"), bundle={"signers": ["sender.pub"]})
    run = pipeline.arrive(pipeline.cross())
    with pytest.raises(SignatureError):
        invoke("verify_bundle", {"run": run})
    assert set(reasons(pipeline).values()) == {"SignatureError"}
    assert nothing_is_loaded(pipeline)


def test_a_set_without_its_signature_waits(pipeline: Pipeline) -> None:
    made(pipeline)
    started = pipeline.cross()
    for suffix in (".sig", ".sigstore.json"):
        pipeline.s3.delete_object(Bucket=LANDING, Key=f"in/{STEM}/{FILE}{suffix}")
    pipeline.side("classified")
    answers = [invoke("check_arrival", one)["complete"] for one in started]
    assert answers == [False] * 4
    assert pipeline.json(DEPOT, by_spec(started[0]["key"]))["state"] == "waiting"


def test_a_file_elsewhere_in_the_bucket_is_not_a_bundle(pipeline: Pipeline) -> None:
    pipeline.side("classified")
    with pytest.raises(UsageError, match="not where bundles arrive"):
        invoke("check_arrival", pipeline.put(LANDING, "elsewhere/x.tar.zst", b"x"))


def test_events_in_another_order_and_twice_make_one_run(pipeline: Pipeline) -> None:
    made(pipeline)
    started = pipeline.cross()
    pipeline.side("classified")
    answers = [invoke("check_arrival", one) for one in (*reversed(started), *started)]
    # The same event again is the same execution, which goes on with what it began.
    assert {one["run"] for one in answers if one["complete"]} == {answers[0]["run"]}
    assert sum(one["complete"] for one in answers[: len(started)]) == 1


def test_a_step_of_a_load_that_is_done_twice_comes_to_the_same(pipeline: Pipeline) -> None:
    made(pipeline)
    run = pipeline.arrive(pipeline.cross())
    first = pipeline.load(run)
    assert pipeline.load(run) == first
    assert [one.event for one in ledger().events()] == ["begun", "complete"]


def test_the_same_bundle_again_passes(pipeline: Pipeline) -> None:
    made(pipeline)
    pipeline.load(pipeline.arrive(pipeline.cross()))
    pipeline.load(pipeline.arrive(pipeline.cross()))
    assert History(ledger().events()).complete("shop")[-1].version == "1.4.0"


def test_an_older_bundle_is_refused_and_put_aside(pipeline: Pipeline) -> None:
    made(pipeline, serial=7)
    older = pipeline.cross()
    newer = pipeline.upload(pipeline.world.spec(WEB, version="1.5.0", serial=8))
    pipeline.assemble(newer)
    pipeline.load(pipeline.arrive(pipeline.cross("shop-1.5.0")))
    run = pipeline.arrive(older)
    with pytest.raises(PolicyError, match="is older than one that was loaded"):
        invoke("verify_bundle", {"run": run})
    assert set(reasons(pipeline).values()) == {"PolicyError"}


def test_an_older_bundle_does_not_switch_when_a_newer_one_was_begun(pipeline: Pipeline) -> None:
    made(pipeline, serial=7)
    older = pipeline.arrive(pipeline.cross())
    invoke("verify_bundle", {"run": older})
    newer = pipeline.upload(pipeline.world.spec(WEB, version="1.5.0", serial=8))
    pipeline.assemble(newer)
    later = pipeline.arrive(pipeline.cross("shop-1.5.0"))
    invoke("verify_bundle", {"run": later})
    with pytest.raises(PolicyError, match="is older than one that was loaded"):
        invoke("publish_platform", {"run": older, "action": "switch"})
    assert invoke("publish_platform", {"run": later, "action": "switch"})["manifests"] is None


def test_a_registry_that_is_down_changes_nothing(pipeline: Pipeline) -> None:
    made(pipeline, charts=[pipeline.world.chart()])
    started = pipeline.cross()
    pipeline.side("classified", registry="127.0.0.1:1", plainHttp=["127.0.0.1:1"])
    run = pipeline.arrive(started)
    with pytest.raises(TransportError):
        invoke("verify_bundle", {"run": run})
    assert ledger().events() == []
    assert pipeline.keys(QUARANTINE) == []


def test_an_image_fails_alone_and_goes_on_when_the_registry_is_back(pipeline: Pipeline) -> None:
    made(pipeline)
    host = pipeline.settings["classified"]["registry"]
    run = pipeline.arrive(pipeline.cross())
    invoke("verify_bundle", {"run": run})
    pipeline.side("classified", registry="127.0.0.1:1")
    with pytest.raises(TransportError):
        invoke("load_image", {"run": run, "index": 0})
    with pytest.raises(NotFoundError, match="a document of the run is not there"):
        invoke("load_charts", {"run": run})
    pipeline.side("classified", registry=host)
    assert invoke("load_image", {"run": run, "index": 0})["sent"] > 0
    assert invoke("load_image", {"run": run, "index": 0})["sent"] == 0


def test_only_the_version_that_was_verified_is_loaded(pipeline: Pipeline) -> None:
    made(pipeline)
    run = pipeline.arrive(pipeline.cross())
    invoke("verify_bundle", {"run": run})
    pipeline.put(LANDING, f"in/{STEM}/{FILE}", b"put over it meanwhile")
    assert invoke("load_image", {"run": run, "index": 0})["sent"] > 0


def test_an_object_version_that_is_gone_is_not_replaced_by_a_newer_one(pipeline: Pipeline) -> None:
    made(pipeline)
    started = pipeline.cross()
    run = pipeline.arrive(started)
    plan = invoke("verify_bundle", {"run": run})
    pipeline.put(LANDING, plan["key"], pipeline.get(LANDING, plan["key"]))
    pipeline.s3.delete_object(Bucket=LANDING, Key=plan["key"], VersionId=plan["versionId"])
    with pytest.raises(NotFoundError):
        invoke("load_image", {"run": run, "index": 0})


def test_metadata_that_were_not_verified_are_not_believed(pipeline: Pipeline) -> None:
    made(pipeline)
    run = pipeline.arrive(pipeline.cross())
    invoke("verify_bundle", {"run": run})
    key = f"runs/{run}/verified.json"
    value = pipeline.json(DEPOT, key) | {"metadata": f"sha256:{'0' * 64}"}
    pipeline.put(DEPOT, key, json.dumps(value).encode())
    with pytest.raises(DigestMismatchError, match="not what was verified"):
        invoke("load_image", {"run": run, "index": 0})


def test_charts_have_no_place_in_the_depot_yet(pipeline: Pipeline) -> None:
    made(pipeline, charts=[pipeline.world.chart()])
    started = pipeline.cross()
    pipeline.side("classified", charts="depot")
    run = pipeline.arrive(started)
    with pytest.raises(UnsupportedError):
        invoke("verify_bundle", {"run": run})
    assert ledger().events() == []


def test_a_bundle_that_is_too_large_is_put_aside(pipeline: Pipeline) -> None:
    large(pipeline)
    started = pipeline.cross()
    pipeline.side("classified", limits={"bundleBytes": 1024 * 1024})
    run = pipeline.arrive(started)
    with pytest.raises(PolicyError, match="the bundle is too large"):
        invoke("verify_bundle", {"run": run})
    assert set(reasons(pipeline).values()) == {"PolicyError"}


def large(pipeline: Pipeline, limit: int | None = None) -> None:
    """Make a bundle of some 2.5 MB, cut into chunks of `limit` bytes at most."""
    world = pipeline.world
    repository = world.repository(WEB)
    image = content.push_image(repository, [layer("big", 2_500_000)])
    content.sign_by_tag(repository, image, world.reference("team/web"), signer(VENDOR))
    repository.tag(image, "1.4")
    world.images[WEB] = image
    pipeline.side("connected", transfer={"maxBytes": limit} if limit else {})
    made(pipeline)


def test_chunks_are_cut_cross_and_are_loaded(pipeline: Pipeline) -> None:
    large(pipeline, CHUNK)
    names = [key.rpartition("/")[2] for key in pipeline.keys(OUTBOX)]
    assert [name for name in names if "-of-" in name] == [
        f"{FILE}.{number:04}-of-0003" for number in (1, 2, 3)
    ]
    pipeline.s3.delete_object(Bucket=OUTBOX, Key=f"out/{STEM}/{FILE}")
    run = pipeline.arrive(pipeline.cross())
    pipeline.load(run)
    with RegistryClient() as client:
        found = client.repository(pipeline.world.host, "inside/team/web").resolve("1.4")
    assert found.digest == pipeline.world.images[WEB].digest


def test_a_set_that_lacks_a_chunk_waits(pipeline: Pipeline) -> None:
    large(pipeline, CHUNK)
    for name in (FILE, f"{FILE}.0002-of-0003"):
        pipeline.s3.delete_object(Bucket=OUTBOX, Key=f"out/{STEM}/{name}")
    pipeline.side("classified")
    answers = [invoke("check_arrival", one) for one in pipeline.cross()]
    assert not any(one["complete"] for one in answers)


def test_a_damaged_chunk_is_named(pipeline: Pipeline) -> None:
    large(pipeline, CHUNK)
    pipeline.s3.delete_object(Bucket=OUTBOX, Key=f"out/{STEM}/{FILE}")
    key = f"out/{STEM}/{FILE}.0002-of-0003"
    data = bytearray(pipeline.get(OUTBOX, key))
    data[77] ^= 1
    pipeline.put(OUTBOX, key, bytes(data))
    run = pipeline.arrive(pipeline.cross())
    with pytest.raises(ChunksError) as caught:
        invoke("verify_bundle", {"run": run})
    assert caught.value.damaged == (f"{FILE}.0002-of-0003",)
    assert set(reasons(pipeline).values()) == {"ChunksError"}
    assert nothing_is_loaded(pipeline)


def test_a_chunk_of_another_size_is_named_before_anything_is_read(pipeline: Pipeline) -> None:
    large(pipeline, CHUNK)
    pipeline.s3.delete_object(Bucket=OUTBOX, Key=f"out/{STEM}/{FILE}")
    pipeline.put(OUTBOX, f"out/{STEM}/{FILE}.0002-of-0003", b"cut off")
    run = pipeline.arrive(pipeline.cross())
    with pytest.raises(ChunksError, match="another size"):
        invoke("verify_bundle", {"run": run})


def test_a_manifest_by_another_key_is_refused(pipeline: Pipeline) -> None:
    large(pipeline, CHUNK)
    pipeline.s3.delete_object(Bucket=OUTBOX, Key=f"out/{STEM}/{FILE}")
    key = f"out/{STEM}/manifest.json"
    pipeline.put(OUTBOX, key, pipeline.get(OUTBOX, key).replace(b'"apiVersion"', b' "apiVersion"'))
    run = pipeline.arrive(pipeline.cross())
    with pytest.raises(SignatureError):
        invoke("verify_bundle", {"run": run})
    assert nothing_is_loaded(pipeline)


def test_a_file_of_a_set_that_failed_starts_it_anew(pipeline: Pipeline) -> None:
    made(pipeline)
    signature = f"in/{STEM}/{FILE}.sig"
    started = pipeline.cross()
    good = pipeline.get(LANDING, signature)
    pipeline.put(LANDING, signature, b"bm8gc2lnbmF0dXJl")
    first = pipeline.arrive(started)
    with pytest.raises(SignatureError):
        invoke("verify_bundle", {"run": first})
    invoke("report_load", {**started[0], "run": first, "outcome": "refused"})
    again = pipeline.arrive([pipeline.put(LANDING, signature, good)])
    assert again != first
    pipeline.load(again)
    assert [one.event for one in ledger().events()] == ["begun", "complete"]


def test_the_report_counts_what_is_in_quarantine(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    started = [pipeline.put(LANDING, f"in/{STEM}/x", b"x")]
    pipeline.put(QUARANTINE, "in/a", b"a")
    pipeline.put(QUARANTINE, "in/b", b"b")
    pipeline.side("classified")
    capsys.readouterr()
    invoke("report_load", started[0] | {"outcome": "failed"})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    (found,) = [line["QuarantineObjects"] for line in lines if "QuarantineObjects" in line]
    assert found == [2.0]


def test_the_ledger_remembers_when_a_load_began(pipeline: Pipeline) -> None:
    made(pipeline)
    run = pipeline.arrive(pipeline.cross())
    pipeline.load(run)
    (bundle,) = History(ledger().events()).complete("shop")
    began = History(ledger().events()).began(bundle.digest)
    assert began
    assert abs((datetime.now(UTC) - began).total_seconds()) < 600
    record = ledger().record(bundle)
    assert record
    assert [one.part for one in record.destinations] == ["images"]
