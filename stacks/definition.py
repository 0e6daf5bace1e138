"""The state machines' definitions, out of ``machines/NAME.asl.json``.

The files read as what they are, Amazon States Language in JSONata. Two things are filled in:
``"@name"`` stands for a list that follows from Petra's own errors, and ``${Name}`` for a value of
the deployment. Step Functions compares whole names of errors, so every retryable class is named.
"""

from __future__ import annotations

import json
from typing import Any, Final

from petra import errors
from petra.errors import BusyError, PetraError, RateLimitedError, VerificationError
from stacks.settings import ROOT

MACHINES: Final = ROOT / "stacks" / "machines"

#: What Lambda says when it was itself that failed.
_SERVICE: Final = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
)
#: A function that was killed: by its time, its memory, or the machine under it.
_KILLED: Final = ("Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "States.Timeout")
_TASK: Final = ("States.HeartbeatTimeout", "ECS.AmazonECSException", "AmazonECS.Unknown")
#: Retryable errors that have a pace of their own.
_OWN_PACE: Final = (BusyError.__name__, RateLimitedError.__name__)

#: A function's error has its text in JSON, beside the stack; another's is plain. 500 images fit.
_MESSAGE: Final = (
    "{% ($cause := $states.errorOutput.Cause; "
    "$substring($contains($cause, '\"errorMessage\"') and $substring($cause, 0, 1) = '{' "
    "? $string($parse($cause).errorMessage) : $cause, 0, 300)) %}"
)


def error_names(base: type[PetraError] = PetraError, *, retryable: bool = False) -> list[str]:
    """Return the names of `base` and all below it, in alphabetical order.

    Args:
        base: the root of the part of the tree.
        retryable: only those by which a retry can help.
    """
    classes = (value for value in vars(errors).values() if isinstance(value, type))
    return sorted(
        each.__name__
        for each in classes
        if issubclass(each, base) and (each.retryable or not retryable)
    )


def _waiting(names: list[str], seconds: int, attempts: int) -> dict[str, Any]:
    """Try again at even intervals: somebody else must end first."""
    return {
        "ErrorEquals": names,
        "IntervalSeconds": seconds,
        "MaxAttempts": attempts,
        "BackoffRate": 1.0,
    }


def _retry(names: list[str], seconds: int, attempts: int) -> dict[str, Any]:
    return {
        "ErrorEquals": names,
        "IntervalSeconds": seconds,
        "MaxAttempts": attempts,
        "BackoffRate": 2.0,
        "MaxDelaySeconds": 300,
        "JitterStrategy": "FULL",
    }


def _transient() -> list[dict[str, Any]]:
    paced = [name for name in error_names(retryable=True) if name not in _OWN_PACE]
    return [
        _waiting([BusyError.__name__], 60, 60),
        _retry([RateLimitedError.__name__], 30, 6),
        _retry([*paced, *_SERVICE], 2, 5),
        _retry([*_KILLED], 5, 2),
    ]


def _catch(outcome: str, names: list[str]) -> dict[str, Any]:
    assign = {"outcome": outcome, "error": "{% $states.errorOutput %}"}
    return {"ErrorEquals": names, "Assign": assign, "Output": {}, "Next": "Report"}


def _image_catch() -> dict[str, Any]:
    return {
        "ErrorEquals": ["States.ALL"],
        "Output": {
            "index": "{% $states.input.index %}",
            "error": "{% $states.errorOutput.Error %}",
            "cause": _MESSAGE,
        },
        "Next": "ImageFailed",
    }


def lists() -> dict[str, Any]:
    """Return what each ``@name`` stands for, whatever the deployment."""
    return {
        "@transient": _transient(),
        "@task": [*_transient(), _retry([*_TASK], 30, 2)],
        "@report": [
            _catch("refused", error_names(VerificationError)),
            _catch("failed", ["States.ALL"]),
        ],
        "@image": [_image_catch()],
        "@unreported": [{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": "Unreported"}],
    }


def refusals() -> str:
    """Return the names of all verification errors as a part of a JSONata list."""
    return ", ".join(f"'{name}'" for name in error_names(VerificationError))


def definition(name: str, **values: Any) -> str:
    """Return the definition of the machine `name`, with ``${…}`` left for CloudFormation.

    Args:
        name: ``assemble`` or ``load``.
        values: further values for ``@name``, such as the task's subnets.

    Raises:
        KeyError: the file has an ``@name`` that nothing stands for.
    """
    known = lists() | {f"@{key}": value for key, value in values.items()}
    text = (MACHINES / f"{name}.asl.json").read_text(encoding="utf-8")
    return json.dumps(_filled(json.loads(text), known), indent=1)


def _filled(part: Any, known: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return {key: _filled(value, known) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, known) for value in part]
    if isinstance(part, str) and part.startswith("@"):
        return known[part]
    return part
