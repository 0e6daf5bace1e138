"""Tells people by SNS how a run ended, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.aws.once import once

if TYPE_CHECKING:
    from petra.aws.pipeline.sides import Classified, Connected

#: Who else is told of what, beside the operators.
_ALSO: Final = {"refused": "TOPIC_SECURITY", "unreconciled": "TOPIC_RELEASES"}
_SUBJECT: Final = 100


def publish(side: Connected | Classified, status: dict[str, Any]) -> None:
    """Send a run's status to the topics that it concerns; those that are not there are passed over.

    Raises:
        AccessError: SNS refuses.
        BusyError: another try of this step tells them now.
        TransportError: SNS failed or cannot be reached.
    """
    state = str(status["state"])
    wanted = ["TOPIC_OPERATORS", *([_ALSO[state]] if state in _ALSO else [])]
    topics = [topic for name in wanted if (topic := side.environment.get(name))]
    table = side.environment.need("IDEMPOTENCY_TABLE")
    for topic in topics:

        def send(topic: str = topic) -> None:
            with petra_errors(doing="tell people", where="service SNS"):
                side.client("sns").publish(
                    TopicArn=topic, Subject=_subject(status), Message=_message(status)
                )

        once(side.client("dynamodb"), table, f"{status['run']} {state} {topic}", send)


def _subject(status: dict[str, Any]) -> str:
    what = status.get("bundle") or status["key"]
    text = f"Petra: {what} {status['state']}"
    return text.encode("ascii", "replace").decode()[:_SUBJECT]


def _message(status: dict[str, Any]) -> str:
    """Return the status as a person reads it."""
    lines = [
        f"{name:9} {status[name]}"
        for name in ("state", "stage", "bundle", "key", "run")
        if name in status
    ]
    for one in (status.get("error"), *status.get("failures", ())):
        if one:
            lines += ["", *(f"{name}: {text}" for name, text in one.items())]
    return "\n".join(lines)
