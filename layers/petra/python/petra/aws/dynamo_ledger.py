"""A ledger in a DynamoDB table.

::

    pk        sk                what
    lock      lock              who loads, and until when that holds
    events    000000000001 …    events, oldest first; a number is given once
    record    sha256:HEX…       what the bundle with this digest put where, compressed
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import zstandard

from petra.aws.faults import petra_errors
from petra.encoding.json import canonical_json, load_json
from petra.encoding.models import to_value, validate
from petra.errors import BusyError, PetraError, StorageError
from petra.load.ledger import Event, LoadRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb.client import DynamoDBClient

    from petra.load.ledger import Stamp

#: A function that died holds the lock this long, in seconds; none may run longer.
LOCK_SECONDS: Final = 15 * 60 + 30
#: Bytes of a record, before and after compression. Source: DynamoDB's limit of 400 KB for an item.
RECORD_LIMIT: Final = 16 * 1024 * 1024
ITEM_LIMIT: Final = 380 * 1024
_DIGITS: Final = 12
_DAMAGED: Final = (
    "restore the table to a point in time before; without the ledger, replays of old bundles are "
    "not noticed"
)


class DynamoLedger:
    """A :class:`petra.load.ledger.Ledger` in a table with the keys ``pk`` and ``sk``, both texts.

    Args:
        client: for DynamoDB.
        table: the table.
        clock: seconds since 1970.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._where = f"service DynamoDB, table {table}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others out; see the protocol. A lock ends by itself where its holder died.

        Raises:
            BusyError: somebody else holds it.
            AccessError: DynamoDB refuses.
            TransportError: DynamoDB failed or cannot be reached.
        """
        holder = uuid.uuid4().hex
        self._take(holder)
        try:
            yield
        finally:
            self._let_go(holder)

    def _take(self, holder: str) -> None:
        now = int(self._clock())
        item = {**_key("lock", "lock"), "holder": {"S": holder}}
        with petra_errors(doing="lock the ledger", where=self._where):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item={**item, "until": {"N": str(now + LOCK_SECONDS)}},
                    ConditionExpression="attribute_not_exists(pk) OR #until < :now",
                    ExpressionAttributeNames={"#until": "until"},
                    ExpressionAttributeValues={":now": {"N": str(now)}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                raise BusyError(
                    "another load, rollback or prune is under way", where=self._where
                ) from None

    def _let_go(self, holder: str) -> None:
        with petra_errors(doing="unlock the ledger", where=self._where):
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=_key("lock", "lock"),
                    ConditionExpression="holder = :holder",
                    ExpressionAttributeValues={":holder": {"S": holder}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return  # it had ended, and somebody else has it

    def events(self) -> list[Event]:
        """Return all events, oldest first.

        Raises:
            StorageError: one is damaged, or one is missing; names it.
            AccessError: DynamoDB refuses.
            TransportError: DynamoDB failed or cannot be reached.
        """
        return [event for _, event in self._numbered()]

    def _numbered(self) -> list[tuple[int, Event]]:
        found = []
        with petra_errors(doing="read the ledger", where=self._where):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": "events"}},
                ConsistentRead=True,
            )
            items = [item for page in pages for item in page["Items"]]
        for wanted, item in enumerate(items, 1):
            where = f"{self._where}, event {item['sk']['S']}"
            if item["sk"]["S"] != _number(wanted):
                raise StorageError(
                    "an event is missing from the ledger",
                    where=self._where,
                    expected=_number(wanted),
                    found=item["sk"]["S"],
                    hint=_DAMAGED,
                )
            found.append((wanted, _parsed(Event, item["event"]["S"].encode(), where)))
        return found

    def append(self, event: Event) -> None:
        """Store an event under the next number. It is stored when this returns.

        Raises:
            BusyError: somebody else stored one at the same time: the lock was not held.
            AccessError: DynamoDB refuses.
            TransportError: DynamoDB failed or cannot be reached.
        """
        number = _number(len(self._numbered()) + 1)
        text = canonical_json(to_value(event)).decode()
        with petra_errors(doing="write the ledger", where=self._where):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item={**_key("events", number), "event": {"S": text}},
                    ConditionExpression="attribute_not_exists(pk)",
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                raise BusyError(
                    "another load wrote to the ledger at the same time",
                    where=f"{self._where}, event {number}",
                ) from None

    def record(self, bundle: Stamp) -> LoadRecord | None:
        """Return what is known of a bundle; None for one that put nothing anywhere.

        Raises:
            StorageError: it is damaged, or another bundle's.
            AccessError: DynamoDB refuses.
            TransportError: DynamoDB failed or cannot be reached.
        """
        where = f"{self._where}, record {bundle.digest}"
        with petra_errors(doing="read the ledger", where=self._where):
            answer = self._client.get_item(
                TableName=self._table, Key=_key("record", bundle.digest), ConsistentRead=True
            )
        if "Item" not in answer:
            return None
        data = _unpacked(answer["Item"]["record"]["B"], where)
        record: LoadRecord = _parsed(LoadRecord, data, where)
        if record.bundle != bundle:
            raise StorageError(
                "the record of another bundle",
                where=where,
                expected=str(bundle),
                found=str(record.bundle),
                hint=_DAMAGED,
            )
        return record

    def keep(self, record: LoadRecord) -> None:
        """Store a record, whole or not at all.

        Raises:
            StorageError: it is too large for an item.
            AccessError: DynamoDB refuses.
            TransportError: DynamoDB failed or cannot be reached.
        """
        packed = zstandard.ZstdCompressor(level=9).compress(canonical_json(to_value(record)))
        if len(packed) > ITEM_LIMIT:
            raise StorageError(
                "what the bundle put where is too much for the ledger's table",
                where=f"{self._where}, record {record.bundle.digest}",
                expected=f"at most {ITEM_LIMIT} bytes, compressed",
                found=len(packed),
                hint="make several bundles of this one",
            )
        with petra_errors(doing="write the ledger", where=self._where):
            self._client.put_item(
                TableName=self._table,
                Item={**_key("record", record.bundle.digest), "record": {"B": packed}},
            )


def _key(kind: str, name: str) -> dict[str, Any]:
    return {"pk": {"S": kind}, "sk": {"S": str(name)}}


def _number(number: int) -> str:
    return f"{number:0{_DIGITS}}"


def _unpacked(data: bytes, where: str) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=RECORD_LIMIT)
    except zstandard.ZstdError:
        raise StorageError("the ledger is damaged", where=where, hint=_DAMAGED) from None


def _parsed(model: Any, data: bytes, where: str) -> Any:
    try:
        return validate(model, load_json(data, where=where), where=where, error=StorageError)
    except StorageError:
        raise
    except PetraError as error:
        raise StorageError("the ledger is damaged", where=error.where, hint=_DAMAGED) from None
