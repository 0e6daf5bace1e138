"""Does something once for a run, though its step is tried again: Powertools' idempotency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb.client import DynamoDBClient

#: Seconds that a key is remembered: longer than any run.
REMEMBERED: Final = 30 * 24 * 3600
#: Milliseconds after which one who began and did not end is taken for dead.
_DEAD: Final = 60_000


class _Soon:
    """Stands for Lambda's context: what is done here takes seconds, not the function's minutes."""

    def get_remaining_time_in_millis(self) -> int:
        return _DEAD


def once(client: DynamoDBClient, table: str, key: str, work: Callable[[], None]) -> None:
    """Do `work` unless it was done under this key before.

    Args:
        client: for DynamoDB.
        table: the idempotency table.
        key: what is done; for all time.
        work: does it; what it raises leaves the key free.

    Raises:
        BusyError: another call is at it now.
        PetraError: what `work` raises.
    """
    from aws_lambda_powertools.utilities.idempotency import (  # noqa: PLC0415  # only ends of runs
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )
    from aws_lambda_powertools.utilities.idempotency.exceptions import (  # noqa: PLC0415  # as above
        IdempotencyAlreadyInProgressError,
    )

    store = DynamoDBPersistenceLayer(table_name=table, boto3_client=client)
    # MD5, its default, does not exist where FIPS 140 is enforced.
    config = IdempotencyConfig(expires_after_seconds=REMEMBERED, hash_function="sha256")
    config.register_lambda_context(_Soon())  # type: ignore[arg-type]  # the one method that counts

    def wanted(*, key: str) -> str:
        work()
        return key

    done = idempotent_function(
        wanted,
        data_keyword_argument="key",
        persistence_store=store,
        config=config,
        key_prefix="petra",
    )
    try:
        done(key=key)
    except IdempotencyAlreadyInProgressError:
        raise BusyError("another call is at it now", where=key) from None
