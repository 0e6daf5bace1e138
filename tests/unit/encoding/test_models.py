from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, field_validator

from petra.encoding.models import (
    FieldError,
    Items,
    Model,
    nearest,
    path_text,
    reading,
    to_value,
    validate,
)
from petra.encoding.yaml import load_yaml
from petra.errors import DocumentError, FormatError


class Wheel(Model):
    spoke_count: int = Field(ge=3)
    colour: Literal["red", "blue"] = "red"


class Bicycle(Model):
    name: str
    wheels: Items[Wheel] = ()
    spare: Wheel | None = None
    extras: dict[str, Any] | None = None

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if len(name) > 20:
            raise FieldError("too long", expected="at most 20", hint="shorten it")
        return name


def _fault(text: str) -> DocumentError:
    document = load_yaml(text.encode(), where="b.yaml")
    with pytest.raises(DocumentError) as caught:
        validate(Bicycle, document.value, where="b.yaml", document=document)
    return caught.value


def test_a_document_becomes_a_model_and_a_document_again() -> None:
    value = {"name": "a", "wheels": [{"spokeCount": 3, "colour": "blue"}], "extras": {"x": 1}}
    bicycle = validate(Bicycle, value, where="b.yaml")
    assert bicycle.wheels == (Wheel(spoke_count=3, colour="blue"),)
    assert to_value(bicycle) == value


@pytest.mark.parametrize(
    ("text", "line", "message", "expected", "found", "hint"),
    [
        ("nam: a", 1, "nam: no such field", "one of name, wheels, spare, extras", None, "'name'"),
        ("name: a\nqqq: 1", 2, "qqq: no such field", "one of name", None, "remove it"),
        ("wheels: []", 1, "name: a needed field is missing", None, None, "add 'name'"),
        ("name: 1", 1, "name: wrong type", "text", "1", "quotes"),
        ("name: [a]", 1, "name: wrong type", "text", "a list", None),
        ("name: {}", 1, "name: wrong type", "text", "a mapping", None),
        ("name:", 1, "name: wrong type", "text", "nothing", None),
        ("name: true", 1, "name: wrong type", "text", "true", "quotes"),
        ("name: a\nwheels: {}", 2, "wheels: wrong type", "a list", "a mapping", None),
        ("name: a\nspare: []", 2, "spare: wrong type", "a mapping", "a list", None),
        (
            "name: a\nspare:\n  spokeCont: 3",
            3,
            "spare.spokeCont: no such field",
            "one of spokeCount, colour",
            None,
            "'spokeCount'",
        ),
        (
            "name: a\nwheels:\n- spokeCount: 2",
            3,
            "wheels[0].spokeCount: input should be greater than or equal to 3",
            None,
            "2",
            None,
        ),
        (
            "name: a\nwheels: [{spokeCount: 3, colour: bleu}]",
            2,
            "wheels[0].colour: not a value of this field",
            "'red' or 'blue'",
            "'bleu'",
            "'blue'",
        ),
        (f"name: {'x' * 21}", 1, "name: too long", "at most 20", f"'{'x' * 21}'", "shorten it"),
    ],
)
def test_each_kind_of_fault_has_its_words(
    text: str, line: int, message: str, expected: str | None, found: str | None, hint: str | None
) -> None:
    error = _fault(text)
    assert (error.where, error.message, error.found) == (f"b.yaml:{line}", message, found)
    assert str(error.expected).startswith(str(expected))
    assert str(hint or "") in str(error.hint)


def test_a_long_list_of_faults_is_cut_short() -> None:
    error = _fault("name: a\n" + "".join(f"x{number}: 1\n" for number in range(30)))
    listed = str(error.hint).splitlines()
    assert len(listed) == 12
    assert listed[-1].strip() == "… and 19 more"


def test_what_was_found_is_shown_short_and_without_passwords() -> None:
    assert len(str(_fault(f"name: {'x' * 5000}").found)) < 100
    error = _fault("name: https://user:hunter2@host/path?token=s3cret")
    assert error.found == "'https://…@host/path'"


def test_a_value_without_lines_is_named_by_its_file_alone() -> None:
    with pytest.raises(FormatError) as caught:
        validate(Bicycle, {"nome": 1}, where="metadata.json", error=FormatError)
    assert caught.value.where == "metadata.json"
    assert caught.value.exit_status == 3


def test_reading_bounds_the_file_and_raises_what_it_is_told() -> None:
    with pytest.raises(FormatError, match="too large"):
        reading(b"abcdef", 5, where="x", error=FormatError)
    with pytest.raises(FormatError) as caught:
        reading(b"a: 1\na: 2", 50, where="x", error=FormatError)
    assert caught.value.where == "x:2"
    assert reading(b"a: 1", 5, where="x", error=FormatError).value == {"a": 1}


def test_the_nearest_name_does_not_mind_case_and_gives_up_on_nonsense() -> None:
    assert nearest("notafter", ["notAfter", "name"]) == "notAfter"
    assert nearest("imag", ["image", "name"]) == "image"
    assert nearest("zzz", ["image", "name"]) is None


def test_paths_read_as_people_write_them() -> None:
    assert path_text(("spec", "images", 2, "name")) == "spec.images[2].name"
    assert path_text((0, "a")) == "[0].a"
    assert path_text(()) == "the document"
