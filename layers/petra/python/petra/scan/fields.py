"""Reads the fields of documents that other programs wrote: each of its type, or an error."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from petra.errors import FormatError

#: Names, versions and reasons are shown to people, line by line.
TEXT_LIMIT = 500

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Go writes nine digits of a second; Python reads six.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|z|[+-]\d\d:\d\d)", re.ASCII)


def as_object(value: Any, name: str, where: str) -> dict[str, Any]:
    """Return `value`, which must be an object.

    Args:
        value: parsed JSON.
        name: what it is, for the error.
        where: the document, for the error.

    Raises:
        FormatError: it is something else.
    """
    if not isinstance(value, dict):
        raise wrong(name, "an object", where)
    return value


def objects(value: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """Return the list of objects under `key`; empty where it is absent or null.

    Raises:
        FormatError: it is something else.
    """
    listed = value.get(key)
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise wrong(key, "a list", where)
    return [as_object(one, f"an entry of {key}", where) for one in listed]


def inner(value: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    """Return the object under `key`; empty where it is absent or null.

    Raises:
        FormatError: it is something else.
    """
    found = value.get(key)
    return {} if found is None else as_object(found, key, where)


def text(value: dict[str, Any], key: str, where: str) -> str:
    """Return the text under `key` on one line, cut at TEXT_LIMIT; empty where it is absent or null.

    Raises:
        FormatError: it is something else.
    """
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise wrong(key, "text", where)
    return one_line(found)


def need(value: dict[str, Any], key: str, where: str) -> str:
    """Return the text under `key` as :func:`text` does; it must be there.

    Raises:
        FormatError: it is absent, empty, or no text.
    """
    found = text(value, key, where)
    if not found:
        raise wrong(key, "text", where)
    return found


def texts(value: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return the list of texts under `key`; empty where it is absent or null.

    Raises:
        FormatError: it is something else.
    """
    listed = value.get(key)
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise wrong(key, "a list of texts", where)
    return tuple(one_line(one) for one in listed)


def moment(value: dict[str, Any], key: str, where: str) -> datetime | None:
    """Return the moment under `key`, to the second, in UTC; None where it is absent or empty.

    Raises:
        FormatError: it is no moment with a time zone.

    Source: RFC 3339, section 5.6.
    """
    found = value.get(key)
    if found is None or found == "":
        return None
    match = _TIME.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        raise wrong(key, "a moment, such as 2030-01-31T00:00:00Z", where)
    zone = "+00:00" if match[3] in "Zz" else match[3]
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong(key, "a moment, such as 2030-01-31T00:00:00Z", where) from None


def moment_text(value: datetime) -> str:
    """Return `value` as documents have it, ``2030-01-31T00:00:00Z``."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def one_line(found: str) -> str:
    """Return `found` without line breaks and control characters, cut at TEXT_LIMIT."""
    return _CONTROL.sub(" ", found).strip()[:TEXT_LIMIT]


def wrong(name: str, expected: str, where: str) -> FormatError:
    """Return the error for a field that has another type."""
    return FormatError(f"not a usable {name}", where=where, expected=expected)
