"""One run at a time for one name and version: an item in a table, with an end to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.errors import BusyError

if TYPE_CHECKING:
    from datetime import datetime

    from types_boto3_dynamodb.client import DynamoDBClient

#: A run that never ended holds its name this long, in seconds: longer than a machine may run.
LASTS: Final = 26 * 3600


@dataclass(frozen=True, slots=True)
class RunLock:
    """The lock of a bundle's name and version.

    Attributes:
        client: for DynamoDB.
        table: the idempotency table.
        stem: ``NAME#VERSION``.
        run: who takes it.
    """

    client: DynamoDBClient
    table: str
    stem: str
    run: str

    @property
    def _key(self) -> str:
        return f"lock#{self.stem}"

    def take(self, now: datetime) -> None:
        """Take the lock, or find that this run has it.

        Raises:
            BusyError: another run has it.
            AccessError: DynamoDB refuses.
            TransportError: DynamoDB failed or cannot be reached.
        """
        moment = int(now.timestamp())
        with petra_errors(doing="take the lock", where=f"service DynamoDB, table {self.table}"):
            try:
                self.client.put_item(
                    TableName=self.table,
                    Item={
                        "id": {"S": self._key},
                        "run": {"S": self.run},
                        "expiration": {"N": str(moment + LASTS)},
                    },
                    ConditionExpression="attribute_not_exists(id) OR #run = :run "
                    "OR expiration < :now",
                    ExpressionAttributeNames={"#run": "run"},
                    ExpressionAttributeValues={":run": {"S": self.run}, ":now": {"N": str(moment)}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self.client.exceptions.ConditionalCheckFailedException as error:
                held: Any = error.response.get("Item", {})
                found = held.get("run", {}).get("S")
                raise BusyError(
                    "another run makes a bundle of this name and version",
                    where=self.stem.replace("#", " "),
                    found=f"run {found}" if found else None,
                    hint="it is tried again by itself until that run has ended",
                ) from None

    def free(self) -> None:
        """Give the lock back, if this run has it.

        Raises:
            AccessError: DynamoDB refuses.
            TransportError: DynamoDB failed or cannot be reached.
        """
        with petra_errors(doing="free the lock", where=f"service DynamoDB, table {self.table}"):
            try:
                self.client.delete_item(
                    TableName=self.table,
                    Key={"id": {"S": self._key}},
                    ConditionExpression="attribute_not_exists(id) OR #run = :run",
                    ExpressionAttributeNames={"#run": "run"},
                    ExpressionAttributeValues={":run": {"S": self.run}},
                )
            except self.client.exceptions.ConditionalCheckFailedException:
                return
