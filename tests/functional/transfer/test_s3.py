"""``petra transfer s3`` from a bundle on disk to a landing bucket, and by an invented service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.encoding.yaml import dump_yaml
from tests.support.command import Run, assert_refused

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_s3.client import S3Client

NAME = "shop-1.4.0.tar.zst"


def _send(run: Run, file: Path, *more: str | Path) -> Any:
    arguments = ("-f", file, "--key", "ours.pub", "--outbox", "s3://outbox/out")
    return run("transfer", "s3", *arguments, *more, "--output", "json")


def _landed(s3: S3Client, bucket: str = "landing") -> dict[str, bytes]:
    listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        one["Key"]: s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed
    }


def test_a_bundle_and_its_signatures_land_byte_for_byte(
    run: Run, bundle: Path, s3: S3Client
) -> None:
    value = _send(run, bundle, "--to", "s3://landing/in").json
    files = sorted(bundle.parent.glob(f"{NAME}*"))
    assert _landed(s3) == {f"in/{path.name}": path.read_bytes() for path in files}
    assert len(files) >= 3
    assert value["digest"] == Digest.of(bundle.read_bytes())


def test_the_same_call_again_sends_nothing(run: Run, bundle: Path, s3: S3Client) -> None:
    for _ in range(2):
        assert _send(run, bundle, "--to", "s3://landing").status == 0
    for bucket in ("outbox", "landing"):
        versions = s3.list_object_versions(Bucket=bucket)["Versions"]
        assert {one["IsLatest"] for one in versions} == {True}


def test_a_chunk_folder_goes_as_it_is(run: Run, bundle: Path, s3: S3Client) -> None:
    folder = bundle.parent / "chunks"
    arguments = ("--max-size", "20KiB", "--parity", "1", "--key", "ours.key", "--to", folder)
    assert run("bundle", "chunk", "-f", bundle, *arguments, "-q").status == 0
    value = _send(run, folder, "--to", "s3://landing").json
    assert _landed(s3) == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [one["name"] for one in value["files"]][-1].startswith("manifest.json.")


def test_a_bundle_that_does_not_verify_is_not_sent(run: Run, bundle: Path, s3: S3Client) -> None:
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    outcome = _send(run, bundle, "--to", "s3://landing")
    assert (outcome.status, outcome.json["error"]["code"]) == (3, "SIGNATURE")
    assert _landed(s3, "outbox") == {}


def test_another_object_in_the_way_is_named_and_kept(run: Run, bundle: Path, s3: S3Client) -> None:
    s3.put_object(Bucket="landing", Key=f"{NAME}.sig", Body=b"other")
    outcome = _send(run, bundle, "--to", "s3://landing")
    assert (outcome.status, outcome.json["error"]["where"]) == (3, f"s3://landing/{NAME}.sig")
    assert _landed(s3)[f"{NAME}.sig"] == b"other"


@pytest.mark.parametrize(
    ("more", "says"),
    [((), "how to send it is not said"), (("--to", "s3://a-b", "--call", "x"), "two ways")],
)
def test_exactly_one_way_to_send_is_said(
    run: Run, tmp_path: Path, more: tuple[str, ...], says: str
) -> None:
    arguments = ("-f", tmp_path / "x", "--key", "k", "--outbox", "s3://outbox")
    assert_refused(run("transfer", "s3", *arguments, *more), 2, says, "--to and --call")


def test_a_wrong_template_is_told_before_anything_is_sent(
    run: Run, bundle: Path, s3: S3Client, tmp_path: Path
) -> None:
    template = tmp_path / "call.yaml"
    template.write_bytes(dump_yaml({"apiVersion": "petra.sh/v1alpha1", "kind": "TransferCall"}))
    outcome = _send(run, bundle, "--call", template)
    assert (outcome.status, outcome.json["error"]["code"]) == (2, "DOCUMENT")
    assert _landed(s3, "outbox") == {}


def test_what_was_sent_is_on_the_custody_log(run: Run, bundle: Path, s3: S3Client) -> None:
    log = ("--custody", "c.jsonl", "--custody-key", "ours.key")
    assert _send(run, bundle, "--to", "s3://landing", *log).status == 0
    s3.put_object(Bucket="landing", Key=f"in/{NAME}.sig", Body=b"other")
    assert _send(run, bundle, "--to", "s3://landing/in", *log).status == 3

    verified = run("custody", "verify", "c.jsonl", "--key", "ours.pub", "--output", "json")
    entries = [one for stage in verified.json["stages"] for one in stage["entries"]]
    assert [(one["stage"], one["action"], one["verdict"]) for one in entries] == [
        ("s3", "send", "ok"),
        ("s3", "send", "refused"),
    ]
    assert {one["digests"][NAME] for one in entries} == {Digest.of(bundle.read_bytes())}
