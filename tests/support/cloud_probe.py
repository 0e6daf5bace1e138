"""Small functions and state machines on an embedded cloud, to see how it takes a failure."""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.cloud.emulator import Cloud

ACCOUNT = "111111111111"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/probe"
_PATIENCE_SECONDS = 60


def wait_until(found: Callable[[], Any], what: str, *, patience: float = _PATIENCE_SECONDS) -> Any:
    """Return what `found` finds, once it finds something."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if (value := found()) is not None:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


@dataclass
class Probe:
    """One embedded cloud, as its account 111111111111 sees it."""

    cloud: Cloud

    def client(self, service: str) -> Any:
        return self.cloud.client(service, ACCOUNT)

    def function(self, source: str) -> str:
        """Create a function whose ``handler.handle`` is in `source`; return its ARN."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("handler.py", source)
        created = self.client("lambda").create_function(
            FunctionName=f"probe-{uuid4().hex[:8]}",
            Runtime="python3.12",
            Role=ROLE,
            Handler="handler.handle",
            Code={"ZipFile": buffer.getvalue()},
            Timeout=30,
        )
        return str(created["FunctionArn"])

    def start(self, states: dict[str, Any], given: Any, **fields: Any) -> tuple[str, str]:
        """Start a JSONata machine of `states`, from the first; return machine and execution."""
        definition = {
            "QueryLanguage": "JSONata",
            "StartAt": next(iter(states)),
            "States": states,
            **fields,
        }
        client = self.client("stepfunctions")
        machine = client.create_state_machine(
            name=f"probe-{uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
        )["stateMachineArn"]
        started = client.start_execution(stateMachineArn=machine, input=json.dumps(given))
        return str(machine), str(started["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """Wait until `execution` has ended; return its description."""

        def look() -> dict[str, Any] | None:
            found = self.client("stepfunctions").describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else dict(found)

        found: dict[str, Any] = wait_until(look, execution)
        return found

    def run(self, states: dict[str, Any], given: Any = None, **fields: Any) -> dict[str, Any]:
        """Run a JSONata machine of `states` to its end; return the execution's description."""
        return self.ended(self.start(states, {} if given is None else given, **fields)[1])

    def output(self, states: dict[str, Any], given: Any = None) -> Any:
        """Run a JSONata machine; return its output."""
        ended = self.run(states, given)
        assert ended["status"] == "SUCCEEDED", ended
        return json.loads(ended["output"])

    def metrics(self, namespace: str) -> list[dict[str, Any]]:
        """Return the metrics of `namespace`."""
        return list(self.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"])
