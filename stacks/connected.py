"""The connected side's pipeline: a spec in the staging bucket → a signed bundle that crosses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import CfnOutput, Stack

from petra.aws.metrics import Side
from stacks.constructs.alarms import Alarms
from stacks.constructs.dashboard import dashboard
from stacks.constructs.encryption import allow_logs, allow_services, encryption_key
from stacks.constructs.function import Functions
from stacks.constructs.layers import Layers, scanner_layer
from stacks.constructs.machine import Work, machine, start
from stacks.constructs.network import COMMON, TASK, placement
from stacks.constructs.role import (
    READ,
    READ_TAGS,
    TAG,
    WRITE,
    allow,
    allow_items,
    allow_key,
    allow_list,
    allow_objects,
    allow_secrets,
)
from stacks.constructs.task import assembler_task
from stacks.constructs.topics import Topics
from stacks.settings import ROOT

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_lambda as lambda_
    from constructs import Construct

    from stacks.connected_data import ConnectedData
    from stacks.settings import ConnectedSide

_HOURS = 24
#: A function's own disk, and MiB of it. The vulnerability database has some two gigabytes.
_SCANNER_DISK = "/tmp/petra-scanner"  # noqa: S108  # nobody shares it
_SCANNER_MIB = 6144


class Connected(Stack):
    """The stateless stack of the connected side.

    Args:
        scope: the app.
        construct_id: the stack's.
        side: settings.
        data: the side's stateful stack.
        stack: further properties of the stack.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        side: ConnectedSide,
        data: ConnectedData,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        self._side = side
        self._data = data
        self.key = encryption_key(self, "Key", side, "queues, topics and logs, connected side")
        allow_logs(self.key, f"/petra/{self.stack_name}/*")
        allow_services(self.key, "events.amazonaws.com", "cloudwatch.amazonaws.com")
        self.topics = Topics.make(self, self.key)
        place = placement(self, side.network, (*COMMON, *TASK))
        self.functions = Functions(
            self,
            side,
            Layers.make(self, side),
            self.key,
            self._environment(),
            place if side.network.functions else None,
        )
        self.task = assembler_task(self, side, place, self.key, self._environment())
        made = self._functions()
        hours = _HOURS + side.run.transfer.deadline_minutes // 60
        self.machine = machine(
            self,
            side,
            self.key,
            Work("assemble", made, self._values(), {"subnets": [*side.network.subnets]}, hours),
        )
        self._allow_task(self.machine.role)
        self.start = start(
            self.functions, self.machine, data.staging, ("specs/", "bundles/"), self.key
        )
        alarms = Alarms(self, Side.CONNECTED, self.topics, side.thresholds)
        alarms.own()
        alarms.machine(self.machine)
        alarms.dead_letters(self.start.dead)
        dashboard(self, Side.CONNECTED, self.machine, alarms.made)
        self._outputs()

    def _environment(self) -> dict[str, str]:
        data = self._data
        return {
            "PETRA_SIDE": Side.CONNECTED.value,
            "PETRA_SETTINGS": self._side.run.model_dump_json(exclude_none=True),
            "PETRA_STAGING": data.staging.bucket_name,
            "PETRA_OUTBOX": data.outbox.bucket_name,
            "PETRA_EVIDENCE": data.evidence.bucket_name,
            "PETRA_IDEMPOTENCY_TABLE": data.idempotency.table_name,
            "PETRA_SIGNING_KEY": f"awskms:///{data.signing.key_arn}",
            **self.topics.environment(),
        }

    def _values(self) -> dict[str, str]:
        transfer = self._side.run.transfer
        return {
            "Cluster": self.task.cluster.cluster_arn,
            "TaskDefinition": self.task.definition.task_definition_arn,
            "LaunchType": self.task.launch_type,
            "SecurityGroup": self.task.group.security_group_id,
            "PollSeconds": str(transfer.poll_seconds),
            "DeadlineMinutes": str(transfer.deadline_minutes),
        }

    def _functions(self) -> dict[str, lambda_.Function]:
        make = self.functions.make
        made = {
            "ResolveSpec": make("resolve_spec"),
            "VerifyImage": make("verify_image"),
            "ScanImage": self._scan_image(),
            "AssembleBundle": make("assemble_bundle", large=True),
            "SignBundle": make("sign_bundle", large=True),
            "TransferBundle": make("transfer_bundle"),
            "ReportRun": make("report_run"),
        }
        for function in made.values():
            self._allow_run(function)
        self._allow_pulls(
            made["ResolveSpec"],
            made["VerifyImage"],
            made["ScanImage"],
            made["AssembleBundle"],
            self.task.definition.task_role,
        )
        self._allow_sources(made)
        self._allow_results(made)
        return made

    def _scan_image(self) -> lambda_.Function:
        """The function that scans, with the scanner of the settings and room for its database."""
        scanner = self._side.scanner
        if not scanner:
            return self.functions.make("scan_image", large=True)
        made = self.functions.make(
            "scan_image", large=True, disk=_SCANNER_MIB, more={"PETRA_SCANNER_DISK": _SCANNER_DISK}
        )
        made.add_layers(scanner_layer(self, self._side, ROOT / scanner))
        return made

    def _allow_run(self, to: iam.IGrantable) -> None:
        """What every step does: its run's documents, its status, its record of being done."""
        staging = self._data.staging
        allow_objects(to, staging, "runs/", "status/", actions=[*READ, *WRITE])
        allow_list(to, staging, "runs/", "status/")
        allow_items(to, self._data.idempotency)

    def _allow_pulls(self, *to: iam.IGrantable) -> None:
        if secret := self._side.run.registry_secret:
            for each in to:
                allow_secrets(self, each, secret)

    def _allow_sources(self, made: dict[str, lambda_.Function]) -> None:
        staging = self._data.staging
        allow_objects(made["ResolveSpec"], staging, "specs/", "bundles/", actions=READ)
        allow_list(made["ResolveSpec"], staging, "specs/", "bundles/")
        allow_objects(made["ScanImage"], staging, "scanner/", actions=READ)
        allow_list(made["ScanImage"], staging, "scanner/")
        allow_objects(made["SignBundle"], staging, "bundles/", actions=READ)

    def _allow_results(self, made: dict[str, lambda_.Function]) -> None:
        data = self._data
        for each in (made["AssembleBundle"], made["SignBundle"], self.task.definition.task_role):
            allow_objects(each, data.outbox, "out/", actions=[*READ, *WRITE, *TAG])
            allow_list(each, data.outbox, "out/")
        self._allow_run(self.task.definition.task_role)
        allow(made["SignBundle"], ["kms:Sign", "kms:GetPublicKey"], [data.signing.key_arn])
        allow_objects(made["TransferBundle"], data.outbox, "out/", actions=[*READ, *READ_TAGS])
        allow_list(made["TransferBundle"], data.outbox, "out/")
        self._allow_transfer(made["TransferBundle"])
        allow_objects(made["ReportRun"], data.outbox, "out/", actions=READ)
        allow_list(made["ReportRun"], data.outbox, "out/")
        allow_objects(made["ReportRun"], data.evidence, "evidence/", actions=[*READ, *WRITE])
        allow_list(made["ReportRun"], data.evidence, "evidence/")
        allow(made["ReportRun"], ["sns:Publish"], self.topics.arns())
        allow_key(made["ReportRun"], self.key, writes=True)

    def _allow_transfer(self, to: iam.IGrantable) -> None:
        side = self._side
        if bucket := side.run.transfer.bucket:
            into = self.format_arn(
                service="s3", region="", account="", resource=bucket, resource_name="in/*"
            )
            allow(to, [*READ, *WRITE, *TAG, *READ_TAGS], [into], why="objects below in/ there")
        if side.transfer_key:
            allow(to, ["kms:GenerateDataKey", "kms:Decrypt"], [side.transfer_key])
        if side.transfer_actions:
            why = "resources that the settings name for the transfer service"
            allow(to, side.transfer_actions, side.transfer_resources, why=why)

    def _allow_task(self, to: iam.IGrantable) -> None:
        allow(to, ["ecs:RunTask"], [self.task.definition.task_definition_arn])
        allow(
            to,
            ["iam:PassRole"],
            [role.role_arn for role in self.task.roles],
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        )
        allow(
            self.task.definition.task_role,
            ["states:SendTaskSuccess", "states:SendTaskFailure", "states:SendTaskHeartbeat"],
            [self.machine.state_machine_arn],
        )

    def _outputs(self) -> None:
        data = self._data
        for name, value in {
            "StagingBucket": data.staging.bucket_name,
            "OutboxBucket": data.outbox.bucket_name,
            "EvidenceBucket": data.evidence.bucket_name,
            "SigningKeyArn": data.signing.key_arn,
            **self.topics.outputs(),
            "DeadLettersUrl": self.start.dead.queue_url,
            "MachineArn": self.machine.state_machine_arn,
            "DashboardName": self.stack_name,
        }.items():
            CfnOutput(self, name, value=value)
