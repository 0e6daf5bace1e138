"""Published charts, which stand beside the checkout in CI and not in a user's clone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "charts"


def real_chart(file_name: str) -> Path:
    """Return the path of a published chart, ``cilium-1.16.5.tgz``; without it the test is skipped.

    In CI the charts are there, so that a missing one fails the test.
    """
    path = FOLDER / file_name
    if path.is_file():
        return path
    reason = f"{file_name} is not in {FOLDER.relative_to(FOLDER.parents[2])} beside the checkout"
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
