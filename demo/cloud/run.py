"""``make demo-cloud``: the whole pipeline on one machine, on an embedded cloud.

MiniStack stands for AWS, one account for each side. The real CDK CLI deploys the real templates
to it, the real state machines run the real functions. Registries run inside this process. Each
step checks what came out; the exit status is 1 if one is not as it should be.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from demo.cloud.emulator import CloudError, embedded_cloud
from demo.cloud.pipeline import Pipeline, Settings, deploy, docker_is_there
from demo.source import Source, connected_side, disconnected_side
from demo.stage import DemoError, Stage, expect
from petra.encoding.yaml import dump_yaml
from petra.errors import PetraError
from petra.oci.registry import RegistryClient
from petra.trust.keys import PrivateKey
from petra.trust.primitives import new_private
from petra.trust.signer import LocalSigner

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEM = "shop-1.4.0"
_WAIT_SCALE = 0.05
_PATIENCE_SECONDS = 300


@dataclass
class CloudStage(Stage):
    """A stage whose commands talk to the embedded cloud.

    Attributes:
        cloud: the variables that say where it is.
    """

    cloud: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The commands' environment."""
        return {**super().environment, **self.cloud}


def _settings(source: Source, vendor: LocalSigner, target: str) -> Settings:
    return Settings(
        registry=source.host,
        sources=[source.host, source.charts.split("/")[2]],
        images=[{"pattern": f"{source.host}/shop/*", "verify": {"key": "vendor.pub"}}],
        keys={"vendor.pub": vendor.public_key.pem},
        target=target,
        policy={
            "scan": {"skip": "no scanner on the machine that shows it"},
            "bundle": {"allowSkipped": ["scan"]},
        },
    )


def _spec(source: Source) -> bytes:
    images = [
        {"name": image.split("/")[1].split(":")[0], "image": f"{source.host}/{image}"}
        for image in source.images
    ]
    charts = [{"name": "shop", "repo": source.charts, "version": "1.4.0"}]
    return dump_yaml(
        {
            "apiVersion": "petra.sh/v1alpha1",
            "kind": "Bundle",
            "metadata": {"name": "shop", "version": "1.4.0"},
            "spec": {"images": images, "charts": charts},
        }
    )


def _submit(stage: CloudStage, pipeline: Pipeline, source: Source) -> None:
    (stage.folder / "bundle.yaml").write_bytes(_spec(source))
    staging = f"s3://{pipeline.connected.outputs['StagingBucket']}"
    stage.step(
        "A spec is put into the staging bucket, and its run is followed: tags become digests, "
        "each image's signature is verified, all is packed straight into S3, and KMS signs it."
    )
    stage.petra("pipeline", "submit", "-f", "bundle.yaml", "--bucket", staging, "--watch")
    waiting = pipeline.diode.waiting(_STEM)
    expect(what=f"the outbox has {', '.join(waiting)}", holds=f"{_STEM}.tar.zst.sig" in waiting)


def _load(stage: CloudStage, pipeline: Pipeline, source: Source, target: str) -> None:
    stage.step(
        "The two accounts share nothing. A diode carries the files to the landing bucket of the "
        "other one, which verifies them, loads the registry and publishes the manifests."
    )
    before = len(pipeline.classified.executions())
    carried = pipeline.diode.carry(_STEM)
    _wait(pipeline, before + len(carried))
    _other_side(stage, pipeline, _STEM, 0)
    with RegistryClient() as client:
        for image, descriptor in source.images.items():
            repository, _, tag = image.partition(":")
            found = client.repository(target, f"mirror/{repository}").resolve(tag)
            expect(
                what=f"{target}/mirror/{image} is there, digest unchanged",
                holds=found.digest == descriptor.digest,
            )


def _tampered(stage: CloudStage, pipeline: Pipeline) -> None:
    stage.step("One flipped bit on the way: refused, put into quarantine, and the alarm is on.")
    bundle = f"{_STEM}.tar.zst"
    data = bytearray(pipeline.diode.read(_STEM, bundle))
    data[len(data) // 2] ^= 1
    stem = "bent-1.4.0"
    before = len(pipeline.classified.executions())
    names = pipeline.diode.waiting(_STEM)
    for name in names:
        file = pipeline.diode.read(_STEM, name)
        pipeline.diode.put(stem, name, bytes(data) if name == bundle else file)
    _wait(pipeline, before + len(names))
    side = pipeline.classified
    kept = side.client("s3").list_objects_v2(Bucket=side.outputs["QuarantineBucket"])
    expect(what="it is in quarantine", holds=any(stem in o["Key"] for o in kept["Contents"]))
    alarms = side.client("cloudwatch").describe_alarms(StateValue="ALARM")["MetricAlarms"]
    expect(
        what="the alarm VerificationFailed is on",
        holds="VerificationFailed" in {alarm.get("MetricName") for alarm in alarms},
    )


def _other_side(stage: CloudStage, pipeline: Pipeline, name: str, status: int) -> None:
    side = pipeline.classified
    stage.cloud = side.cloud.environment(side.account)
    depot = f"s3://{side.outputs['DepotBucket']}"
    stage.petra("pipeline", "status", name, "--bucket", depot, status=status)


def _wait(pipeline: Pipeline, runs: int) -> None:
    """Wait until what has arrived was dealt with: one run for each file, all ended."""
    side = pipeline.classified
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if len(side.executions()) >= runs and not side.busy:
            return
        time.sleep(0.5)
    raise DemoError("the other side did not come to an end in time")


def _play(folder: Path) -> None:
    vendor = LocalSigner(PrivateKey(new_private()))
    with (
        connected_side(vendor) as source,
        disconnected_side() as target,
        embedded_cloud(folder / "cloud", wait_scale=_WAIT_SCALE) as cloud,
    ):
        stage = CloudStage(folder)
        stage.step(
            "The CDK CLI bootstraps two accounts of the embedded cloud, and deploys each side "
            "to its own. This takes a minute or two."
        )
        pipeline = deploy(cloud, _settings(source, vendor, target))
        if not docker_is_there():
            print("   (no docker daemon here: the ECS task is deployed, and not run)")
        connected = pipeline.connected
        stage.cloud = cloud.environment(connected.account)
        expect(what="both sides are deployed", holds="MachineArn" in pipeline.classified.outputs)
        _submit(stage, pipeline, source)
        _load(stage, pipeline, source, target)
        _tampered(stage, pipeline)


def main() -> int:
    """Run all steps; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="petra-demo-") as folder:
        try:
            _play(Path(folder))
        except (DemoError, CloudError, PetraError) as error:
            print(f"\n✗ {error}", file=sys.stderr)
            return 1
    print("\nThat was the pipeline: a spec put on one side, a registry filled on the other.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
