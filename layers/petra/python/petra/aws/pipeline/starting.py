"""From an object that was put to a run of the state machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.aws.clients import service_client
from petra.aws.events import ObjectCreated
from petra.aws.faults import petra_errors
from petra.aws.metrics import Side
from petra.aws.pipeline.runs import run_of
from petra.encoding.json import dump_json

if TYPE_CHECKING:
    from petra.aws.environment import Environment

#: What starts a run, on each side: beginnings and ends of keys.
_STARTS: Final = {
    Side.CONNECTED: (("specs/", (".yaml", ".yml")), ("bundles/", (".tar.zst", ".tar.gz"))),
    Side.CLASSIFIED: (("in/", ("",)),),
}


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts runs.

    Attributes:
        client: for Step Functions.
        machine: the state machine's ARN.
        side: which side this is.
    """

    client: Any
    machine: str
    side: Side

    @classmethod
    def of(cls, environment: Environment) -> Starter:
        """Return what the environment says.

        Raises:
            SettingError: it lacks something.
        """
        client = service_client("stepfunctions", where="service Step Functions")
        return cls(client, environment.need("MACHINE"), environment.side)

    def start(self, event: dict[str, Any]) -> str | None:
        """Start the run of an event, unless it runs or ran already.

        Args:
            event: of S3's, as EventBridge tells it.

        Returns:
            The run; None for an object that starts none.

        Raises:
            TransportError: Step Functions failed or cannot be reached.
            AccessError: it refuses.
        """
        found = ObjectCreated.model_validate(event).detail
        bucket, key, version = found.bucket.name, found.object.key, found.object.version
        if not self._starts(key):
            return None
        run = run_of(bucket, key, version)
        given = {"run": run, "bucket": bucket, "key": key, "version": version}
        with (
            petra_errors(doing="start the run", where="service Step Functions"),
            suppress(self.client.exceptions.ExecutionAlreadyExists),
        ):
            self.client.start_execution(
                stateMachineArn=self.machine, name=run, input=dump_json(given).decode()
            )
        return run

    def _starts(self, key: str) -> bool:
        return not key.endswith("/") and any(
            key.startswith(start) and key.endswith(ends) for start, ends in _STARTS[self.side]
        )
