"""Manifests that only older bundles brought, out of a registry.

Only manifests go, by digest; the registry's own garbage collection then frees their blobs. What
carries a tag that no such bundle gave it stays, with everything below it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from petra.errors import NotFoundError, UnsupportedError
from petra.load.prune import Pruned
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.load.ledger import DestinationRecord, PlacedRecord
    from petra.load.prune import Doomed
    from petra.oci.manifest import Manifest

# The tags of what is attached to a manifest: cosign's, and the distribution-spec's for referrers.
_ATTACHED: Final = re.compile(r"sha256-([0-9a-f]{64})(\.[a-z]+)?")
_NO_DELETE: Final = (
    "the registry does not take DELETE, so nothing was removed from it: allow it there "
    "(docker-registry: storage.delete.enabled), then prune again"
)
_COLLECT: Final = "run the registry's garbage collection to free the space of what was removed"


class Repository(Protocol):
    """A repository that can be listed and deleted from; petra.oci.repository.Repository."""

    def tags(self) -> list[str]:
        """Return all tags."""
        ...

    def resolve(self, reference: str, /) -> Descriptor:
        """Return what a tag or a digest stands for."""
        ...

    def fetch_manifest(self, reference: str, /) -> Manifest:
        """Return the manifest that a tag or a digest stands for."""
        ...

    def delete(self, digest: Digest, /) -> bool:
        """Delete a manifest; return whether it was there."""
        ...


class Registries(Protocol):
    """Opens repositories; petra.oci.registry.RegistryClient."""

    def repository(self, registry: str, repository: str, /) -> Repository:
        """Return the repository."""
        ...


class RegistryPruner:
    """A registry that can forget.

    Args:
        registries: opens repositories; credentials are its own.
        record: what a bundle put there.
    """

    def __init__(self, registries: Registries, record: DestinationRecord) -> None:
        self._registries = registries
        self._record = record

    def current(self) -> str | None:
        """Return what the channel stands for; None where there is none."""
        switched = self._record.switched
        if switched is None:
            return None
        reference = Reference.parse(switched.reference)
        try:
            return self._open(reference).resolve(reference.tag or "").digest
        except NotFoundError:
            return None

    def remove(self, doomed: Doomed, *, dry_run: bool) -> Pruned:
        """Delete manifests, repository by repository; see :class:`petra.load.prune.Pruner`."""
        removed: list[str] = []
        kept: list[tuple[str, str]] = []
        supported = True
        for name, placed in _by_repository(doomed.records).items():
            repository = self._open(Reference.parse(placed[0].reference))
            plan = _Plan(repository, name, placed, doomed)
            kept += plan.kept
            try:
                removed += [
                    f"{name}@{digest}"
                    for digest in plan.digests
                    if dry_run or repository.delete(digest)
                ]
            except UnsupportedError:
                supported = False
        notes = () if dry_run or not removed else (_COLLECT,)
        return Pruned(
            self._record.part,
            self._record.name,
            tuple(removed),
            tuple(kept),
            notes if supported else (*notes, _NO_DELETE),
            complete=supported,
        )

    def _open(self, reference: Reference) -> Repository:
        return self._registries.repository(reference.registry, reference.repository)


class _Plan:
    """What goes from one repository.

    Attributes:
        digests: the manifests that go, what points to others first.
        kept: what stays, and why.
    """

    def __init__(
        self, repository: Repository, name: str, placed: Iterable[PlacedRecord], doomed: Doomed
    ) -> None:
        self._repository, self._name = repository, name
        graphs = {one.digest: {one.digest} for one in placed if one.digest not in doomed.kept}
        tags = {one.digest: {_tag(one)} for one in placed}
        for image in doomed.images:
            if image.root in graphs:
                graphs[image.root] |= {*image.manifests} - doomed.kept
                tags[image.root] |= {*image.tags}
        self._graphs, self._tags = graphs, tags
        self.kept: list[tuple[str, str]] = []
        attached = self._look()
        below = (digest for graph in self._graphs.values() for digest in sorted(graph))
        self.digests = [*dict.fromkeys((*self._graphs, *attached, *below))]

    def _look(self) -> list[Digest]:
        """Keep what tags of others need; return what is attached to that which goes."""
        attached: list[tuple[str, Digest]] = []
        for tag in self._repository.tags():
            try:
                found = self._repository.resolve(tag).digest
            except NotFoundError:
                continue
            match = _ATTACHED.fullmatch(tag)
            if match and any(root.hex == match[1] for root in self._graphs):
                attached.append((match[1], found))
            elif found not in self._graphs or tag not in self._tags[found]:
                self._keep(f"{self._name}:{tag}", found)
        gone = {root.hex for root in self._graphs}
        return [digest for subject, digest in attached if subject in gone]

    def _keep(self, tagged: str, digest: Digest) -> None:
        """Keep a manifest that somebody else's tag stands for, and all that is below it."""
        below = {digest} | self._children(digest)
        for root, graph in [*self._graphs.items()]:
            if below & graph:
                del self._graphs[root]
                self.kept.append((f"{self._name}@{root}", f"{tagged} needs it"))

    def _children(self, digest: Digest) -> set[Digest]:
        """Return the manifests below an index; none for anything else."""
        wanted = {one for graph in self._graphs.values() for one in graph}
        if digest in wanted:
            return set()
        manifest = self._repository.fetch_manifest(digest)
        return {one.digest for one in manifest.successors()}


def _by_repository(records: Iterable[DestinationRecord]) -> Mapping[str, list[PlacedRecord]]:
    found: dict[str, list[PlacedRecord]] = {}
    for record in records:
        for one in record.placed:
            found.setdefault(Reference.parse(one.reference).name, []).append(one)
    return found


def _tag(placed: PlacedRecord) -> str:
    """Return the tag that a bundle gave: what its reference says, or a chart's version."""
    reference = Reference.parse(placed.reference)
    return reference.tag or placed.name.rpartition(" ")[2].replace("+", "_")
