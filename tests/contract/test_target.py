"""What every Target keeps to, whatever lies behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, TypeAlias

import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.protocols import RangeFetcher, ReferrerLister, Target
from petra.content.stream import BytesStream, VerifyReader, fetch_document
from petra.errors import DigestMismatchError, NotFoundError, PetraError, SizeMismatchError
from petra.oci.copy import copy_graph
from petra.oci.layout import LayoutTarget
from petra.oci.media_types import OCI_LAYER, OCI_MANIFEST
from petra.oci.memory import MemoryTarget
from petra.oci.registry import RegistryClient
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer
from tests.support.graphs import push, push_image, push_index, push_referrer

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.protocols import ByteStream

KINDS = ("memory", "layout", "registry")
DATA = bytes(range(256)) * 20
BLOB = Descriptor.of(OCI_LAYER, DATA)


class AnyTarget(Target, RangeFetcher, ReferrerLister, Protocol):
    """What all of them are."""


Maker: TypeAlias = Callable[[str], AnyTarget]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    """`make(kind)` is a new, empty target of that kind."""
    with ExitStack() as stack:

        def build(kind: str) -> AnyTarget:
            if kind == "memory":
                return MemoryTarget()
            if kind == "layout":
                return LayoutTarget(tmp_path / f"layout-{len(list(tmp_path.iterdir()))}")
            server = stack.enter_context(
                BundleServer("127.0.0.1", 0, MemoryRepositories(), writable=True)
            )
            client = stack.enter_context(RegistryClient())
            return client.repository(server.host, "some/repository")

        yield build


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, make: Maker) -> AnyTarget:
    return make(request.param)


def content_of(stream: ByteStream) -> bytes:
    """Read by readinto, in odd pieces, as the hot path does."""
    whole = bytearray()
    buffer = memoryview(bytearray(1000))
    with stream:
        while count := stream.readinto(buffer):
            whole += buffer[:count]
    return bytes(whole)


def test_it_has_all_the_abilities(target: AnyTarget) -> None:
    assert isinstance(target, Target)
    assert isinstance(target, RangeFetcher)
    assert isinstance(target, ReferrerLister)


def test_a_blob_comes_back_as_it_was_pushed(target: AnyTarget) -> None:
    assert not target.exists(BLOB)

    target.push(BLOB, BytesStream(DATA))

    assert target.exists(BLOB)
    assert content_of(VerifyReader(target.fetch(BLOB), BLOB)) == DATA
    with target.fetch(BLOB) as stream:
        assert stream.read() == DATA


def test_an_empty_blob(target: AnyTarget) -> None:
    empty = Descriptor.of(OCI_LAYER, b"")

    target.push(empty, BytesStream(b""))

    assert target.exists(empty)
    assert content_of(VerifyReader(target.fetch(empty), empty)) == b""


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (0, 5120), (700, 3000), (5119, 1), (4000, 1120)]
)
def test_a_range_of_a_blob(target: AnyTarget, offset: int, length: int) -> None:
    target.push(BLOB, BytesStream(DATA))

    assert content_of(target.fetch_range(BLOB, offset, length)) == DATA[offset : offset + length]


def test_pushing_twice_changes_nothing(target: AnyTarget) -> None:
    target.push(BLOB, BytesStream(DATA))
    target.push(BLOB, BytesStream(DATA))

    assert content_of(target.fetch(BLOB)) == DATA


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (DATA[:-1] + b"!", DigestMismatchError),
        (DATA[:-1], SizeMismatchError),
        (DATA[:0], SizeMismatchError),
        (DATA + b"!", SizeMismatchError),
    ],
    ids=["wrong digest", "truncated", "empty", "trailing bytes"],
)
def test_wrong_content_is_refused_and_nothing_is_kept(
    target: AnyTarget, sent: bytes, error: type[PetraError]
) -> None:
    with pytest.raises(error):
        target.push(BLOB, BytesStream(sent))

    assert not target.exists(BLOB)
    with pytest.raises(NotFoundError):
        content_of(target.fetch(BLOB))


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_a_wrong_size_is_refused_and_nothing_is_kept(target: AnyTarget, size: int) -> None:
    wrong = Descriptor(OCI_LAYER, BLOB.digest, size)

    with pytest.raises(SizeMismatchError):
        target.push(wrong, BytesStream(DATA))

    assert not target.exists(wrong)
    assert not target.exists(BLOB)


def test_a_wrong_manifest_is_refused_and_nothing_is_kept(target: AnyTarget) -> None:
    source = MemoryTarget()
    image = push_image(source)
    raw = fetch_document(source, image)

    with pytest.raises(DigestMismatchError):
        target.push(image, BytesStream(raw[:-1] + b" "))

    assert not target.exists(image)


def test_another_size_does_not_exist(target: AnyTarget) -> None:
    target.push(BLOB, BytesStream(DATA))

    assert not target.exists(Descriptor(OCI_LAYER, BLOB.digest, BLOB.size + 1))


class _Broken(BytesStream):
    """Breaks off in the middle, as a connection does."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # narrower on purpose
        if self.tell():
            raise ConnectionResetError("gone")
        return super().readinto(buffer[:100])

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError("gone")


def test_a_stream_that_breaks_leaves_nothing(target: AnyTarget) -> None:
    with pytest.raises((ConnectionResetError, PetraError)):
        target.push(BLOB, _Broken(DATA))

    assert not target.exists(BLOB)
    target.push(BLOB, BytesStream(DATA))
    assert content_of(target.fetch(BLOB)) == DATA


def test_what_is_missing_is_not_found(target: AnyTarget) -> None:
    manifest = Descriptor.of(OCI_MANIFEST, b"absent")

    for missing in (BLOB, manifest):
        assert not target.exists(missing)
        with pytest.raises(NotFoundError):
            content_of(target.fetch(missing))
    with pytest.raises(NotFoundError):
        content_of(target.fetch_range(BLOB, 0, 10))
    for reference in ("v1", Digest.of(b"absent")):
        with pytest.raises(NotFoundError):
            target.resolve(reference)
    with pytest.raises(NotFoundError):
        target.tag(manifest, "v1")


def test_manifests_resolve_by_tag_and_digest(target: AnyTarget) -> None:
    image = push_image(target)
    index = push_index(target)
    target.tag(image, "v1")
    target.tag(index, "v2")

    assert target.resolve("v1") == image
    assert target.resolve("v2") == index
    assert target.resolve(image.digest) == image
    assert target.resolve(index.digest) == index
    assert content_of(VerifyReader(target.fetch(image), image))


def test_a_blob_does_not_resolve(target: AnyTarget) -> None:
    target.push(BLOB, BytesStream(DATA))

    with pytest.raises(NotFoundError):
        target.resolve(BLOB.digest)


def test_a_tag_moves(target: AnyTarget) -> None:
    first, second = push_image(target, "one"), push_image(target, "two")

    target.tag(first, "latest")
    target.tag(second, "latest")

    assert target.resolve("latest") == second
    assert target.resolve(first.digest) == first


def test_referrers_of_a_subject(target: AnyTarget) -> None:
    image, other = push_image(target, "one"), push_image(target, "two")
    sbom = push_referrer(target, image, annotations={"k": "v"})
    signature = push_referrer(target, image, artifact_type=None, layer_type="a/signature")
    push_referrer(target, other)

    found = {item.digest: item for item in target.referrers(image)}

    assert set(found) == {sbom.digest, signature.digest}
    assert found[sbom.digest].artifact_type == "application/spdx+json"
    assert found[sbom.digest].annotations == {"k": "v"}
    assert found[signature.digest].artifact_type == "application/vnd.oci.empty.v1+json"
    assert found[sbom.digest] == sbom


def test_nothing_refers_to_it(target: AnyTarget) -> None:
    image = push_image(target)

    assert target.referrers(image) == []


def test_the_same_blob_from_many_threads(target: AnyTarget) -> None:
    with ThreadPoolExecutor(8) as pool:
        pushes = [pool.submit(target.push, BLOB, BytesStream(DATA)) for _ in range(16)]

    assert [future.result() for future in pushes] == [None] * 16
    assert content_of(target.fetch(BLOB)) == DATA


def test_many_tags_from_many_threads(target: AnyTarget) -> None:
    image = push_image(target)
    tags = [f"v{i}" for i in range(24)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tag: target.tag(image, tag), tags))

    assert [target.resolve(tag) for tag in tags] == [image] * len(tags)


@pytest.mark.parametrize("origin", KINDS)
def test_a_graph_copies_between_any_two(make: Maker, target: AnyTarget, origin: str) -> None:
    source = make(origin)
    index = push_index(source)

    copy_graph(source, target, index)
    target.tag(index, "v1")

    assert target.resolve("v1") == index
    raw = fetch_document(target, index)
    assert raw == fetch_document(source, index)
    again = MemoryTarget()
    copy_graph(target, again, index)
    assert again.resolve(index.digest) == index


class _Failing:
    """Passes a target on until the push of the n-th piece."""

    def __init__(self, inner: AnyTarget, pushes: int) -> None:
        self._inner = inner
        self._left = pushes
        self.pushed: list[Descriptor] = []

    def fetch(self, descriptor: Descriptor, /) -> ByteStream:
        return self._inner.fetch(descriptor)

    def exists(self, descriptor: Descriptor, /) -> bool:
        return self._inner.exists(descriptor)

    def push(self, descriptor: Descriptor, content: ByteStream, /) -> None:
        if not self._left:
            raise PetraError("the other side failed")
        self._left -= 1
        self._inner.push(descriptor, content)
        self.pushed.append(descriptor)


@pytest.mark.parametrize("pushes", range(7))
def test_a_copy_goes_on_after_a_failure(target: AnyTarget, pushes: int) -> None:
    source = MemoryTarget()
    index = push_index(source)
    first = _Failing(target, pushes)

    with pytest.raises(PetraError, match="the other side failed"):
        copy_graph(source, first, index, workers=1)
    assert not target.exists(index)
    second = _Failing(target, 100)
    copy_graph(source, second, index, workers=1)

    assert len(first.pushed) == pushes
    assert not set(first.pushed) & set(second.pushed)
    assert second.pushed[-1] == index
    assert target.exists(index)


def test_a_pushed_blob_can_become_a_manifest(target: AnyTarget) -> None:
    """Two repositories of one registry may know the same bytes as different things."""
    source = MemoryTarget()
    image = push_image(source)
    raw = fetch_document(source, image)
    push(target, OCI_LAYER, raw)

    copy_graph(source, target, image)

    assert target.exists(image)
    assert target.resolve(image.digest) == image
