from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.command import Run, runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty home, no settings, and signals as they were."""
    for name in ("PETRA_KEY", "PETRA_OUTPUT", "PETRA_DEBUG", "PETRA_CONFIG", "COSIGN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def petra(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""
    return runner(capsys)


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """Write the configuration file that is found by itself."""

    def write(text: str) -> Path:
        path = tmp_path / "config" / "petra" / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write
