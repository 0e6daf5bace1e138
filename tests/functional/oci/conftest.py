"""A scripted server and a client that does not wait."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from petra.oci.registry import RegistryClient, RegistryOptions
from petra.oci.retry import RetryPolicy
from tests.support.scripted_server import ScriptedServer, scripted_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    """A second server: to clients, another host."""
    with scripted_server() as running:
        yield running


class MakeClient(Protocol):
    """Makes clients that wait for nothing and are closed after the test."""

    def __call__(self, environ: dict[str, str] | None = None, **options: Any) -> RegistryClient: ...


@pytest.fixture
def waits() -> list[float]:
    """The waits that clients would have made, in seconds."""
    return []


@pytest.fixture
def make_client(tmp_path: Path, waits: list[float]) -> Iterator[MakeClient]:
    made: list[RegistryClient] = []

    def make(environ: dict[str, str] | None = None, **options: Any) -> RegistryClient:
        policy = RetryPolicy(sleep=waits.append, now=lambda: 1_700_000_000.0, uniform=lambda: 0.5)
        plain = RegistryOptions(timeout=5, retries=3)
        environ = {"HOME": str(tmp_path), **(environ or {})}
        made.append(RegistryClient(replace(plain, **options), retry=policy, environ=environ))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> RegistryClient:
    return make_client()
