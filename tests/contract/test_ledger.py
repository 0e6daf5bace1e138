"""What every ledger keeps to, whatever it is kept in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

import boto3
import pytest
from moto import mock_aws

from petra.aws.dynamo_ledger import DynamoLedger
from petra.errors import BusyError, StorageError
from petra.load.ledger import DestinationRecord, Ledger, LoadRecord, PlacedRecord
from petra.load.ledger_folder import FolderLedger
from tests.support.dynamo import make_ledger_table
from tests.support.ledgers import event, loaded, stamp

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = stamp(1), stamp(2)
PLACED = PlacedRecord(name="web", reference="a/b/web", digest=TWO.digest)
RECORD = LoadRecord(
    bundle=ONE,
    destinations=(DestinationRecord(part="images", name="registry://a/b", placed=(PLACED,)),),
)

#: Opens the same ledger again, as another process would.
Opener: TypeAlias = Callable[[], Ledger]


@pytest.fixture(params=["folder", "dynamo"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opener]:
    if request.param == "folder":
        yield lambda: FolderLedger(tmp_path / "ledger")
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-gov-west-1")
        table = make_ledger_table(client, "ledger")
        yield lambda: DynamoLedger(client, table)


def test_a_new_ledger_is_empty(opened: Opener) -> None:
    assert opened().events() == []
    assert opened().record(ONE) is None


def test_events_come_back_in_order(opened: Opener) -> None:
    events = [*loaded(ONE, TWO), event("rolled back", TWO, to=ONE)]
    for one in events:
        opened().append(one)
    assert opened().events() == events


def test_more_than_nine_events_keep_their_order(opened: Opener) -> None:
    events = loaded(*(stamp(serial) for serial in range(1, 8)))
    ledger = opened()
    for one in events:
        ledger.append(one)
    assert opened().events() == events


def test_a_record_comes_back(opened: Opener) -> None:
    opened().keep(RECORD)
    assert opened().record(ONE) == RECORD
    assert opened().record(TWO) is None


def test_a_record_takes_the_place_of_the_one_before(opened: Opener) -> None:
    opened().keep(RECORD)
    newer = RECORD.model_copy(update={"healthy": True})
    opened().keep(newer)
    assert opened().record(ONE) == newer


def test_another_bundle_of_the_same_version_and_digest_is_not_believed(opened: Opener) -> None:
    opened().keep(RECORD)
    with pytest.raises(StorageError, match="the record of another bundle"):
        opened().record(ONE.model_copy(update={"serial": 7}))


def test_one_lock_keeps_others_out_until_it_is_let_go(opened: Opener) -> None:
    with ExitStack() as stack:
        stack.enter_context(opened().lock())
        with pytest.raises(BusyError, match="another load"), opened().lock():
            pytest.fail("two hold the lock")
    with opened().lock():
        pass


def test_a_lock_is_let_go_when_its_block_fails(opened: Opener) -> None:
    with pytest.raises(ValueError, match="made up"), opened().lock():
        raise ValueError("made up")
    with opened().lock():
        pass
