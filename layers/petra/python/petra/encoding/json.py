"""JSON, read strictly and written the same way every time."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from petra.errors import FormatError

#: Integers beyond it do not survive readers that keep numbers as doubles (RFC 8785, 3.2.2.3).
_EXACT = 2**53

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def load_json(data: bytes, *, where: str) -> Any:
    """Return the value of a JSON document.

    Refuses what two readers could understand differently: names that stand twice in an object,
    ``NaN`` and infinities, bytes that are not UTF-8, and halves of surrogate pairs.

    Args:
        data: the whole document; its size is the caller's to bound.
        where: what to name in an error, a file, member or URL.

    Raises:
        FormatError: it is not such a document; names the line where that is known.

    Source: RFC 8259, with the restrictions of RFC 7493 (I-JSON).
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite
        )
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise FormatError("not UTF-8", where=where) from None
    except json.JSONDecodeError as error:
        raise FormatError(f"not JSON: {error.msg}", where=f"{where}:{error.lineno}") from None
    except RecursionError:
        raise FormatError("JSON nested too deeply", where=where) from None
    except ValueError as error:
        raise FormatError(f"not strict JSON: {error}", where=where) from None
    return value


def dump_json(value: Any) -> bytes:
    """Return `value` as indented JSON for people and programs.

    UTF-8, keys in insertion order, two spaces of indentation, a newline at the end. The same value
    always gives the same bytes.
    """
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode("utf-8")


def canonical_json(value: Any) -> bytes:
    """Return `value` in the one form that is signed and hashed.

    Source: RFC 8785 (JCS), for values without fractions.

    Args:
        value: None, booleans, text, integers within ±2⁵³, lists, and dicts with text keys.

    Raises:
        TypeError: something else is in it.
        ValueError: an integer is out of range.
    """
    return json.dumps(
        _ordered(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode("utf-8")


def _ordered(value: Any) -> Any:
    """Return `value` with keys by UTF-16 code unit, as RFC 8785, 3.2.3 sorts them."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("canonical JSON has text for keys")
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return {key: _ordered(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    if isinstance(value, float):
        raise TypeError("canonical JSON holds no fractions here")
    if isinstance(value, int) and abs(value) > _EXACT:
        raise ValueError("integer too large for canonical JSON")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:100]!r} stands twice in one object")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number
