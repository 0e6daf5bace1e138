"""Both sides of the pipeline in this process: moto, the embedded registry, the real handlers.

The steps are called in the order of the state machines, each as Lambda calls it.
"""

from __future__ import annotations

import importlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from moto import mock_aws

from petra.aws.pipeline.runs import run_of
from petra.content.digest import Digest
from tests.support.dynamo import make_idempotency_table, make_ledger_table
from tests.support.moto_kms import sign_digests
from tests.support.s3 import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from types_boto3_s3.client import S3Client

    from tests.support.world import World

STAGING, OUTBOX, EVIDENCE = "petra-staging", "petra-outbox", "petra-evidence"
LANDING, QUARANTINE, DEPOT = "petra-landing", "petra-quarantine", "petra-depot"
BUCKETS: Final = (STAGING, OUTBOX, EVIDENCE, LANDING, QUARANTINE, DEPOT)
SPEC_KEY: Final = "specs/shop.yaml"
STEM: Final = "shop-1.4.0"


@dataclass
class Context:
    """What Lambda gives beside an event."""

    function_name: str = "function"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-gov-west-1:123456789012:function:function"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def invoke(name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call a handler as a fresh function would be called; its answer goes through JSON."""
    module = importlib.import_module(f"lambdas.{name}.handler")
    (getattr(module, "_side", None) or module._starter).cache_clear()
    answer: dict[str, Any] = json.loads(
        json.dumps(module.handler(json.loads(json.dumps(event)), Context()))
    )
    return answer


@dataclass
class Pipeline:
    """Both sides.

    Attributes:
        world: registries, charts and keys; its folder is the configuration of both sides.
        s3: their buckets.
        monkeypatch: sets their environment.
        settings: of each side.
    """

    world: World
    s3: S3Client
    monkeypatch: pytest.MonkeyPatch
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def side(self, name: str, **settings: Any) -> None:
        """Let the functions that are called from here on be of this side."""
        self.settings[name] = self.settings.get(name, {}) | settings
        self.monkeypatch.setenv("PETRA_SIDE", name)
        self.monkeypatch.setenv("PETRA_SETTINGS", json.dumps(self.settings[name]))

    def put(self, bucket: str, key: str, data: bytes) -> dict[str, str]:
        """Put an object; return what starts its run."""
        version = self.s3.put_object(Bucket=bucket, Key=key, Body=data)["VersionId"]
        run = run_of(bucket, key, version)
        return {"run": run, "bucket": bucket, "key": key, "version": version}

    def upload(self, spec: Path, key: str = SPEC_KEY) -> dict[str, str]:
        """Upload a spec, without the keys that stand for the policy's."""
        self.side("connected")
        return self.put(STAGING, key, spec.read_bytes())

    def assemble(self, start: dict[str, str]) -> dict[str, Any]:
        """Run the connected side's steps to the signed bundle; return the plan."""
        self.side("connected")
        plan = invoke("resolve_spec", start)
        run = {"run": start["run"]}
        if not plan["assembled"]:
            for index in range(plan["images"]):
                invoke("verify_image", run | {"index": index})
                invoke("scan_image", run | {"index": index})
            invoke("assemble_bundle", run)
        invoke("sign_bundle", run)
        return plan

    def finish(self, start: dict[str, str]) -> None:
        """Run the connected side's last steps."""
        run = {"run": start["run"]}
        assert invoke("transfer_bundle", run | {"action": "start"})["done"]
        invoke("report_run", start | {"outcome": "succeeded"})

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys in a bucket."""
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", ())]

    def get(self, bucket: str, key: str) -> bytes:
        """Return an object."""
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def json(self, bucket: str, key: str) -> Any:
        """Return a JSON object."""
        return json.loads(self.get(bucket, key))

    def cross(self, stem: str = STEM) -> list[dict[str, str]]:
        """Carry what is in the outbox to the landing bucket; return what each file starts."""
        started = []
        for key in self.keys(OUTBOX, f"out/{stem}/"):
            name = key.rpartition("/")[2]
            started.append(self.put(LANDING, f"in/{stem}/{name}", self.get(OUTBOX, key)))
        return started

    def arrive(self, started: list[dict[str, str]]) -> str:
        """Let all files arrive; return the run of the one that found the bundle whole."""
        self.side("classified")
        answers = [invoke("check_arrival", one) for one in started]
        (run,) = [one["run"] for one in answers if one["complete"]]
        return str(run)

    def load(self, run: str) -> dict[str, Any]:
        """Run the classified side's steps after arrival; return what was verified."""
        plan = invoke("verify_bundle", {"run": run})
        for index in range(plan["images"]):
            invoke("load_image", {"run": run, "index": index})
        invoke("load_charts", {"run": run})
        invoke("publish_platform", {"run": run, "action": "publish"})
        invoke("publish_platform", {"run": run, "action": "switch"})
        invoke("notify_cluster", {"run": run})
        return plan

    def digest(self, key: str) -> Digest:
        """Return the digest of an object of the outbox."""
        return Digest.of(self.get(OUTBOX, key))


@contextmanager
def running_pipeline(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Run both sides until the block ends: empty buckets and tables, and a key in KMS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    sign_digests(monkeypatch)
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION)
        for name in BUCKETS:
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        dynamo = boto3.client("dynamodb", region_name=REGION)
        make_ledger_table(dynamo, "petra-ledger")
        make_idempotency_table(dynamo, "petra-idempotency")
        kms = boto3.client("kms", region_name=REGION)
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
        public = kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]
        _write_public(world.folder / "sender.pub", public)
        variables = dict(zip(_NAMES, BUCKETS, strict=True))
        variables |= {
            "LEDGER_TABLE": "petra-ledger",
            "IDEMPOTENCY_TABLE": "petra-idempotency",
            "SIGNING_KEY": f"awskms:///{key['KeyId']}",
            "CONFIG": str(world.folder),
        }
        for name, value in variables.items():
            monkeypatch.setenv(f"PETRA_{name}", value)
        pipeline = Pipeline(world, s3, monkeypatch)
        charts = world.charts.url.removeprefix("http://")
        pipeline.side("connected", sources=[world.host, charts], plainHttp=[world.host, charts])
        pipeline.side("classified", registry=world.host, prefix="inside", plainHttp=[world.host])
        yield pipeline


_NAMES = ("STAGING", "OUTBOX", "EVIDENCE", "LANDING", "QUARANTINE", "DEPOT")


def _write_public(path: Path, der: bytes) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    key = load_der_public_key(der)
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
