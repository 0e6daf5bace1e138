"""``petra pipeline``: a spec into the staging bucket, and what the status objects say of it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from petra.aws.pipeline_client import PipelineClient, RunStatus
from petra.errors import TransportError
from tests.support.command import Run, assert_refused, runner
from tests.support.s3 import buckets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3.client import S3Client

SPEC = """\
apiVersion: petra.sh/v1alpha1
kind: Bundle
metadata: {name: shop, version: 1.4.0}
spec:
  images: [{name: web, image: registry.example.com/shop/web:1.4}]
  platforms: [linux/amd64]
  verify: {skip: for the test}
"""
KEY = "specs/shop-1.4.0.yaml"
BY_SPEC = f"status/by-spec/{KEY}.json"
REFUSED = {
    "state": "refused",
    "stage": "images",
    "bundle": "shop-1.4.0",
    "error": {
        "type": "SignatureError",
        "message": "nobody whom we trust signed it",
        "where": "image registry.example.com/shop/web:1.4",
        "next": "ask its publisher",
    },
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Client]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PETRA_PIPELINE", "s3://staging")
    (tmp_path / "bundle.yaml").write_text(SPEC)
    with buckets(monkeypatch, "staging") as client:
        yield client


def _put(s3: S3Client, key: str, **value: Any) -> None:
    s3.put_object(Bucket="staging", Key=key, Body=json.dumps(value).encode())


@contextmanager
def _played(s3: S3Client, *told: dict[str, Any]) -> Iterator[None]:
    """Play the pipeline: once the spec is there, write one status after the other."""
    stop = threading.Event()

    def play() -> None:
        while not stop.wait(0.01):
            if listed := s3.list_object_versions(Bucket="staging", Prefix=KEY).get("Versions"):
                for one in told:
                    _put(s3, BY_SPEC, version=listed[0]["VersionId"], **one)
                return

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_submit_puts_the_spec_byte_for_byte_under_its_name(run: Run, s3: S3Client) -> None:
    value = run("pipeline", "submit", "-f", "bundle.yaml", "--output", "json").json
    found = s3.get_object(Bucket="staging", Key=KEY)
    assert found["Body"].read() == SPEC.encode()
    assert value == {"bucket": "staging", "key": KEY, "version": found["VersionId"]}


def test_a_mistake_in_the_spec_is_told_before_anything_is_put(
    run: Run, s3: S3Client, tmp_path: Path
) -> None:
    (tmp_path / "bundle.yaml").write_text(SPEC.replace("images", "imagse"))
    assert_refused(run("pipeline", "submit", "-f", "bundle.yaml"), 2, "imagse")
    assert "Contents" not in s3.list_objects_v2(Bucket="staging")


def test_a_bucket_without_versions_is_no_pipeline_s(run: Run, s3: S3Client) -> None:
    where = {"LocationConstraint": "us-gov-west-1"}
    s3.create_bucket(Bucket="other", CreateBucketConfiguration=where)  # type: ignore[arg-type]
    outcome = run("pipeline", "submit", "-f", "bundle.yaml", "--bucket", "s3://other")
    assert_refused(outcome, 1, "keeps no versions")


def test_watch_follows_the_run_to_its_good_end(run: Run, s3: S3Client) -> None:
    with _played(s3, {"state": "succeeded", "stage": "report", "bundle": "shop-1.4.0"}):
        outcome = run("pipeline", "submit", "-f", "bundle.yaml", "--watch")
    assert outcome.status == 0
    assert "state       succeeded" in outcome.out


def test_watch_ends_with_status_3_where_the_run_was_refused(run: Run, s3: S3Client) -> None:
    with _played(s3, REFUSED):
        outcome = run("pipeline", "submit", "-f", "bundle.yaml", "--watch")
    assert outcome.status == 3
    assert "SignatureError: nobody whom we trust signed it" in outcome.out
    assert "next: ask its publisher" in outcome.out


def test_the_status_of_an_earlier_version_is_passed_over(s3: S3Client) -> None:
    _put(s3, BY_SPEC, state="succeeded", stage="report", version="earlier")
    clock = iter(range(100))
    client = PipelineClient(s3, "staging", pause=lambda _: None, clock=lambda: float(next(clock)))
    with pytest.raises(TransportError, match="has not ended in time"):
        client.follow(KEY, "mine", timeout=3, listen=lambda _: None)


def test_each_stage_is_told_once(s3: S3Client) -> None:
    stages = iter(["resolve", "resolve", "images", "images"])
    told: list[str] = []

    def next_stage(_seconds: float) -> None:
        stage = next(stages, None)
        state = "running" if stage else "succeeded"
        _put(s3, BY_SPEC, state=state, stage=stage or "report", version="mine")

    client = PipelineClient(s3, "staging", pause=next_stage)
    client.follow(KEY, "mine", timeout=60, listen=lambda status: told.append(status.stage))
    assert told == ["resolve", "images", "report"]


def test_status_tells_what_failed_and_what_to_do(run: Run, s3: S3Client) -> None:
    _put(s3, "status/shop-1.4.0.json", **REFUSED)
    outcome = run("pipeline", "status", "shop-1.4.0")
    assert (outcome.status, "next: ask its publisher" in outcome.out) == (3, True)


def test_status_by_the_key_that_was_put(run: Run, s3: S3Client) -> None:
    _put(s3, BY_SPEC, state="failed", stage="resolve", error={"type": "TransportError"})
    outcome = run("pipeline", "status", KEY, "--output", "json")
    assert (outcome.status, outcome.json["stage"]) == (1, "resolve")


def test_status_without_a_name_lists_all_bundles(run: Run, s3: S3Client) -> None:
    for name in ("shop-1.4.0", "base-2.0.0"):
        _put(s3, f"status/{name}.json", state="running", stage="sign", bundle=name)
    _put(s3, BY_SPEC, state="running", stage="sign", bundle="shop-1.4.0")
    found = run("pipeline", "status", "--output", "json").json["runs"]
    assert [one["bundle"] for one in found] == ["base-2.0.0", "shop-1.4.0"]


def test_status_of_a_run_that_never_was(run: Run, s3: S3Client) -> None:
    assert_refused(run("pipeline", "status", "other-1.0.0"), 1, "knows no such run")


def test_an_object_that_is_no_status_is_refused(run: Run, s3: S3Client) -> None:
    s3.put_object(Bucket="staging", Key="status/shop-1.4.0.json", Body=b"[]")
    assert_refused(run("pipeline", "status", "shop-1.4.0"), 3, "no status of a run")


def test_an_image_s_failure_names_the_image() -> None:
    failures = [{"image": 2, "type": "PolicyError", "message": "too many"}]
    status = RunStatus({"state": "refused", "failures": failures})
    assert status.lines()[-1] == "PolicyError (image 2): too many"
