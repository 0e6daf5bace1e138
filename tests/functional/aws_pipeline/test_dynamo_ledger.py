"""What only a ledger in a table has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from petra.aws.dynamo_ledger import LOCK_SECONDS, DynamoLedger
from petra.errors import BusyError, SettingError, StorageError
from petra.load.ledger import LoadRecord
from tests.support.dynamo import make_ledger_table
from tests.support.ledgers import event, loaded, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

ONE, TWO = stamp(1), stamp(2)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-gov-west-1")
        make_ledger_table(client, "ledger")
        yield client


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_lock_of_one_who_died_ends_by_itself(client: DynamoDBClient) -> None:
    clock = Clock()
    ledger = DynamoLedger(client, "ledger", clock=clock)
    dead = ledger.lock()
    dead.__enter__()
    clock.now += LOCK_SECONDS
    with pytest.raises(BusyError), ledger.lock():
        pytest.fail("it holds to its last second")
    clock.now += 1
    with ledger.lock(), pytest.raises(BusyError), ledger.lock():
        pytest.fail("two hold the lock")


def test_who_lost_the_lock_does_not_let_go_of_anothers(client: DynamoDBClient) -> None:
    clock = Clock()
    ledger = DynamoLedger(client, "ledger", clock=clock)
    late = ledger.lock()
    late.__enter__()
    clock.now += LOCK_SECONDS + 1
    with ledger.lock():
        late.__exit__(None, None, None)
        with pytest.raises(BusyError), ledger.lock():
            pytest.fail("the late one let go of a lock that was not its own")


class Raced(DynamoLedger):
    """Between its look and its write somebody else writes."""

    def _numbered(self) -> list[tuple[int, object]]:  # type: ignore[override]  # as events, not more
        found = super()._numbered()
        DynamoLedger(self._client, self._table).append(event("begun", TWO))
        return [*found]


def test_an_event_never_takes_the_place_of_anothers(client: DynamoDBClient) -> None:
    with pytest.raises(BusyError, match="wrote to the ledger at the same time"):
        Raced(client, "ledger").append(event("begun", ONE))
    assert DynamoLedger(client, "ledger").events() == [event("begun", TWO)]


def test_an_event_that_somebody_removed_is_missed(client: DynamoDBClient) -> None:
    ledger = DynamoLedger(client, "ledger")
    for one in loaded(ONE):
        ledger.append(one)
    key = {"pk": {"S": "events"}, "sk": {"S": "000000000001"}}
    client.delete_item(TableName="ledger", Key=key)
    with pytest.raises(StorageError, match="an event is missing"):
        ledger.events()


def test_a_damaged_event_is_named(client: DynamoDBClient) -> None:
    item = {"pk": {"S": "events"}, "sk": {"S": "000000000001"}, "event": {"S": "{}"}}
    client.put_item(TableName="ledger", Item=item)
    with pytest.raises(StorageError) as caught:
        DynamoLedger(client, "ledger").events()
    assert "event 000000000001" in str(caught.value.where)


def test_a_damaged_record_is_named(client: DynamoDBClient) -> None:
    ledger = DynamoLedger(client, "ledger")
    ledger.keep(LoadRecord(bundle=ONE))
    key = {"pk": {"S": "record"}, "sk": {"S": str(ONE.digest)}}
    client.put_item(TableName="ledger", Item={**key, "record": {"B": b"no zstd"}})
    with pytest.raises(StorageError, match="the ledger is damaged"):
        ledger.record(ONE)


def test_a_table_that_is_not_there_is_a_setting(client: DynamoDBClient) -> None:
    with pytest.raises(SettingError, match="read the ledger"):
        DynamoLedger(client, "other").events()
