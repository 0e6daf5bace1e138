"""Findings of cdk-nag that stand, each with its reason; everything else is mended.

AwsSolutions and NIST 800-53 R5 run at every synthesis and stop it by what is not listed. A wildcard
is acknowledged where it is granted (see :func:`stacks.constructs.role.allow`), never for a stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Acknowledgment, Validations
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks

if TYPE_CHECKING:
    from aws_cdk import App, Stack
    from constructs import IConstruct

_AWS: Final = "AwsSolutions::AwsSolutions-"
_NIST: Final = "NIST.800.53.R5::NIST.800.53.R5-"

#: For every resource of a stack.
STACK_WIDE: Final = {
    f"{_NIST}IAMNoInlinePolicy": "each policy belongs to exactly one role of this stack, and is "
    "written for it; a managed policy could be attached elsewhere",
    f"{_NIST}S3BucketReplicationEnabled": "a bundle can be made again from its lock, and on the "
    "disconnected side there may be no second region; versions and Object Lock keep what counts",
    f"{_NIST}DynamoDBInBackupPlan": "recovery to any point in time is on; a backup plan is the "
    "account's to choose",
}
#: For every function.
FUNCTION: Final = {
    f"{_AWS}L1": "the runtime is a setting: isolated regions have not the newest",
    f"{_NIST}LambdaConcurrency": "the machine bounds it: ten images at once, one call of each "
    "other step; a reservation would take from other functions of the account",
    f"{_NIST}LambdaDLQ": "called by a machine that catches every error, or by a queue that has a "
    "dead-letter queue; never asynchronously",
    f"{_NIST}LambdaInsideVPC": "the setting `network.functions` puts it into a VPC; without it it "
    "speaks to AWS and to registries by TLS only",
}
ACCESS_LOGS: Final = {
    f"{_NIST}S3DefaultEncryptionKMS": "S3 delivers access logs only into buckets that it encrypts "
    "with its own key (SSE-S3)",
    f"{_AWS}S1": "it has the access logs of the others; its own would never end",
    f"{_NIST}S3BucketLoggingEnabled": "it has the access logs of the others",
}
TASK: Final = {
    f"{_AWS}ECS2": "the variables are names of buckets, tables and topics; secrets are read from "
    "Secrets Manager by name",
}
INSTANCES: Final = {
    f"{_AWS}AS3": "a task that finds no instance fails the run, and that alarm rings",
}


def acknowledge(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Let findings stand for `construct` and what is below it.

    Args:
        construct: the narrowest that the reason is true for.
        reasons: by the finding's whole id.
    """
    found = [Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items()]
    Validations.of(construct).acknowledge(*found)


def acknowledge_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Let a policy of `construct` name `resource`, as cdk-nag writes it."""
    acknowledge(construct, {f"{_AWS}IAM5[Resource::{resource}]": reason})


def check(app: App, stacks: list[Stack]) -> None:
    """Let both packs of rules look at everything, when the templates are written."""
    for stack in stacks:
        acknowledge(stack, STACK_WIDE)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), NIST80053R5Checks(app))
