"""Both sides of the pipeline on an embedded cloud, as the tests of the pipeline use them."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from base64 import b64encode
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo import content
from petra.aws.pipeline_client import PipelineClient, RunStatus
from petra.content.digest import Digest
from petra.encoding.yaml import dump_yaml
from petra.errors import NotFoundError
from petra.oci.registry import RegistryClient
from tests.support.cloud_probe import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from demo.cloud.pipeline import Pipeline, Side
    from demo.source import Source
    from petra.trust.signer import LocalSigner
    from tests.support.docker_registry import DockerRegistry

#: Seconds that a test may take on a machine that others use too.
SLOW: Final = 600
VERSION: Final = "1.4.0"


@dataclass
class CloudSite:
    """The pipeline, what it takes from and loads into, and who listens.

    Attributes:
        pipeline: both sides.
        source: the connected side's registry and charts.
        vendor: who signs images.
        registry: the disconnected side's registry.
        queues: by account, the queue that all topics of the account send to.
        hook: log of the cluster's Receiver.
        restart: starts the registry again where it was.
    """

    pipeline: Pipeline
    source: Source
    vendor: LocalSigner
    registry: DockerRegistry
    queues: dict[str, str]
    hook: Path
    restart: Callable[[], DockerRegistry]

    def __post_init__(self) -> None:
        self._versions: dict[str, tuple[str, str]] = {}
        self._messages: list[tuple[str, str]] = []

    @property
    def target(self) -> str:
        """The registry of the disconnected side, HOST:PORT."""
        return self.registry.host

    # --- the connected side

    def image(self, name: str, *, sign: bool = True) -> str:
        """Push an image of its own for a test; return its reference."""
        repository_name = f"shop/{name}"
        with RegistryClient() as client:
            repository = client.repository(self.source.host, repository_name)
            layer = content.Layer.of({"srv/app": f"{name}\n".encode() * 1000})
            image = content.push_image(repository, [layer])
            repository.tag(image, "1.4")
            if sign:
                whole = f"{self.source.host}/{repository_name}"
                content.sign_by_tag(repository, image, whole, self.vendor)
        return f"{self.source.host}/{repository_name}:1.4"

    @property
    def client(self) -> PipelineClient:
        """The connected side as its users have it."""
        side = self.pipeline.connected
        return PipelineClient(
            side.client("s3"), side.outputs["StagingBucket"], pause=lambda _: time.sleep(0.3)
        )

    def submit(self, name: str, *images: str, **fields: Any) -> None:
        """Submit a spec of a bundle, ``NAME-1.4.0``."""
        listed = [
            {"name": one.rpartition("/")[2].partition(":")[0], "image": one} for one in images
        ]
        document = {
            "apiVersion": "petra.sh/v1alpha1",
            "kind": "Bundle",
            "metadata": {"name": name, "version": VERSION},
            "spec": {"images": listed, **fields},
        }
        stem = f"{name}-{VERSION}"
        self._versions[name] = self.client.submit(stem, dump_yaml(document))

    def ended(self, name: str) -> RunStatus:
        """Wait until a bundle's run on the connected side has ended."""
        key, version = self._versions[name]
        status = self.client.follow(key, version, timeout=SLOW / 2, listen=lambda _: None)
        wait_until(lambda: True if not self.pipeline.connected.busy else None, "the machine's end")
        return status

    def make(self, name: str, *images: str, **fields: Any) -> RunStatus:
        """Make a bundle of `images`, else of one of its own; return how the run ended."""
        self.submit(name, *(images or [self.image(name)]), **fields)
        return self.ended(name)

    def waiting(self, name: str) -> list[str]:
        """Return the files of a bundle in the outbox."""
        return self.pipeline.diode.waiting(f"{name}-{VERSION}")

    # --- across, and the other side

    def carry(
        self,
        name: str,
        files: Sequence[str] | None = None,
        change: Callable[[str, bytes], bytes | None] = lambda _, data: data,
    ) -> RunStatus:
        """Carry a bundle's files across; return how the run on the other side ended.

        Args:
            name: the bundle.
            files: in this order; None for the outbox's own.
            change: what becomes of each on its way; None loses it.
        """
        stem, diode = f"{name}-{VERSION}", self.pipeline.diode
        before = len(self.pipeline.classified.executions())
        sent = 0
        for file in files or diode.waiting(stem):
            data = change(file, diode.read(stem, file))
            if data is not None:
                diode.put(stem, file, data)
                sent += 1
        side = self.pipeline.classified

        def all_ended() -> bool | None:
            return (len(side.executions()) >= before + sent and not side.busy) or None

        wait_until(all_ended, f"the load of {stem}", patience=SLOW / 2)
        return self.arrived(name)

    def arrived(self, name: str) -> RunStatus:
        """Return how the newest run for a bundle's files on the other side is."""
        side = self.pipeline.classified
        s3, bucket = side.client("s3"), side.outputs["DepotBucket"]
        prefix = f"status/by-spec/in/{name}-{VERSION}/"
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        found = [s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed]
        values = sorted((json.loads(one) for one in found), key=lambda one: str(one["updated"]))
        assert values, f"nothing was told of {name}"
        return RunStatus(values[-1])

    def is_loaded(self, name: str) -> bool:
        """Say whether a bundle's own image is in the registry of the disconnected side."""
        with RegistryClient() as client:
            try:
                client.repository(self.target, f"mirror/shop/{name}").resolve("1.4")
            except NotFoundError:
                return False
        return True

    def quarantined(self) -> list[str]:
        """Return the keys in quarantine."""
        side = self.pipeline.classified
        listed = side.client("s3").list_objects_v2(Bucket=side.outputs["QuarantineBucket"])
        return [one["Key"] for one in listed.get("Contents", [])]

    # --- what people see

    def metric(self, side: Side, name: str) -> float:
        """Return the sum of a metric of Petra's on a side."""
        label = "connected" if side is self.pipeline.connected else "classified"
        now = datetime.now(UTC)
        found = side.client("cloudwatch").get_metric_statistics(
            Namespace="Petra",
            MetricName=name,
            Dimensions=[{"Name": "side", "Value": label}],
            StartTime=now - timedelta(hours=2),
            EndTime=now + timedelta(minutes=5),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    def alarms(self, side: Side) -> set[str]:
        """Return the names of the metrics of Petra's whose alarms are on."""
        alarms = side.client("cloudwatch").describe_alarms(StateValue="ALARM")["MetricAlarms"]
        return {one["MetricName"] for one in alarms if one.get("Namespace") == "Petra"}

    def told(self, topic: str, name: str) -> int:
        """Return how many messages about a bundle a topic had."""
        for account, queue in self.queues.items():
            sqs = self.pipeline.connected.cloud.client("sqs", account)
            while found := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get(
                "Messages"
            ):
                for message in found:
                    body = json.loads(message["Body"])
                    self._messages.append((str(body["TopicArn"]), str(body["Message"])))
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return sum(topic in arn and f"{name}-{VERSION}" in text for arn, text in self._messages)

    # --- mishaps

    def kill_functions(self, name: str) -> int:
        """Kill the workers of a function; return how many there were."""
        folder = re.escape(str(self.pipeline.connected.cloud.folder))
        mark = re.compile(rf"{folder}/.*/ministack-lambda-Petra\w+-{name}".encode())
        count = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark.search((process / "cmdline").read_bytes()):
                    os.kill(int(process.name), signal.SIGKILL)
                    count += 1
        return count

    def kill_next(self, name: str) -> None:
        """Wait for a worker of a function, and kill it."""
        wait_until(
            lambda: self.kill_functions(name) or None, f"a worker of {name}", patience=SLOW / 2
        )

    def errors(self, name: str) -> list[str]:
        """Return what failed in a bundle's run on the connected side, tries among it."""
        client = self.pipeline.connected.client("stepfunctions")
        (run,) = [
            one["executionArn"]
            for one in self.pipeline.connected.executions()
            if one["name"] == self.client.status(f"{name}-{VERSION}").value["run"]
        ]
        events = client.get_execution_history(executionArn=run, maxResults=1000)["events"]
        found = [one.get("taskFailedEventDetails") for one in events]
        return [one["error"] for one in found if one]

    @contextmanager
    def registry_down(self) -> Iterator[None]:
        """Have the disconnected side's registry down in the block."""
        self.registry.server.stop()
        try:
            yield
        finally:
            self.registry = self.restart()


def forged(key: LocalSigner, file: str, data: bytes, bundle: bytes) -> bytes | None:
    """Return a bundle's file with the signature of another key; its other signatures are lost."""
    if file.endswith(".tar.zst"):
        return data
    return b64encode(key.sign_digest(Digest.of(bundle))) if file.endswith(".sig") else None
