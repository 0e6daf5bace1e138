"""Repositories: what can be asked of one, and put into it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import BytesStream, VerifyReader
from petra.errors import (
    AccessError,
    DigestMismatchError,
    NotFoundError,
    SizeMismatchError,
    TransportError,
    UsageError,
)
from petra.oci import media_types
from petra.oci.endpoint import announced_digest
from petra.oci.manifest import parse_manifest
from petra.oci.ranges import RangeStream
from petra.oci.reference import REPOSITORY_PATTERN, TAG_PATTERN
from petra.oci.referrers_api import add_to_fallback, fallback_tag, list_referrers
from petra.oci.removal import delete_manifest, list_tags
from petra.oci.uploads import Uploader

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.content.protocols import ByteStream
    from petra.oci.answers import Answer
    from petra.oci.endpoint import Endpoint
    from petra.oci.manifest import Manifest
    from petra.oci.reference import Reference

T = TypeVar("T")

_OK: Final = 200
_NOT_FOUND: Final = 404
_STORED: Final = frozenset({200, 201, 202, 204})
# Answers to a HEAD that say more about the server than about the manifest: GET will tell.
_NO_HEAD: Final = (400, 405, 501)


class Repository:
    """One repository of a registry: a Target, a RangeFetcher and a ReferrerLister. Thread-safe.

    Made by :meth:`RegistryClient.repository`.

    Source: OCI distribution-spec v1.1.

    Args:
        reference: its name.
        host: where it is.
        mirrors: where it is read from first.
        chunk_size: see :class:`Uploader`.
    """

    def __init__(
        self,
        reference: Reference,
        host: Endpoint,
        mirrors: list[Endpoint],
        *,
        chunk_size: int = 0,
    ) -> None:
        self.reference = reference
        self._uploader = Uploader(host, chunk_size)
        self._host = host
        self._mirrors = mirrors
        self._fallback_lock = threading.Lock()

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return self.reference.name

    @property
    def registry(self) -> str:
        """The host, as references have it."""
        return self.reference.registry

    @property
    def path(self) -> str:
        """The repository's name at its registry."""
        return self.reference.repository

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
        present = self.exists(descriptor)
        if not media_types.is_manifest(descriptor.media_type):
            if not present:
                self._uploader.push(descriptor, content)
            return
        where = self._host.subject(descriptor.digest)
        raw = VerifyReader(content, descriptor, where=where).read()
        subject = parse_manifest(raw, descriptor.media_type, where=where).subject
        if present and (subject is None or self._lists(descriptor, subject)):
            return
        self._store_manifest(raw, descriptor)

    def send(self, descriptor: Descriptor, open_content: Callable[[], ByteStream]) -> None:
        """Store content without asking whether it is there, and begin anew where that breaks.

        Args:
            descriptor: a manifest or a blob.
            open_content: gives its bytes from the first one on, as often as it is called.

        Raises:
            PetraError: as for :meth:`push`.
        """
        if not media_types.is_manifest(descriptor.media_type):
            self._uploader.send(descriptor, open_content)
            return
        where = self._host.subject(descriptor.digest)
        with VerifyReader(open_content(), descriptor, where=where) as content:
            self._store_manifest(content.read(), descriptor)

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
        return self._uploader.mount(descriptor, source)

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

    # Content management.

    def tags(self) -> list[str]:
        """Return all tags, as the registry itself lists them; none where there is nothing.

        Raises:
            PetraError: as for ``list_tags``.
        """
        return list_tags(self._host)

    def delete(self, digest: Digest) -> bool:
        """Delete a manifest, with the tags that stand for it; return whether it was there.

        Raises:
            UnsupportedError: the registry does not delete.
            PetraError: as for ``Transport.send``.
        """
        return delete_manifest(self._host, digest)

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

    def _lists(self, referrer: Descriptor, subject: Descriptor) -> bool:
        """Say whether `referrer`, which is there, is shown.

        Whoever pushed it may have been killed before it was.
        """
        listed = list_referrers(self._host, subject.digest)
        return any(one.digest == referrer.digest for one in listed)

    def _store_manifest(self, raw: bytes, descriptor: Descriptor) -> None:
        answer = self._put_manifest(raw, descriptor.media_type, descriptor.digest)
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
