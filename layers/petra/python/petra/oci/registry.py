"""The registry client: repositories as Targets, over HTTP."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable  # noqa: TC003  # a dataclass's field
from dataclasses import dataclass, field, replace
from pathlib import Path  # noqa: TC003  # a dataclass's field
from typing import TYPE_CHECKING, Final, Self, TypeVar

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import BytesStream, VerifyReader
from petra.errors import (
    AccessError,
    DigestMismatchError,
    NotFoundError,
    SettingError,
    SizeMismatchError,
    TransportError,
    UsageError,
)
from petra.oci import media_types
from petra.oci.auth import Authenticator
from petra.oci.connections import Connections
from petra.oci.credentials import CredentialStore
from petra.oci.endpoint import Endpoint, announced_digest
from petra.oci.manifest import parse_manifest
from petra.oci.ranges import RangeStream
from petra.oci.reference import REPOSITORY_PATTERN, TAG_PATTERN, Reference
from petra.oci.referrers_api import add_to_fallback, fallback_tag, list_referrers
from petra.oci.retry import RetryPolicy
from petra.oci.transport import Transport
from petra.oci.uploads import Uploader
from petra.oci.urls import Url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from petra.content.protocols import ByteStream
    from petra.oci.answers import Answer
    from petra.oci.auth import ScopedAuth
    from petra.oci.manifest import Manifest

T = TypeVar("T")

_OK: Final = 200
_NOT_FOUND: Final = 404
_STORED: Final = frozenset({200, 201, 202, 204})
# Answers to a HEAD that say more about the server than about the manifest: GET will tell.
_NO_HEAD: Final = (400, 405, 501)


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
    """

    insecure_registries: frozenset[str] = frozenset()
    ca_file: Path | None = None
    mirrors: Mapping[str, str] = field(default_factory=dict)
    docker_config: Path | None = None
    connections: int = 8
    timeout: float = 30.0
    retries: int = 5


class RegistryClient:
    """Gives repositories, which share connections, tokens and retries. Thread-safe.

    Args:
        options: how registries are reached.
        retry: how waits are made; ``options.retries`` counts.
        environ: the process's environment: proxies, Docker's configuration, helpers.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        options: RegistryOptions | None = None,
        *,
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
        self._credentials = CredentialStore(self.options.docker_config, environ=environ)
        self._authenticator = Authenticator(self.http, self._credentials, clock)
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
        return Repository(reference, host, mirrors)

    def _api(self, host: str) -> Url:
        try:
            url = Url.parse(f"https://{host}/v2/")
        except TransportError as error:
            raise UsageError("not a registry", where=host[:300], expected="HOST[:PORT]") from error
        if not self.http.speaks_plain(url.host, url.port):
            return url
        return Url.parse(f"http://{host}/v2/")

    def _mirror(self, registry: str, mirror: str, name: str) -> Endpoint:
        scheme, separator, rest = mirror.rpartition("://")
        host, _, prefix = rest.strip("/").partition("/")
        api = self._api(host)
        if separator:
            api = Url.parse(f"{scheme}://{host}/v2/")
        path = f"{prefix}/{name}" if prefix else name
        if not REPOSITORY_PATTERN.fullmatch(path):
            raise SettingError(
                f"unusable mirror of {registry}",
                found=f"{host}/{path}"[:300],
                expected="[https://]HOST[:PORT][/PREFIX]",
            )
        label = f"{registry}/{name} (mirror {host})"
        return self._endpoint(host, api, path, label=label, retries=0)

    def _endpoint(
        self, registry: str, api: Url, name: str, *, label: str, retries: int | None = None
    ) -> Endpoint:
        def auth(*scopes: str) -> ScopedAuth:
            return self._authenticator.scoped(registry, api, *scopes)

        return Endpoint(self.http, auth, api, name, label=label, clock=self._clock, retries=retries)


class Repository:
    """One repository of a registry: a Target, a RangeFetcher and a ReferrerLister. Thread-safe.

    Made by :meth:`RegistryClient.repository`.

    Source: OCI distribution-spec v1.1.

    Args:
        reference: its name.
        host: where it is.
        mirrors: where it is read from first.
    """

    def __init__(self, reference: Reference, host: Endpoint, mirrors: list[Endpoint]) -> None:
        self.reference = reference
        self._host = host
        self._mirrors = mirrors
        self._fallback_lock = threading.Lock()

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return self.reference.name

    # Reading.

    def resolve(self, reference: str) -> Descriptor:
        """Return the descriptor of `reference`, a tag or a digest.

        Raises:
            NotFoundError: no such tag or digest.
            DigestMismatchError: the registry names another digest than it was asked for.
            UsageError: it is neither a tag nor a digest.
            PetraError: as for ``Transport.send``.
        """
        _check_reference(reference, self.name)
        return self._first(lambda endpoint: _resolve(endpoint, reference))

    def fetch_manifest(self, reference: str) -> Manifest:
        """Return the manifest or index that `reference`, a tag or a digest, stands for.

        Its digest is computed from its bytes; where a digest was asked for, they are that.

        Raises:
            DigestMismatchError: the bytes are not what was asked for, or not what was announced.
            FormatError: it is no manifest.
            PetraError: as for :meth:`resolve`.
        """
        _check_reference(reference, self.name)
        found = self._first(lambda endpoint: endpoint.manifest(reference))
        return parse_manifest(
            found.raw, found.media_type or None, where=self._host.subject(reference)
        )

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return the bytes of a manifest, index or blob.

        A stream of a blob is not yet checked, and goes on by itself after a broken connection.

        Raises:
            NotFoundError: there is no such content.
            SizeMismatchError: the registry has content of another size under this digest.
            PetraError: as for :meth:`fetch_manifest`.
        """
        if not media_types.is_manifest(descriptor.media_type):
            return self._stream(descriptor, 0, descriptor.size)
        _check_reference(descriptor.digest, self.name)
        raw = self._first(lambda endpoint: endpoint.manifest(descriptor.digest)).raw
        if len(raw) != descriptor.size:
            raise SizeMismatchError(
                "a manifest of another size",
                where=self._host.subject(descriptor.digest),
                expected=f"{descriptor.size} bytes",
                found=f"{len(raw)} bytes",
            )
        return BytesStream(raw)

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int) -> ByteStream:
        """Return `length` bytes of a blob from `offset` on: exactly these.

        Args:
            descriptor: of the whole blob.
            offset: the first byte.
            length: how many; offset and length lie within the blob.

        Raises:
            NotFoundError: there is no such blob.
            SizeMismatchError: the registry's blob has another size.
            TransportError: the registry answers another range.
        """
        if offset < 0 or length < 0 or offset + length > descriptor.size:
            raise ValueError(f"{length} bytes from {offset} on lie outside {descriptor}")
        if not length:
            return BytesStream()
        if media_types.is_manifest(descriptor.media_type):
            with self.fetch(descriptor) as whole:
                return BytesStream(whole.read()[offset : offset + length])
        return self._stream(descriptor, offset, offset + length)

    def referrers(self, subject: Descriptor) -> list[Descriptor]:
        """Return what refers to `subject`, by the API or else by the fallback tag.

        Raises:
            FormatError: the list is no index, or beyond bounds.
            PetraError: as for :meth:`resolve`.
        """
        _check_reference(subject.digest, self.name)

        def ask(endpoint: Endpoint) -> list[Descriptor]:
            found = list_referrers(endpoint, subject.digest)
            if not found and endpoint is not self._host:
                # A mirror may hold images and not what refers to them.
                raise NotFoundError(f"no referrers at {endpoint.label}")
            return found

        return self._first(ask)

    # Writing.

    def exists(self, descriptor: Descriptor) -> bool:
        """Say whether content of this digest and size is there, on the registry itself."""
        answer = self._head(descriptor)
        return answer.status == _OK and answer.length in (None, descriptor.size)

    def push(self, descriptor: Descriptor, content: ByteStream) -> None:
        """Store `content`, checked against `descriptor` before its last bytes leave.

        Pushing what is there already does nothing. A manifest that refers to another one is also
        listed under the fallback tag, where the registry does not list it by itself.

        Raises:
            DigestMismatchError: the bytes are others.
            SizeMismatchError: there are fewer or more of them.
            PetraError: as for ``Transport.send``.
        """
        if self.exists(descriptor):
            return
        if not media_types.is_manifest(descriptor.media_type):
            Uploader(self._host).push(descriptor, content)
            return
        raw = VerifyReader(content, descriptor, where=self._host.subject(descriptor.digest)).read()
        answer = self._put_manifest(raw, descriptor.media_type, descriptor.digest)
        self._list_referrer(raw, descriptor, answer)

    def mount(self, descriptor: Descriptor, source: str) -> bool:
        """Let the registry take a blob over from another of its repositories.

        Args:
            descriptor: the blob.
            source: the other repository's path.

        Returns:
            Whether it did. If not, the blob is to be pushed.

        Raises:
            UsageError: `source` is no repository's path.
            PetraError: as for ``Transport.send``.
        """
        if not REPOSITORY_PATTERN.fullmatch(source):
            raise UsageError("not the name of a repository", where=source[:300])
        return Uploader(self._host).mount(descriptor, source)

    def tag(self, descriptor: Descriptor, reference: str) -> None:
        """Let the tag `reference` stand for `descriptor`, a manifest, from now on.

        Raises:
            NotFoundError: the manifest is not there.
            UsageError: `reference` is no tag.
            PetraError: as for ``Transport.send``.
        """
        if not TAG_PATTERN.fullmatch(reference):
            raise UsageError("not a tag", where=f"{self.name}:{reference}"[:400])
        found = self._host.manifest(descriptor.digest)
        self._put_manifest(found.raw, descriptor.media_type, reference)

    # Inside.

    def _first(self, ask: Callable[[Endpoint], T]) -> T:
        """Return the first answer: a mirror's if one has what is asked for, else the registry's."""
        for mirror in self._mirrors:
            if mirror.skipped:
                continue
            try:
                return ask(mirror)
            except (NotFoundError, AccessError):
                continue
            except TransportError:
                mirror.skip()
        return ask(self._host)

    def _stream(self, descriptor: Descriptor, start: int, end: int) -> RangeStream:
        def open_at(position: int) -> Answer:
            return self._first(lambda endpoint: endpoint.open_blob(descriptor, position, end))

        return RangeStream(
            open_at,
            start,
            end,
            retry=self._host.transport.retry,
            where=f"blob {descriptor.digest} of {self.name}",
            show_excess=end - start == descriptor.size,
        )

    def _head(self, descriptor: Descriptor) -> Answer:
        kind = "manifests" if media_types.is_manifest(descriptor.media_type) else "blobs"
        return self._host.head(kind, descriptor.digest, _OK, _NOT_FOUND)

    def _put_manifest(self, raw: bytes, media_type: str, reference: str) -> Answer:
        request = self._host.request(
            "PUT",
            f"manifests/{reference}",
            self._host.subject(reference),
            headers={"Content-Type": media_type},
            body=raw,
            ok=_STORED,
        )
        answer = self._host.transport.send(request, self._host.writing())
        answer.discard()
        announced, digest = announced_digest(answer), Digest.of(raw)
        if announced not in (None, digest):
            raise DigestMismatchError(
                f"the registry stored {self._host.subject(reference)} as something else",
                where=str(answer.url),
                expected=digest,
                found=announced,
                hint="the registry, or a proxy on the way, changes manifests; use another",
            )
        return answer

    def _list_referrer(self, raw: bytes, descriptor: Descriptor, answer: Answer) -> None:
        manifest = parse_manifest(
            raw, descriptor.media_type, where=self._host.subject(descriptor.digest)
        )
        if manifest.subject is None or "OCI-Subject" in answer.headers:
            return
        subject = manifest.subject.digest
        # The index is read, changed and written: two threads must not do so at once.
        with self._fallback_lock:
            index = add_to_fallback(self._host, subject, manifest.referrer_descriptor())
            if index is not None:
                self._put_manifest(index, media_types.OCI_INDEX, fallback_tag(subject))


def _resolve(endpoint: Endpoint, reference: str) -> Descriptor:
    answer = endpoint.head("manifests", reference, _OK, *_NO_HEAD)
    announced = announced_digest(answer)
    known = media_types.is_manifest(answer.media_type)
    if answer.status != _OK or announced is None or answer.length is None or not known:
        found = endpoint.manifest(reference)
        where = endpoint.subject(reference)
        return parse_manifest(found.raw, found.media_type or None, where=where).descriptor
    if ":" in reference and reference != announced:
        raise DigestMismatchError(
            f"{endpoint.subject(reference)}: the registry names another digest",
            where=str(answer.url),
            expected=reference,
            found=announced,
            hint="the registry, or a proxy on the way, serves something else; use another",
        )
    return Descriptor(answer.media_type, announced, answer.length)


def _check_reference(reference: str, name: str) -> None:
    """Refuse what would lead to another path than a manifest's."""
    if ":" in reference:
        Digest.parse(reference, where=name)
    elif not TAG_PATTERN.fullmatch(reference):
        raise UsageError("neither a tag nor a digest", where=f"{name}: {reference}"[:400])
