"""Bundles opened for loading, with charts and manifests of the test's choice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from petra.archive.plan import Stored, Text
from petra.archive.reader import ArchiveReader
from petra.archive.source import FileSource
from petra.archive.target import ArchiveTarget
from petra.bundle.lock import Lock, LockedTools
from petra.bundle.metadata import ChartRecord, Check, Checks, Metadata, Tool, Totals
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.helm.chart import inspect_chart
from petra.load.destination import OpenBundle
from tests.support import archives

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from petra.bundle.lock import LockedImage

CREATED = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)


def open_bundle(  # a bundle has many parts, and most tests give one or two
    folder: Path,
    *,
    charts: Sequence[bytes] = (),
    platform: Mapping[str, bytes] | None = None,
    provenance: Mapping[str, bytes] | None = None,
    images: Sequence[LockedImage] = (),
    name: str = "shop",
    version: str = "1.4.0",
    created: datetime = CREATED,
) -> OpenBundle:
    """Write a bundle with the real writer, and open it.

    Args:
        folder: takes the file.
        charts: their ``.tgz``.
        platform: manifests by member name, ``platform/base/…``.
        provenance: the files beside charts, by the name of the chart's file.
        images: what the lock says of images; their blobs are not there.
        name: the bundle's.
        version: the bundle's.
        created: the bundle's.
    """
    records = [_record(data) for data in charts]
    stored = [
        Stored(
            one.member,
            Descriptor("application/gzip", one.digest, one.size),
            archives.Fixed(data),
            "chart",
        )
        for one, data in zip(records, charts, strict=True)
    ]
    texts = [Text(path, data) for path, data in (platform or {}).items()]
    texts += [Text(f"charts/{file}.prov", data) for file, data in (provenance or {}).items()]
    path = folder / f"{name}-{version}.tar.zst"
    packed = archives.write(path, archives.content(*stored, texts=texts, index=b'{"manifests":[]}'))
    reader = ArchiveReader(FileSource(path))
    return OpenBundle(
        reader=reader,
        archive=ArchiveTarget(reader),
        metadata=_metadata(records, name, version, created),
        lock=Lock(
            name=name,
            version=version,
            serial=1,
            created=created,
            spec_digest=Digest.of(b"spec"),
            tools=LockedTools(petra="0", zstd="0"),
            images=tuple(images),
        ),
        digest=packed.digest,
        signer="0" * 64,
    )


def _record(data: bytes) -> ChartRecord:
    info = inspect_chart(data, where="chart")
    return ChartRecord(
        name=info.name,
        version=info.version,
        repo="https://charts.example",
        member=f"charts/{info.file_name}",
        digest=Digest.of(data),
        size=len(data),
        provenance=Check.skipped("not verified"),
    )


def _metadata(
    charts: Sequence[ChartRecord], name: str, version: str, created: datetime
) -> Metadata:
    return Metadata(
        name=name,
        version=version,
        serial=1,
        created=created,
        tool=Tool(name="petra", version="0"),
        checks=Checks(sign=Check.done(), verify=Check.done(), scan=Check.skipped("no scanner")),
        totals=Totals(members=0, bytes=0, images=0, charts=len(charts)),
        charts=tuple(charts),
        members=(),
    )
