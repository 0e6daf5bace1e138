"""YAML, read strictly and with line numbers, and written the same way every time.

The subset is the one that JSON can say: mappings with text keys, lists, text, numbers, booleans
and null. Plain words mean what they mean to Kubernetes (YAML 1.1 without dates and base-60
numbers), since the same reader serves manifests. Anchors, aliases, tags and merge keys are refused:
they are how small documents become large ones, and how two readers come to disagree.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from petra.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: slower, the same events
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

#: Mappings and lists inside each other. The deepest published CRDs stay below 50.
DEPTH_LIMIT = 100

Path = tuple["str | int", ...]

_BOOL = {
    form: truth
    for words, truth in ((("true", "yes", "on"), True), (("false", "no", "off"), False))
    for word in words
    for form in (word, word.title(), word.upper())
}
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INT = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Document:
    """One YAML document: its value, and where each part of it stands.

    Attributes:
        value: dicts, lists, text, numbers, booleans and None.
    """

    def __init__(self, value: Any, text: str, number: int, where: str) -> None:
        self.value = value
        self._source = (text, number, where)

    @cached_property
    def lines(self) -> Mapping[Path, int]:
        """The line, from 1, of each key and list item by its path; ``()`` is the whole.

        Found by a second reading when first asked for: only errors ask.
        """
        text, number, where = self._source
        builder = _Builder(text, where, record=True)
        for count, _ in enumerate(builder.documents()):
            if count == number:
                break
        return builder.lines

    def line(self, path: Path) -> int:
        """Return the line of `path`, or of the nearest part around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def locate(self, path: Path) -> str:
        """Return ``FILE:LINE`` for `path`, as errors name it."""
        return f"{self._source[2]}:{self.line(path)}"


def load_yaml(data: bytes, *, where: str) -> Document:
    """Return the one document in `data`.

    Args:
        data: the whole file; its size is the caller's to bound.
        where: the file's name for errors, which add the line.

    Raises:
        DocumentError: it is not YAML of the strict kind, or not exactly one document.
    """
    text = _decode(data, where)
    builder = _Builder(text, where)
    documents = list(builder.documents(limit=1))
    if not documents:
        raise DocumentError("the file is empty", where=f"{where}:1")
    return Document(documents[0], text, 0, where)


def load_all_yaml(data: bytes, *, where: str) -> list[Document]:
    """Return the documents in `data`, as Kubernetes manifests come; empty ones are passed over.

    Raises:
        DocumentError: as for :func:`load_yaml`.
    """
    text = _decode(data, where)
    values = enumerate(_Builder(text, where).documents())
    return [Document(value, text, number, where) for number, value in values if value is not None]


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError("not UTF-8", where=f"{where}:{line}") from None


class _Builder:
    """Builds values from the parser's events, without recursion, refusing as it goes."""

    def __init__(self, text: str, where: str, *, record: bool = False) -> None:
        self._text = text
        self._where = where
        self._record = record
        self.lines: dict[Path, int] = {}

    def documents(self, limit: int | None = None) -> Iterator[Any]:
        """Yield each document's value; more than `limit` of them are an error."""
        count = 0
        try:
            events = iter(yaml.parse(self._text, Loader=_Loader))
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if event.tags:
                        raise self._error(event, "directives are not allowed")
                    count += 1
                    if limit is not None and count > limit:
                        raise self._error(event, "more than one document in the file")
                    self.lines = {}
                    yield self._value(events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            problem = error.problem or error.context
            raise DocumentError(f"not YAML: {problem}", where=f"{self._where}:{line}") from None
        except yaml.YAMLError as error:
            before = self._text.encode()[: getattr(error, "position", 0)]
            line = before.count(b"\n") + 1
            raise DocumentError(
                "not YAML: a character is not allowed", where=f"{self._where}:{line}"
            ) from None

    def _value(self, events: Iterator[yaml.Event]) -> Any:
        """Return the value that the next events build, up to its end."""
        root = _Open([], ())
        stack = [root]
        for event in events:
            if isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
            elif stack[-1].wants_key:
                self._refuse_extras(event)
                self._key(event, stack[-1])
            else:
                self._refuse_extras(event)
                self._add(event, stack)
            if len(stack) == 1:
                break
        return root.value[0]

    def _add(self, event: yaml.Event, stack: list[_Open]) -> None:
        """Take a value in, and go down into it if it has parts."""
        parent = stack[-1]
        path = parent.path
        if self._record:
            # The root itself is the one item of a list that nobody sees.
            path = (*path, parent.position) if len(stack) > 1 else ()
            self.lines[path] = parent.line or _line(event)
        if isinstance(event, yaml.ScalarEvent):
            parent.add(self._scalar(event))
            return
        if len(stack) > DEPTH_LIMIT:
            raise self._error(event, f"nested more than {DEPTH_LIMIT} levels deep")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        parent.add(value)
        stack.append(_Open(value, path))

    def _refuse_extras(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self._error(event, "aliases (*name) are not allowed; write the value out")
        if getattr(event, "anchor", None):
            raise self._error(event, "anchors (&name) are not allowed; write the value out")
        if getattr(event, "tag", None):
            raise self._error(event, "tags (!name) are not allowed")

    def _key(self, event: yaml.Event, parent: _Open) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, "a key must be text")
        if event.value == "<<" and event.implicit[0]:
            raise self._error(event, "merge keys (<<) are not allowed")
        if event.value in parent.value:
            raise self._error(event, f"the key {event.value[:100]!r} stands twice")
        parent.key = event.value
        parent.wants_key = False
        parent.line = _line(event)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        if not event.implicit[0]:  # quoted, or a block of text
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if text[0] not in "-+.0123456789":
            return text
        if _NO_NUMBER.fullmatch(text):
            raise self._error(event, f"{text} is no number that JSON knows")
        try:
            return _number(text)
        except ValueError:
            raise self._error(event, "number with too many digits") from None

    def _error(self, event: yaml.Event, message: str) -> DocumentError:
        return DocumentError(message, where=f"{self._where}:{_line(event)}")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Open:
    """A mapping or list that is being filled; `line` is that of a mapping's current key."""

    __slots__ = ("key", "line", "path", "value", "wants_key")

    def __init__(self, value: Any, path: Path) -> None:
        self.value = value
        self.path = path
        self.wants_key = isinstance(value, dict)
        self.key = ""
        self.line = 0

    @property
    def position(self) -> str | int:
        """The key or index of what comes next."""
        return self.key if isinstance(self.value, dict) else len(self.value)

    def add(self, item: Any) -> None:
        """Take `item` in."""
        if isinstance(self.value, dict):
            self.value[self.key] = item
            self.wants_key = True
        else:
            self.value.append(item)


def _number(text: str) -> Any:
    """Return `text` as the number that it is, or as it stands."""
    if _INT.fullmatch(text):
        sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-").replace("_", "")
        base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 8 if digits[0] == "0" else 10)
        return sign * int(digits, base)
    return float(text) if _FLOAT.fullmatch(text) else text


_KEYWORDS = frozenset({*map(str.lower, _BOOL), "y", "n", "null"})
# Plain text that no YAML reader, of 1.1 or 1.2, takes for anything else. The rest is quoted.
_PLAIN = re.compile(
    r"[A-Za-z_/](?:[A-Za-z0-9_./@+=,()$'-]|:(?=[A-Za-z0-9_./@-])| (?=[A-Za-z0-9_./@(]))*"
)
_LINES = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]*")
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dump_yaml(value: Any) -> bytes:
    """Return `value` as YAML: block style, keys in insertion order, no wrapped lines.

    Written here and not by a library, so that the same value gives the same bytes whatever versions
    are installed: a bundle is a function of its lock. ``load_yaml`` gives the same value back.

    Args:
        value: dicts with text keys, lists, text, integers, finite floats, booleans and None.

    Raises:
        TypeError: something else is in it.
    """
    lines: list[str] = []
    _emit(value, "", lines, "")
    return ("\n".join(lines) + "\n").encode("utf-8")


def _emit(value: Any, indent: str, lines: list[str], head: str) -> None:
    """Append `value` after `head` (``key:`` or ``-``), its own parts at `indent`."""
    if not isinstance(value, dict | list | tuple) or not value:
        text = _emit_scalar(value, indent)
        lines.append(f"{head} {text}" if head else text)
        return
    if head.endswith(":"):
        lines.append(head)
        head = ""
    elif head:
        head += " "
    for label, inner, item in _parts(value, indent):
        _emit(item, inner, lines, (head or indent) + label)
        head = ""


def _parts(value: Any, indent: str) -> Iterator[tuple[str, str, Any]]:
    """Yield the label, the indentation below it and the item of each part."""
    if not isinstance(value, dict):
        yield from (("-", indent + "  ", item) for item in value)
        return
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"YAML keys are text here, not {type(key).__name__}")
        # A list under a key stands at the key's own indentation, as Kubernetes writes it.
        flat = item and isinstance(item, list | tuple)
        yield f"{_quoted(key)}:", indent if flat else indent + "  ", item


def _emit_scalar(value: Any, indent: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and value - value == 0:
        # A dot, so that readers of YAML 1.1 see a number in 1e+22 too.
        text = repr(float(value))
        return text if "." in text else text.replace("e", ".0e")
    if isinstance(value, dict | list | tuple):
        return "{}" if isinstance(value, dict) else "[]"
    if not isinstance(value, str):
        raise TypeError(f"no YAML for {type(value).__name__}")
    return _block(value, indent) if _fits_block(value) else _quoted(value)


def _fits_block(text: str) -> bool:
    """Say whether `text`, several lines, can stand as a ``|`` block without any trick."""
    body = text[:-1]
    return (
        "\n" in body and text[0] not in " \n" and body[-1] != "\n" and bool(_LINES.fullmatch(text))
    )


def _block(text: str, indent: str) -> str:
    head, body = ("|", text[:-1]) if text.endswith("\n") else ("|-", text)
    return head + "".join("\n" + (indent + line if line else "") for line in body.split("\n"))


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _KEYWORDS:
        return str(text)
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return _SHORT.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")  # noqa: PLR2004
