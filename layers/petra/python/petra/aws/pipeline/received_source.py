"""A bundle in the landing bucket as one source: an object version, or several as chunks."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Self

from petra.aws.pipeline.runs import read_object
from petra.aws.s3_source import S3Source
from petra.content.digest import Digest
from petra.errors import ChunksError, FormatError, SignatureError
from petra.transfer.manifest import load_manifest
from petra.transfer.names import MANIFEST
from petra.transfer.source import split
from petra.trust.blob import BUNDLE_SUFFIX, SIGNATURE_SUFFIX, verify_blob_by_any
from petra.trust.sigstore import BUNDLE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_boto3_s3.client import S3Client

    from petra.archive.source import Source
    from petra.transfer.manifest import ChunkManifest
    from petra.trust.keys import PublicKey

#: Chunks that are read ahead at once: a pass, and a look elsewhere.
OPEN: Final = 2


class ChunkObjects:
    """Chunks in S3, one after the other, as one source. A :class:`petra.archive.source.Source`.

    Args:
        name: the bundle's.
        chunks: in order; all have the size of the first but the last.
    """

    def __init__(self, name: str, chunks: Sequence[S3Source]) -> None:
        self.name = name
        self.size = sum(one.size for one in chunks)
        self._chunks = chunks
        self._step = chunks[0].size
        self._recent: OrderedDict[int, None] = OrderedDict()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset` on; see :class:`petra.archive.source.Source`."""
        for number, start, part in split(offset, buffer, self._step):
            if number >= len(self._chunks):
                raise FormatError("the file ends too early", where=self.name)
            self._chunks[number].read_into(start, part)
            self._recent[number] = None
            self._recent.move_to_end(number)
        while len(self._recent) > OPEN:
            old, _ = self._recent.popitem(last=False)
            self._chunks[old].close()  # what it read ahead; it opens again by itself

    def close(self) -> None:
        """Let go of what was read ahead."""
        for one in self._chunks:
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_arrival(client: S3Client, arrival: dict[str, Any]) -> S3Source | ChunkObjects:
    """Return the bundle of a run's ``arrival.json``; only the versions that it pins are read."""
    sources = [
        S3Source(client, arrival["bucket"], one["key"], one["version"]) for one in arrival["parts"]
    ]
    if len(sources) == 1 and MANIFEST not in arrival["beside"]:
        return sources[0]
    return ChunkObjects(arrival["bundle"], sources)


def beside(client: S3Client, arrival: dict[str, Any], name: str) -> dict[str, bytes]:
    """Return what lies beside the file `name`, by the end of its name."""
    found = {}
    for file, one in arrival["beside"].items():
        if file.startswith(f"{name}."):
            data = read_object(
                client, arrival["bucket"], one["key"], one["version"], limit=BUNDLE_LIMIT
            )
            found[file.removeprefix(name)] = data or b""
    return found


def check_chunks(
    client: S3Client, arrival: dict[str, Any], keys: Sequence[PublicKey]
) -> ChunkManifest | None:
    """Verify the manifest of a chunk set, and that each chunk has its size; None for one object.

    Raises:
        SignatureError: the manifest is unsigned, was changed, or another key signed it.
        FormatError: it is malformed.
        ChunksError: a chunk has another size.
    """
    at = arrival["beside"].get(MANIFEST)
    if at is None:
        return None
    data = read_object(client, arrival["bucket"], at["key"], at["version"])
    if data is None:
        raise SignatureError("the chunk manifest is gone", where=at["key"])
    signatures = beside(client, arrival, MANIFEST)
    verify_blob_by_any(
        Digest.of(data),
        keys,
        signature=signatures.get(SIGNATURE_SUFFIX),
        bundle=signatures.get(BUNDLE_SUFFIX),
        where=at["key"],
    )
    manifest = load_manifest(data, where=at["key"])
    sizes = {one["name"]: one["size"] for one in arrival["parts"]}
    damaged = [one.name for one in manifest.chunks if sizes.get(one.name) != one.size]
    if damaged:
        raise ChunksError(
            "chunks have another size than the manifest says", damaged=damaged, where=at["key"]
        )
    return manifest


def name_damaged(
    client: S3Client, arrival: dict[str, Any], manifest: ChunkManifest
) -> ChunksError | None:
    """Return the error that names the chunks with other content; None if none has any."""
    from petra.bundle.signatures import hash_source  # noqa: PLC0415  # after a failure alone
    from petra.content.progress import NoProgress  # noqa: PLC0415  # as above

    damaged = []
    for record, one in zip(manifest.chunks, arrival["parts"], strict=True):
        with S3Source(client, arrival["bucket"], one["key"], one["version"]) as source:
            if hash_source(source, NoProgress()) != record.digest:
                damaged.append(record.name)
    if not damaged:
        return None
    return ChunksError("chunks are damaged", damaged=damaged, where=arrival["bundle"])


def as_source(source: S3Source | ChunkObjects) -> Source:
    """Return it as what archives are read from."""
    return source
