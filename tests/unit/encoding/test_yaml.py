from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from petra.encoding.yaml import DEPTH_LIMIT, dump_yaml, load_all_yaml, load_yaml
from petra.errors import DocumentError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_WORDS = st.sampled_from(
    ["yes", "No", "ON", "y", "~", "null", "1.10", "0777", "1:30", "2024-01-02", "a: b", "a #b", "-"]
)
_LEAVES = st.none() | st.booleans() | st.integers() | _TEXT | _WORDS
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    _LEAVES | _FLOATS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT | _WORDS, inner, max_size=4),
    max_leaves=20,
)


def _refused(text: str | bytes) -> DocumentError:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(DocumentError) as caught:
        load_yaml(data, where="bundle.yaml")
    return caught.value


@given(_VALUES)
def test_what_is_dumped_loads_as_the_same_value(value: Any) -> None:
    assert load_yaml(dump_yaml(value), where="x").value == value


@given(_VALUES)
def test_another_yaml_reader_sees_the_same_value(value: Any) -> None:
    assert yaml.safe_load(dump_yaml(value)) == value


@given(_VALUES)
def test_a_second_dump_gives_the_same_bytes(value: Any) -> None:
    data = dump_yaml(value)
    assert dump_yaml(load_yaml(data, where="x").value) == data


def test_a_dump_is_plain_block_style() -> None:
    value = {
        "images": [{"name": "a", "image": "cgr.dev/x/y:1@sha256:00"}, {"name": "b"}],
        "text": "one\ntwo\n",
        "long": "word " * 60,
        "version": "1.10",
        "nested": [[1, 2], []],
        "none": None,
    }
    assert dump_yaml(value).decode().splitlines() == [
        "images:",
        "- name: a",
        "  image: cgr.dev/x/y:1@sha256:00",
        "- name: b",
        "text: |",
        "  one",
        "  two",
        f'long: "{"word " * 60}"',
        'version: "1.10"',
        "nested:",
        "- - 1",
        "  - 2",
        "- []",
        "none: null",
    ]


def test_only_json_values_can_be_dumped() -> None:
    for value in ({1: 2}, {"a": object()}, {"a": {1, 2}}, float("nan")):
        with pytest.raises(TypeError):
            dump_yaml(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("yes", True),
        ("Off", False),
        ("'yes'", "yes"),
        ("y", "y"),
        ("~", None),
        ("12", 12),
        ("-1_000", -1000),
        ("0444", 0o444),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("08", 8.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("2024-01-02", "2024-01-02"),
        ("1:30", "1:30"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ('"\\x41"', "A"),
    ],
)
def test_plain_words_mean_what_kubernetes_takes_them_for(text: str, value: Any) -> None:
    found = load_yaml(f"k: {text}".encode(), where="x").value["k"]
    assert (found, type(found)) == (value, type(value))


def test_keys_stay_as_they_are_written() -> None:
    assert load_yaml(b"on: 1\n2: 3\nnull: 4\n", where="x").value == {"on": 1, "2": 3, "null": 4}


def test_lines_are_known_for_every_part() -> None:
    document = load_yaml(
        b"# a comment\nspec:\n  images:\n  - name: a\n    image: x\n\n"
        b"  - name: b\n    tags: [1,\n 2]\n",
        where="bundle.yaml",
    )
    assert document.lines[()] == 2
    assert document.lines["spec", "images"] == 3
    assert document.lines["spec", "images", 0] == 4
    assert document.lines["spec", "images", 0, "image"] == 5
    assert document.lines["spec", "images", 1, "name"] == 7
    assert document.lines["spec", "images", 1, "tags", 1] == 9
    assert document.locate(("spec", "images", 1, "missing")) == "bundle.yaml:7"
    assert document.locate(("nothing",)) == "bundle.yaml:2"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: &x 2\n", 2, "anchors"),
        ("a: 1\nb: *x\n", 2, "aliases"),
        ("a: !!python/object:os.system x\n", 1, "tags"),
        ("a: !x b\n", 1, "tags"),
        ("a: 1\n<<: {b: 2}\n", 2, "merge keys"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice"),
        ("a:\n  b: 1\n  'b': 2\n", 3, "'b' stands twice"),
        ("? [a]\n: 1\n", 1, "a key must be text"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("a: .inf\n", 1, "no number"),
        ("a: -.Inf\n", 1, "no number"),
        ("a: .nan\n", 1, "no number"),
        ("a: 1\nb: [1\n", 3, "not YAML"),
        ("a: 1\n\tb: 1\n", 2, "not YAML"),
        ("a: 'x\n", 2, "not YAML"),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", 1, "directives"),
        ("", 1, "empty"),
        ("# nothing\n", 1, "empty"),
        ("a: " + "9" * 5000, 1, "too many digits"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("b: 1\na: \x01\n", 2, "not YAML"),
        ("a: 1\n" + "b: " + "[" * (DEPTH_LIMIT + 1), 2, "levels deep"),
        ("a: " + '{"a":' * 50_000, 1, "levels deep"),
    ],
)
def test_what_is_not_strict_is_refused_with_its_line(
    text: str | bytes, line: int, message: str
) -> None:
    error = _refused(text)
    assert error.where == f"bundle.yaml:{line}"
    assert message in error.message


def test_a_billion_laughs_cost_nothing() -> None:
    laughs = "a: &a [lol, lol]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    began = time.process_time()
    assert "anchors" in _refused(laughs).message
    assert time.process_time() - began < 1


def test_many_documents_are_read_one_by_one() -> None:
    documents = load_all_yaml(b"---\n# only words\n---\na: 1\n---\n---\nb:\n- 2\n", where="m.yaml")
    assert [document.value for document in documents] == [{"a": 1}, {"b": [2]}]
    assert documents[1].locate(("b", 0)) == "m.yaml:8"
    assert documents[0].locate(("a",)) == "m.yaml:4"


def test_a_bad_one_among_many_documents_is_named_by_line() -> None:
    with pytest.raises(DocumentError) as caught:
        load_all_yaml(b"a: 1\n---\nb: *a\n", where="m.yaml")
    assert caught.value.where == "m.yaml:3"


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_garbage_is_refused_or_read_and_never_anything_else(data: bytes) -> None:
    where, line = "x:1", 1
    try:
        line = load_yaml(data, where="x").lines[()]
    except DocumentError as error:
        where = str(error.where)
    assert line >= 1
    assert where.startswith("x:")
