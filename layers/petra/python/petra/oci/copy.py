"""Copies a graph of content from one target to another."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from petra.content.stream import BytesStream, fetch_document
from petra.errors import FormatError
from petra.oci.manifest import Manifest, parse_manifest
from petra.oci.media_types import is_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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

    What the target has is not sent again, so a copy that failed goes on from there. Children of
    something present are looked at all the same: it may have come without some of its platforms.

    Args:
        source: where the content is.
        target: where it goes; it checks what it takes.
        root: a manifest, an index or a blob.
        workers: how many pieces are under way at once.
        select: says of each successor whether it goes along; None for all of them.
        notify: called after each piece with its descriptor and whether it was sent, from any
            thread.

    Raises:
        NotFoundError: the source lacks a piece.
        VerificationError: a piece is not what its descriptor says, or the graph is beyond bounds.
        PetraError: what else either side raises.
    """
    graph = walk_graph(source, root, select=select)

    def copy(node: Descriptor) -> None:
        sent = not target.exists(node)
        if sent:
            _send(source, target, node, graph)
        if notify is not None:
            notify(node, sent)

    with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="copy") as pool:
        for batch in (graph.blobs.values(), *_batches(graph)):
            _run_all(pool, copy, batch)


def _send(source: Fetcher, target: Storage, node: Descriptor, graph: Graph) -> None:
    manifest = graph.manifests.get(node.digest)
    stream = source.fetch(node) if manifest is None else BytesStream(manifest.raw)
    with stream:
        target.push(node, stream)


def _batches(graph: Graph) -> list[list[Descriptor]]:
    """Group manifests by height, so that each batch needs only what came in earlier ones."""
    heights: dict[Digest, int] = {}
    batches: list[list[Descriptor]] = []
    for digest, manifest in graph.manifests.items():
        below = (heights.get(child.digest, -1) for child in manifest.successors())
        heights[digest] = height = 1 + max(below, default=-1)
        if height == len(batches):
            batches.append([])
        batches[height].append(manifest.descriptor)
    return batches


def _run_all(
    pool: ThreadPoolExecutor, copy: Callable[[Descriptor], None], nodes: Iterable[Descriptor]
) -> None:
    """Run `copy` on all nodes; the first failure stops those that have not begun, and is raised."""
    futures = [pool.submit(copy, node) for node in nodes]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
    for future in done:
        future.result()
