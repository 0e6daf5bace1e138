import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.protocols import ByteStream
from petra.content.stream import BytesStream
from petra.errors import DigestMismatchError, FormatError, NotFoundError
from petra.oci.copy import DEPTH_LIMIT, copy_graph, walk_graph
from petra.oci.media_types import OCI_INDEX, OCI_LAYER
from petra.oci.memory import MemoryTarget
from tests.support.graphs import PLATFORMS, push, push_document, push_image, push_index


class Watched(MemoryTarget):
    """Notes what is pushed and fetched, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.pushed: list[Digest] = []
        self.fetched: list[Digest] = []

    def push(self, descriptor: Descriptor, content: ByteStream) -> None:
        super().push(descriptor, content)
        self.pushed.append(descriptor.digest)

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        self.fetched.append(descriptor.digest)
        return super().fetch(descriptor)


def test_children_come_before_parents_and_each_piece_once() -> None:
    source, target = Watched(), Watched()
    index = push_index(source)
    graph = walk_graph(source, index)
    source.fetched.clear()

    copy_graph(source, target, index)

    assert len(target.pushed) == len(set(target.pushed)) == 8
    assert sorted(source.fetched) == sorted({*graph.manifests, *graph.blobs})
    seen: set[Digest] = set()
    for digest in target.pushed:
        if digest in graph.manifests:
            assert {part.digest for part in graph.manifests[digest].successors()} <= seen
        seen.add(digest)


def test_indexes_within_indexes() -> None:
    source, target = MemoryTarget(), Watched()
    inner, image = push_index(source, "inner"), push_image(source, "beside")
    children = [inner.to_json(), image.to_json()]
    root = push_document(source, OCI_INDEX, {"manifests": children})

    copy_graph(source, target, root)

    assert target.pushed[-1] == root.digest
    assert target.pushed.index(inner.digest) > max(
        target.pushed.index(part.digest) for part in walk_graph(source, inner).blobs.values()
    )


def test_only_what_is_missing_is_sent() -> None:
    source, target = MemoryTarget(), Watched()
    index = push_index(source)
    push(target, OCI_LAYER, b"shared")
    before = len(target.pushed)
    told: dict[Digest, bool] = {}

    copy_graph(source, target, index, notify=lambda node, sent: told.update({node.digest: sent}))

    assert Digest.of(b"shared") not in target.pushed[before:]
    assert told[Digest.of(b"shared")] is False
    assert told[index.digest] is True
    assert len(told) == 8


def test_children_of_something_present_are_looked_at_all_the_same() -> None:
    source, target = MemoryTarget(), MemoryTarget()
    index = push_index(source)
    only_amd64 = {PLATFORMS[0], None}
    copy_graph(source, target, index, select=lambda node: node.platform in only_amd64)
    arm64 = walk_graph(source, index).manifests[index.digest].manifests[1]
    assert target.exists(index)
    assert not target.exists(arm64)

    copy_graph(source, target, index)

    assert target.exists(arm64)


def test_a_blob_alone() -> None:
    source, target = MemoryTarget(), MemoryTarget()
    blob = push(source, OCI_LAYER, b"content")

    copy_graph(source, target, blob)

    assert target.exists(blob)


def test_a_missing_blob_is_an_error_and_the_root_does_not_arrive() -> None:
    source, target = MemoryTarget(), MemoryTarget()
    absent = Descriptor.of(OCI_LAYER, b"absent").to_json()
    config = push(source, OCI_LAYER, b"{}").to_json()
    document = {"config": config, "layers": [absent]}
    image = push_document(source, "application/vnd.oci.image.manifest.v1+json", document)

    with pytest.raises(NotFoundError):
        copy_graph(source, target, image)
    assert not target.exists(image)


class Lying(MemoryTarget):
    """Gives other bytes than asked for, of the right size."""

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        return BytesStream(b"?" * descriptor.size)


@pytest.mark.parametrize("index", [True, False])
def test_a_source_that_lies_is_found_out(*, index: bool) -> None:
    source, target = Lying(), MemoryTarget()
    root = push_index(source) if index else push(source, OCI_LAYER, b"content")

    with pytest.raises(DigestMismatchError):
        copy_graph(source, target, root)
    assert not target.exists(root)


def test_a_graph_too_deep_is_refused() -> None:
    source = MemoryTarget()
    root = push_image(source)
    for _ in range(DEPTH_LIMIT + 1):
        root = push_document(source, OCI_INDEX, {"manifests": [root.to_json()]})

    with pytest.raises(FormatError, match="beyond bounds"):
        walk_graph(source, root)
