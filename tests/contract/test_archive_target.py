"""The reading half of a Target's contract, held by a bundle in place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.archive.reader import ArchiveReader
from petra.archive.source import FileSource
from petra.archive.target import ArchiveTarget
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.protocols import RangeFetcher, ReadOnlyTarget, ReferrerLister
from petra.content.stream import VerifyReader, fetch_document
from petra.errors import NotFoundError
from petra.oci.copy import copy_graph, walk_graph
from petra.oci.layout import REF_NAME, LayoutTarget
from petra.oci.media_types import OCI_LAYER
from petra.oci.memory import MemoryTarget
from tests.support import archives
from tests.support.graphs import push, push_image, push_index, push_referrer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.archive.plan import Stored

DATA = bytes(range(256)) * 2000
NAME = "cgr.dev/chainguard/nginx:1.27"


class Packed:
    """What went into the bundle, and the bundle."""

    def __init__(self, path: Path, form: str) -> None:
        self.source = MemoryTarget()
        self.index = push_index(self.source)
        self.image = push_image(self.source, "plain", [DATA])
        self.sbom = push_referrer(self.source, self.index)
        entries = [
            {**self.index.to_json(), "annotations": {REF_NAME: NAME}},
            {**self.image.to_json(), "annotations": {REF_NAME: "plain:v1"}},
            self.sbom.to_json(),
        ]
        layout_index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        archives.write(path, archives.content(*self._stored(), index=layout_index), form=form)

    def _stored(self) -> list[Stored]:
        nodes: dict[Digest, Descriptor] = {}
        for root in (self.index, self.image, self.sbom):
            graph = walk_graph(self.source, root)
            nodes |= {digest: m.descriptor for digest, m in graph.manifests.items()} | graph.blobs
        blobs = []
        for node in nodes.values():
            with self.source.fetch(node) as stream:
                blobs.append(archives.blob(stream.read()))
        return blobs


@pytest.fixture(params=["tar.zst", "tar.gz"], scope="module")
def packed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Packed, Path]:
    path = tmp_path_factory.mktemp("archive") / f"bundle.{request.param}"
    return Packed(path, request.param), path


@pytest.fixture
def content(packed: tuple[Packed, Path]) -> Packed:
    return packed[0]


@pytest.fixture
def target(packed: tuple[Packed, Path]) -> Iterator[ArchiveTarget]:
    with ArchiveReader(FileSource(packed[1])) as reader:
        yield ArchiveTarget(reader)


def test_it_has_the_abilities_of_a_reader(target: ArchiveTarget) -> None:
    assert isinstance(target, ReadOnlyTarget)
    assert isinstance(target, RangeFetcher)
    assert isinstance(target, ReferrerLister)


def test_images_resolve_by_name_and_digest(target: ArchiveTarget, content: Packed) -> None:
    assert target.resolve(NAME) == content.index
    assert target.resolve("plain:v1") == content.image
    assert target.resolve(content.index.digest) == content.index


def test_a_blob_comes_back_as_it_went_in(target: ArchiveTarget) -> None:
    blob = Descriptor.of(OCI_LAYER, DATA)

    assert target.exists(blob)
    assert not target.exists(Descriptor(OCI_LAYER, blob.digest, blob.size + 1))
    with VerifyReader(target.fetch(blob), blob) as stream:
        assert stream.read() == DATA


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (0, len(DATA)), (131000, 3000), (len(DATA) - 1, 1)]
)
def test_a_range_of_a_blob(target: ArchiveTarget, offset: int, length: int) -> None:
    blob = Descriptor.of(OCI_LAYER, DATA)
    whole = bytearray()
    buffer = memoryview(bytearray(1000))

    with target.fetch_range(blob, offset, length) as stream:
        while count := stream.readinto(buffer):
            whole += buffer[:count]

    assert bytes(whole) == DATA[offset : offset + length]


def test_referrers(target: ArchiveTarget, content: Packed) -> None:
    (found,) = target.referrers(content.index)

    assert found == content.sbom
    assert found.artifact_type == "application/spdx+json"
    assert target.referrers(content.image) == []


def test_what_is_missing_is_not_found(target: ArchiveTarget) -> None:
    missing = Descriptor.of(OCI_LAYER, b"absent")

    assert not target.exists(missing)
    for fetch in (
        lambda: target.fetch(missing),
        lambda: target.fetch_range(missing, 0, 1),
        lambda: target.resolve("absent:v1"),
        lambda: target.resolve(missing.digest),
        lambda: target.resolve(Digest.of(DATA)),
    ):
        with pytest.raises(NotFoundError):
            fetch()


@pytest.mark.parametrize("kind", ["memory", "layout"])
def test_a_graph_copies_out_of_it(
    target: ArchiveTarget, content: Packed, tmp_path: Path, kind: str
) -> None:
    copy = MemoryTarget() if kind == "memory" else LayoutTarget(tmp_path / "layout")
    push(copy, OCI_LAYER, b"shared")

    for root in (content.index, content.image, content.sbom):
        copy_graph(target, copy, root)

    assert copy.resolve(content.index.digest) == content.index
    assert copy.referrers(content.index) == [content.sbom]
    assert fetch_document(copy, content.image) == fetch_document(content.source, content.image)
