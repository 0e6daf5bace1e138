from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra.oci.registry import RegistryClient
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def content() -> MemoryRepositories:
    """What the registry holds."""
    return MemoryRepositories()


@pytest.fixture
def registry(content: MemoryRepositories) -> Iterator[str]:
    """HOST:PORT of an empty registry that takes what is pushed."""
    with BundleServer("127.0.0.1", 0, content, writable=True) as server:
        yield server.host


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    """A client of registries."""
    with RegistryClient(environ={}) as client:
        yield client
