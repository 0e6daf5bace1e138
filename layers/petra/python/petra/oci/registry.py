"""The registry client: repositories as Targets, over HTTP."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable  # noqa: TC003  # a dataclass's field
from dataclasses import dataclass, field, replace
from pathlib import Path  # noqa: TC003  # a dataclass's field
from typing import TYPE_CHECKING, Self

from petra.errors import SettingError, TransportError, UsageError
from petra.oci.auth import Authenticator
from petra.oci.connections import Connections
from petra.oci.credentials import CredentialStore
from petra.oci.endpoint import Endpoint
from petra.oci.reference import REPOSITORY_PATTERN, Reference
from petra.oci.repository import Repository
from petra.oci.retry import RetryPolicy
from petra.oci.transport import Transport
from petra.oci.urls import Url, redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from petra.oci.auth import ScopedAuth

__all__ = ["RegistryClient", "RegistryOptions", "Repository"]


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How registries are reached.

    Attributes:
        insecure_registries: hosts, with or without port, that plain HTTP is spoken to. Loopback
            hosts are among them without being named.
        ca_file: PEM certificates trusted beside the system's.
        mirrors: by registry, a host that is asked first, ``[https://]HOST[:PORT][/PREFIX]``.
            Only what is read comes from mirrors; what they lack comes from the registry itself.
        docker_config: Docker's ``config.json`` or its folder; None for the usual place.
        connections: idle connections kept for each server.
        timeout: seconds without a byte after which a connection counts as lost.
        retries: tries after the first, for each request and each place in a blob.
        chunk_size: bytes that one request of an upload carries at most, in whole MiB; 0 to send
            each blob whole, unless the registry asks for parts.
    """

    insecure_registries: frozenset[str] = frozenset()
    ca_file: Path | None = None
    mirrors: Mapping[str, str] = field(default_factory=dict)
    docker_config: Path | None = None
    connections: int = 8
    timeout: float = 30.0
    retries: int = 5
    chunk_size: int = 0


class RegistryClient:
    """Gives repositories, which share connections, tokens and retries. Thread-safe.

    Args:
        options: how registries are reached.
        retry: how waits are made; ``options.retries`` counts.
        environ: the process's environment: proxies, Docker's configuration, helpers.
        clock: seconds that only go forward.
        credentials: who we are; Docker's configuration says where None.
    """

    def __init__(  # all of them are decisions of the caller's
        self,
        options: RegistryOptions | None = None,
        *,
        credentials: CredentialStore | None = None,
        retry: RetryPolicy | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options or RegistryOptions()
        environ = os.environ if environ is None else environ
        self._connections = Connections(
            connections=self.options.connections,
            timeout=self.options.timeout,
            ca_file=self.options.ca_file,
            environ=environ,
        )
        retry = replace(retry or RetryPolicy(), retries=self.options.retries)
        insecure = frozenset(host.lower() for host in self.options.insecure_registries)
        #: For documents that are no registry's, such as a chart repository's index.
        self.http = Transport(self._connections, retry, insecure)
        #: Who we are, at registries and at chart repositories.
        self.credentials = credentials or CredentialStore(
            self.options.docker_config, environ=environ
        )
        self._authenticator = Authenticator(self.http, self.credentials, clock)
        self._clock = clock
        self._repositories: dict[tuple[str, str], Repository] = {}
        self._lock = threading.Lock()

    def repository(self, registry: str, repository: str) -> Repository:
        """Return a repository. Nothing is asked of the registry yet.

        Args:
            registry: ``host[:port]``, as references have it.
            repository: the path there.

        Raises:
            UsageError: one of them is malformed.
            SettingError: the registry's mirror is.
        """
        with self._lock:
            key = registry, repository
            if key not in self._repositories:
                self._repositories[key] = self._make(registry, repository)
            return self._repositories[key]

    def url_of(self, registry: str) -> str:
        """Return scheme, host and port of a registry's API.

        Raises:
            UsageError: it is malformed.
        """
        api = self._api(Reference(registry, "").api_host)
        return f"{api.scheme}://{api.authority}"

    def close(self) -> None:
        """Close the connections that no stream holds."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _make(self, registry: str, name: str) -> Repository:
        if not REPOSITORY_PATTERN.fullmatch(name):
            raise UsageError(
                "not the name of a repository",
                where=f"{registry}/{name}"[:300],
                expected="lower-case letters and digits, with . _ - and / between them",
            )
        reference = Reference(registry, name)
        host = self._endpoint(registry, self._api(reference.api_host), name, label=reference.name)
        mirror = self.options.mirrors.get(registry)
        mirrors = [self._mirror(registry, mirror, name)] if mirror else []
        return Repository(reference, host, mirrors, chunk_size=self.options.chunk_size)

    def _api(self, host: str, scheme: str = "") -> Url:
        """Return where the API of `host` is; plain HTTP only where it may be spoken."""
        try:
            url = Url.parse(f"{scheme or 'https'}://{host}/v2/")
        except TransportError as error:
            raise _no_registry(host) from error
        if not set("/@?#").isdisjoint(host):
            raise _no_registry(host)
        if scheme or not self.http.speaks_plain(url.host, url.port):
            return url
        return self._api(host, "http")

    def _mirror(self, registry: str, mirror: str, name: str) -> Endpoint:
        scheme, _, rest = mirror.rpartition("://")
        host, _, prefix = rest.strip("/").partition("/")
        api, path = self._api(host, scheme), f"{prefix}/{name}" if prefix else name
        plain = api.scheme == "http" and not self.http.speaks_plain(api.host, api.port)
        if plain or not REPOSITORY_PATTERN.fullmatch(path):
            raise SettingError(
                f"unusable mirror of {registry}",
                found=redact(mirror),
                expected="[https://]HOST[:PORT][/PREFIX]",
                hint="plain HTTP needs the mirror among the insecure registries",
            )
        label = f"{registry}/{name} (mirror {host})"
        return self._endpoint(host, api, path, label=label, retries=0)

    def _endpoint(
        self, registry: str, api: Url, name: str, *, label: str, retries: int | None = None
    ) -> Endpoint:
        def auth(*scopes: str) -> ScopedAuth:
            return self._authenticator.scoped(registry, api, *scopes)

        return Endpoint(self.http, auth, api, name, label=label, clock=self._clock, retries=retries)


def _no_registry(host: str) -> UsageError:
    return UsageError("not a registry", where=redact(host), expected="HOST[:PORT]")
