"""The steps of a copy: what needs what, and how one piece comes to its place."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from petra.content.protocols import RemoteStorage
from petra.content.stream import BytesStream
from petra.errors import PetraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.protocols import ByteStream, Fetcher, Storage
    from petra.oci.copy import Copy, Graph
    from petra.oci.manifest import Manifest

#: A piece of content at a target, both by what identifies them; or what follows a copy.
Key: TypeAlias = tuple[int, str]

#: How registries refuse a manifest whose parts they do not have.
_PARTS_MISSING: Final = frozenset({400, 404})
#: How many other repositories are asked for a blob before it is sent.
_ASKED: Final = 4


@dataclass(slots=True)
class _Step:
    target: Storage
    node: Descriptor
    manifest: Manifest | None
    #: Those among its successors that belong to the copy, if it is a manifest.
    parts: tuple[Key, ...] = ()
    #: Whether the target said that it has it.
    found: bool = False


class Steps:
    """All pieces of some copies, by target and digest.

    Args:
        source: where the content is.
        notify: told of each piece and whether it was sent.

    Attributes:
        needs: what each step needs, in the order in which they are begun.
    """

    def __init__(self, source: Fetcher, notify: Callable[[Descriptor, bool], None]) -> None:
        self.needs: dict[Key, tuple[Key, ...]] = {}
        self._source = source
        self._notify = notify
        self._steps: dict[Key, _Step] = {}
        self._follow: dict[Key, Callable[[], object]] = {}
        #: Where each blob goes, the one that it is sent to first.
        self._homes: dict[tuple[str, Digest], list[RemoteStorage]] = {}
        self._unmountable: set[str] = set()
        self._lock = threading.Lock()

    def add(self, copy: Copy, graphs: Sequence[Graph]) -> None:
        """Add the steps of `copy`, whose roots need `graphs`."""
        roots: list[Key] = []
        for graph in graphs:
            for blob in graph.blobs.values():
                self._add(copy.target, blob, None, ())
            for manifest in graph.manifests.values():
                # After what came before it: an image's tag is then the last thing to move, and
                # lists of referrers grow in the same order whenever they are made.
                self._add(copy.target, manifest.descriptor, manifest, roots[-1:])
            last = [*graph.manifests.values()][-1].descriptor if graph.manifests else None
            root = last or next(iter(graph.blobs.values()))
            roots.append(_key(copy.target, root))
        if copy.then:
            key = (id(copy.target), f"then {len(self._follow)}")
            self.needs[key] = tuple(roots)
            self._follow[key] = copy.then

    def _add(
        self, target: Storage, node: Descriptor, manifest: Manifest | None, after: Sequence[Key]
    ) -> None:
        key = _key(target, node)
        if key in self._steps:
            return
        successors = manifest.successors() if manifest else ()
        below = dict.fromkeys(_key(target, one) for one in successors)
        parts = tuple(one for one in below if one in self._steps)
        self._steps[key] = _Step(target, node, manifest, parts)
        self.needs[key] = (*parts, *after)
        if manifest is None and isinstance(target, RemoteStorage):
            homes = self._homes.setdefault((target.registry, node.digest), [])
            if homes:
                self.needs[key] = (_key(homes[0], node),)
            homes.append(target)

    def run(self, key: Key) -> None:
        """Do one step."""
        if key in self._follow:
            self._follow[key]()
            return
        step = self._steps[key]
        if step.manifest:
            sent = self._bring_manifest(step, step.manifest)
        else:
            sent = self._bring_blob(step)
        self._notify(step.node, sent)

    def _bring_manifest(self, step: _Step, manifest: Manifest) -> bool:
        step.found = present = step.target.exists(step.node)
        if present and manifest.subject is None:
            return False
        try:
            # One that refers to another is pushed again: whether it is listed, its target knows.
            step.target.push(step.node, BytesStream(manifest.raw))
        except PetraError as error:
            believed = [self._steps[part] for part in step.parts if self._steps[part].found]
            if error.status not in _PARTS_MISSING or not believed:
                raise
            # Something said that it is there, and is not.
            for part in believed:
                self._send(part)
            step.target.push(step.node, BytesStream(manifest.raw))
        return not present

    def _bring_blob(self, step: _Step) -> bool:
        if step.target.exists(step.node):
            step.found = True
            return False
        if isinstance(step.target, RemoteStorage) and self._mount(step.target, step.node):
            return False
        self._send(step)
        return True

    def _send(self, step: _Step) -> None:
        if isinstance(step.target, RemoteStorage):
            step.target.send(step.node, lambda: self._open(step))
            return
        with self._open(step) as stream:
            step.target.push(step.node, stream)

    def _open(self, step: _Step) -> ByteStream:
        return BytesStream(step.manifest.raw) if step.manifest else self._source.fetch(step.node)

    def _mount(self, target: RemoteStorage, node: Descriptor) -> bool:
        """Let a blob be taken over from another repository that needs it too, if one has it."""
        homes = self._homes[target.registry, node.digest]
        if len(homes) == 1 or target.registry in self._unmountable:
            return False
        if homes[0] is target:
            others = (one for one in homes[1 : _ASKED + 1] if one.exists(node))
            origin = next(others, None)
        else:
            origin = homes[0]
        if origin is None:
            return False
        if target.mount(node, origin.path):
            return True
        with self._lock:
            self._unmountable.add(target.registry)
        return False


def _key(target: Storage, node: Descriptor) -> Key:
    return id(target), node.digest
