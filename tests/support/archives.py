"""Small archives for tests: good ones by the real writer, bad ones by hand."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from petra.archive import members, tar, zstd
from petra.archive.framing import GzipFraming, framing
from petra.archive.plan import Plan, Stored, Text
from petra.archive.sink import FileSink
from petra.archive.source import FileSource
from petra.archive.sums import checksums
from petra.archive.verify import Verified, verify_archive
from petra.archive.writer import Packed, pack
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.content.stream import BytesStream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from petra.content.protocols import ByteStream

TIME = 1_700_000_000


@dataclass
class Fixed:
    """A RangeFetcher that gives fixed bytes, which need not be what was asked for."""

    data: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)

    def fetch(self, descriptor: Descriptor, /) -> ByteStream:
        self.asked.append((0, descriptor.size))
        return BytesStream(self.data)

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int, /) -> ByteStream:
        self.asked.append((offset, length))
        return BytesStream(self.data[offset : offset + length])


def blob(data: bytes, *, announced: bytes | None = None) -> Stored:
    """Return a blob member whose source gives `data`, announced as `announced` if that differs."""
    descriptor = Descriptor.of("application/octet-stream", data if announced is None else announced)
    return Stored(descriptor.digest.blob_path, descriptor, Fixed(data), "example.com/app:1")


def metadata(content: Sequence[Text | Stored], **more: Any) -> Text:
    """Return a ``metadata.json`` that lists `content`."""
    listed = [{"name": m.name, "size": m.size, "digest": m.digest} for m in content]
    return Text(members.METADATA, json.dumps({"members": listed, **more}).encode())


def content(
    *stored: Stored, texts: Sequence[Text] = (), index: bytes = b"{}"
) -> list[Text | Stored]:
    """Return all members of a small bundle in order: the head, then the rest."""
    head: list[Text | Stored] = [
        Text(members.OCI_LAYOUT, b'{"imageLayoutVersion":"1.0.0"}'),
        Text(members.INDEX, index),
        Text(members.SPEC, b"kind: Bundle\n"),
        Text(members.LOCK, b"kind: BundleLock\n"),
    ]
    rest: list[Text | Stored] = sorted([*texts, *stored], key=lambda m: members.rank(m.name))
    listed = metadata([*head, *rest])
    whole = [*head[:2], listed, *head[2:]]
    sums = Text(members.SUMS, checksums((m.name, m.digest) for m in [*whole, *rest]))
    return [*whole, sums, *rest]


def write(path: Path, whole: Sequence[Text | Stored], *, form: str = "tar.zst") -> Packed:
    """Write `whole` with the real writer."""
    plan = Plan(whole, TIME, framing(form))
    sink = FileSink(path, plan.size)
    packed = pack(plan, sink, NoProgress())
    sink.commit()
    return packed


def verify(path: Path) -> Verified:
    """Verify the archive at `path` as if its signature were good."""
    return verify_archive(FileSource(path), _accept, _accept, NoProgress())


def _accept(_: object) -> None:
    """Accept every signature and policy."""


def tar_member(name: str, data: bytes, *, header: bytes | None = None) -> bytes:
    """Return one tar member, with a header of the caller's making if given."""
    return (header or tar.header(name, len(data), TIME)) + data + bytes(tar.padding(len(data)))


def stored_frame(content: bytes) -> bytes:
    """Return `content` as a frame of raw blocks."""
    blocks = b"".join(
        zstd.raw_block_header(len(part), last=at + len(part) == len(content)) + part
        for at in range(0, len(content), zstd.BLOCK)
        for part in [content[at : at + zstd.BLOCK]]
    )
    return zstd.raw_header(len(content)) + blocks


def by_hand(path: Path, contents: Sequence[tuple[bytes, bool]], *, end: bool = True) -> None:
    """Write an archive frame by frame, with a seek table that fits.

    Args:
        path: the file.
        contents: each frame's content, and whether it is stored.
        end: whether the two zero blocks close it.
    """
    frames, file = [], b""
    for part, stored in [*contents, *([(tar.END, False)] if end else [])]:
        frame = stored_frame(part) if stored else zstd.compress(part)
        frames.append(zstd.Frame(len(frame), len(part)))
        file += frame
    path.write_bytes(file + zstd.seek_table(frames))


def by_hand_gzip(path: Path, contents: Sequence[tuple[bytes, bool]]) -> None:
    """Write a ``.tar.gz`` piece by piece, with a checksum that fits; see :func:`by_hand`."""
    form, whole, crc = GzipFraming(), [*contents, (tar.END, False)], 0
    file = bytearray(form.open_file())
    for part, stored in whole:
        crc = zlib.crc32(part, crc)
        for at in range(0, len(part) if stored else 0, form.block):
            piece = part[at : at + form.block]
            file += form.open_block(len(piece), last=False) + piece
        file += b"" if stored else form.text(part)
    file += form.close_file([zstd.Frame(0, len(part)) for part, _ in whole], crc)
    path.write_bytes(file)


def frames_of(whole: Sequence[Text | Stored]) -> list[tuple[bytes, bool]]:
    """Return what :func:`by_hand` takes for `whole`, to be tampered with."""
    return [
        (
            tar_member(m.name, m.data if isinstance(m, Text) else m.source.data),  # type: ignore[attr-defined]  # Fixed
            isinstance(m, Stored),
        )
        for m in whole
    ]


def digest(data: bytes) -> Digest:
    """Return the digest of `data`."""
    return Digest.of(data)
