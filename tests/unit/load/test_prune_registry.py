"""What goes from a registry, on one in memory that deletes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from demo import content
from petra.errors import UnsupportedError
from petra.load.ledger import DestinationRecord, ImageRecord, PlacedRecord
from petra.load.prune import Doomed
from petra.load.prune_registry import RegistryPruner
from petra.oci.manifest import Manifest, parse_manifest
from petra.oci.memory import MemoryTarget

if TYPE_CHECKING:
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.load.prune import Pruned

NAME = "registry.example/mirror/web"


@dataclass
class Repository(MemoryTarget):
    """A repository that deletes, unless it says that it does not."""

    refuses: bool = False
    deleted: list[Digest] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def fetch_manifest(self, reference: str) -> Manifest:
        found = self.resolve(reference)
        with self.fetch(found) as stream:
            return parse_manifest(stream.read(), found.media_type, where=reference)

    def delete(self, digest: Digest) -> bool:
        if self.refuses:
            raise UnsupportedError("no DELETE", where=NAME)
        there = digest not in self.deleted
        self.deleted.append(digest)
        return there


@dataclass
class Site:
    """A repository with an image for two platforms, its signature, and one that stays."""

    repository: Repository = field(default_factory=Repository)

    def __post_init__(self) -> None:
        target = self.repository
        shared = content.push_image(target, [content.Layer.of({"a": b"shared"})], content.ARM64)
        self.shared = shared
        self.old = self.index(content.push_image(target, [content.Layer.of({"a": b"old"})]))
        self.new = self.index(content.push_image(target, [content.Layer.of({"a": b"new"})]))
        target.tag(self.old, "1.3")
        target.tag(self.new, "1.4")
        signature = content.push_image(target, [content.Layer.of({"sig": b"of old"})])
        self.signature = signature
        target.tag(signature, f"sha256-{self.old.digest.hex}.sig")

    def index(self, image: Descriptor) -> Descriptor:
        return content.push_index(
            self.repository, {content.AMD64: image, content.ARM64: self.shared}
        )

    def below(self, index: Descriptor) -> set[Digest]:
        manifest = self.repository.fetch_manifest(index.digest)
        return {one.digest for one in manifest.successors()}

    def repository_of(self, registry: str, path: str) -> Repository:
        assert f"{registry}/{path}" == NAME
        return self.repository

    def remove(self, *, dry_run: bool = False) -> Pruned:
        manifests = (self.old.digest, *self.below(self.old), self.signature.digest)
        placed = PlacedRecord(
            name="web", reference=f"{NAME}@{self.old.digest}", digest=self.old.digest
        )
        record = DestinationRecord(part="images", name="registry://x", placed=(placed,))
        doomed = Doomed(
            records=(record,),
            images=(ImageRecord(root=self.old.digest, tags=("1.3",), manifests=manifests),),
            kept=frozenset({self.new.digest, *self.below(self.new)}),
            kept_references=frozenset(),
        )
        return RegistryPruner(_Registries(self), record).remove(doomed, dry_run=dry_run)


@dataclass
class _Registries:
    site: Site

    def repository(self, registry: str, path: str) -> Repository:
        return self.site.repository_of(registry, path)


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_image_its_own_platforms_and_its_signature_go_the_index_first(site: Site) -> None:
    pruned = site.remove()
    own = site.below(site.old) - {site.shared.digest}
    assert site.repository.deleted[0] == site.old.digest
    assert set(site.repository.deleted) == {site.old.digest, site.signature.digest, *own}
    assert pruned.complete
    assert len(pruned.removed) == 3


def test_what_a_kept_image_shares_stays(site: Site) -> None:
    site.remove()
    assert site.shared.digest not in site.repository.deleted


def test_an_image_that_somebody_tagged_stays_whole(site: Site) -> None:
    site.repository.tag(site.old, "do-not-touch")
    pruned = site.remove()
    assert site.repository.deleted == []
    ((reference, why),) = pruned.kept
    assert reference == f"{NAME}@{site.old.digest}"
    assert why == f"{NAME}:do-not-touch needs it"


def test_an_image_under_somebody_elses_index_stays_whole(site: Site) -> None:
    (own,) = site.below(site.old) - {site.shared.digest}
    child = site.repository.resolve(own)
    theirs = content.push_index(site.repository, {content.AMD64: child})
    site.repository.tag(theirs, "theirs")
    site.remove()
    assert site.repository.deleted == []


def test_a_dry_run_deletes_nothing_and_says_the_same(site: Site) -> None:
    would = site.remove(dry_run=True)
    assert site.repository.deleted == []
    assert would.removed == site.remove().removed


def test_a_registry_that_does_not_delete_is_explained(site: Site) -> None:
    site.repository.refuses = True
    pruned = site.remove()
    assert not pruned.complete
    assert pruned.removed == ()
    assert "does not take DELETE" in pruned.notes[0]


def test_a_second_call_finds_nothing_left(site: Site) -> None:
    site.remove()
    assert site.remove().removed == ()


def test_the_channel_says_what_the_cluster_reads(site: Site) -> None:
    site.repository.tag(site.new, "stable")
    switched = PlacedRecord(
        name="m", reference=f"{NAME}:stable@{site.old.digest}", digest=site.old.digest
    )
    record = DestinationRecord(part="manifests", name="oci://x", switched=switched)
    pruner = RegistryPruner(_Registries(site), record)
    assert pruner.current() == site.new.digest


def test_a_channel_that_is_not_there_says_nothing(site: Site) -> None:
    switched = PlacedRecord(
        name="m", reference=f"{NAME}:stable@{site.old.digest}", digest=site.old.digest
    )
    record = DestinationRecord(part="manifests", name="oci://x", switched=switched)
    assert RegistryPruner(_Registries(site), record).current() is None
