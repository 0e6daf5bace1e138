"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_demo_runs_through() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "demo.run"],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for command in ("create", "verify", "inspect", "serve", "load"):
        assert f"$ petra bundle {command} " in result.stdout
    assert result.stdout.count("✓") == 12
