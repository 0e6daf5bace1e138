from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petra.bundle.inventory import dump_inventory
from petra.content.digest import Digest
from petra.load.inventory import repositories_of, take_inventory
from petra.load.ledger import DestinationRecord, Event, ImageRecord, LoadRecord, PlacedRecord, Stamp
from petra.oci import media_types
from petra.oci.layout import LayoutTarget
from petra.oci.memory import MemoryTarget
from tests.support.destinations import Diary, MemoryLedger
from tests.support.graphs import push, push_document
from tests.support.ledgers import NOON, event, loaded, stamp

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.content.protocols import Target
    from petra.oci.manifest import Manifest

ONE, TWO = stamp(1), stamp(2)
CONFIG, SHARED, OWN = b"{}", b"a layer that is shared", b"a layer"


class Repository(MemoryTarget):
    """A repository that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def fetch_manifest(self, reference: str) -> Manifest:
        self.resolve(reference)
        self.asked.append(reference)
        return self._manifests[Digest(reference)]

    def exists(self, descriptor: Descriptor) -> bool:
        self.asked.append(descriptor.digest)
        return super().exists(descriptor)

    def lose(self, digest: Digest) -> None:
        self._blobs.pop(digest, None)
        self._manifests.pop(digest, None)


@dataclass
class Registry:
    """Repositories by name."""

    content: dict[str, Repository] = field(default_factory=dict)

    def repository(self, registry: str, repository: str, /) -> Repository:
        return self.content.setdefault(f"{registry}/{repository}", Repository())


def push_image(target: Target, *layers: bytes) -> Descriptor:
    config = push(target, media_types.OCI_CONFIG, CONFIG)
    blobs = [push(target, media_types.OCI_LAYER_GZIP, one) for one in layers]
    document = {"config": config.to_json(), "layers": [one.to_json() for one in blobs]}
    return push_document(target, media_types.OCI_MANIFEST, document)


def record(
    bundle: Stamp,
    image: Digest,
    *manifests: Digest,
    name: str = "registry://r.example",
    at: str = "r.example/web",
) -> LoadRecord:
    placed = PlacedRecord(name="web", reference=f"{at}@{image}", digest=image)
    root = manifests[-1] if manifests else image
    return LoadRecord(
        bundle=bundle,
        destinations=(DestinationRecord(part="images", name=name, placed=(placed,)),),
        images=(ImageRecord(root=root, manifests=(*manifests, image)),),
    )


def ledger(*records: LoadRecord, events: list[Event] | None = None) -> MemoryLedger:
    stamps = [one.bundle for one in records]
    known = {one.bundle: one for one in records}
    return MemoryLedger(Diary(), loaded(*stamps) if events is None else events, known)


def test_what_is_there_counts_with_its_size() -> None:
    registry = Registry()
    image = push_image(registry.repository("r.example", "web"), SHARED, OWN)
    found = take_inventory(ledger(record(ONE, image.digest)), registry)

    assert found.blobs == {
        image.digest: image.size,
        **{Digest.of(one): len(one) for one in (CONFIG, SHARED, OWN)},
    }
    assert (found.lost, found.uncounted, found.serial) == ([], [], 2)
    assert [one.digest for one in found.bundles] == [ONE.digest]
    assert dump_inventory(found.inventory("east", NOON)).endswith(b"}\n")


def test_a_lost_blob_is_named_and_left_out() -> None:
    registry = Registry()
    repository = registry.repository("r.example", "web")
    image = push_image(repository, SHARED, OWN)
    repository.lose(Digest.of(OWN))
    found = take_inventory(ledger(record(ONE, image.digest)), registry)

    assert Digest.of(OWN) not in found.blobs
    assert Digest.of(SHARED) in found.blobs
    assert found.lost == [f"blob {Digest.of(OWN)} (7 bytes) is not at r.example/web ({ONE})"]


def test_a_lost_manifest_is_named_and_its_layers_do_not_count() -> None:
    registry = Registry()
    repository = registry.repository("r.example", "web")
    image = push_image(repository, OWN)
    repository.lose(image.digest)
    found = take_inventory(ledger(record(ONE, image.digest)), registry)

    assert found.blobs == {}
    assert found.lost == [f"manifest {image.digest} is not at r.example/web ({ONE})"]


def test_an_index_that_a_child_stands_for_is_not_lost() -> None:
    registry = Registry()
    child = push_image(registry.repository("r.example", "web"), OWN)
    index = Digest.of(b"the index that the registry refused")
    found = take_inventory(ledger(record(ONE, child.digest, index)), registry)

    assert found.lost == []
    assert Digest.of(OWN) in found.blobs


def test_what_two_bundles_share_is_asked_for_once() -> None:
    registry = Registry()
    repository = registry.repository("r.example", "web")
    image = push_image(repository, OWN)
    repository.asked.clear()
    take_inventory(ledger(record(ONE, image.digest), record(TWO, image.digest)), registry)

    assert sorted(repository.asked) == sorted([image.digest, Digest.of(CONFIG), Digest.of(OWN)])


def test_only_bundles_that_are_complete_count() -> None:
    registry = Registry()
    image = push_image(registry.repository("r.example", "web"), OWN)
    events = [*loaded(ONE), event("pruning", ONE), event("pruned", ONE), event("begun", TWO)]
    records = (record(ONE, image.digest), record(TWO, image.digest))
    found = take_inventory(ledger(*records, events=events), registry)

    assert (found.blobs, found.bundles) == ({}, [])


def test_a_place_that_cannot_be_asked_is_named_once() -> None:
    k3s = {"name": "k3s:/images", "at": "/images/shop.tar.zst"}
    image = Digest.of(b"image")
    found = take_inventory(ledger(record(ONE, image, **k3s), record(TWO, image, **k3s)), Registry())

    assert found.uncounted == ["k3s:/images: what it holds cannot be asked for by digest"]
    assert found.blobs == {}


def test_a_layouts_files_are_read_and_a_damaged_one_is_lost(tmp_path: Path) -> None:
    layout = LayoutTarget(tmp_path)
    image = push_image(layout, SHARED, OWN)
    damaged = tmp_path / Digest.of(OWN).blob_path
    damaged.chmod(0o644)
    damaged.write_bytes(b"A layer")  # as long as it was
    known = record(ONE, image.digest, name=f"layout:{tmp_path}", at=f"oci:{tmp_path}:web")
    found = take_inventory(ledger(known), Registry())

    assert Digest.of(SHARED) in found.blobs
    assert found.lost == [f"blob {Digest.of(OWN)} (7 bytes) is not at layout:{tmp_path} ({ONE})"]


def test_a_layout_that_is_gone_is_lost(tmp_path: Path) -> None:
    image = push_image(MemoryTarget(), OWN)
    known = record(ONE, image.digest, name=f"layout:{tmp_path / 'gone'}", at="oci:gone:web")
    found = take_inventory(ledger(known), Registry())
    assert [one.partition(" is not")[0] for one in found.lost] == [f"manifest {image.digest}"]


def test_the_repositories_of_older_bundles_are_known() -> None:
    image = Digest.of(b"image")
    records = (record(ONE, image), record(TWO, image, at="r.example/api"))
    assert repositories_of(ledger(*records)) == ("r.example/web", "r.example/api")
