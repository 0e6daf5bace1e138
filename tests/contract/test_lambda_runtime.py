"""Every handler under the runtime that Lambda calls it by: awslambdaric, and a Runtime API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.runtime_api import ROOT, running_api, running_function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.runtime_api import RuntimeApi

STEPS = sorted(
    path.parent.name
    for path in (ROOT / "lambdas").glob("*/handler.py")
    if path.parent.name != "start_run"
)
RUN = "0" * 32
SIDES = {"PETRA_SIDE": "connected", "PETRA_SETTINGS": "{}"}


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    """One for each function: what a dead one waits for would take the next one's events."""
    with running_api() as running:
        yield running


def test_all_steps_of_both_machines_are_there() -> None:
    assert len(STEPS) == 15


@pytest.mark.parametrize("name", STEPS)
def test_a_handler_starts_without_a_network_and_names_its_error(api: RuntimeApi, name: str) -> None:
    with running_function(api, name, SIDES) as process:
        answer = api.call({"run": "no run"}, process)
    assert not answer.ok
    assert answer.body["errorType"] == "DocumentError"
    assert "the step's input is not what it should be" in answer.body["errorMessage"]
    assert "next: start the state machine" in answer.body["errorMessage"]


def test_an_s3_that_is_down_is_a_transport_error(api: RuntimeApi) -> None:
    down = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    names = {"PETRA_STAGING": "staging", "PETRA_OUTBOX": "outbox"}
    with running_function(api, "sign_bundle", SIDES | names | down) as process:
        answer = api.call({"run": RUN}, process)
    assert answer.body["errorType"] == "TransportError"


def test_a_missing_variable_is_named(api: RuntimeApi) -> None:
    with running_function(api, "sign_bundle", SIDES) as process:
        answer = api.call({"run": RUN}, process)
    assert answer.body["errorType"] == "SettingError"
    assert "PETRA_STAGING is not set" in answer.body["errorMessage"]


def test_what_starts_no_run_is_taken_from_the_queue(api: RuntimeApi) -> None:
    found = {"bucket": {"name": "staging"}, "object": {"key": "notes/x.txt", "version-id": "1"}}
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": found}
    record = {"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(event)}
    machine = {"PETRA_MACHINE": "arn:aws:states:us-gov-west-1:123456789012:stateMachine:x"}
    with running_function(api, "start_run", SIDES | machine) as process:
        answer = api.call({"Records": [record]}, process)
    assert answer.ok
    assert answer.body == {"batchItemFailures": []}


def test_a_record_that_is_no_event_comes_again(api: RuntimeApi) -> None:
    good = {"messageId": "1", "eventSource": "aws:sqs", "body": "{}"}
    found = {"bucket": {"name": "staging"}, "object": {"key": "notes/x.txt", "version-id": "1"}}
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": found}
    other = {"messageId": "2", "eventSource": "aws:sqs", "body": json.dumps(event)}
    machine = {"PETRA_MACHINE": "arn:aws:states:us-gov-west-1:123456789012:stateMachine:x"}
    with running_function(api, "start_run", SIDES | machine) as process:
        answer = api.call({"Records": [good, other]}, process)
    assert answer.body == {"batchItemFailures": [{"itemIdentifier": "1"}]}
