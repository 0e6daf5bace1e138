"""A Target in memory: for tests, demonstrations and small graphs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import BytesStream, VerifyReader
from petra.errors import FormatError, NotFoundError
from petra.oci.manifest import Manifest, parse_manifest
from petra.oci.media_types import OCTET_STREAM, is_manifest

if TYPE_CHECKING:
    from petra.content.protocols import ByteStream


class MemoryTarget:
    """A Target, RangeFetcher and ReferrerLister that keeps everything in memory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[Digest, bytes] = {}
        self._manifests: dict[Digest, Manifest] = {}
        self._tags: dict[str, Descriptor] = {}

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return the content's bytes.

        Raises:
            NotFoundError: there is no such content.
        """
        return BytesStream(self._data(descriptor))

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int) -> ByteStream:
        """Return `length` bytes of the content from `offset` on.

        Raises:
            NotFoundError: there is no such content.
        """
        return BytesStream(self._data(descriptor)[offset : offset + length])

    def describe(self, digest: Digest) -> Descriptor:
        """Return the descriptor of the content `digest`, as bytes of no particular kind.

        Raises:
            NotFoundError: there is no such content.
        """
        with self._lock:
            if (data := self._blobs.get(digest)) is not None:
                return Descriptor(OCTET_STREAM, digest, len(data))
        raise NotFoundError("no such content", where=digest)

    def exists(self, descriptor: Descriptor) -> bool:
        """Say whether content of this digest and size is there, as manifest or as blob."""
        with self._lock:
            if is_manifest(descriptor.media_type):
                manifest = self._manifests.get(descriptor.digest)
                return manifest is not None and manifest.descriptor == descriptor
            data = self._blobs.get(descriptor.digest)
            return data is not None and len(data) == descriptor.size

    def push(self, descriptor: Descriptor, content: ByteStream) -> None:
        """Store `content`; nothing is kept if it differs from `descriptor`.

        Raises:
            DigestMismatchError: the bytes are others.
            SizeMismatchError: there are fewer or more of them.
            FormatError: a manifest that is none.
            ContentRefusedError: a manifest that is not accepted.
        """
        if self.exists(descriptor):
            return
        data = VerifyReader(content, descriptor).read()
        if not is_manifest(descriptor.media_type):
            with self._lock:
                self._blobs[descriptor.digest] = data
            return
        manifest = parse_manifest(data, descriptor.media_type, where=descriptor.digest)
        with self._lock:
            self._blobs[descriptor.digest] = data
            self._manifests[descriptor.digest] = manifest

    def resolve(self, reference: str) -> Descriptor:
        """Return the descriptor of `reference`, a tag or a manifest's digest.

        Raises:
            NotFoundError: no such tag or digest.
        """
        with self._lock:
            if (found := self._tags.get(reference)) is not None:
                return found
            if (manifest := self._manifests.get(Digest(reference))) is not None:
                return manifest.descriptor
        raise NotFoundError("no such tag or manifest", where=reference)

    def tag(self, descriptor: Descriptor, reference: str) -> None:
        """Let `reference` stand for `descriptor` from now on.

        Raises:
            NotFoundError: the content is not there.
            FormatError: `reference` is empty or a digest.
        """
        check_name(reference)
        if not self.exists(descriptor):
            raise NotFoundError("no such content to tag", where=descriptor.digest)
        with self._lock:
            self._tags[reference] = descriptor

    def tags(self) -> list[str]:
        """Return all tags, sorted."""
        with self._lock:
            return sorted(self._tags)

    def referrers(self, subject: Descriptor) -> list[Descriptor]:
        """Return the manifests whose subject is this one, in the order in which they came."""
        with self._lock:
            known = list(self._manifests.values())
        return [
            manifest.referrer_descriptor()
            for manifest in known
            if manifest.subject is not None and manifest.subject.digest == subject.digest
        ]

    def _data(self, descriptor: Descriptor) -> bytes:
        with self._lock:
            try:
                return self._blobs[descriptor.digest]
            except KeyError:
                raise NotFoundError("no such content", where=descriptor.digest) from None


def check_name(reference: str) -> None:
    """Refuse a tag that nothing could find again.

    Raises:
        FormatError: it is empty, or looks like a digest.
    """
    if not reference or reference.startswith("sha256:"):
        raise FormatError("not a tag", where=reference, expected="a name that is no digest")
