"""Copies graphs of content from one target to others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from petra.content.needs import in_order_of_need
from petra.content.stream import fetch_document
from petra.errors import FormatError
from petra.oci.manifest import Manifest, parse_manifest
from petra.oci.media_types import is_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.protocols import Fetcher, Storage

#: Levels of indexes within indexes; real images have two.
DEPTH_LIMIT: Final = 8
#: Bytes of all manifests of one graph, which are held in memory while it is copied.
GRAPH_LIMIT: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Graph:
    """What a root needs to be whole.

    Attributes:
        manifests: manifests and indexes, each after all those that it needs; the root is last.
        blobs: everything else, in order of first use.
    """

    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    _held: int = 0

    def add(self, manifest: Manifest) -> None:
        """Append `manifest`."""
        self.manifests[manifest.descriptor.digest] = manifest
        self._held += len(manifest.raw)

    def check(self, node: Descriptor, depth: int) -> None:
        """Refuse a manifest with which the graph would be beyond bounds."""
        if depth > DEPTH_LIMIT or self._held + node.size > GRAPH_LIMIT:
            raise FormatError(
                "graph of manifests beyond bounds",
                where=node.digest,
                expected=f"at most {DEPTH_LIMIT} levels and {GRAPH_LIMIT} bytes of manifests",
            )


def walk_graph(
    source: Fetcher, root: Descriptor, *, select: Callable[[Descriptor], bool] | None = None
) -> Graph:
    """Return what `root` needs, each piece once. Reads manifests only, each checked.

    Args:
        source: where they are.
        root: a manifest, an index or a blob.
        select: says of each successor whether it belongs; None for all of them.

    Raises:
        NotFoundError: a manifest is missing.
        VerificationError: one is not what its descriptor says, or the graph is beyond bounds.
    """
    graph = Graph()
    _visit(source, root, graph, select, depth=0)
    return graph


def _visit(
    source: Fetcher,
    node: Descriptor,
    graph: Graph,
    select: Callable[[Descriptor], bool] | None,
    depth: int,
) -> None:
    if not is_manifest(node.media_type):
        graph.blobs.setdefault(node.digest, node)
        return
    if node.digest in graph.manifests:
        return
    graph.check(node, depth)
    raw = fetch_document(source, node)
    manifest = parse_manifest(raw, node.media_type, where=node.digest)
    for successor in manifest.successors():
        if select is None or select(successor):
            _visit(source, successor, graph, select, depth + 1)
    graph.add(manifest)


@dataclass(frozen=True, slots=True)
class Copy:
    """Something to be copied.

    Attributes:
        target: where to; it checks what it takes.
        roots: manifests, indexes or blobs, each brought before the next one: what refers to an
            image comes after it.
        then: called once all of them are in place: to tag them.
    """

    target: Storage
    roots: tuple[Descriptor, ...]
    then: Callable[[], object] | None = None


def copy_graph(
    source: Fetcher,
    target: Storage,
    root: Descriptor,
    *,
    workers: int = 4,
    select: Callable[[Descriptor], bool] | None = None,
    notify: Callable[[Descriptor, bool], None] | None = None,
) -> None:
    """Copy `root` and all that it needs, children before parents, each piece once.

    Raises:
        PetraError: as for :func:`copy_graphs`.
    """
    copy_graphs(source, [Copy(target, (root,))], workers=workers, select=select, notify=notify)


def copy_graphs(
    source: Fetcher,
    copies: Sequence[Copy],
    *,
    workers: int = 4,
    select: Callable[[Descriptor], bool] | None = None,
    notify: Callable[[Descriptor, bool], None] | None = None,
) -> None:
    """Copy graphs to one or several targets, children before parents, each piece once a target.

    What a target has is not sent again, so a copy that failed goes on from there. Children of
    something present are looked at all the same: it may have come without some of its platforms.
    A blob that several repositories of a registry need is sent to one of them and mounted by the
    others. A copy is whole as soon as it can be; nothing waits for the others.

    Args:
        source: where the content is.
        copies: what goes where, in the order in which it is begun.
        workers: how many pieces are under way at once.
        select: says of each successor whether it goes along; None for all of them.
        notify: called after each piece with its descriptor and whether it was sent, from any
            thread.

    Raises:
        NotFoundError: the source lacks a piece.
        VerificationError: a piece is not what its descriptor says, or a graph is beyond bounds.
        PetraError: what else either side raises.
    """
    from petra.oci.copy_steps import Steps  # noqa: PLC0415  # who walks graphs only needs none

    steps = Steps(source, notify or _tell_nobody)
    for copy in copies:
        steps.add(copy, [walk_graph(source, root, select=select) for root in copy.roots])
    in_order_of_need(steps.run, steps.needs, workers=max(1, workers))


def _tell_nobody(_: Descriptor, __: bool, /) -> None:  # noqa: FBT001  # as notify is called
    """Do nothing."""
