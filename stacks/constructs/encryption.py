"""A side's KMS keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

if TYPE_CHECKING:
    from constructs import Construct

    from stacks.settings import Side


def removal(side: Side) -> RemovalPolicy:
    """Return what becomes of stateful resources with their stack."""
    return RemovalPolicy.RETAIN if side.retain else RemovalPolicy.DESTROY


def encryption_key(scope: Construct, name: str, side: Side, purpose: str) -> kms.Key:
    """Make a symmetric key that rotates each year.

    Args:
        scope: the stack.
        name: the construct's.
        side: settings.
        purpose: for people.
    """
    return kms.Key(
        scope,
        name,
        description=f"Petra: {purpose}",
        enable_key_rotation=True,
        removal_policy=removal(side),
        pending_window=Duration.days(30 if side.retain else 7),
    )


def signing_key(scope: Construct, side: Side) -> kms.Key:
    """Make the key that signs bundles: ECDSA P-256, which never leaves KMS. It is always kept."""
    return kms.Key(
        scope,
        "SigningKey",
        description="Petra: signs bundles (ECDSA P-256 over their SHA-256)",
        key_spec=kms.KeySpec.ECC_NIST_P256,
        key_usage=kms.KeyUsage.SIGN_VERIFY,
        removal_policy=removal(side),
        pending_window=Duration.days(30),
    )


def allow_services(key: kms.Key, *services: str) -> None:
    """Let AWS services use `key` for what they bring to the queues and topics of this account.

    No condition on the source: EventBridge sets none towards encrypted targets, and an alarm that
    cannot be published is told to nobody. Queues and topics themselves say who may send.

    Args:
        key: the key.
        services: principals, such as ``events.amazonaws.com``.
    """
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="Services",
            principals=[iam.ServicePrincipal(service) for service in services],
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=["*"],
        )
    )


def allow_logs(key: kms.Key, names: str) -> None:
    """Let CloudWatch Logs encrypt the log groups that are called `names` with `key`.

    Args:
        key: the key.
        names: a pattern of log groups' names.
    """
    stack = Stack.of(key)
    groups = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=names,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="Logs",
            principals=[iam.ServicePrincipal(f"logs.{stack.region}.{stack.url_suffix}")],
            actions=[
                "kms:Encrypt",
                "kms:Decrypt",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
                "kms:GenerateDataKey",
                "kms:DescribeKey",
            ],
            resources=["*"],
            conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
        )
    )
