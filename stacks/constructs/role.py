"""Roles with the least that they need; none has a managed policy or an action with a star."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_iam as iam

from stacks.constructs.acknowledged import acknowledge_wildcard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_s3 as s3
    from constructs import Construct, IConstruct

READ: Final = ("s3:GetObject", "s3:GetObjectVersion")
WRITE: Final = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
#: A bundle is tagged with its digest, known only at its last byte; a copy keeps the tag.
TAG: Final = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging")
READ_TAGS: Final = ("s3:GetObjectTagging", "s3:GetObjectVersionTagging")


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
    *,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
    why: str | None = None,
) -> None:
    """Let `to` do `actions` to `resources`.

    Args:
        to: a role, function or task.
        actions: whole names; a star is refused by the tests.
        resources: ARNs.
        conditions: IAM's.
        why: the reason for a star in `resources`.

    Raises:
        ValueError: there is a star, and no reason.
    """
    role = grantee(to)
    for text in (flat(Stack.of(role), resource) for resource in resources):
        if "*" in text:
            if not why:
                raise ValueError(f"{text} has a star, and no reason for it")
            acknowledge_wildcard(role, text, why)
    to.grant_principal.add_to_principal_policy(
        iam.PolicyStatement(actions=[*actions], resources=[*resources], conditions=conditions)
    )


def grantee(to: iam.IGrantable) -> IConstruct:
    """Return the role behind `to`, whose children its policies are."""
    principal = to.grant_principal
    if not hasattr(principal, "node"):
        raise TypeError(f"{principal} is no role")
    return cast("IConstruct", principal)


def flat(stack: Stack, value: str) -> str:
    """Return `value` as cdk-nag writes it: references in angle brackets, exports by their name.

    Args:
        stack: the one whose template has it.
        value: an ARN, with CDK's tokens.
    """
    return _flat(stack.resolve(value))


def _flat(part: object) -> str:
    match part:
        case {"Fn::Join": [str(glue), list(parts)]}:
            return glue.join(_flat(each) for each in parts)
        case {"Ref": str(name)}:
            return f"<{name}>"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": str(name)}:
            return name
    return str(part)


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
    arn, why = imported(to, bucket.bucket_arn, bucket), f"objects below {', '.join(prefixes)} only"
    allow(to, actions, [f"{arn}/{prefix}*" for prefix in prefixes], why=why)
    if bucket.encryption_key:
        writes = any(action.startswith("s3:Put") for action in actions)
        allow_key(to, bucket.encryption_key, writes=writes)


def imported(to: iam.IGrantable, value: str, owner: IConstruct) -> str:
    """Return `value` of `owner` as the stack of `to` sees it: by an export, from another stack.

    CDK would make the very same export; asking for it now tells its name in time for `allow`.
    """
    theirs = Stack.of(owner)
    return value if theirs is Stack.of(grantee(to)) else theirs.export_value(value)


def allow_list(to: iam.IGrantable, bucket: s3.IBucket, *prefixes: str) -> None:
    """Let `to` list what is below `prefixes`, versions too.

    A request for one object has no prefix. It must be let through as well: without it S3 answers
    403 for an object that is not there, and nobody could tell that from a refusal.
    """
    below = {"StringLikeIfExists": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}}
    allow(to, ["s3:ListBucket", "s3:ListBucketVersions"], [bucket.bucket_arn], conditions=below)


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
