"""Receivers are called as Flux publishes it; the other side has nothing of us but openssl."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from petra.errors import (
    AccessError,
    NotFoundError,
    PetraError,
    SettingError,
    TransportError,
)
from petra.load.receiver import Receiver, call_receiver
from petra.oci.registry import RegistryClient
from petra.oci.retry import RetryPolicy
from tests.support.processes import Server
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOOK = REPOSITORY / "tests" / "support" / "hook_server.py"
_TOKEN = "f1u4-token"
_EVENT = {"bundle": "shop", "version": "1.4.0", "serial": 7}

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@contextmanager
def _hook(folder: Path, failures: str = "") -> Iterator[tuple[Receiver, Server]]:
    """Run a Receiver that first answers with the statuses in `failures`."""
    command = [sys.executable, str(_HOOK), _TOKEN, "petra", "flux-system", failures]
    with Server("hook", command, folder / "hook.log") as server:
        port = server.wait_for_log(r"listening (\d+)")
        yield Receiver(f"http://127.0.0.1:{port}/", "flux-system", "petra", _TOKEN.encode()), server


def _call(receiver: Receiver) -> None:
    retry = RetryPolicy(base=0.001)
    with RegistryClient(retry=retry, environ={}) as client:
        call_receiver(receiver, _EVENT, client.http)


def _answers(server: Server) -> list[int]:
    lines = server.log.read_text().splitlines()[1:]
    return [json.loads(line)["status"] for line in lines]


def test_the_published_algorithm_accepts_path_and_signature(tmp_path: Path) -> None:
    with _hook(tmp_path) as (receiver, server):
        _call(receiver)
        told = json.loads(server.log.read_text().splitlines()[1])
    assert told["status"] == 200
    assert json.loads(told["body"]) == _EVENT


def test_a_receiver_that_is_not_ready_is_called_again(tmp_path: Path) -> None:
    with _hook(tmp_path, "503,500") as (receiver, server):
        _call(receiver)
        assert _answers(server) == [503, 500, 200]


@pytest.mark.parametrize(
    ("changes", "failures", "kind"),
    [
        ({"token": b"another"}, "", NotFoundError),
        ({"name": "other"}, "", NotFoundError),
        ({"namespace": "default"}, "", NotFoundError),
        ({}, "400", AccessError),
        ({}, ",".join(["503"] * 9), TransportError),
    ],
    ids=["token", "name", "namespace", "refused", "never-ready"],
)
def test_what_goes_wrong_is_told_without_token_or_path(
    tmp_path: Path, changes: dict[str, object], failures: str, kind: type[PetraError]
) -> None:
    with _hook(tmp_path, failures) as (receiver, _):
        wrong = replace(receiver, **changes)  # type: ignore[arg-type]
        with pytest.raises(kind) as caught:
            _call(wrong)
    text = f"{caught.value} {caught.value.to_json()} {wrong!r}"
    assert f"Receiver {wrong.namespace}/{wrong.name}" in text
    for secret in (_TOKEN, wrong.token.decode(), wrong.path().removeprefix("/hook/")):
        assert secret not in text


def test_an_empty_token_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with _hook(tmp_path) as (receiver, server):
        with pytest.raises(SettingError):
            _call(replace(receiver, token=b""))
        assert _answers(server) == []


def test_nobody_there_is_told_without_the_path() -> None:
    away = Receiver("http://127.0.0.1:1", "flux-system", "petra", _TOKEN.encode())
    with pytest.raises(TransportError) as caught:
        _call(away)
    assert away.path() not in str(caught.value)
