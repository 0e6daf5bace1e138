"""What every Lambda has in common: the input checked, errors as Petra's own, log, trace, metrics.

An error leaves as the class that it is: the state machine knows it by that name.
"""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.parser import ValidationError, parse

from petra.aws.environment import Environment
from petra.aws.faults import petra_errors
from petra.aws.metering import emit
from petra.aws.metrics import Metric
from petra.errors import DocumentError, PetraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.aws.events import Event

E = TypeVar("E", bound="Event")
logger = Logger(service="petra")
tracer = Tracer(service="petra")


def step(
    model: type[E],
) -> Callable[[Callable[[E], dict[str, Any]]], Callable[[dict[str, Any], Any], dict[str, Any]]]:
    """Make a Lambda's handler of a function from a step's input to its output.

    Args:
        model: the input's.
    """

    def wrap(
        function: Callable[[E], dict[str, Any]],
    ) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        stage = function.__name__

        @logger.inject_lambda_context(clear_state=True)
        @tracer.capture_lambda_handler(capture_response=False)
        @wraps(function)
        def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
            given = parsed(event, model)
            logger.append_keys(**given.model_dump(include={"run", "index", "action"}))
            began = time.monotonic()
            try:
                with petra_errors(doing=stage.replace("_", " "), where="service AWS"):
                    result = function(given)
            except PetraError as error:
                logger.warning(error.message, extra={"error": error.to_json()})
                raise
            seconds = time.monotonic() - began
            emit(Environment.current().side, {Metric.STAGE_SECONDS: seconds}, stage=stage)
            logger.info("done", extra={"seconds": round(seconds, 3)})
            return result

        made: Callable[[dict[str, Any], Any], dict[str, Any]] = handler
        return made

    return wrap


def measured(values: dict[Metric, float]) -> None:
    """Emit what a step measured."""
    emit(Environment.current().side, values)


def parsed(event: dict[str, Any], model: type[E]) -> E:
    """Return `event` as its model.

    Raises:
        DocumentError: it is no such event.
    """
    try:
        return parse(event=event, model=model)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise DocumentError(
            "the step's input is not what it should be",
            where=model.__name__,
            found="; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults),
            hint="start the state machine by an object in the bucket, not by hand",
        ) from None
