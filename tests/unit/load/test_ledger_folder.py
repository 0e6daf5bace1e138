from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.errors import BusyError, StorageError
from petra.load.ledger import DestinationRecord, LoadRecord, PlacedRecord
from petra.load.ledger_folder import FolderLedger
from tests.support.ledgers import event, loaded, stamp

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = stamp(1), stamp(2)
RECORD = LoadRecord(
    bundle=ONE,
    destinations=(
        DestinationRecord(
            part="images",
            name="registry://a/b",
            placed=(PlacedRecord(name="web", reference="a/b/web", digest=TWO.digest),),
        ),
    ),
)


@pytest.fixture
def ledger(tmp_path: Path) -> FolderLedger:
    return FolderLedger(tmp_path / "state" / "ledger")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger" / "log.jsonl"


def test_a_ledger_that_is_not_there_is_empty(ledger: FolderLedger, tmp_path: Path) -> None:
    assert ledger.events() == []
    assert ledger.record(ONE) is None
    assert [*tmp_path.iterdir()] == []


def test_events_come_back_in_order(ledger: FolderLedger) -> None:
    events = [*loaded(ONE, TWO), event("rolled back", TWO, to=ONE)]
    for one in events:
        ledger.append(one)
    assert ledger.events() == events


def test_the_log_is_json_lines_that_a_person_can_read(ledger: FolderLedger, log: Path) -> None:
    ledger.append(event("begun", ONE))
    ledger.append(event("complete", ONE))
    first, second = map(json.loads, log.read_text().splitlines())
    assert first["event"] == "begun"
    assert second["time"] == "2026-01-01T12:00:00Z"
    assert second["bundle"] == {
        "name": "shop",
        "version": "1.1.0",
        "serial": 1,
        "signer": "ours",
        "digest": str(ONE.digest),
    }


@pytest.mark.parametrize("left", [1, 20, 0])
def test_a_line_that_a_crash_cut_off_does_not_count_and_is_overwritten(
    ledger: FolderLedger, log: Path, left: int
) -> None:
    ledger.append(event("begun", ONE))
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:left])
    assert ledger.events() == [event("begun", ONE)]
    ledger.append(event("complete", ONE))
    assert ledger.events() == loaded(ONE)


def test_a_damaged_line_is_named(ledger: FolderLedger, log: Path) -> None:
    ledger.append(event("begun", ONE))
    log.write_bytes(log.read_bytes() + b"{]\n")
    with pytest.raises(StorageError, match="damaged") as damaged:
        ledger.events()
    assert "log.jsonl:2" in str(damaged.value.where)


def test_a_line_that_is_no_event_is_named(ledger: FolderLedger, log: Path) -> None:
    ledger.append(event("begun", ONE))
    log.write_bytes(log.read_bytes().replace(b'"begun"', b'"forgotten"'))
    with pytest.raises(StorageError, match="damaged") as damaged:
        ledger.events()
    assert "log.jsonl:1" in str(damaged.value.where)
    assert "backup" in str(damaged.value.hint)  # and no advice to mend it by hand


def test_a_record_comes_back(ledger: FolderLedger) -> None:
    ledger.keep(RECORD)
    assert ledger.record(ONE) == RECORD
    assert ledger.record(TWO) is None


def test_a_record_is_replaced_in_one_step_and_leaves_nothing_else(
    ledger: FolderLedger, log: Path
) -> None:
    ledger.keep(LoadRecord(bundle=ONE))
    ledger.keep(RECORD)
    assert ledger.record(ONE) == RECORD
    assert len([*(log.parent / "bundles" / "shop").iterdir()]) == 1


def test_a_record_of_another_bundle_in_its_place_is_refused(
    ledger: FolderLedger, log: Path
) -> None:
    ledger.keep(RECORD)
    (file,) = (log.parent / "bundles" / "shop").iterdir()
    file.write_text(file.read_text().replace('"serial": 1', '"serial": 7'))
    with pytest.raises(StorageError, match="another bundle"):
        ledger.record(ONE)


def test_a_second_load_is_kept_out_and_told_who_is_at_work(ledger: FolderLedger) -> None:
    with ledger.lock(), pytest.raises(BusyError) as busy, ledger.lock():
        pass
    assert "process " in str(busy.value.found)


def test_the_lock_is_free_again_afterwards(ledger: FolderLedger) -> None:
    with ledger.lock():
        pass
    with ledger.lock():
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ledger = FolderLedger(tmp_path / "file" / "ledger")
    with pytest.raises(StorageError), ledger.lock():
        pass
