"""The artifact that Flux reads: a function of the manifests and the bundle, and of nothing else."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from petra.bundle.platform import PlatformFiles
from petra.content.digest import Digest
from petra.load.flux_artifact import flux_artifact, stored_gzip, tree_digest
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import FLUX_CONFIG, FLUX_CONTENT
from tests.support.load_bundles import open_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from petra.load.destination import OpenBundle

FILES = PlatformFiles(
    {
        "platform/observability/b.yaml": b"b: 1\n" * 30_000,
        "platform/base/a/one.yaml": b"a: 1\n",
        "platform/base/kustomization.yaml": b"k: 1\n",
    }
)


@pytest.fixture
def bundle(tmp_path: Path) -> OpenBundle:
    return open_bundle(tmp_path)


def test_the_layer_unpacks_to_base_and_observability(bundle: OpenBundle) -> None:
    layer = flux_artifact(FILES, bundle).parts[1].data

    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as archive:
        found = {
            member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive
        }
        headers = {(m.mode, m.uid, m.gid, m.uname, m.mtime, m.type) for m in archive.getmembers()}
    assert found == {name.removeprefix("platform/"): data for name, data in FILES.files.items()}
    assert list(found) == sorted(found)
    assert headers == {(0o644, 0, 0, "", 0, tarfile.REGTYPE)}


def test_media_types_and_annotations_are_those_of_flux_push_artifact(bundle: OpenBundle) -> None:
    artifact = flux_artifact(FILES, bundle)

    manifest = parse_manifest(artifact.raw, where="manifest")
    assert manifest.config
    assert manifest.config.media_type == FLUX_CONFIG
    assert [layer.media_type for layer in manifest.layers] == [FLUX_CONTENT]
    assert manifest.annotations == {
        "org.opencontainers.image.created": "2026-11-01T12:30:00Z",
        "org.opencontainers.image.revision": f"1.4.0@{bundle.digest}",
        "org.opencontainers.image.source": "shop-1.4.0",
    }


def test_the_config_names_the_layer_as_images_do(bundle: OpenBundle) -> None:
    config, layer = flux_artifact(FILES, bundle).parts

    plain = gzip.decompress(layer.data)
    assert json.loads(config.data)["rootfs"]["diff_ids"] == [Digest.of(plain)]
    assert tree_digest(FILES) == Digest.of(plain)


def test_the_same_manifests_and_bundle_give_the_same_bytes_in_whatever_order(
    bundle: OpenBundle,
) -> None:
    reverse = PlatformFiles(dict(reversed(list(FILES.files.items()))))

    first, second = flux_artifact(FILES, bundle), flux_artifact(reverse, bundle)

    assert first == second
    assert first.raw == second.raw


def test_another_bundle_is_another_artifact_with_the_same_layer(
    bundle: OpenBundle, tmp_path: Path
) -> None:
    first = flux_artifact(FILES, bundle)
    second = flux_artifact(FILES, open_bundle(tmp_path, version="1.5.0"))

    assert first.digest != second.digest
    assert first.parts[1] == second.parts[1]


@pytest.mark.parametrize("size", [0, 1, 65_534, 65_535, 65_536, 200_000])
def test_any_gzip_reader_reads_stored_blocks(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)

    assert gzip.decompress(stored_gzip(content[:size])) == content[:size]
