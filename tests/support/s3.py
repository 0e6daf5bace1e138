"""S3 in this process, by moto."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import boto3
from moto import mock_aws

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from types_boto3_s3.client import S3Client

REGION: Final = "us-gov-west-1"


@contextmanager
def buckets(monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[S3Client]:
    """Run an S3 with these buckets, each with versions, until the block ends."""
    monkeypatch.setenv("AWS_REGION", REGION)
    with mock_aws():
        client = boto3.client("s3", region_name=REGION)
        for name in names:
            client.create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        yield client
