"""Roles with the least that they need; none has a managed policy or an action with a star."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_iam as iam

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_s3 as s3
    from constructs import Construct

READ: Final = ("s3:GetObject", "s3:GetObjectVersion")
WRITE: Final = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")


def role(scope: Construct, name: str, service: str) -> iam.Role:
    """Make a role that `service` takes on, for resources of this account only.

    Args:
        scope: where.
        name: the construct's.
        service: principal, such as ``lambda.amazonaws.com``.
    """
    return iam.Role(scope, name, assumed_by=iam.ServicePrincipal(service))


def guarded_role(scope: Construct, name: str, service: str) -> iam.Role:
    """Make a role as :func:`role`, safe against confused deputies: the caller's account is ours."""
    principal = iam.ServicePrincipal(
        service, conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
    )
    return iam.Role(scope, name, assumed_by=principal)


def allow(
    to: iam.IGrantable,
    actions: Sequence[str],
    resources: Sequence[str],
    conditions: dict[str, dict[str, object]] | None = None,
) -> None:
    """Let `to` do `actions` to `resources`.

    Args:
        to: a role, function or task.
        actions: whole names; a star is refused by the tests.
        resources: ARNs.
        conditions: IAM's.
    """
    to.grant_principal.add_to_principal_policy(
        iam.PolicyStatement(actions=[*actions], resources=[*resources], conditions=conditions)
    )


def allow_objects(
    to: iam.IGrantable, bucket: s3.IBucket, *prefixes: str, actions: Sequence[str]
) -> None:
    """Let `to` do `actions` to the objects below `prefixes`, with the key that encrypts them.

    Args:
        to: a role, function or task.
        bucket: whose objects.
        prefixes: such as ``runs/``; an empty one is all of the bucket.
        actions: `READ`, `WRITE` or single ones.
    """
    allow(to, actions, [bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes])
    if bucket.encryption_key:
        writes = any(action.startswith("s3:Put") for action in actions)
        allow_key(to, bucket.encryption_key, writes=writes)


def allow_list(to: iam.IGrantable, bucket: s3.IBucket, *prefixes: str) -> None:
    """Let `to` list what is below `prefixes`, versions too."""
    below = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}}
    allow(to, ["s3:ListBucket", "s3:ListBucketVersions"], [bucket.bucket_arn], below)


def allow_key(to: iam.IGrantable, key: kms.IKey, *, writes: bool) -> None:
    """Let `to` use `key`. A multipart upload needs Decrypt as well as GenerateDataKey."""
    actions = ["kms:Decrypt", *(["kms:GenerateDataKey"] if writes else [])]
    allow(to, actions, [key.key_arn])


def allow_items(to: iam.IGrantable, table: dynamodb.ITable) -> None:
    """Let `to` read and write single items of `table`; never scan it, nor change it."""
    actions = [
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:Query",
        "dynamodb:ConditionCheckItem",
    ]
    allow(to, actions, [table.table_arn])
    if table.encryption_key:
        allow_key(to, table.encryption_key, writes=True)


def allow_secrets(scope: Construct, to: iam.IGrantable, *names: str) -> None:
    """Let `to` read the secrets called `names`; Secrets Manager adds six characters to an ARN."""
    stack = Stack.of(scope)
    arns = [
        stack.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=f"{name}-??????",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        for name in names
    ]
    allow(to, ["secretsmanager:GetSecretValue"], arns)
