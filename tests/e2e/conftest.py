"""Embedded clouds for the tests of this folder; in CI a missing one is a failure."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from demo.cloud.emulator import PYTHON, TOOLS, embedded_cloud
from demo.cloud.pipeline import Settings, deploy
from demo.source import connected_side
from petra.trust.signer import LocalSigner
from tests.support import signing
from tests.support.cloud_site import CloudSite
from tests.support.docker_registry import running_registry
from tests.support.processes import Server
from tests.support.tools import REPOSITORY, Toolbox, ToolMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.cloud.emulator import Cloud
    from demo.cloud.pipeline import Side
    from demo.source import Source
    from tests.support.docker_registry import DockerRegistry

_WAIT_SCALE = 0.05


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "e2e":
            item.add_marker(pytest.mark.e2e)


def _need_tools() -> None:
    if PYTHON.exists():
        return
    reason = "MiniStack is not there; `make cloud-tools` installs it"
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The embedded cloud as the demo runs it."""
    _need_tools()
    with embedded_cloud(tmp_path_factory.mktemp("cloud"), wait_scale=_WAIT_SCALE) as running:
        yield running


@pytest.fixture(scope="session")
def plain_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """MiniStack as it comes, with its gaps."""
    _need_tools()
    folder = tmp_path_factory.mktemp("plain-cloud")
    with embedded_cloud(folder, plain=True, wait_scale=_WAIT_SCALE) as running:
        yield running


@pytest.fixture(scope="session")
def another_key() -> LocalSigner:
    """A key that nobody trusts."""
    return LocalSigner(signing.petra_key("nobody"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudSite]:
    """Both sides, deployed by the CDK CLI, with a real registry and a Receiver on the far side."""
    _need_tools()
    folder = tmp_path_factory.mktemp("site")
    vendor = LocalSigner(signing.petra_key("vendor"))
    with ExitStack() as stack:
        source = stack.enter_context(connected_side(vendor))
        program = _tool("docker-registry")

        def registry(port: int = 0) -> DockerRegistry:
            return stack.enter_context(
                running_registry(
                    program,
                    folder / f"registry-{time.monotonic_ns()}",
                    storage=folder / "storage",
                    port=port,
                )
            )

        target = registry()
        port = int(target.host.rpartition(":")[2])
        log = folder / "hook.log"
        command = [sys.executable, str(REPOSITORY / "tests" / "support" / "hook_server.py")]
        hook = stack.enter_context(
            Server("hook", [*command, "token", "petra", "flux-system", ""], log)
        )
        at = hook.wait_for_log(r"listening (\d+)")
        cloud = stack.enter_context(embedded_cloud(folder / "cloud", wait_scale=_WAIT_SCALE))
        stack.callback(_keep_logs, folder)
        receiver = {
            "receiver": f"http://127.0.0.1:{at}/flux-system/petra",
            "receiverSecret": "petra-receiver",
        }
        pipeline = deploy(cloud, _settings(source, vendor, target.host, receiver))
        pipeline.classified.client("secretsmanager").create_secret(
            Name="petra-receiver", SecretString="token"
        )
        queues = {one.account: _listen(one) for one in (pipeline.connected, pipeline.classified)}
        yield CloudSite(pipeline, source, vendor, target, queues, log, lambda: registry(port))


def _settings(
    source: Source, vendor: LocalSigner, target: str, cluster: dict[str, str]
) -> Settings:
    charts = source.charts.split("/")[2]
    skip = {"scan": {"skip": "its own tests scan"}, "bundle": {"allowSkipped": ["scan"]}}
    return Settings(
        registry=source.host,
        sources=[source.host, charts],
        images=[{"pattern": f"{source.host}/shop/*", "verify": {"key": "vendor.pub"}}],
        keys={"vendor.pub": vendor.public_key.pem},
        target=target,
        cluster=cluster,
        policy=skip,
    )


def _listen(side: Side) -> str:
    """Let a queue hear all topics of a side; return its URL."""
    sqs, sns = side.client("sqs"), side.client("sns")
    url: str = sqs.create_queue(QueueName="listener")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    for topic in sns.list_topics()["Topics"]:
        sns.subscribe(TopicArn=topic["TopicArn"], Protocol="sqs", Endpoint=arn["QueueArn"])
    return url


def _keep_logs(folder: Path) -> None:
    """Keep what the cloud and the CDK CLI said where CI finds it."""
    kept = TOOLS / "logs"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for log in (folder / "cloud").glob("*.log"):
        shutil.copy(log, kept)


def _tool(name: str) -> Path:
    toolbox = Toolbox()
    try:
        return toolbox.find(name)
    except ToolMissingError as error:
        if toolbox.strict:
            pytest.fail(str(error))
        pytest.skip(str(error))
