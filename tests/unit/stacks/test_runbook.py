"""The runbook has one entry per error and per alarm, and none for what does not exist."""

from __future__ import annotations

import re

from petra import errors
from petra.errors import PetraError
from stacks.settings import ROOT

TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")


def entries(part: str) -> dict[str, str]:
    """The entries of one part of the runbook, by their names."""
    _, _, rest = TEXT.partition(f"\n## {part}\n")
    pieces = re.split(r"^### (.+)\n", rest.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def classes() -> dict[str, type[PetraError]]:
    found = (each for each in vars(errors).values() if isinstance(each, type))
    return {each.code: each for each in found if issubclass(each, PetraError)}


def test_every_error_has_an_entry_and_every_entry_an_error() -> None:
    assert set(entries("Errors")) == set(classes())


def test_each_entry_says_rightly_whether_a_retry_can_help() -> None:
    for code, text in entries("Errors").items():
        again = "yes" if classes()[code].retryable else "no"
        assert text.lstrip().startswith(f"Again: {again}. "), code


def test_every_entry_says_more_than_its_name() -> None:
    for name, text in (entries("Alarms") | entries("Errors")).items():
        assert len(text.split()) > 8, name
