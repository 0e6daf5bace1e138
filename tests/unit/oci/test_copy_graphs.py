"""Several copies at once: to repositories that hand blobs over to each other, and to others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.content.descriptor import Descriptor
from petra.content.stream import BytesStream
from petra.errors import TransportError
from petra.oci.copy import Copy, copy_graphs
from petra.oci.media_types import OCI_LAYER_GZIP, OCI_MANIFEST
from petra.oci.memory import MemoryTarget
from tests.support.graphs import push_document, push_image, push_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.content.digest import Digest
    from petra.content.protocols import ByteStream

BASE = Descriptor.of(OCI_LAYER_GZIP, b"base")


class Host:
    """A registry that hands blobs over between its repositories."""

    def __init__(self, *, mounts: bool = True) -> None:
        self.mounts = mounts
        self.repositories: dict[str, Remote] = {}
        self.log: list[tuple[str, str, Digest]] = []

    def repository(self, path: str) -> Remote:
        return self.repositories.setdefault(path, Remote(self, path))

    def did(self, verb: str) -> list[tuple[str, Digest]]:
        return [(path, digest) for done, path, digest in self.log if done == verb]


class Remote(MemoryTarget):
    """A repository of `Host`, which may lie about what it has."""

    def __init__(self, host: Host, path: str) -> None:
        super().__init__()
        self.host = host
        self.registry = "registry.example.com"
        self.path = path
        self.claims: set[Digest] = set()

    def exists(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self.claims or super().exists(descriptor)

    def mount(self, descriptor: Descriptor, source: str) -> bool:
        self.host.log.append(("mount", self.path, descriptor.digest))
        origin = self.host.repositories[source]
        if not self.host.mounts or not MemoryTarget.exists(origin, descriptor):
            return False
        super().push(descriptor, origin.fetch(descriptor))
        return True

    def send(self, descriptor: Descriptor, open_content: Callable[[], ByteStream]) -> None:
        self.host.log.append(("send", self.path, descriptor.digest))
        self.claims.discard(descriptor.digest)
        super().push(descriptor, open_content())

    def push(self, descriptor: Descriptor, content: ByteStream) -> None:
        self.host.log.append(("push", self.path, descriptor.digest))
        raw = content.read()
        manifest = json.loads(raw)
        for part in (manifest.get("config"), *manifest.get("layers", [])):
            if part and not MemoryTarget.exists(self, Descriptor.from_json(part, where="")):
                error = TransportError("MANIFEST_BLOB_UNKNOWN")
                error.status = 400
                raise error
        super().push(descriptor, BytesStream(raw))


@pytest.fixture
def source() -> MemoryTarget:
    return MemoryTarget()


@pytest.fixture
def images(source: MemoryTarget) -> list[Descriptor]:
    return [push_image(source, name, (b"base", name.encode())) for name in ("one", "two", "three")]


def copies(host: Host, images: list[Descriptor]) -> list[Copy]:
    return [
        Copy(host.repository(f"team/{number}"), (image,)) for number, image in enumerate(images)
    ]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_shared_blob_is_sent_once_and_mounted_elsewhere(
    source: MemoryTarget, images: list[Descriptor], workers: int
) -> None:
    host = Host()

    copy_graphs(source, copies(host, images), workers=workers)

    assert [path for path, digest in host.did("send") if digest == BASE.digest] == ["team/0"]
    assert sorted(host.did("mount")) == [("team/1", BASE.digest), ("team/2", BASE.digest)]
    for number, image in enumerate(images):
        assert host.repository(f"team/{number}").exists(image)


def test_without_mounts_it_is_sent_to_each_and_asked_once(
    source: MemoryTarget, images: list[Descriptor]
) -> None:
    host = Host(mounts=False)

    copy_graphs(source, copies(host, images), workers=1)

    assert len([path for path, digest in host.did("send") if digest == BASE.digest]) == 3
    assert len(host.did("mount")) == 1


def test_what_another_repository_has_already_is_mounted_from_there(
    source: MemoryTarget, images: list[Descriptor]
) -> None:
    host = Host()
    copy_graphs(source, copies(host, images)[1:2])
    host.log.clear()

    copy_graphs(source, copies(host, images[:2]), workers=1)

    assert BASE.digest not in dict(map(reversed, host.did("send")))  # type: ignore[arg-type]
    assert host.did("mount") == [("team/0", BASE.digest)]


def test_a_blob_that_was_not_there_after_all_is_sent(
    source: MemoryTarget, images: list[Descriptor]
) -> None:
    host = Host()
    host.repository("team/0").claims.add(BASE.digest)

    copy_graphs(source, copies(host, images[:1]))

    assert ("team/0", BASE.digest) in host.did("send")
    assert host.repository("team/0").exists(images[0])


def test_a_refusal_that_has_another_reason_is_raised_and_nothing_sent_twice(
    source: MemoryTarget, images: list[Descriptor]
) -> None:
    host = Host()
    lost = source.describe(BASE.digest)
    copy_graphs(source, [Copy(host.repository("team/0"), (BASE,))])
    host.log.clear()

    class Refusing(Remote):
        def push(self, descriptor: Descriptor, content: ByteStream) -> None:
            error = TransportError("no")
            error.status = 500
            raise error

    host.repositories["team/0"] = refusing = Refusing(host, "team/0")
    refusing.claims.add(lost.digest)

    with pytest.raises(TransportError, match="no"):
        copy_graphs(source, copies(host, images[:1]))
    assert ("team/0", BASE.digest) not in host.did("send")


def test_roots_come_one_after_the_other_and_then_what_follows(source: MemoryTarget) -> None:
    host = Host()
    index = push_index(source)
    referrers = [
        push_document(
            source,
            OCI_MANIFEST,
            {
                "config": BASE.to_json(),
                "layers": [],
                "subject": index.to_json(),
                "annotations": {"number": str(number)},
            },
        )
        for number in range(4)
    ]
    repository = host.repository("team/web")
    seen: list[list[Digest]] = []
    copy = Copy(
        repository,
        (index, *referrers),
        lambda: seen.append([digest for _, digest in host.did("push")]),
    )
    source.push(BASE, BytesStream(b"base"))

    copy_graphs(source, [copy], workers=4)

    order = [index.digest, *(one.digest for one in referrers)]
    assert seen[0][-5:] == order


def test_a_referrer_that_is_there_is_pushed_all_the_same(source: MemoryTarget) -> None:
    host = Host()
    image = push_image(source)
    empty = push_document(
        source,
        OCI_MANIFEST,
        {"config": image_config(source, image), "layers": [], "subject": image.to_json()},
    )
    copy = Copy(host.repository("team/web"), (image, empty))
    told: list[tuple[Digest, bool]] = []
    copy_graphs(source, [copy])
    host.log.clear()

    copy_graphs(source, [copy], notify=lambda node, sent: told.append((node.digest, sent)))

    assert host.did("push") == [("team/web", empty.digest)]
    assert not any(sent for _, sent in told)


def image_config(source: MemoryTarget, image: Descriptor) -> object:
    return json.loads(source.fetch(image).read())["config"]


def test_two_images_of_one_repository_share_their_pieces(
    source: MemoryTarget, images: list[Descriptor]
) -> None:
    host = Host()
    repository = host.repository("team/web")
    followed: list[str] = []

    copy_graphs(
        source,
        [
            Copy(repository, (images[0],), lambda: followed.append("1.0")),
            Copy(repository, (images[0], images[1]), lambda: followed.append("1.1")),
        ],
    )

    sent = [digest for _, digest in host.did("send")]
    assert len(sent) == len(set(sent))
    assert sorted(followed) == ["1.0", "1.1"]
