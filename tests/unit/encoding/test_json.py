from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petra.encoding.json import canonical_json, dump_json, load_json
from petra.errors import FormatError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_INTEGERS = st.integers(-(2**53), 2**53)
_VALUES = st.recursive(
    st.none() | st.booleans() | _INTEGERS | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES)
def test_what_is_dumped_loads_as_the_same_value(value: Any) -> None:
    assert load_json(dump_json(value), where="x") == value
    assert load_json(canonical_json(value), where="x") == value


@given(st.dictionaries(_TEXT, _INTEGERS, max_size=6))
def test_canonical_json_does_not_depend_on_insertion_order(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical_json(backwards) == canonical_json(value)


def test_a_dump_is_indented_and_ends_with_a_newline() -> None:
    assert dump_json({"b": [1], "a": "ü"}) == '{\n  "b": [\n    1\n  ],\n  "a": "ü"\n}\n'.encode()


def test_canonical_json_follows_rfc_8785() -> None:
    # Keys by UTF-16 code units and the escapes, after RFC 8785, 3.2.2.2 and 3.2.3.
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7}
    found = list(json.loads(canonical_json(value)))
    assert found == ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert canonical_json('\u20ac$\x0f\nA\'B"\\\\"/') == (
        '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()
    )
    assert canonical_json({"b": [True, None], "a": -0}) == b'{"a":0,"b":[true,null]}'


@pytest.mark.parametrize("value", [1.5, {1: 2}, {"a": {1}}])
def test_canonical_json_refuses_what_has_no_one_form(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


def test_canonical_json_refuses_integers_that_readers_round() -> None:
    with pytest.raises(ValueError, match="too large"):
        canonical_json([2**53 + 1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' stands twice"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e999", "out of range"),
        (b'"\xff"', "not UTF-8"),
        (b'"\\ud800"', "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5000, "not strict JSON"),
        (b"{} {}", "not JSON"),
        (b"", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'"a\nb"', "not JSON"),
    ],
)
def test_what_is_not_strict_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        load_json(data, where="index.json")
    assert message in caught.value.message
    assert str(caught.value.where).startswith("index.json")


def test_the_line_of_a_syntax_error_is_named() -> None:
    with pytest.raises(FormatError) as caught:
        load_json(b'{\n"a": 1,\n}', where="index.json")
    assert caught.value.where == "index.json:3"


def test_whole_surrogate_pairs_are_one_character() -> None:
    assert load_json(b'"\\ud83d\\ude00"', where="x") == "\U0001f600"


@given(st.binary(max_size=100))
def test_garbage_is_refused_or_read_and_never_anything_else(data: bytes) -> None:
    where, value = "x", None
    try:
        value = load_json(data, where="x")
    except FormatError as error:
        where = str(error.where)
    assert where.startswith("x")
    assert json.dumps(value, ensure_ascii=False).encode()
