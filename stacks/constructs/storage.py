"""Buckets and tables, closed by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3

from stacks.constructs.acknowledged import ACCESS_LOGS, acknowledge
from stacks.constructs.encryption import removal

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from constructs import Construct

    from stacks.settings import Evidence, Side

_INCOMPLETE = Duration.days(7)


class Buckets:
    """Makes the buckets of one side: TLS only, no public access, versioned, encrypted, logged.

    Args:
        scope: the data stack.
        side: settings.
        key: encrypts all of them but the access logs, which S3 writes with its own key only.
    """

    def __init__(self, scope: Construct, side: Side, key: kms.Key) -> None:
        self._scope = scope
        self._side = side
        self._key = key
        self.logs = s3.Bucket(
            scope,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(side.log_retention_days),
                    noncurrent_version_expiration=Duration.days(7),
                    abort_incomplete_multipart_upload_after=_INCOMPLETE,
                )
            ],
            removal_policy=removal(side),
        )
        acknowledge(self.logs, ACCESS_LOGS)

    def make(
        self, name: str, *, events: bool = False, runs: bool = False, lock: Evidence | None = None
    ) -> s3.Bucket:
        """Make one bucket.

        Args:
            name: the construct's; the bucket's own name is CloudFormation's.
            events: tell EventBridge of new objects.
            runs: it has ``runs/``, whose objects go after `run_days`.
            lock: Object Lock, for evidence.
        """
        bucket = s3.Bucket(
            self._scope,
            name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=self.logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=self._lifecycle(runs=runs),
            object_lock_default_retention=_retention(lock) if lock else None,
            removal_policy=removal(self._side),
        )
        if events:
            _tell_eventbridge(bucket)
        return bucket

    def _lifecycle(self, *, runs: bool) -> list[s3.LifecycleRule]:
        rules = [s3.LifecycleRule(abort_incomplete_multipart_upload_after=_INCOMPLETE)]
        if runs:
            rules.append(
                s3.LifecycleRule(
                    prefix="runs/",
                    expiration=Duration.days(self._side.run_days),
                    noncurrent_version_expiration=Duration.days(7),
                )
            )
        return rules


def _retention(lock: Evidence) -> s3.ObjectLockRetention:
    days = Duration.days(lock.days)
    if lock.mode == "compliance":
        return s3.ObjectLockRetention.compliance(days)
    return s3.ObjectLockRetention.governance(days)


def _tell_eventbridge(bucket: s3.Bucket) -> None:
    """Turn events on by the bucket's own property: CDK's way is a function with wide rights."""
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101  # for the type checker
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
            event_bridge_enabled=True
        )
    )


def table(scope: Construct, name: str, side: Side, key: kms.Key, *, sort: bool) -> dynamodb.Table:
    """Make a table: encrypted, with recovery to any point in time.

    Args:
        scope: the data stack.
        name: the construct's.
        side: settings.
        key: encrypts it.
        sort: True: the ledger, ``pk`` and ``sk``. False: ``id`` with an ``expiration``.
    """
    partition = dynamodb.Attribute(name="pk" if sort else "id", type=dynamodb.AttributeType.STRING)
    order = dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING)
    return dynamodb.Table(
        scope,
        name,
        partition_key=partition,
        sort_key=order if sort else None,
        time_to_live_attribute=None if sort else "expiration",
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
        encryption_key=key,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        deletion_protection=side.retain,
        removal_policy=removal(side),
    )
