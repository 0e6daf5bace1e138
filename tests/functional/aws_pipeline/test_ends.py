"""The ends of both machines: across, to the cluster, and to people."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from petra.aws.dynamo_ledger import DynamoLedger
from petra.aws.pipeline.clusters import poll_releases
from petra.aws.pipeline.sides import Classified
from petra.aws.pipeline.status import by_spec
from petra.errors import AccessError, NotFoundError, TransportError
from petra.load.ledger import History, ReleaseRecord
from tests.support.fake_cluster import FakeCluster
from tests.support.flux_objects import ARCHIVE
from tests.support.pipeline import DEPOT, LANDING, STEM, invoke
from tests.support.s3 import REGION
from tests.support.tools import REPOSITORY
from tests.support.world import WEB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.load.kubernetes import Cluster
    from tests.support.pipeline import Pipeline

FILE = f"{STEM}.tar.zst"
HOOK = REPOSITORY / "tests" / "support" / "hook_server.py"


def signed(pipeline: Pipeline, **settings: Any) -> dict[str, str]:
    """Make and sign a bundle, with these settings of the connected side."""
    pipeline.side("connected", **settings)
    start = pipeline.upload(pipeline.world.spec(WEB))
    pipeline.assemble(start)
    return start


def loaded(pipeline: Pipeline) -> str:
    """Bring a bundle as far as the cluster; return its run."""
    pipeline.finish(signed(pipeline))
    run = pipeline.arrive(pipeline.cross())
    pipeline.load(run)
    return run


def test_copies_go_to_the_landing_bucket_under_the_bundles_name(pipeline: Pipeline) -> None:
    start = signed(pipeline, transfer={"mode": "copy", "bucket": LANDING})
    run = {"run": start["run"]}
    assert invoke("transfer_bundle", run | {"action": "start"})["done"]
    names = ["", ".intoto.json", ".sig", ".sigstore.json"]
    assert pipeline.keys(LANDING) == [f"in/{STEM}/{FILE}{more}" for more in names]
    assert invoke("transfer_bundle", run | {"action": "poll"})["done"]
    assert len(pipeline.s3.list_object_versions(Bucket=LANDING)["Versions"]) == len(names)


def test_people_are_told_once_though_the_step_is_tried_again(pipeline: Pipeline) -> None:
    topic, queue = topic_with_queue(pipeline)
    start = signed(pipeline)
    for _ in range(2):
        invoke("report_run", start | {"outcome": "succeeded"})
    messages = received(queue)
    assert len(messages) == 1
    assert messages[0]["TopicArn"] == topic
    assert messages[0]["Subject"] == f"Petra: {STEM} succeeded"


def test_a_refusal_is_told_to_security_too(pipeline: Pipeline) -> None:
    _, queue = topic_with_queue(pipeline, "SECURITY")
    start = signed(pipeline)
    error = {"Error": "SignatureError", "Cause": "no signature\n  next: ask for one"}
    invoke("report_run", start | {"outcome": "refused", "error": error})
    (message,) = received(queue)
    assert "message: no signature" in message["Message"]
    assert "next: ask for one" in message["Message"]


def topic_with_queue(pipeline: Pipeline, who: str = "OPERATORS") -> tuple[str, str]:
    """Make a topic and a queue that hears it; return the topic's ARN and the queue's URL."""
    sns, sqs = (boto3.client(one, region_name=REGION) for one in ("sns", "sqs"))
    topic = sns.create_topic(Name="people")["TopicArn"]
    queue = sqs.create_queue(QueueName="people")["QueueUrl"]
    named = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=named["Attributes"]["QueueArn"])
    pipeline.monkeypatch.setenv(f"PETRA_TOPIC_{who}", topic)
    return topic, queue


def received(queue: str) -> list[dict[str, Any]]:
    """Return the messages of a queue."""
    sqs = boto3.client("sqs", region_name=REGION)
    found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(one["Body"]) for one in found]


@contextmanager
def hook(token: str, first: str = "") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a Receiver, in a program of its own; give its URL."""
    command = [sys.executable, str(HOOK), token, "petra", "flux-system", first]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = process.stdout.readline().split()[-1]
        yield f"http://127.0.0.1:{port}/flux-system/petra", process
        process.terminate()


def with_receiver(pipeline: Pipeline, url: str, token: str) -> None:
    """Name a Receiver and its secret in the classified side's settings."""
    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.create_secret(Name="flux/token", SecretString=token)
    pipeline.side("classified", cluster={"receiver": url, "receiverSecret": "flux/token"})


def test_the_receiver_is_told_with_the_secrets_token(pipeline: Pipeline) -> None:
    run = loaded(pipeline)
    with hook("made-up-token") as (url, process):
        with_receiver(pipeline, url, "made-up-token\n")
        assert invoke("notify_cluster", {"run": run})["told"]
        assert process.stdout
        heard = json.loads(process.stdout.readline())
    assert heard["status"] == 200
    assert json.loads(heard["body"])["bundle"]["name"] == "shop"


def test_a_receiver_with_another_token_is_not_found(pipeline: Pipeline) -> None:
    run = loaded(pipeline)
    with hook("made-up-token") as (url, _):
        with_receiver(pipeline, url, "another")
        with pytest.raises((NotFoundError, AccessError)):
            invoke("notify_cluster", {"run": run})


class Watched(Classified):
    """A classified side whose cluster the test plays."""

    def __init__(self, cluster: FakeCluster) -> None:
        super().__init__()
        self._played = cluster

    @contextmanager
    def cluster(self) -> Iterator[Cluster | None]:
        yield self._played

    def at(self, moment: datetime) -> Watched:
        self._moment = moment
        return self

    _moment: datetime | None = None

    @property
    def now(self) -> datetime:
        return self._moment or datetime.now(UTC)


def with_a_release(pipeline: Pipeline) -> str:
    """Bring a bundle as far as the cluster, as one that has a release."""
    run = loaded(pipeline)
    ledger = DynamoLedger(boto3.client("dynamodb", region_name=REGION), "petra-ledger")
    (stamp,) = History(ledger.events()).complete("shop")
    record = ledger.record(stamp)
    assert record
    release = ReleaseRecord(
        namespace="flux-system", name="web", chart="web", version="1.2.3", archive=ARCHIVE
    )
    ledger.keep(record.model_copy(update={"releases": (release,)}))
    return run


def test_a_release_that_is_not_there_yet_is_waited_for(pipeline: Pipeline) -> None:
    run = with_a_release(pipeline)
    found = poll_releases(Watched(FakeCluster()), run)
    assert (found["done"], found["succeeded"]) == (False, False)
    origin = pipeline.json(DEPOT, f"runs/{run}/origin.json")
    told = pipeline.json(DEPOT, by_spec(origin["key"]))["releases"]
    assert "flux-system/web" in told[0]


def test_a_release_that_never_comes_fails_at_the_deadline(pipeline: Pipeline) -> None:
    run = with_a_release(pipeline)
    late = Watched(FakeCluster()).at(datetime(2100, 1, 1, tzinfo=UTC))
    found = poll_releases(late, run)
    assert (found["done"], found["succeeded"], found["watched"]) == (True, False, True)
    ledger = DynamoLedger(boto3.client("dynamodb", region_name=REGION), "petra-ledger")
    record = ledger.record(History(ledger.events()).complete("shop")[-1])
    assert record
    assert record.healthy is False


def test_a_cluster_that_is_away_is_a_transport_error(pipeline: Pipeline) -> None:
    run = with_a_release(pipeline)
    secrets = boto3.client("secretsmanager", region_name=REGION)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {"token": "x"}}],
    }
    secrets.create_secret(Name="kubeconfig", SecretString=json.dumps(config))
    pipeline.side("classified", cluster={"secret": "kubeconfig"})
    with pytest.raises(TransportError):
        invoke("poll_releases", {"run": run})
