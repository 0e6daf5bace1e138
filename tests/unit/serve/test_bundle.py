"""A bundle as repositories: each knows its own content and no other's."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from petra.archive.reader import ArchiveReader
from petra.archive.source import FileSource
from petra.archive.target import ArchiveTarget
from petra.bundle.lock import Lock, LockedBlob, LockedImage, LockedTools
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.errors import NotFoundError
from petra.oci.media_types import OCI_MANIFEST
from petra.serve.bundle import BundleCharts, BundleRepositories
from tests.support import archives

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = Descriptor.of("application/vnd.oci.image.config.v1+json", b"{}")
LAYER = Descriptor.of("application/vnd.oci.image.layer.v1.tar+gzip", b"layer")
RAW = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": CONFIG.to_json(),
        "layers": [LAYER.to_json()],
    }
).encode()
ROOT = Descriptor.of(OCI_MANIFEST, RAW)


@pytest.fixture
def reader(tmp_path: Path) -> ArchiveReader:
    path = tmp_path / "b.tar.zst"
    index = json.dumps({"manifests": [ROOT.to_json()]}).encode()
    blobs = [archives.blob(data) for data in (RAW, b"{}", b"layer")]
    archives.write(path, archives.content(*blobs, index=index))
    return ArchiveReader(FileSource(path))


@pytest.fixture
def repositories(reader: ArchiveReader) -> BundleRepositories:
    image = LockedImage(
        name="app",
        reference="cgr.dev/chainguard/app:1",
        root=LockedBlob.of(ROOT),
        documents=(LockedBlob.of(ROOT), LockedBlob.of(CONFIG)),
        layers=(LockedBlob.of(LAYER),),
    )
    lock = Lock(
        name="b",
        version="1",
        serial=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        spec_digest=Digest.of(b""),
        tools=LockedTools(petra="0", zstd="0"),
        images=(image, image.model_copy(update={"reference": "quay.io/other/app:2", "layers": ()})),
    )
    return BundleRepositories(ArchiveTarget(reader), lock)


def test_images_are_found_by_tag_and_digest(repositories: BundleRepositories) -> None:
    assert repositories.names() == ["cgr.dev/chainguard/app", "quay.io/other/app"]
    found = repositories.get("cgr.dev/chainguard/app")
    assert found is not None
    assert repositories.tags("cgr.dev/chainguard/app") == ["1"]
    assert found.resolve("1") == found.resolve(ROOT.digest) == ROOT
    assert found.fetch(LAYER).read() == b"layer"
    assert found.fetch_range(LAYER, 1, 2).read() == b"ay"


def test_a_layer_is_no_image(repositories: BundleRepositories) -> None:
    found = repositories.get("cgr.dev/chainguard/app")
    assert found is not None
    with pytest.raises(NotFoundError):
        found.resolve(LAYER.digest)
    with pytest.raises(NotFoundError):
        found.resolve("2")


def test_a_repository_does_not_give_away_another_ones_blobs(
    repositories: BundleRepositories,
) -> None:
    other = repositories.get("quay.io/other/app")
    assert other is not None
    with pytest.raises(NotFoundError):
        other.fetch(LAYER)
    assert repositories.get("docker.io/library/app") is None
    assert repositories.tags("docker.io/library/app") == []


def test_a_bundle_without_charts_serves_none(reader: ArchiveReader) -> None:
    assert BundleCharts(reader).read("index.yaml") is None
