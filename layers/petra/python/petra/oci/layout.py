"""An OCI image layout on disk as a Target: a content store, or what other tools read and write."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT, VerifyReader, fetch_document
from petra.encoding.json import dump_json, load_json
from petra.errors import FormatError, NotFoundError, PetraError, VerificationError
from petra.oci._files import FileStream, NewFile, storage_errors
from petra.oci.manifest import Manifest, parse_manifest
from petra.oci.media_types import OCI_INDEX, OCTET_STREAM, is_manifest
from petra.oci.memory import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from petra.content.protocols import ByteStream

#: The annotation that names an entry of ``index.json``.
REF_NAME: Final = "org.opencontainers.image.ref.name"
LAYOUT_FILE: Final = "oci-layout"
INDEX_FILE: Final = "index.json"
LAYOUT_VERSION: Final = "1.0.0"
LAYOUT_CONTENT: Final = b'{"imageLayoutVersion":"1.0.0"}'

_BUFFER_SIZE: Final = 1024 * 1024
# A store of many thousand images still fits; a hostile index.json does not fill the memory.
_INDEX_LIMIT: Final = 16 * 1024 * 1024
_PARSED_LIMIT: Final = 1024
_LEFTOVER_SECONDS: Final = 24 * 3600


class LayoutTarget:
    """A Target, RangeFetcher and ReferrerLister over an OCI image layout. Thread-safe.

    Several processes can share a layout: blobs appear by rename, and ``index.json`` is changed
    under a lock. A blob is found by its name and not checked when it is fetched: as with every
    Fetcher, the stream's reader checks it (``VerifyReader``), and can :meth:`discard` a bad one.

    Source: OCI image-spec v1.1, image-layout.md.

    Args:
        path: the layout's folder; made by the first push.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._folder = self._path / "blobs" / "sha256"
        self._lock = threading.Lock()
        # Manifests by digest: content cannot change under its name, so this never grows stale.
        self._parsed: dict[Digest, Manifest] = {}
        self._swept = False
        if (self._path / LAYOUT_FILE).exists():
            self._check_version()

    @property
    def path(self) -> Path:
        """The layout's folder."""
        return self._path

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        """Return the content's bytes, not yet checked.

        Raises:
            NotFoundError: there is no such content.
            StorageError: the disk refused.
        """
        return FileStream.open(self._blob(descriptor.digest))

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int) -> ByteStream:
        """Return `length` bytes of the content from `offset` on, not yet checked.

        Raises:
            NotFoundError: there is no such content.
            StorageError: the disk refused.
        """
        return FileStream.open(self._blob(descriptor.digest), offset, length)

    def describe(self, digest: Digest) -> Descriptor:
        """Return the descriptor of the blob `digest`, as bytes of no particular kind.

        Raises:
            NotFoundError: there is no such blob.
        """
        try:
            size = self._blob(digest).stat().st_size
        except OSError:
            raise NotFoundError("no such blob", where=f"{self._path}: {digest}") from None
        return Descriptor(OCTET_STREAM, digest, size)

    def exists(self, descriptor: Descriptor) -> bool:
        """Say whether content of this digest and size is there.

        A manifest is read and checked on the way, and must be listed where it refers to another.
        """
        if is_manifest(descriptor.media_type):
            return self._is_complete(descriptor)
        try:
            return self.describe(descriptor.digest).size == descriptor.size
        except NotFoundError:
            return False

    def push(self, descriptor: Descriptor, content: ByteStream) -> None:
        """Store `content`; nothing is kept if it differs from `descriptor`.

        Raises:
            DigestMismatchError: the bytes are others.
            SizeMismatchError: there are fewer or more of them.
            FormatError: a manifest that is none.
            ContentRefusedError: a manifest that is not accepted.
            NoSpaceError: the disk is full.
            StorageError: the disk refused.
        """
        if self.exists(descriptor):
            return
        stream = VerifyReader(content, descriptor)
        if is_manifest(descriptor.media_type):
            self._push_manifest(descriptor, stream)
            return
        buffer = memoryview(bytearray(min(_BUFFER_SIZE, descriptor.size + 1)))
        with self.ingest() as file:
            while count := stream.readinto(buffer):
                file.write(buffer[:count])
            file.commit(descriptor.digest.hex)

    def ingest(self) -> NewFile:
        """Return a new file beside the blobs, for content whose digest is known only at its end.

        Whoever writes it must hash it, and commit it under that digest's hex digits and no other.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: the disk refused.
        """
        self._prepare()
        self._sweep()
        return NewFile(self._folder)

    def discard(self, digest: Digest) -> None:
        """Forget the blob `digest`, found to be damaged. Its names in ``index.json`` stay.

        Raises:
            StorageError: the disk refused.
        """
        self._parsed.pop(digest, None)
        path = self._blob(digest)
        with storage_errors(path):
            path.unlink(missing_ok=True)

    def resolve(self, reference: str) -> Descriptor:
        """Return the descriptor of `reference`, a tag or a manifest's digest.

        Raises:
            NotFoundError: no such tag or digest.
            FormatError: ``index.json`` is damaged.
        """
        for entry in self.entries():
            if entry.annotations.get(REF_NAME) == reference:
                return entry
        try:
            digest = Digest.parse(reference)
        except FormatError:
            raise NotFoundError("no such tag", where=f"{self._path}: {reference}") from None
        return self._manifest(digest).descriptor

    def tag(self, descriptor: Descriptor, reference: str) -> None:
        """Let `reference` stand for `descriptor` from now on.

        Raises:
            NotFoundError: the content is not there.
            FormatError: `reference` is empty or a digest.
            StorageError: the disk refused.
        """
        check_name(reference)
        if not self.exists(descriptor):
            raise NotFoundError("no such content to tag", where=descriptor.digest)
        entry = descriptor.to_json()
        entry["annotations"] = {REF_NAME: reference}
        with self._changed_index() as index:
            index["manifests"] = [old for old in index["manifests"] if _name_of(old) != reference]
            index["manifests"].append(entry)

    def list_entries(self, entries: Iterable[Descriptor]) -> None:
        """Let ``index.json`` list `entries` as they are, with their annotations.

        A name that it has already stands for the new entry alone; the other entries stay.

        Raises:
            StorageError: the disk refused.
        """
        added = [entry.to_json() for entry in entries]
        names = {_name_of(entry) for entry in added}
        nameless = {entry["digest"] for entry in added if not _name_of(entry)}
        with self._changed_index() as index:
            kept = [
                old
                for old in index["manifests"]
                if (_name_of(old) not in names if _name_of(old) else old["digest"] not in nameless)
            ]
            index["manifests"] = [*kept, *added]

    def tags(self) -> list[str]:
        """Return all tags, sorted.

        Raises:
            FormatError: ``index.json`` is damaged.
        """
        names = (entry.annotations.get(REF_NAME) for entry in self.entries())
        return sorted({name for name in names if name})

    def entries(self) -> list[Descriptor]:
        """Return what ``index.json`` lists, in its order; nothing where there is none yet.

        Raises:
            FormatError: it is damaged.
        """
        where = str(self._path / INDEX_FILE)
        return [Descriptor.from_json(entry, where=where) for entry in self._index()["manifests"]]

    def referrers(self, subject: Descriptor) -> list[Descriptor]:
        """Return the listed manifests whose subject is this one, each once.

        Raises:
            FormatError: ``index.json`` is damaged.
        """
        found: dict[Digest, Descriptor] = {}
        for entry in self.entries():
            if entry.digest in found or not is_manifest(entry.media_type):
                continue
            try:
                manifest = self._manifest(entry.digest)
            except (NotFoundError, VerificationError):
                continue  # another image's, absent or damaged: for its own reader to report
            if manifest.subject is not None and manifest.subject.digest == subject.digest:
                found[entry.digest] = manifest.referrer_descriptor()
        return list(found.values())

    def _blob(self, digest: Digest) -> Path:
        # Parsed again: a Digest made by hand could hold a path out of the layout.
        return self._folder / Digest.parse(digest, where=str(self._path)).hex

    def _manifest(self, digest: Digest) -> Manifest:
        """Return the manifest of that digest, checked.

        Raises:
            NotFoundError: there is no such blob, or it is no manifest.
            DigestMismatchError: the blob is damaged.
        """
        where = f"{self._path}: {digest}"
        blob = self.describe(digest)
        known = self._parsed.get(digest)
        if known is not None and known.descriptor.size == blob.size:
            return known
        if blob.size > DOCUMENT_LIMIT:
            raise NotFoundError("no such manifest, only a blob", where=where)
        raw = fetch_document(self, blob, where=where)
        try:
            manifest = parse_manifest(raw, where=where)
        except VerificationError:
            raise NotFoundError("no such manifest, only a blob", where=where) from None
        if len(self._parsed) >= _PARSED_LIMIT:
            self._parsed.clear()
        self._parsed[digest] = manifest
        return manifest

    def _is_complete(self, descriptor: Descriptor) -> bool:
        try:
            manifest = self._manifest(descriptor.digest)
        except PetraError:
            return False
        if manifest.descriptor != descriptor:
            return False
        return manifest.subject is None or any(
            entry.digest == descriptor.digest for entry in self.entries()
        )

    def _push_manifest(self, descriptor: Descriptor, stream: VerifyReader) -> None:
        if descriptor.size > DOCUMENT_LIMIT:
            raise FormatError(
                "manifest too large",
                where=descriptor.digest,
                expected=f"at most {DOCUMENT_LIMIT} bytes",
                found=f"{descriptor.size} bytes",
            )
        raw = stream.read()
        manifest = parse_manifest(raw, descriptor.media_type, where=descriptor.digest)
        with self.ingest() as file:
            file.write(raw)
            file.commit(descriptor.digest.hex)
        if manifest.subject is not None:
            self._list(manifest)

    def _list(self, referrer: Manifest) -> None:
        """Let ``index.json`` show a referrer: nothing else in a layout leads to it."""
        descriptor = Descriptor(
            referrer.descriptor.media_type,
            referrer.descriptor.digest,
            referrer.descriptor.size,
            artifact_type=referrer.artifact_type,
        )
        with self._changed_index() as index:
            if all(entry.get("digest") != descriptor.digest for entry in index["manifests"]):
                index["manifests"].append(descriptor.to_json())

    def _prepare(self) -> None:
        if (self._path / LAYOUT_FILE).exists():
            return
        with NewFile(self._path) as file:
            file.write(LAYOUT_CONTENT)
            file.commit(LAYOUT_FILE)
        with self._changed_index():
            pass  # now there is one, whoever of several wrote it first

    def _sweep(self) -> None:
        """Remove, once, what processes that were killed have left long ago."""
        if self._swept:
            return
        self._swept = True
        oldest = time.time() - _LEFTOVER_SECONDS
        with suppress(OSError):  # nothing depends on it
            for path in self._folder.glob(f"{NewFile.PREFIX}*"):
                if path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)

    def _check_version(self) -> None:
        where = self._path / LAYOUT_FILE
        with FileStream.open(where) as stream:
            document = load_json(stream.read(1024), where=str(where))
        version = document.get("imageLayoutVersion") if isinstance(document, dict) else None
        if version != LAYOUT_VERSION:
            raise FormatError(
                "OCI image layout of an unknown version",
                where=str(where),
                expected=LAYOUT_VERSION,
                found=version,
            )

    def _index(self) -> dict[str, Any]:
        where = self._path / INDEX_FILE
        try:
            with FileStream.open(where) as stream:
                raw = stream.read(_INDEX_LIMIT + 1)
        except NotFoundError:
            return _empty_index()
        if len(raw) > _INDEX_LIMIT:
            raise FormatError(
                "index.json too large", where=str(where), expected=f"at most {_INDEX_LIMIT} bytes"
            )
        index = load_json(raw, where=str(where))
        if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
            raise FormatError("not the index of an OCI image layout", where=str(where))
        for entry in index["manifests"]:
            Descriptor.from_json(entry, where=str(where))
        return index

    @contextmanager
    def _changed_index(self) -> Iterator[dict[str, Any]]:
        """Give ``index.json``'s content out to be changed, and put it back, one at a time."""
        self._prepare()
        with self._lock, self._process_lock():
            index = self._index()
            yield index
            with NewFile(self._path) as file:
                file.write(dump_json(index))
                file.commit(INDEX_FILE, durable=True)

    @contextmanager
    def _process_lock(self) -> Iterator[None]:
        with storage_errors(self._path):
            number = os.open(self._path / LAYOUT_FILE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with storage_errors(self._path):
                fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)


def _name_of(entry: dict[str, Any]) -> str | None:
    name: str | None = (entry.get("annotations") or {}).get(REF_NAME)
    return name


def _empty_index() -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
