"""Rules for every test: unit tests open no sockets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

UNIT = Path(__file__).parent / "unit"


@pytest.fixture(autouse=True)
def _no_sockets_in_unit_tests(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if UNIT not in request.path.parents:
        return

    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a unit test opened a socket; move it to tests/contract or tests/functional")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
