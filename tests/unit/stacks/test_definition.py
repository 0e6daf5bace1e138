"""The machines' definitions: every state that can fail is caught, every error by its real name."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from petra import errors
from petra.aws.side_settings import Limits
from petra.errors import PetraError
from stacks.definition import MACHINES, definition, error_names, lists, refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE_NAMES = ("assemble", "load")
TERMINAL = ("Succeed", "Fail")
#: The errors that are Step Functions' or Lambda's own.
FOREIGN = re.compile(r"(States|Lambda|Sandbox|Runtime|ECS|AmazonECS)\.[A-Za-z]+")


def machine(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(definition(name, timeout=60, subnets=["subnet-1"]))
    return value


def scopes(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The machine, and the machine in each of its maps."""
    yield part
    for state in part["States"].values():
        if "ItemProcessor" in state:
            yield from scopes(state["ItemProcessor"])


def states(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for scope in scopes(machine(name)):
        yield from scope["States"].items()


def targets(state: dict[str, Any]) -> Iterator[str]:
    for key in ("Next", "Default"):
        if key in state:
            yield state[key]
    for part in (*state.get("Choices", []), *state.get("Catch", [])):
        yield part["Next"]


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_every_state_that_can_fail_catches_everything(name: str) -> None:
    for title, state in states(name):
        if state["Type"] in ("Task", "Map", "Parallel"):
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], title


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_every_task_has_a_time_limit_and_retries(name: str) -> None:
    for title, state in states(name):
        if state["Type"] == "Task":
            assert state["TimeoutSeconds"] > 0, title
            assert state["Retry"], title


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_every_state_is_reached_and_every_step_leads_to_one(name: str) -> None:
    for scope in scopes(machine(name)):
        reached = {scope["StartAt"]}
        for state in scope["States"].values():
            reached.update(targets(state))
        assert reached == set(scope["States"])


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_every_end_is_a_terminal_state_or_the_end_of_an_image(name: str) -> None:
    for title, state in states(name):
        ends = state["Type"] in TERMINAL or state.get("End", False)
        assert ends != any(True for _ in targets(state)) or "Catch" in state, title


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_every_error_that_a_machine_names_exists(name: str) -> None:
    for title, state in states(name):
        for part in (*state.get("Retry", []), *state.get("Catch", [])):
            for error in part["ErrorEquals"]:
                known = isinstance(getattr(errors, error, None), type)
                assert known or FOREIGN.fullmatch(error), f"{title}: {error}"


def test_exactly_the_retryable_errors_are_retried() -> None:
    named = {error for part in lists()["@transient"] for error in part["ErrorEquals"]}
    ours = {error for error in named if not FOREIGN.fullmatch(error)}
    retryable = {
        each.__name__
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, PetraError) and each.retryable
    }
    assert ours == retryable
    assert "TransportError" in ours


def test_no_error_is_in_two_retries() -> None:
    for name in ("@transient", "@task"):
        named = [error for part in lists()[name] for error in part["ErrorEquals"]]
        assert len(named) == len(set(named))


def test_a_verification_error_is_a_refusal_and_everything_else_a_failure() -> None:
    refused, failed = lists()["@report"]
    assert refused["Assign"]["outcome"] == "refused"
    assert set(refused["ErrorEquals"]) == set(error_names(errors.VerificationError))
    assert "SignatureError" in refused["ErrorEquals"]
    assert "TransportError" not in refused["ErrorEquals"]
    assert failed["ErrorEquals"] == ["States.ALL"]
    assert "'PolicyError'" in refusals()


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_a_wait_is_in_a_loop_with_a_deadline(name: str) -> None:
    every = dict(states(name))
    for title, state in every.items():
        if state["Type"] != "Wait":
            continue
        poll = every[state["Next"]]
        choice = every[poll["Next"]]
        assert choice["Type"] == "Choice", title
        assert any("$deadline" in each["Condition"] for each in choice["Choices"]), title


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_variables_are_assigned_before_they_are_used(name: str) -> None:
    parts = machine(name)["States"].values()
    assigned = {
        variable
        for state in parts
        for part in (state, *state.get("Catch", []))
        for variable in part.get("Assign", {})
    }
    text = json.dumps([*parts])
    used = set(re.findall(r"\$([a-z]\w*)(?![\w(])", text))
    bound = set(re.findall(r"\$(\w+) := ", text))
    assert used - assigned - bound - {"states"} == set()


def test_an_unknown_name_is_refused_at_synthesis() -> None:
    with pytest.raises(KeyError, match="@subnets"):
        definition("assemble", timeout=60)


@pytest.mark.parametrize("name", MACHINE_NAMES)
def test_no_placeholder_of_synthesis_is_left(name: str) -> None:
    assert not re.search(r'"@[a-z]+"', json.dumps(machine(name)))
    assert '"@transient"' in (MACHINES / f"{name}.asl.json").read_text()


def test_as_many_failures_as_images_are_allowed_fit_into_a_payload() -> None:
    most = {"index": 499, "error": "DigestMismatchError", "cause": "x" * 300}
    limit = next(each.le for each in Limits.model_fields["images"].metadata if hasattr(each, "le"))
    assert ", 0, 300)" in lists()["@image"][0]["Output"]["cause"]
    assert len(json.dumps(most)) * limit < 256 * 1024
