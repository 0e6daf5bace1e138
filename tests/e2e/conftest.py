"""Embedded clouds for the tests of this folder; in CI a missing one is a failure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from demo.cloud.emulator import PYTHON, embedded_cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.cloud.emulator import Cloud

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
