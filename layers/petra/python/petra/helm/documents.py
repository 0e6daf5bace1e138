"""YAML as charts and repositories have it in the wild: read with tolerance, and within bounds.

Petra's own documents are read by :mod:`petra.encoding.yaml`, strictly. What Helm's world publishes
has anchors, repeated keys and unquoted versions; refusing those would refuse good charts. Here
every plain word is text, but for ``true``, ``false`` and null: a version such as ``1.10`` stays
what its author wrote, and no date or number is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: slower, the same events
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

#: Mappings and lists inside each other. libyaml's own composer would overflow the stack instead.
DEPTH_LIMIT = 100
#: Values in all, those that aliases repeat counted each time: a few lines can stand for billions.
NODE_LIMIT = 4_000_000

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SKIPPED = object()


def load_document(data: bytes, *, where: str) -> Any:
    """Return the first document in `data`: dicts, lists, text, booleans and None.

    Args:
        data: UTF-8 YAML (or JSON); the caller bounds its size.
        where: what to name in an error.

    Raises:
        FormatError: it is not YAML, or nested or repeated beyond all use.
    """
    return next(_Reader(data, where).documents(), None)


def load_documents(data: bytes, *, where: str) -> list[Any]:
    """Return all documents in `data`; empty ones are passed over.

    Raises:
        FormatError: as for :func:`load_document`.
    """
    return [value for value in _Reader(data, where).documents() if value is not None]


def load_parts(data: bytes, wanted: Callable[[tuple[str, ...]], bool], *, where: str) -> Any:
    """Return the first document with only the mapping values that are `wanted`.

    Args:
        data: UTF-8 YAML; the caller bounds its size.
        wanted: is given the path of each key in the two outermost mappings, ``("entries",)`` or
            ``("entries", "cilium")``, and says whether to keep it. The rest is read, not kept.
        where: what to name in an error.

    Raises:
        FormatError: as for :func:`load_document`.
    """
    return next(_Reader(data, where, wanted).documents(), None)


class _Reader:
    """Builds values from the parser's events, with the depth and the number of nodes bounded."""

    def __init__(
        self, data: bytes, where: str, wanted: Callable[[tuple[str, ...]], bool] | None = None
    ) -> None:
        self._data = data
        self._where = where
        self._wanted = wanted
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._events: Iterator[yaml.Event] = iter(())

    def documents(self) -> Iterator[Any]:
        """Yield the value of each document."""
        try:
            text = self._data.decode("utf-8-sig")
            self._events = iter(yaml.parse(text, Loader=_Loader))
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    self._anchors = {}
                    yield self._node(next(self._events), ())
        except UnicodeDecodeError as error:
            line = self._data.count(b"\n", 0, error.start) + 1
            raise FormatError("not UTF-8", where=f"{self._where}:{line}") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            problem = error.problem or error.context
            raise FormatError(f"not YAML: {problem}", where=f"{self._where}:{line}") from None
        except yaml.YAMLError as error:
            raise FormatError(f"not YAML: {error}", where=self._where) from None

    def _node(self, event: yaml.Event, path: tuple[str, ...]) -> Any:
        """Return the value that begins with `event`."""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._error(event, f"unknown alias *{event.anchor}")
            value, size = self._anchors[event.anchor]
            self._count(event, size)
            return value
        before = self._nodes
        self._count(event, 1)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif len(path) >= DEPTH_LIMIT:
            raise self._error(event, f"nested more than {DEPTH_LIMIT} levels deep")
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if anchor := getattr(event, "anchor", None):
            self._anchors[anchor] = value, self._nodes - before
        return value

    def _sequence(self, path: tuple[str, ...]) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, "-")))
        return items

    def _mapping(self, path: tuple[str, ...]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            item = self._item((*path, key))
            if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                merged = _merge(item) | merged
            elif item is not _SKIPPED:
                value[key] = item
        return merged | value

    def _item(self, path: tuple[str, ...]) -> Any:
        event = next(self._events)
        if self._wanted and len(path) <= 2 and not self._wanted(path):  # noqa: PLR2004  # said above
            self._skip(event)
            return _SKIPPED
        return self._node(event, path)

    def _skip(self, event: yaml.Event) -> None:
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if not depth:
                return
            event = next(self._events)

    def _key(self, event: yaml.Event) -> str:
        if isinstance(event, yaml.AliasEvent):
            key = self._node(event, ())
            if isinstance(key, str):
                return key
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, "a key that is not text")
        return str(event.value)

    def _scalar(self, event: yaml.ScalarEvent) -> str | bool | None:
        text = str(event.value)
        return _WORDS.get(text, text) if event.implicit[0] else text

    def _count(self, event: yaml.Event, size: int) -> None:
        self._nodes += size
        if self._nodes > NODE_LIMIT:
            raise self._error(event, f"more than {NODE_LIMIT} values, repeated ones counted")

    def _error(self, event: yaml.Event, message: str) -> FormatError:
        line = event.start_mark.line + 1 if event.start_mark else 1
        return FormatError(message, where=f"{self._where}:{line}")


def _merge(value: Any) -> dict[str, Any]:
    """Return what a merge key adds: a mapping, or several, the first one strongest."""
    merged: dict[str, Any] = {}
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            merged = part | merged
    return merged
