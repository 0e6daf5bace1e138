"""Both sides of the pipeline on the embedded cloud, each in an account of its own.

The connected side is deployed first; its public key is all that the other side's configuration
takes from it. Between the outbox and the landing bucket stands a :class:`Diode`: nothing else
connects the two accounts.
"""

from __future__ import annotations

import fcntl
import json
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo.cloud.deploy import Deployment, run_logged
from demo.cloud.emulator import REGION, TOOLS, Cloud
from petra.encoding.yaml import dump_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CONNECTED: Final = "111111111111"
CLASSIFIED: Final = "222222222222"
_NETWORK: Final = {
    "vpc": "vpc-0a000000000000001",
    "availabilityZones": [f"{REGION}a"],
    "subnets": ["subnet-0a000000000000001"],
}
_ENDED: Final = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True)
class Settings:
    """What the two sides are told, besides what the embedded cloud needs.

    Attributes:
        registry: the connected side's registry, HOST:PORT; charts come from `sources` too.
        sources: hosts that specs may name.
        images: who must have signed the images of which pattern, as a policy says it.
        keys: PEM by file name, for both sides' policies.
        target: the registry of the disconnected side, HOST:PORT.
        cluster: ``run.cluster`` of the disconnected side; None for none.
        policy: more of the connected side's policy.
        max_bytes: larger bundles cross in chunks of so many bytes.
    """

    registry: str
    sources: Sequence[str]
    images: Sequence[Mapping[str, Any]]
    keys: Mapping[str, bytes]
    target: str
    cluster: Mapping[str, Any] | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    max_bytes: int | None = None


@dataclass(frozen=True)
class Side:
    """One side that is deployed.

    Attributes:
        cloud: the cloud.
        account: its account.
        outputs: of its stacks, by name.
    """

    cloud: Cloud
    account: str
    outputs: Mapping[str, str]

    def client(self, service: str) -> Any:
        """Return a boto3 client as this side's administrator."""
        return self.cloud.client(service, self.account)

    def executions(self) -> list[dict[str, Any]]:
        """Return the executions of its machine, the newest first."""
        listed = self.client("stepfunctions").list_executions(
            stateMachineArn=self.outputs["MachineArn"]
        )
        return list(listed["executions"])

    @property
    def busy(self) -> bool:
        """Whether an execution runs."""
        return any(one["status"] not in _ENDED for one in self.executions())


@dataclass(frozen=True)
class Pipeline:
    """Both sides."""

    connected: Side
    classified: Side

    @property
    def diode(self) -> Diode:
        """What stands between them."""
        return Diode(self.connected, self.classified)


@dataclass(frozen=True)
class Diode:
    """Carries objects one way, from the outbox to the landing bucket, and knows nothing of them."""

    source: Side
    target: Side

    def waiting(self, stem: str) -> list[str]:
        """Return the names of the files of a bundle, ``NAME-VERSION``, in the outbox."""
        prefix = f"out/{stem}/"
        listed = self.source.client("s3").list_objects_v2(
            Bucket=self.source.outputs["OutboxBucket"], Prefix=prefix
        )
        return [one["Key"].removeprefix(prefix) for one in listed.get("Contents", [])]

    def read(self, stem: str, name: str) -> bytes:
        """Return a file of the outbox."""
        bucket = self.source.outputs["OutboxBucket"]
        answer = self.source.client("s3").get_object(Bucket=bucket, Key=f"out/{stem}/{name}")
        data: bytes = answer["Body"].read()
        return data

    def put(self, stem: str, name: str, data: bytes) -> None:
        """Let a file arrive."""
        bucket = self.target.outputs["LandingBucket"]
        self.target.client("s3").put_object(Bucket=bucket, Key=f"in/{stem}/{name}", Body=data)

    def carry(self, stem: str, names: Sequence[str] | None = None) -> list[str]:
        """Carry files of a bundle across, in this order; return their names."""
        names = self.waiting(stem) if names is None else list(names)
        for name in names:
            self.put(stem, name, self.read(stem, name))
        return names


def deploy(cloud: Cloud, settings: Settings) -> Pipeline:
    """Synthesize, bootstrap and deploy both sides with the real CDK CLI.

    Args:
        cloud: the running cloud.
        settings: what the sides are told.

    Raises:
        CloudError: a step failed; the text has the end of its log.
    """
    with _alone(), ThreadPoolExecutor() as pool:
        return _deploy(cloud, settings, pool)


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other deployment of this checkout uses the folders of its templates."""
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _deploy(cloud: Cloud, settings: Settings, pool: ThreadPoolExecutor) -> Pipeline:
    started = [
        pool.submit(Deployment(cloud, account, Path()).bootstrap)
        for account in (CONNECTED, CLASSIFIED)
    ]
    assembly = synthesize(cloud, "connected", _connected(cloud, settings))
    for one in started:
        one.result()
    connected = _deploy_side(cloud, CONNECTED, assembly, "Connected")
    key = connected.client("kms").get_public_key(KeyId=connected.outputs["SigningKeyArn"])
    assembly = synthesize(cloud, "classified", _classified(cloud, settings, key["PublicKey"]))
    return Pipeline(connected, _deploy_side(cloud, CLASSIFIED, assembly, "Classified"))


def _deploy_side(cloud: Cloud, account: str, assembly: Path, name: str) -> Side:
    _stand_in_for_images(cloud, account, assembly)
    outputs = Deployment(cloud, account, assembly).deploy(f"Petra{name}Data", f"Petra{name}")
    return Side(cloud, account, outputs)


def docker_is_there() -> bool:
    """Return whether a docker daemon answers, so that the ECS path can run as a container."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    asked = subprocess.run([docker, "info"], capture_output=True, check=False)
    return asked.returncode == 0


def _stand_in_for_images(cloud: Cloud, account: str, assembly: Path) -> None:
    """Where no docker daemon is, put an empty image where the task's would go.

    The CDK CLI builds an image that is not in its repository, which nothing here could do. The
    task is then not run: all bundles go by Lambda.
    """
    if docker_is_there():
        return
    ecr = cloud.client("ecr", account)
    for assets in assembly.glob("*.assets.json"):
        images = json.loads(assets.read_text()).get("dockerImages", {})
        for image in images.values():
            for place in image["destinations"].values():
                tag = place["imageTag"]
                repository = place["repositoryName"].replace("${AWS::AccountId}", account)
                repository = repository.replace("${AWS::Region}", REGION)
                ecr.put_image(repositoryName=repository, imageManifest="{}", imageTag=tag)


def synthesize(cloud: Cloud, name: str, side: dict[str, Any]) -> Path:
    """Run ``app.py`` for one side; return the folder with its templates and assets.

    The folder stays, so that the layer of dependencies is put together once.
    """
    assembly = TOOLS / f"cdk.out-{name}"
    own = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    context = {**own, "petra": {name: side}}
    run_logged(
        [sys.executable, str(REPOSITORY / "app.py")],
        log=cloud.folder / f"synth-{name}.log",
        folder=REPOSITORY,
        environment={
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(assembly),
            "PYTHONPATH": str(REPOSITORY),
        },
    )
    return assembly


def _side(account: str, config: Path) -> dict[str, Any]:
    """Return what both sides' settings have: the functions run on this machine's own Python."""
    machine = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
    return {
        "account": account,
        "region": REGION,
        "runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "architecture": machine,
        "config": str(config.relative_to(REPOSITORY)),
        "retain": False,
        "network": _NETWORK,
    }


def _connected(cloud: Cloud, settings: Settings) -> dict[str, Any]:
    config = _config(cloud, "connected", settings.keys)
    spec = {"images": [*settings.images], **settings.policy}
    _write_policy(config, "connected", spec)
    transfer: dict[str, Any] = {"mode": "none", "deadlineMinutes": 60}
    if settings.max_bytes is not None:
        transfer["maxBytes"] = settings.max_bytes
    run = {"sources": [*settings.sources], "plainHttp": [*settings.sources], "transfer": transfer}
    return {**_side(CONNECTED, config), "run": run}


def _classified(cloud: Cloud, settings: Settings, key: bytes) -> dict[str, Any]:
    config = _config(cloud, "classified", {**settings.keys, "sender.pub": _pem(key)})
    bundle = {"signers": ["sender.pub"], "allowSkipped": ["scan"]}
    spec = {"images": [*settings.images], "bundle": bundle}
    _write_policy(config, "classified", spec)
    run: dict[str, Any] = {
        "registry": settings.target,
        "prefix": "mirror",
        "plainHttp": [settings.target],
        "manifests": "depot",
        "pollSeconds": 20,
    }
    network: dict[str, Any] = {**_NETWORK}
    if settings.cluster:
        run["cluster"] = dict(settings.cluster)
        network["functions"] = True
    return {**_side(CLASSIFIED, config), "network": network, "run": run}


def _config(cloud: Cloud, name: str, keys: Mapping[str, bytes]) -> Path:
    """Return a folder for a side's configuration, with the keys that its policy names."""
    folder = TOOLS / "config" / cloud.url.rpartition(":")[2] / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file, data in keys.items():
        (folder / file).write_bytes(data)
    return folder


def _write_policy(folder: Path, name: str, spec: Mapping[str, Any]) -> None:
    document = {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": name},
        "spec": dict(spec),
    }
    (folder / "policy.yaml").write_bytes(dump_yaml(document))


def _pem(der: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # start-up time
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    return load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
