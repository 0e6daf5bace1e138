"""The settings of a deployment, typed: ``petra`` in the context of ``cdk.json``.

Nothing is looked up in an account at synthesis: what exists already (a VPC, its subnets, a
boundary) is named here. A mistake is an error with its place, before CDK is asked for anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from petra.aws.side_settings import ClassifiedSettings, ConnectedSettings
from petra.encoding.json import load_json
from petra.encoding.models import Items, Model
from petra.errors import SettingError

ROOT = Path(__file__).parent.parent

_Account = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
_Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
_Vpc = Annotated[str, Field(pattern=r"^vpc-[0-9a-f]+$")]
_Subnet = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]
_Zone = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$")]
_Arn = Annotated[str, Field(pattern=r"^arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+$")]
_Action = Annotated[str, Field(pattern=r"^[a-z0-9-]+:[A-Za-z]+$")]

#: The retention periods that CloudWatch Logs knows, in days.
LogDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653]


class Network(Model):
    """A VPC that exists. Its subnets must reach what the functions and tasks need.

    Attributes:
        vpc: its id.
        availability_zones: one for each subnet, in the same order.
        subnets: private subnets.
        cidr: the VPC's addresses; endpoints let these in.
        functions: put the functions into it too (the task always is).
        endpoints: make VPC endpoints for the services that the pipeline calls.
    """

    vpc: _Vpc
    availability_zones: Items[_Zone] = Field(min_length=1)
    subnets: Items[_Subnet] = Field(min_length=1)
    cidr: str = Field("10.0.0.0/8", pattern=r"^[0-9.]+/[0-9]{1,2}$")
    functions: bool = False
    endpoints: bool = False

    @model_validator(mode="after")
    def _paired(self) -> Network:
        if len(self.subnets) != len(self.availability_zones):
            raise ValueError("`subnets` and `availabilityZones` must be of the same length")
        return self


class Thresholds(Model):
    """When the alarms ring.

    Attributes:
        scan_database_days: age of the scanner's database at its use.
        last_success_days: days without a run that ended well. 7 is the most that CloudWatch knows.
    """

    scan_database_days: int = Field(5, ge=1, le=365)
    last_success_days: int = Field(7, ge=1, le=7)


class Evidence(Model):
    """Object Lock of the evidence bucket."""

    mode: Literal["governance", "compliance"] = "governance"
    days: int = Field(365, ge=1, le=36500)


class Side(Model):
    """What both sides' stacks are told.

    Attributes:
        account: None makes a template for any account.
        region: None makes a template for any region.
        name: begins the names of the side's stacks.
        runtime: of the functions. Isolated regions may lack the newest.
        architecture: of functions and task.
        config: folder with ``policy.yaml`` and the keys that it names, relative to the repository.
        permissions_boundary: ARN of the policy that bounds every role.
        log_retention_days: of every log group.
        run_days: how long the objects of a run are kept in ``runs/``.
        retain: keep buckets, tables and keys when the stack is deleted.
        function_memory: MiB of the functions that move bytes; the others have 512.
    """

    account: _Account | None = None
    region: _Region | None = None
    name: str = Field("Petra", pattern=r"^[A-Za-z][A-Za-z0-9]{0,30}$")
    runtime: str = Field("python3.13", pattern=r"^python3\.1[1-4]$")
    architecture: Literal["arm64", "x86_64"] = "arm64"
    config: str = Field(pattern=r"^[A-Za-z0-9._/-]+$")
    permissions_boundary: _Arn | None = None
    network: Network | None = None
    log_retention_days: LogDays = 365
    run_days: int = Field(30, ge=1, le=3650)
    retain: bool = True
    function_memory: int = Field(1024, ge=512, le=10240)
    thresholds: Thresholds = Thresholds()

    @model_validator(mode="after")
    def _with_policy(self) -> Side:
        if not (ROOT / self.config / "policy.yaml").is_file():
            raise ValueError(f"`config` {self.config} has no policy.yaml")
        return self


class ConnectedSide(Side):
    """The connected side.

    Attributes:
        network: of the ECS task, which packs large bundles.
        compute: ``ec2`` where a region has no Fargate.
        instance_type: of ``ec2``.
        task_cpu: CPU units of the task.
        task_memory: MiB of the task.
        base_image: what the task's container is built on.
        scanner: folder, relative to the repository, with ``bin/grype`` (and ``bin/syft``) for
            Linux and the architecture; a layer of the function that scans.
        transfer_key: ARN of the key that encrypts the landing bucket, for mode ``copy``.
        transfer_actions: IAM actions of the service, for mode ``service``.
        transfer_resources: the ARNs that they are allowed on.
        run: what the handlers are told.
    """

    network: Network
    compute: Literal["fargate", "ec2"] = "fargate"
    instance_type: str = Field("m7g.large", pattern=r"^[a-z0-9-]+\.[a-z0-9]+$")
    task_cpu: Literal[1024, 2048, 4096] = 2048
    task_memory: int = Field(4096, ge=2048, le=30720)
    base_image: str | None = None
    scanner: str | None = Field(None, pattern=r"^[A-Za-z0-9._/-]+$")
    evidence: Evidence = Evidence()
    transfer_key: _Arn | None = None
    transfer_actions: Items[_Action] = ()
    transfer_resources: Items[_Arn] = ()
    run: ConnectedSettings = ConnectedSettings()

    @model_validator(mode="after")
    def _with_scanner(self) -> ConnectedSide:
        if self.scanner and not (ROOT / self.scanner / "bin" / "grype").is_file():
            raise ValueError(f"`scanner` {self.scanner} has no bin/grype")
        return self


class Nodes(Model):
    """k3s nodes that take images by SSM instead of from a registry.

    Attributes:
        tag: the tag that names them.
        value: its value.
        role: name of their role, which is let read the landing bucket.
    """

    tag: str = Field("petra:delivery", pattern=r"^[A-Za-z0-9:_./=+@-]{1,128}$")
    value: str = Field("k3s", pattern=r"^[A-Za-z0-9:_./=+@-]{1,256}$")
    role: str = Field(pattern=r"^[A-Za-z0-9+=,.@_-]{1,64}$")


class ClassifiedSide(Side):
    """The disconnected side.

    Attributes:
        sender: ARN of the one principal of the other account that may write into the landing
            bucket, and nothing else. Only where no cross-domain service stands between.
        nodes: see :class:`Nodes`.
        depot_readers: ARNs of roles that read the depot bucket (Flux's source controller).
        run: what the handlers are told.
    """

    sender: _Arn | None = None
    nodes: Nodes | None = None
    depot_readers: Items[_Arn] = ()
    run: ClassifiedSettings = ClassifiedSettings()

    @model_validator(mode="after")
    def _reachable(self) -> ClassifiedSide:
        if self.run.cluster and not (self.network and self.network.functions):
            raise ValueError("`run.cluster` needs `network` with functions: true, to reach it")
        return self


class Deployment(Model):
    """What ``cdk.json`` deploys: one side, or both where they are tried together."""

    connected: ConnectedSide | None = None
    classified: ClassifiedSide | None = None

    @model_validator(mode="after")
    def _something(self) -> Deployment:
        if not self.connected and not self.classified:
            raise ValueError("neither `connected` nor `classified` is there")
        return self


def deployment(context: Any) -> Deployment:
    """Return the settings in `context`.

    Args:
        context: the value of ``petra`` in CDK's context; a text names a JSON file with it,
            relative to the repository (``cdk deploy -c petra=FILE``).

    Raises:
        SettingError: what is wrong, every fault with its place.
    """
    where = "petra in the context of cdk.json"
    if isinstance(context, str):
        where, context = context, _file(context)
    try:
        return Deployment.model_validate(context)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'petra'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise SettingError(
            "the deployment's settings are not usable",
            where=where,
            found=faults,
            hint="docs/aws.md has every setting",
        ) from None


def _file(name: str) -> Any:
    try:
        return load_json((ROOT / name).read_bytes(), where=name)
    except OSError as error:
        raise SettingError(
            "the file of settings cannot be read", where=name, found=error.strerror
        ) from None
