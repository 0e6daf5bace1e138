"""Starts a run for each object that was put; the same event again is the same run."""

from __future__ import annotations

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)

from petra.aws.entry import logger
from petra.aws.environment import Environment
from petra.aws.pipeline.starting import Starter

_processor = BatchProcessor(event_type=EventType.SQS)


@cache
def _starter() -> Starter:
    return Starter.of(Environment.current())


def _start(record: Any) -> None:
    _starter().start(record.json_body)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Take a batch of a queue; what failed of it comes again."""
    return process_partial_response(
        event=event, record_handler=_start, processor=_processor, context=context
    )
