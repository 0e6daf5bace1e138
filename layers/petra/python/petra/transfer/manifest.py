"""The manifest of a chunk folder, ``manifest.json``: what must be there. Bundle format, section 6.

It is signed by itself, so that each chunk can be checked when it arrives, before the others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from petra.bundle.fields import API_VERSION, INTEGER_LIMIT, DigestField
from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.json import dump_json, load_json
from petra.encoding.models import FieldError, Items, Model, to_value, validate
from petra.errors import FormatError
from petra.transfer.names import (
    CHUNKS_LIMIT,
    FILE_NAME,
    MANIFEST,
    SHARDS_LIMIT,
    chunk_name,
    parity_name,
)


class FileRecord(Model):
    """One file."""

    name: Annotated[str, Field(pattern=f"^{FILE_NAME.pattern}$")]
    size: Annotated[int, Field(ge=1, le=INTEGER_LIMIT)]
    digest: DigestField


class ParityGroup(Model):
    """Chunks, by number from 1, and the parity that goes with them."""

    chunks: Annotated[Items[int], Field(min_length=1)]
    parity: Annotated[Items[FileRecord], Field(min_length=1)]


class Parity(Model):
    """How lost chunks are rebuilt.

    The code is systematic Reed-Solomon over GF(2⁸) modulo x⁸+x⁴+x³+x²+1. For k chunks in a group,
    its parity row i has the coefficient 1/((k+i) xor j) for chunk j, both counted from 0; shorter
    chunks count as filled up with zeros.
    """

    code: Literal["reed-solomon-cauchy-gf256"]
    groups: Annotated[Items[ParityGroup], Field(min_length=1)]


class ChunkManifest(Model):
    """The whole document.

    Attributes:
        bundle: the file that the chunks are, one after the other.
        chunks: in order; all have the size of the first but the last, which may be smaller.
        parity: None where there is none.
    """

    api_version: Literal["petra.sh/v1alpha1"]
    kind: Literal["ChunkManifest"]
    bundle: FileRecord
    chunks: Annotated[Items[FileRecord], Field(min_length=1, max_length=CHUNKS_LIMIT)]
    parity: Parity | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_chunks()
        if self.parity:
            self._check_parity(self.parity)
        return self

    def _check_chunks(self) -> None:
        count, full = len(self.chunks), self.chunks[0].size
        for number, chunk in enumerate(self.chunks, start=1):
            _expect("name", chunk.name, chunk_name(self.bundle.name, number, count), number)
            if number < count:
                _expect("size", chunk.size, full, number)
        last = self.bundle.size - full * (count - 1)
        _expect("size", self.chunks[-1].size, last, count)
        if count > 1 and last > full:
            raise FieldError("the last chunk is larger than the others", path=("chunks", count - 1))

    def _check_parity(self, parity: Parity) -> None:
        listed = sorted(number for group in parity.groups for number in group.chunks)
        if listed != [*range(1, len(self.chunks) + 1)]:
            raise FieldError("not every chunk is in one group of parity", path=("parity", "groups"))
        number = 0
        for place, group in enumerate(parity.groups):
            if len(group.chunks) + len(group.parity) > SHARDS_LIMIT:
                raise FieldError(
                    "a group of parity is too large",
                    expected=f"at most {SHARDS_LIMIT} chunks and parity together",
                    path=("parity", "groups", place),
                )
            size = self.group_size(group)
            for record in group.parity:
                number += 1
                if (record.name, record.size) != (parity_name(self.bundle.name, number), size):
                    raise FieldError(
                        "a parity chunk has another name or size than its group gives it",
                        expected=f"{parity_name(self.bundle.name, number)}, {size} bytes",
                        path=("parity", "groups", place),
                    )

    def group_size(self, group: ParityGroup) -> int:
        """Return the size of the group's parity: that of its largest chunk."""
        return max(self.chunks[number - 1].size for number in group.chunks)

    @property
    def chunk_size(self) -> int:
        """The bytes of each chunk but the last."""
        return self.chunks[0].size

    @property
    def parity_files(self) -> tuple[FileRecord, ...]:
        """All parity chunks."""
        groups = self.parity.groups if self.parity else ()
        return tuple(record for group in groups for record in group.parity)

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """All chunks, and then all parity."""
        return self.chunks + self.parity_files


def _expect(what: str, found: object, expected: object, number: int) -> None:
    if found != expected:
        raise FieldError(
            f"chunk {number} has another {what} than its place gives it",
            expected=str(expected),
            path=("chunks", number - 1, what),
        )


def load_manifest(data: bytes, *, where: str = MANIFEST) -> ChunkManifest:
    """Return the manifest in `data`.

    Raises:
        FormatError: it is no such document, contradicts itself, or has an unknown version.
    """
    if len(data) > DOCUMENT_LIMIT:
        raise FormatError("file too large", where=where, expected=f"at most {DOCUMENT_LIMIT} bytes")
    value: Any = load_json(data, where=where)
    return validate(ChunkManifest, value, where=where, error=FormatError)


def dump_manifest(manifest: ChunkManifest) -> bytes:
    """Return `manifest` as JSON, always the same bytes for the same value."""
    return dump_json(to_value(manifest))


def make_manifest(
    bundle: FileRecord, chunks: list[FileRecord], groups: list[ParityGroup]
) -> ChunkManifest:
    """Return the manifest of these files.

    Args:
        bundle: the whole.
        chunks: in order.
        groups: of parity; none for no parity.
    """
    return ChunkManifest(
        api_version=API_VERSION,
        kind="ChunkManifest",
        bundle=bundle,
        chunks=tuple(chunks),
        parity=Parity(code="reed-solomon-cauchy-gf256", groups=tuple(groups)) if groups else None,
    )
