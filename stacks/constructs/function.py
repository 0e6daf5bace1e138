"""One Lambda function of the pipeline: ``lambdas/VERB_NOUN``, its role, its log group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from petra.aws.metrics import NAMESPACE
from stacks.constructs.acknowledged import FUNCTION, acknowledge, acknowledge_wildcard
from stacks.constructs.encryption import removal
from stacks.constructs.role import allow, role
from stacks.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_kms as kms
    from constructs import Construct

    from stacks.constructs.layers import Layers
    from stacks.settings import Side

_ARCHITECTURES: Final = {
    "arm64": lambda_.Architecture.ARM_64,
    "x86_64": lambda_.Architecture.X86_64,
}
_SMALL: Final = 512


@dataclass(frozen=True)
class Placement:
    """Where functions run: in subnets, behind one security group."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    group: ec2.ISecurityGroup


@dataclass(frozen=True)
class Functions:
    """Makes the functions of one stack.

    Attributes:
        scope: the stack.
        side: settings.
        layers: what they run with.
        logs_key: encrypts their log groups.
        environment: variables that all of them have.
        placement: None: outside any VPC.
    """

    scope: Construct
    side: Side
    layers: Layers
    logs_key: kms.IKey
    environment: Mapping[str, str]
    placement: Placement | None = None

    def make(
        self,
        folder: str,
        *,
        large: bool = False,
        minutes: int = 15,
        disk: int = 512,
        more: Mapping[str, str] | None = None,
    ) -> lambda_.Function:
        """Make the function of ``lambdas/FOLDER``.

        Args:
            folder: ``verb_noun``.
            large: it moves bytes, and gets the memory of the settings.
            minutes: after which Lambda ends it.
            disk: MiB of ``/tmp``.
            more: further variables.
        """
        name = folder.title().replace("_", "")
        group = log_group(self.scope, f"{name}Logs", self.side, self.logs_key, f"lambda/{folder}")
        function_role = self._role(name, group)
        made = lambda_.Function(
            self.scope,
            name,
            description=f"Petra, {self.environment['PETRA_SIDE']} side: {folder.replace('_', ' ')}",
            code=lambda_.Code.from_asset(
                str(ROOT / "lambdas" / folder), exclude=["**/__pycache__", "**/*.pyc"]
            ),
            handler="handler.handler",
            runtime=lambda_.Runtime(self.side.runtime, lambda_.RuntimeFamily.PYTHON),
            architecture=_ARCHITECTURES[self.side.architecture],
            layers=self.layers.all(),
            memory_size=self.side.function_memory if large else _SMALL,
            timeout=Duration.minutes(minutes),
            ephemeral_storage_size=Size.mebibytes(disk),
            role=function_role,
            log_group=group,
            tracing=lambda_.Tracing.ACTIVE,
            environment={**self.environment, **self._powertools(folder), **(more or {})},
            environment_encryption=self.logs_key,
            vpc=self.placement.vpc if self.placement else None,
            vpc_subnets=self.placement.subnets if self.placement else None,
            security_groups=[self.placement.group] if self.placement else None,
        )
        acknowledge(made, FUNCTION)
        return made

    def _role(self, name: str, group: logs.LogGroup) -> iam.Role:
        made = role(self.scope, f"{name}Role", "lambda.amazonaws.com")
        acknowledge_wildcard(made, "*", "X-Ray knows no resources")
        allow(made, ["logs:CreateLogStream", "logs:PutLogEvents"], [group.log_group_arn])
        if self.placement:
            allow_interfaces(made)
        return made

    @staticmethod
    def _powertools(folder: str) -> dict[str, str]:
        return {
            "POWERTOOLS_SERVICE_NAME": folder,
            "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "POWERTOOLS_TRACER_CAPTURE_RESPONSE": "false",
            "POWERTOOLS_LOGGER_LOG_EVENT": "false",
        }


def log_group(scope: Construct, name: str, side: Side, key: kms.IKey, path: str) -> logs.LogGroup:
    """Make a log group: retained as the settings say, encrypted with `key`.

    Args:
        scope: the stack.
        name: the construct's.
        side: settings.
        key: must let CloudWatch Logs use it for the stack's groups.
        path: the end of its name.
    """
    return logs.LogGroup(
        scope,
        name,
        log_group_name=f"/petra/{Stack.of(scope).stack_name}/{path}",
        retention=logs.RetentionDays[_RETENTION[side.log_retention_days]],
        encryption_key=key,
        removal_policy=removal(side),
    )


_RETENTION: Final = {
    1: "ONE_DAY",
    3: "THREE_DAYS",
    5: "FIVE_DAYS",
    7: "ONE_WEEK",
    14: "TWO_WEEKS",
    30: "ONE_MONTH",
    60: "TWO_MONTHS",
    90: "THREE_MONTHS",
    120: "FOUR_MONTHS",
    150: "FIVE_MONTHS",
    180: "SIX_MONTHS",
    365: "ONE_YEAR",
    400: "THIRTEEN_MONTHS",
    545: "EIGHTEEN_MONTHS",
    731: "TWO_YEARS",
    1827: "FIVE_YEARS",
    3653: "TEN_YEARS",
}


def allow_interfaces(to: iam.IGrantable) -> None:
    """Let a function of a VPC have its network interfaces. EC2 knows no narrower resource."""
    actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ]
    allow(
        to,
        actions,
        ["*"],
        why="the interfaces are not known before",
    )
