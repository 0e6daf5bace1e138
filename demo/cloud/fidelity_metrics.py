"""The repairs about metrics and alarms; see :mod:`demo.cloud.fidelity`."""

from __future__ import annotations

import json
import time
import types
from typing import Any

from demo.cloud.wrapping import wrap

_SUFFIX_OF_STATUS = {
    "RUNNING": "Started",
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "TIMED_OUT": "TimedOut",
    "ABORTED": "Aborted",
}


def execution_metrics() -> None:
    """Executions count in ``AWS/States``, so that alarms on them can fire."""
    from ministack.services import stepfunctions  # noqa: PLC0415

    @wrap(stepfunctions, "_emit_execution_status_event")
    def emit(original: Any, execution: dict[str, Any]) -> None:
        original(execution)
        name = f"Executions{_SUFFIX_OF_STATUS[execution['status']]}"
        dimensions = {"StateMachineArn": execution["stateMachineArn"]}
        _count("AWS/States", name, dimensions, 1.0, "Count")


def embedded_metrics() -> None:
    """What a function logs in the embedded metric format becomes metrics.

    Source: docs.aws.amazon.com/AmazonCloudWatch, "Embedded metric format specification".
    """
    from ministack.core import lambda_runtime, responses  # noqa: PLC0415

    class Lines:
        """A worker's standard error, each line seen as it comes."""

        def __init__(self, config: dict[str, Any], stream: Any) -> None:
            self._config, self._stream = config, stream

        def __iter__(self) -> Any:
            names = lambda_runtime._account_region_from_function_config(self._config)
            responses._request_account_id.set(names[0])
            responses._request_region.set(names[1])
            for line in self._stream:
                _count_embedded(line)
                yield line

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    @wrap(lambda_runtime.Worker, "_read_stderr")
    def read(original: Any, worker: Any) -> None:
        worker._proc.stderr = Lines(worker.config, worker._proc.stderr)
        original(worker)


def _count_embedded(line: str) -> None:
    if '"_aws"' not in line:
        return
    try:
        told = json.loads(line)
        for group in told["_aws"]["CloudWatchMetrics"]:
            for names in group["Dimensions"]:
                dimensions = {name: str(told[name]) for name in names}
                for metric in group["Metrics"]:
                    values = told[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        unit = metric.get("Unit", "None")
                        _count(group["Namespace"], metric["Name"], dimensions, value, unit)
    except (ValueError, KeyError, TypeError):
        return


def _count(namespace: str, name: str, dimensions: dict[str, str], value: float, unit: str) -> None:
    from ministack.services import cloudwatch  # noqa: PLC0415

    cloudwatch._store_datum(namespace, name, dimensions, time.time(), unit, value, None, None, None)
    cloudwatch._evaluate_all_alarms()


def alarm_dimensions() -> None:
    """An alarm counts the metric with exactly its dimensions, and no other of that name."""
    from ministack.services import cloudwatch  # noqa: PLC0415

    @wrap(cloudwatch, "_evaluate_alarm")
    def evaluate(original: Any, alarm: dict[str, Any]) -> None:
        wanted = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
        matching = {key: points for key, points in cloudwatch._metrics.items() if key[2] == wanted}
        names = {**vars(cloudwatch), "_metrics": matching}
        types.FunctionType(original.__code__, names)(alarm)
