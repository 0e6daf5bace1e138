from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from petra.content.digest import Digest
from petra.errors import FormatError, NotFoundError, TransportError
from petra.load.destination import Loaded, Placed
from petra.load.ledger import DestinationRecord, LoadRecord
from petra.load.receipt import (
    dump_receipt,
    load_receipt,
    receipt_of_ledger,
    receipt_of_report,
)
from petra.load.report import Report, Step
from tests.support.destinations import Diary, MemoryLedger
from tests.support.ledgers import NOON, event, loaded, stamp

ONE, TWO, OTHER = stamp(1), stamp(2), stamp(7, name="other")
PLACED = Placed("web", "registry/web", Digest.of(b"web"), sent=True)


@dataclass
class Standing:
    name: str
    succeeded: bool

    def to_json(self) -> dict[str, Any]:
        return {"namespace": "apps", "name": self.name, "state": "Ready", "reason": "more"}

    def line(self) -> str:
        return self.name


def ledger(*events: Any, healthy: bool | None = None) -> MemoryLedger:
    at = DestinationRecord(part="images", name="registry", placed=())
    records = {TWO: LoadRecord(bundle=TWO, destinations=(at,), healthy=healthy)}
    return MemoryLedger(Diary(), [*events], records)


def report(**more: Any) -> Report:
    steps = (
        Step("images", "registry", "done", loaded=Loaded("images", "registry", (PLACED,), 9)),
        Step("charts", "folder", "failed", error=TransportError("it is away")),
    )
    return Report("failed", TWO, steps, **more)


def test_a_report_gives_counts_errors_and_releases() -> None:
    releases = (Standing("good", succeeded=True), Standing("bad", succeeded=False))
    told = report(releases=releases, error=TransportError("it is away"))
    found = receipt_of_report("east", told, ledger(*loaded(TWO), healthy=False), NOON)

    assert (found.verdict, found.reason, found.healthy, found.serial) == (
        "failed",
        "it is away",
        False,
        2,
    )
    assert [(one.name, one.items, one.bytes_sent, one.error) for one in found.destinations] == [
        ("registry", 1, 9, None),
        ("folder", 0, 0, "it is away"),
    ]
    assert [(one.name, one.succeeded) for one in found.releases] == [("good", True), ("bad", False)]


def test_what_was_there_already_is_told_from_the_ledger() -> None:
    found = receipt_of_report("east", Report("already loaded", TWO), ledger(*loaded(TWO)), NOON)
    assert [one.name for one in found.destinations] == ["registry"]


def test_the_ledger_gives_the_current_bundle() -> None:
    found = receipt_of_ledger("east", None, ledger(*loaded(ONE, TWO), healthy=True), NOON)
    assert (found.bundle, found.verdict, found.healthy) == (TWO, "complete", True)


def test_a_bundle_that_was_rolled_back_is_not_the_current_one() -> None:
    events = [*loaded(ONE, TWO), event("rolling back", TWO), event("rolled back", TWO, to=ONE)]
    assert receipt_of_ledger("east", "shop", ledger(*events), NOON).bundle == ONE


@pytest.mark.parametrize(
    ("name", "says"), [(None, "several bundles"), ("third", "no such bundle was loaded")]
)
def test_which_bundle_must_be_clear(name: str | None, says: str) -> None:
    with pytest.raises(NotFoundError, match=says):
        receipt_of_ledger("east", name, ledger(*loaded(TWO, OTHER)), NOON)


def test_a_receipt_is_read_as_it_was_written() -> None:
    found = receipt_of_ledger("east", None, ledger(*loaded(TWO)), NOON)
    assert load_receipt(dump_receipt(found), where="receipt") == found
    with pytest.raises(FormatError):
        load_receipt(dump_receipt(found).replace(b"Receipt", b"Ticket"), where="receipt")
