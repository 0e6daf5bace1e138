"""Every error says what to do next, in its own words or in those of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra import errors
from petra.errors import FormatError, PetraError

if TYPE_CHECKING:
    from collections.abc import Iterator


def _below(kind: type[PetraError]) -> Iterator[type[PetraError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


KINDS = [kind for kind in _below(PetraError) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_class_has_a_code_a_status_and_a_next_step(kind: type[PetraError]) -> None:
    error = kind("it went wrong", where="there")

    assert error.exit_status in (1, 2, 3)
    assert error.code != PetraError.code
    assert error.to_json()["message"] == "it went wrong"
    assert error.details()["next"]


def test_codes_are_told_apart() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)


def test_an_error_reads_from_what_over_where_to_what_next() -> None:
    error = FormatError("bad", where="member x", expected=1, found=2, hint="ask for another")

    assert str(error) == (
        "bad\n  where: member x\n  expected: 1\n  found: 2\n  next: ask for another"
    )
    assert [*error.to_json()] == ["code", "message", "where", "expected", "found", "next"]


def test_its_own_hint_goes_before_the_usual_one() -> None:
    assert FormatError("bad").details() == {"next": FormatError.usual_hint}
    assert FormatError("bad", hint="this way").details() == {"next": "this way"}
