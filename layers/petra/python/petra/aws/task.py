"""The assembler's container: the same step as the Lambda's, told and reported by a task token.

``ecs:runTask`` knows one error, ``States.TaskFailed``; so the task reports its own by its token.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from petra.aws.clients import service_client
from petra.aws.environment import Environment
from petra.aws.faults import petra_errors
from petra.encoding.json import canonical_json
from petra.errors import PetraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds between signs of life.
HEARTBEAT: Final = 45.0
#: Characters. Source: Step Functions API Reference, SendTaskFailure.
ERROR_LIMIT: Final = 256
MESSAGE_LIMIT: Final = 5_000  # in JSON at most six times that, of 32,768


def main() -> int:
    """Assemble the bundle of the run that the environment names; return the exit status."""
    from petra.aws.pipeline.assembling import assemble  # noqa: PLC0415  # after the environment
    from petra.aws.pipeline.sides import Connected  # noqa: PLC0415  # as above

    environment = Environment.current()
    run, token = environment.need("RUN"), environment.need("TASK_TOKEN")
    states = service_client("stepfunctions", where="service Step Functions")
    return report(states, token, lambda: assemble(Connected(environment), run))


def report(states: Any, token: str, work: Callable[[], dict[str, Any]]) -> int:
    """Do the work, and tell the state machine what came of it.

    Args:
        states: a client for Step Functions.
        token: the task's.
        work: the step.

    Returns:
        The process's exit status.
    """
    try:
        with beating(states, token), petra_errors(doing="assemble the bundle", where="service AWS"):
            result = work()
    except PetraError as error:
        return _failed(states, token, error, str(error))
    except Exception as error:
        _failed(states, token, error, f"{type(error).__name__}; see the task's log")
        raise
    states.send_task_success(taskToken=token, output=canonical_json(result).decode())
    return 0


def _failed(states: Any, token: str, error: Exception, message: str) -> int:
    name = type(error).__name__
    cause = {"errorType": name, "errorMessage": message[:MESSAGE_LIMIT]}
    states.send_task_failure(
        taskToken=token, error=name[:ERROR_LIMIT], cause=canonical_json(cause).decode()
    )
    sys.stderr.write(f"{message}\n")
    return 1


@contextmanager
def beating(states: Any, token: str, seconds: float = HEARTBEAT) -> Iterator[None]:
    """Send signs of life while the block lasts; one that is lost is no harm."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds):
            try:
                states.send_task_heartbeat(taskToken=token)
            except Exception as error:  # noqa: BLE001  # the work goes on; the machine decides
                sys.stderr.write(f"no sign of life was sent: {type(error).__name__}\n")

    thread = threading.Thread(target=beat, name="petra-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
