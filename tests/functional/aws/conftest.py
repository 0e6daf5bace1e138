"""KMS without AWS: moto in this process, and a small server of our own for what moto never does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from tests.support.moto_kms import sign_digests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_kms.client import KMSClient

REGION = "us-gov-west-1"


@pytest.fixture(autouse=True)
def _made_up_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)


@pytest.fixture
def _digests_signed_as_aws_does(monkeypatch: pytest.MonkeyPatch) -> None:
    sign_digests(monkeypatch)


@pytest.fixture
def kms(_digests_signed_as_aws_does: None) -> Iterator[KMSClient]:
    """A KMS that holds nothing yet."""
    with mock_aws():
        yield boto3.client("kms", region_name=REGION)


@pytest.fixture
def kms_that_hashes_again() -> Iterator[KMSClient]:
    """A KMS that takes a digest for a message, as moto is."""
    with mock_aws():
        yield boto3.client("kms", region_name=REGION)
