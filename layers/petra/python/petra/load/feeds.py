"""Objects of a cluster, kept up to date by list and watch, a thread for each kind and namespace."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from petra.bundle.platform_files import mapping
from petra.errors import TransportError
from petra.load.kubernetes_errors import GoneError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from petra.load.kubernetes import Cluster, Event, Kind, Watch
    from petra.load.notify import Scope

#: Seconds that one watch lasts; then the next one goes on from there.
WATCH_SECONDS: Final = 50
#: Seconds between two looks whether a kind is served by now.
UNSERVED_SECONDS: Final = 2.0
#: A watch that ends sooner than this, in seconds, is not begun again at once.
_SHORT: Final = 1.0
_LONGEST_PAUSE: Final = 10.0
_JOIN_SECONDS: Final = 5.0


class Feeds:
    """Copies of all objects of some kinds in some namespaces. A context manager.

    A kind that the API does not serve is looked for again until it does. When the API is lost after
    it was once there, the last copies stand, and :attr:`trouble` says so, until it is back.

    Args:
        cluster: the API.
        scopes: kinds and namespaces.
    """

    def __init__(self, cluster: Cluster, scopes: Sequence[Scope]) -> None:
        self._cluster = cluster
        self._feeds = [_Feed(self, cluster, scope) for scope in scopes]
        self._objects: dict[Scope, dict[str, dict[str, Any]] | None] = {}
        self._trouble: dict[Scope, TransportError] = {}
        self._error: BaseException | None = None
        self._number = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        for feed in self._feeds:
            feed.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for feed in self._feeds:
            feed.stop()
        for feed in self._feeds:
            feed.join(_JOIN_SECONDS)

    def first(self, seconds: float) -> int:
        """Wait until everything was listed once; return the number of the changes so far.

        Raises:
            AccessError: the API refuses.
            TransportError: it cannot be reached, or does not answer within `seconds`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._is_listed(), seconds)
            if not self._error and not self._is_listed():
                raise TransportError(
                    "the cluster's API does not answer", found=f"in {seconds:.0f} s"
                )
            return self._now()

    def wait(self, number: int, seconds: float) -> int:
        """Wait until something changed since `number`, or `seconds` passed; return the new number.

        Raises:
            AccessError: the API refuses.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._number != number, seconds)
            return self._now()

    def _now(self) -> int:
        if self._error:
            raise self._error
        return self._number

    def objects(self, kind: Kind) -> list[dict[str, Any]]:
        """Return the objects of a kind as they are known now."""
        with self._changed:
            known = [found for scope, found in self._objects.items() if scope[0] is kind]
            return [value for found in known if found for value in found.values()]

    def served(self, kind: Kind) -> bool:
        """Say whether the API serves a kind."""
        with self._changed:
            return any(
                found is not None and scope[0] is kind for scope, found in self._objects.items()
            )

    @property
    def trouble(self) -> TransportError | None:
        """Why the API cannot be followed at the moment; None where it can."""
        with self._changed:
            return next(iter(self._trouble.values()), None)

    def replace(self, scope: Scope, items: Sequence[dict[str, Any]] | None) -> None:
        """Take a whole list; None where the kind is not served."""
        found = None if items is None else {item["metadata"]["name"]: item for item in items}
        with self._changed:
            self._trouble.pop(scope, None)
            if scope not in self._objects or self._objects[scope] != found:
                self._objects[scope] = found
                self._tell()

    def apply(self, scope: Scope, event: Event) -> None:
        """Take one event."""
        name = mapping(event.value.get("metadata")).get("name", "")
        with self._changed:
            known = self._objects.get(scope)
            if event.type == "BOOKMARK" or known is None:
                return
            if event.type == "DELETED":
                known.pop(name, None)
            else:
                known[name] = event.value
            self._tell()

    def lose(self, scope: Scope, error: TransportError) -> None:
        """Take it that the API cannot be reached; fatal where it never was."""
        with self._changed:
            if scope not in self._objects:
                self._error = self._error or error
            self._trouble[scope] = error
            self._tell()

    def fail(self, error: BaseException) -> None:
        """End the waiting with `error`."""
        with self._changed:
            self._error = self._error or error
            self._tell()

    def _tell(self) -> None:
        self._number += 1
        self._changed.notify_all()

    def _is_listed(self) -> bool:
        return len(self._objects) == len(self._feeds)


class _Feed(threading.Thread):
    """Lists one scope and follows it; a daemon, so that nobody who leaves waits for it."""

    def __init__(self, feeds: Feeds, cluster: Cluster, scope: Scope) -> None:
        super().__init__(daemon=True, name=f"watch {scope[0].plural} {scope[1]}")
        self._feeds = feeds
        self._cluster = cluster
        self._scope = scope
        self._stopped = threading.Event()
        self._watch: Watch | None = None

    def stop(self) -> None:
        self._stopped.set()
        if self._watch:
            self._watch.close()

    def run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                failures = 0 if self._list_and_follow() else failures
            except GoneError:
                self._stopped.wait(_SHORT)  # too old a version: list again
            except TransportError as error:
                failures += 1
                self._feeds.lose(self._scope, error)
                self._stopped.wait(min(_LONGEST_PAUSE, 0.5 * 2**failures))
            except BaseException as error:  # noqa: BLE001  # raised again by who waits
                self._feeds.fail(error)
                return

    def _list_and_follow(self) -> bool:
        """List, then follow until the watch breaks; return whether the kind was served."""
        listing = self._cluster.list(*self._scope)
        self._feeds.replace(self._scope, None if listing is None else listing.items)
        if listing is None:
            self._stopped.wait(UNSERVED_SECONDS)
            return False
        version = listing.version
        while not self._stopped.is_set():
            began = time.monotonic()
            self._watch = self._cluster.watch(*self._scope, version, WATCH_SECONDS)
            if self._stopped.is_set():
                break
            for event in self._watch:
                version = str(mapping(event.value.get("metadata")).get("resourceVersion", version))
                self._feeds.apply(self._scope, event)
            if time.monotonic() - began < _SHORT:
                self._stopped.wait(_SHORT)
        return True
