import pytest

from petra.errors import FormatError
from petra.helm.documents import load_document, load_documents, load_parts


def test_words_are_text_but_for_true_false_and_null() -> None:
    data = (
        b"version: 1.10\ndate: 2024-12-17\non: yes\nvalue: =\ngone: true\nnone: ~\nquoted: 'true'\n"
    )

    assert load_document(data, where="f") == {
        "version": "1.10",
        "date": "2024-12-17",
        "on": "yes",
        "value": "=",
        "gone": True,
        "none": None,
        "quoted": "true",
    }


def test_anchors_and_merge_keys_are_followed() -> None:
    data = b"base: &b {a: one, b: two}\nover:\n  <<: *b\n  b: three\nlist: [*b]\n"

    value = load_document(data, where="f")

    assert value["over"] == {"a": "one", "b": "three"}
    assert value["list"] == [{"a": "one", "b": "two"}]


def test_a_list_of_merges_prefers_the_first() -> None:
    data = b"a: &a {x: one}\nb: &b {x: two, y: two}\nc: {<<: [*a, *b]}\n"

    assert load_document(data, where="f")["c"] == {"x": "one", "y": "two"}


def test_all_documents_are_read_and_empty_ones_passed_over() -> None:
    assert load_documents(b"a: b\n---\n---\n- c\n", where="f") == [{"a": "b"}, ["c"]]
    assert load_document(b"", where="f") is None


@pytest.mark.parametrize("size", [101, 500_000])
def test_nesting_is_bounded_and_overflows_no_stack(size: int) -> None:
    with pytest.raises(FormatError, match="nested"):
        load_document(b"[" * size + b"]" * size, where="f")


def test_aliases_cannot_stand_for_billions() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    with pytest.raises(FormatError, match="repeated"):
        load_document("\n".join(lines).encode(), where="f")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a: [", "f:2"),
        (b"a: b\n\xff", "f:2"),
        (b"a: *gone", "f:1"),
        (b"? [a]\n: b\n", "f:1"),
        (b"a: \x07", "f"),
    ],
)
def test_broken_documents_are_refused_with_their_line(data: bytes, line: str) -> None:
    with pytest.raises(FormatError) as caught:
        load_document(data, where="f")

    assert (caught.value.where or "").startswith(line)


def test_parts_that_are_not_wanted_are_not_kept() -> None:
    data = b"x: [1, {2: 3}]\nentries:\n  one: [a]\n  two: {b: {c: d}}\ny: z\n"

    value = load_parts(data, lambda path: path in {("entries",), ("entries", "two")}, where="f")

    assert value == {"entries": {"two": {"b": {"c": "d"}}}}
