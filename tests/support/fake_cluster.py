"""A cluster in memory, with lists, watches and merge patches, that can be away or refuse."""

from __future__ import annotations

import copy
import queue
import threading
from typing import TYPE_CHECKING, Any

from petra.errors import TransportError
from petra.load.kubernetes import Event, Kind, Listing
from petra.load.kubernetes_errors import GoneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petra.errors import PetraError


class FakeWatch:
    """Events from a queue; None ends it, an error breaks it."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Event | PetraError | None] = queue.Queue()

    def __iter__(self) -> Iterator[Event]:
        while (item := self.queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        self.queue.put(None)


class FakeCluster:
    """Objects by kind, and what happens to them.

    Attributes:
        served: the kinds that there are.
        lists: the kinds that were listed, in order.
        patches: (kind, name, annotations) in order.
        trouble: what lists raise, by kind.
        refused_patches: how many patches fail before one succeeds.
    """

    def __init__(self, *kinds: Kind) -> None:
        self.served = set(kinds)
        self.objects: dict[tuple[Kind, str, str], dict[str, Any]] = {}
        self.lists: list[Kind] = []
        self.patches: list[tuple[str, str, dict[str, str]]] = []
        self.trouble: dict[Kind, PetraError] = {}
        self.refused_patches = 0
        self.watches: dict[Kind, list[FakeWatch]] = {}
        self._version = 0
        self._lock = threading.RLock()

    def put(self, kind: Kind, value: dict[str, Any]) -> None:
        """Store an object, and tell who watches."""
        with self._lock:
            self.served.add(kind)
            self._version += 1
            value = copy.deepcopy(value)
            metadata = value["metadata"]
            metadata["resourceVersion"] = str(self._version)
            self.objects[kind, metadata["namespace"], metadata["name"]] = value
            for watch in self.watches.get(kind, ()):
                watch.queue.put(Event("MODIFIED", copy.deepcopy(value)))

    def forget(self, kind: Kind) -> None:
        """Break all watches of a kind as a server does whose history is too short."""
        with self._lock:
            for watch in self.watches.pop(kind, []):
                watch.queue.put(GoneError("too old"))

    def lose(self, kind: Kind, error: PetraError) -> None:
        """Break all watches of a kind, and all further lists."""
        with self._lock:
            self.trouble[kind] = error
            for watch in self.watches.pop(kind, []):
                watch.queue.put(error)

    def list(self, kind: Kind, namespace: str) -> Listing | None:
        with self._lock:
            self.lists.append(kind)
            if kind in self.trouble:
                raise self.trouble[kind]
            if kind not in self.served:
                return None
            found = [
                copy.deepcopy(value)
                for key, value in self.objects.items()
                if key[:2] == (kind, namespace)
            ]
            return Listing(tuple(found), str(self._version))

    def watch(self, kind: Kind, namespace: str, version: str, seconds: int) -> FakeWatch:
        watch = FakeWatch()
        with self._lock:
            self.watches.setdefault(kind, []).append(watch)
            for key, value in self.objects.items():
                newer = int(value["metadata"]["resourceVersion"]) > int(version)
                if key[:2] == (kind, namespace) and newer:
                    watch.queue.put(Event("MODIFIED", copy.deepcopy(value)))
        return watch

    def annotate(
        self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str]
    ) -> bool:
        with self._lock:
            if self.refused_patches:
                self.refused_patches -= 1
                raise TransportError("the cluster's API cannot be reached", where="https://api")
            found = self.objects.get((kind, namespace, name))
            if found is None:
                return False
            self.patches.append((kind.name, name, dict(annotations)))
            changed = copy.deepcopy(found)
            changed["metadata"].setdefault("annotations", {}).update(annotations)
            self.put(kind, changed)
            return True
