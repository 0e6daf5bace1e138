"""A connected side with a bundle, in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import Run, runner
from tests.support.s3 import buckets
from tests.support.world import WORKER, World, connected_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3.client import S3Client


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""
    return runner(capsys)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A connected side; its keys lie in the working directory."""
    monkeypatch.chdir(tmp_path)
    with connected_side(tmp_path) as side:
        yield side


@pytest.fixture
def bundle(run: Run, world: World) -> Path:
    """A bundle of one image, signed."""
    made = run("bundle", "create", "-f", world.spec(WORKER), "--key", "ours.key", "-q")
    assert made.status == 0, made.err
    return world.bundle


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An outbox and a landing bucket, empty."""
    with buckets(monkeypatch, "outbox", "landing") as client:
        yield client
