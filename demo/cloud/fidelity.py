"""MiniStack with its silent gaps closed: where AWS would fail, the embedded cloud fails too.

Its :func:`main` runs in MiniStack's own environment, in the place of ``ministack``; with
``--plain`` as it comes, for the tests that notice when a gap has closed.

It touches private functions of exactly one version, and refuses any other. Each repair has a test
that fails without it, and one that fails when MiniStack needs it no more: tests/e2e/test_fidelity.

This module imports nothing of Petra's, which is not there.
"""

from __future__ import annotations

import contextvars
import copy
import json
import sys
import threading
from importlib.metadata import version
from typing import Any

from demo.cloud import shared_layers
from demo.cloud.fidelity_metrics import alarm_dimensions, embedded_metrics, execution_metrics
from demo.cloud.wrapping import FidelityError, wrap

VERSION = "1.5.33"
#: What AWS does with these, MiniStack leaves out; a machine that asks for them is refused.
_REFUSED_IN_MAP = ("ResultWriter", "ItemBatcher")
#: How MiniStack says that a worker did not come to call its handler, and how AWS does.
_NOT_BEGUN = {
    "Worker init failed": "Runtime.ImportModuleError",
    "Worker process exited immediately": "Runtime.ExitError",
}
_OK, _PARTIAL = 200, 206
_RUN_FAILED = "States.TaskFailed"
#: Why a task stopped, other than that its own program ended.
_STOPPED = ("UserInitiated", "TaskFailedToStart")


def errors_by_class_name() -> None:
    """A handler's exception reaches the state machine under its class's name, as from AWS.

    A worker that died is ``Runtime.ExitError``, and one whose module cannot be imported
    ``Runtime.ImportModuleError``. Source: docs.aws.amazon.com/lambda/latest/dg/python-exceptions.
    """
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import lambda_svc  # noqa: PLC0415

    told = '"error": str(e), "trace": traceback.format_exc()'
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(told) != 1:
        raise FidelityError("the worker's script reports errors in another way")
    named = told.replace('"trace"', '"type": type(e).__name__, "trace"')
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(told, named)
    last = threading.local()

    @wrap(lambda_runtime.Worker, "invoke")
    def invoke(original: Any, *arguments: Any, **options: Any) -> Any:
        answer = original(*arguments, **options)
        died = answer.get("error") == "Worker process died"
        last.name = answer.get("type") or ("Runtime.ExitError" if died else None)
        return answer

    @wrap(lambda_svc, "_execute_function_warm")
    def execute(original: Any, *arguments: Any) -> Any:
        last.name = None
        result = original(*arguments)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict):
            for start, name in _NOT_BEGUN.items():
                if str(body.get("errorMessage")).startswith(start):
                    last.name = name
            body["errorType"] = last.name or body["errorType"]
        return result


def task_exit_codes() -> None:
    """``ecs:runTask.sync`` fails when a container did not end by itself with status 0.

    Source: docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.
    """
    from ministack.services import stepfunctions  # noqa: PLC0415

    @wrap(stepfunctions, "_poll_ecs_tasks")
    def poll(original: Any, cluster: str, task_arns: list[str]) -> Any:
        result = original(cluster, task_arns)
        for task in result.get("tasks", []):
            ended = task.get("stopCode") not in _STOPPED
            codes = [container.get("exitCode") for container in task.get("containers", [])]
            if not ended or any(code != 0 for code in codes):
                raise stepfunctions._ExecutionError(_RUN_FAILED, json.dumps(task, default=str))
        return result

    @wrap(stepfunctions, "_invoke_ecs_run_task")
    def run_task(original: Any, resource: str, arguments: Any) -> Any:
        result = original(resource, arguments)
        if not result.get("tasks"):
            raise stepfunctions._ExecutionError(_RUN_FAILED, json.dumps(result, default=str))
        return result


def unknown_images() -> None:
    """ECR's DescribeImages refuses an image that is not there, so that the CDK CLI builds it."""
    from ministack.services import ecr  # noqa: PLC0415

    @wrap(ecr, "_describe_images")
    def describe(original: Any, data: dict[str, Any]) -> Any:
        repository = data.get("repositoryName", "")
        for wanted in data.get("imageIds") or []:
            if repository in ecr._repositories and not ecr._find_image(repository, wanted):
                message = f"The image with imageId {wanted} does not exist within {repository}"
                return ecr.error_response_json("ImageNotFoundException", message, 400)
        return original(data)


def jsonata_on_parallel() -> None:
    """``Arguments``, ``Output`` and ``Assign`` hold on Parallel.

    Source: docs.aws.amazon.com/step-functions/latest/dg/state-parallel.
    """
    from ministack.services import stepfunctions as machine  # noqa: PLC0415

    @wrap(machine, "_run_parallel_branches")
    def parallel(original: Any, state: Any, given: Any, execution: Any, ctx: Any) -> Any:
        if machine._state_query_language(state, ctx) != "JSONata":
            return original(state, given, execution, ctx)
        arguments = machine._apply_jsonata_arguments(state, given, ctx)
        bare = {"Type": "Parallel", "Branches": state["Branches"], "End": True}
        results, _ = original(bare, arguments, execution, ctx)
        return _finished(machine, state, given, ctx, results)


def jsonata_on_distributed_map() -> None:
    """``Items``, ``ItemSelector``, ``Output`` and ``Assign`` hold on a Distributed Map.

    What this cloud would leave out is refused. Source:
    docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.
    """
    from ministack.services import stepfunctions as machine  # noqa: PLC0415

    @wrap(machine, "_run_distributed_map")
    def distributed(original: Any, state: Any, given: Any, *others: Any) -> Any:
        effective, iterator, execution, ctx = others
        for field in _REFUSED_IN_MAP:
            if field in state:
                raise machine._ExecutionError("States.Runtime", f"no {field} in this cloud")
        if machine._state_query_language(state, ctx) != "JSONata":
            return original(state, given, effective, iterator, execution, ctx)
        bare = {"Type": "Map", "ItemsPath": "$", "End": True}
        for field in ("Label", "MaxConcurrency", *_TOLERATED):
            if field in state:
                bare[field] = machine._apply_jsonata_template(state[field], given, ctx)
        items = _selected(machine, state, given, ctx)
        results, _ = original(bare, items, items, iterator, execution, ctx)
        return _finished(machine, state, given, ctx, results)


def _finished(machine: Any, state: Any, given: Any, ctx: Any, results: Any) -> Any:
    """Return what a JSONata state gives on, and the state that is next."""
    output = machine._apply_jsonata_output(state, given, ctx, result=results, default=results)
    machine._apply_state_assign(state, given, ctx, result=results)
    return output, machine._next_or_end(state)


def scopes_of_variables() -> None:
    """A branch or an item has variables of its own; a Distributed Map's has none from outside.

    Source: docs.aws.amazon.com/step-functions/latest/dg/workflow-variables, "Scope".
    """
    from ministack.services import stepfunctions  # noqa: PLC0415

    @wrap(stepfunctions, "_run_sub_machine")
    def sub_machine(original: Any, states: Any, start: Any, given: Any, *others: Any) -> Any:
        execution, ctx = others
        own = copy.deepcopy(ctx)
        if execution.get("mapRunArn"):
            own["variables"] = {}
        return original(states, start, given, execution, own)


def output_of_succeed() -> None:
    """``Output`` holds on Succeed."""
    from ministack.services import stepfunctions as machine  # noqa: PLC0415

    @wrap(machine, "_apply_output_path")
    def output_path(original: Any, state: Any, data: Any, ctx: Any = None) -> Any:
        jsonata = machine._state_query_language(state, ctx) == "JSONata"
        if jsonata and state.get("Type") == "Succeed":
            return machine._apply_jsonata_output(state, data, ctx, default=data)
        return original(state, data, ctx)


_TOLERATED = ("ToleratedFailureCount", "ToleratedFailurePercentage")


def _selected(machine: Any, state: Any, given: Any, ctx: Any) -> list[Any]:
    """Return the items of a JSONata Distributed Map, each as its ItemSelector makes it."""
    if reader := state.get("ItemReader"):
        arguments = machine._apply_jsonata_template(reader.get("Arguments", {}), given, ctx)
        items = machine._read_map_items({**reader, "Arguments": arguments}, given, ctx)
    elif "Items" in state:
        items = machine._jsonata_state_field(state, "Items", "array", given, ctx)
    else:
        items = given
    if "ItemSelector" not in state:
        return list(items)
    chosen = []
    for index, item in enumerate(items):
        own = {**ctx, "Map": {"Item": {"Index": index, "Value": item}}}
        chosen.append(machine._apply_jsonata_template(state["ItemSelector"], given, own))
    return chosen


def assign_at_once() -> None:
    """A state's ``Assign`` sees the variables as they were before it, whatever their order.

    Source: docs.aws.amazon.com/step-functions/latest/dg/workflow-variables, "Evaluation order".
    """
    from ministack.services import stepfunctions  # noqa: PLC0415

    @wrap(stepfunctions, "_apply_state_assign")
    def assign(original: Any, state: Any, given: Any, ctx: Any, **results: Any) -> None:
        if ctx is None:
            return
        before = ctx.setdefault("variables", {})
        after = dict(before)
        for name, template in (state.get("Assign") or {}).items():
            alone = {**ctx, "variables": dict(before)}
            original({**state, "Assign": {name: template}}, given, alone, **results)
            if name in alone["variables"]:
                after[name] = alone["variables"][name]
        before.update(after)


def machine_timeouts() -> None:
    """A machine's ``TimeoutSeconds`` ends its executions as TIMED_OUT."""
    from ministack.services import stepfunctions  # noqa: PLC0415

    def time_out(execution: dict[str, Any]) -> None:
        if execution["status"] == "RUNNING":
            execution.update(
                status="TIMED_OUT", error="States.Timeout", stopDate=stepfunctions.now_iso()
            )
            stepfunctions._emit_execution_status_event(execution)

    @wrap(stepfunctions, "_fail_execution")
    def fail(original: Any, execution: dict[str, Any], *reasons: Any) -> None:
        if execution["status"] == "RUNNING":
            original(execution, *reasons)

    @wrap(stepfunctions, "_run_execution")
    def run(original: Any, arn: str) -> None:
        execution = stepfunctions._executions[arn]
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"], {})
        seconds = json.loads(machine.get("definition", "{}")).get("TimeoutSeconds")
        if seconds is None:
            original(arn)
            return
        context = contextvars.copy_context()
        timer = threading.Timer(seconds, context.run, args=(time_out, execution))
        timer.daemon = True
        timer.start()
        try:
            original(arn)
        finally:
            timer.cancel()


def version_in_s3_events() -> None:
    """The event of an object in a versioned bucket names its version.

    Source: Amazon S3 User Guide, "EventBridge event message structure".
    """
    from ministack.services import eventbridge, s3  # noqa: PLC0415

    now = threading.local()

    @wrap(s3, "_fire_s3_event")
    def fire(original: Any, *arguments: Any, **named: Any) -> None:
        now.version = named.get("version_id")
        original(*arguments, **named)

    @wrap(eventbridge, "_dispatch_event")
    def dispatch(original: Any, event: dict[str, Any], *others: Any, **named: Any) -> Any:
        if event.get("Source") == "aws.s3" and getattr(now, "version", None):
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = now.version
            event = {**event, "Detail": json.dumps(detail)}
        return original(event, *others, **named)


def ranges_of_versions() -> None:
    """``Range`` holds for a read that names a version too.

    Source: Amazon S3 API Reference, GetObject.
    """
    from ministack.services import s3  # noqa: PLC0415

    @wrap(s3, "_get_object")
    def get(original: Any, bucket: str, key: str, headers: Any, query: Any = None) -> Any:
        status, told, body = original(bucket, key, headers, query)
        if status != _OK or not s3._qp(query or {}, "versionId", ""):
            return status, told, body
        found = s3._parse_range(headers.get("range", ""), len(body))
        if found is None:
            return status, told, body
        start, end = found
        kept = {k: v for k, v in told.items() if not k.lower().startswith("x-amz-checksum")}
        part = body[start : end + 1]
        size = {
            "Content-Length": str(len(part)),
            "Content-Range": f"bytes {start}-{end}/{len(body)}",
        }
        return _PARTIAL, {**kept, **size}, part


REPAIRS = (
    errors_by_class_name,
    task_exit_codes,
    unknown_images,
    jsonata_on_parallel,
    jsonata_on_distributed_map,
    scopes_of_variables,
    output_of_succeed,
    assign_at_once,
    machine_timeouts,
    execution_metrics,
    embedded_metrics,
    version_in_s3_events,
    ranges_of_versions,
    alarm_dimensions,
)


def main() -> None:
    """Run MiniStack, repaired unless ``--plain`` is asked for.

    Raises:
        FidelityError: it is another version, or not as this module knows it.
    """
    found = version("ministack")
    if found != VERSION:
        raise FidelityError(f"ministack {found}: the repairs are for {VERSION}")
    from ministack import app  # noqa: PLC0415

    if "--plain" not in sys.argv:
        for repair in REPAIRS:
            repair()
        shared_layers.install()
    sys.argv = sys.argv[:1]
    app.main()
