"""What AWS fails, the embedded cloud fails too. Negative tests first.

Each repair is seen twice: with it the right end; and plain MiniStack, which still has the gap.
Where the second fails, MiniStack has closed the gap itself, and the repair can go.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from demo.cloud.emulator import PYTHON
from tests.support.cloud_probe import ACCOUNT, Probe, wait_until
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from demo.cloud.emulator import Cloud

pytestmark = pytest.mark.timeout(240)

_RAISES = """
class SignatureError(Exception):
    pass

def handle(event, context):
    raise SignatureError("the signature does not verify")
"""
_DIES = "import os\n\ndef handle(event, context):\n    os._exit(9)\n"
_DIES_AT_ONCE = "import os\nos._exit(9)\n"
_NO_MODULE = "import not_there\n\ndef handle(event, context):\n    return {}\n"
_FAILS_ONCE = """
import os
from pathlib import Path

class TransportError(Exception):
    pass

def handle(event, context):
    seen = Path(event["marker"])
    if not seen.exists():
        seen.touch()
        raise TransportError("cut off")
    return {"done": True}
"""
_EMBEDDED_METRIC = """
import json

def handle(event, context):
    group = {
        "Namespace": "Probe",
        "Dimensions": [["side"]],
        "Metrics": [{"Name": "VerificationFailed", "Unit": "Count"}],
    }
    told = {"_aws": {"Timestamp": 0, "CloudWatchMetrics": [group]}}
    print(json.dumps({**told, "side": "classified", "VerificationFailed": [1.0]}))
    return {}
"""
_DONE = {"Type": "Pass", "End": True}


@pytest.fixture
def good(cloud: Cloud) -> Probe:
    return Probe(cloud)


@pytest.fixture
def plain(plain_cloud: Cloud) -> Probe:
    return Probe(plain_cloud)


def _task(function: str, **fields: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": function, "End": True, **fields}


# --- an exception's class name


def _error_of(probe: Probe, source: str) -> str:
    ended = probe.run({"Call": _task(probe.function(source))})
    assert ended["status"] == "FAILED"
    return str(ended["error"])


def test_an_exception_fails_the_machine_under_its_class_name(good: Probe) -> None:
    assert _error_of(good, _RAISES) == "SignatureError"


@pytest.mark.parametrize("source", [_DIES, _DIES_AT_ONCE])
def test_a_worker_that_dies_is_an_exit_error(good: Probe, source: str) -> None:
    assert _error_of(good, source) == "Runtime.ExitError"


def test_a_module_that_cannot_be_imported_is_an_import_error(good: Probe) -> None:
    assert _error_of(good, _NO_MODULE) == "Runtime.ImportModuleError"


def test_plain_ministack_gives_all_of_them_names_of_its_own(plain: Probe) -> None:
    names = {_error_of(plain, source) for source in (_RAISES, _DIES, _NO_MODULE)}
    assert names == {"Runtime.HandlerError", "RuntimeError"}


def test_a_retry_by_class_name_matches(good: Probe, tmp_path: Any) -> None:
    retry = [{"ErrorEquals": ["TransportError"], "IntervalSeconds": 1, "MaxAttempts": 2}]
    task = _task(good.function(_FAILS_ONCE), Retry=retry)
    assert good.output({"Call": task}, {"marker": str(tmp_path / "seen")}) == {"done": True}


def test_a_retry_by_another_class_name_does_not(good: Probe, tmp_path: Any) -> None:
    retry = [{"ErrorEquals": ["SignatureError"], "IntervalSeconds": 1, "MaxAttempts": 2}]
    task = _task(good.function(_FAILS_ONCE), Retry=retry)
    ended = good.run({"Call": task}, {"marker": str(tmp_path / "seen")})
    assert (ended["status"], ended["error"]) == ("FAILED", "TransportError")


def _caught(probe: Probe) -> str:
    catch = [{"ErrorEquals": ["SignatureError"], "Next": "Refused"}]
    states = {
        "Call": _task(probe.function(_RAISES), Catch=catch),
        "Refused": {"Type": "Pass", "Output": "refused", "End": True},
    }
    return str(probe.run(states)["status"])


def test_a_catch_by_class_name_matches(good: Probe) -> None:
    assert _caught(good) == "SUCCEEDED"


def test_plain_ministack_never_catches_by_class_name(plain: Probe) -> None:
    assert _caught(plain) == "FAILED"


# --- containers


def _run_task(probe: Probe) -> dict[str, Any]:
    """Run a task that is stopped before its program has ended."""
    ecs = probe.client("ecs")
    name = f"probe-{uuid4().hex[:8]}"
    ecs.create_cluster(clusterName=name)
    container = {"name": "main", "image": "example.invalid/none:1", "essential": True}
    ecs.register_task_definition(family=name, containerDefinitions=[container])
    arguments = {"Cluster": name, "TaskDefinition": name, "LaunchType": "FARGATE"}
    resource = "arn:aws:states:::ecs:runTask.sync"
    state = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
    _, execution = probe.start({"Run": state}, {})

    def running() -> str | None:
        found = (
            ecs.list_tasks(cluster=name)["taskArns"]
            or ecs.list_tasks(cluster=name, desiredStatus="STOPPED")["taskArns"]
        )
        return str(found[0]) if found else None

    ecs.stop_task(cluster=name, task=wait_until(running, "the task runs"), reason="for the test")
    return probe.ended(execution)


def test_a_task_that_was_stopped_fails_the_machine(good: Probe) -> None:
    ended = _run_task(good)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")


def test_plain_ministack_succeeds_with_a_task_that_was_stopped(plain: Probe) -> None:
    assert _run_task(plain)["status"] == "SUCCEEDED"


def _polled(*codes: int | None, repaired: bool) -> str:
    """Let MiniStack's own code look at a task whose containers ended with `codes`."""
    program = _POLL.format(codes=codes, repair="task_exit_codes()" if repaired else "")
    environment = {"PYTHONPATH": str(REPOSITORY), "SFN_WAIT_SCALE": "0"}
    command = [str(PYTHON), "-c", program]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return said.stdout.strip()


_POLL = """
import json
from demo.cloud.fidelity import task_exit_codes
from ministack.services import ecs, stepfunctions

containers = [{{"exitCode": code}} for code in {codes}]
task = {{"lastStatus": "STOPPED", "stopCode": "EssentialContainerExited", "containers": containers}}
ecs._describe_tasks = lambda _: (200, {{}}, json.dumps({{"tasks": [task]}}))
{repair}
try:
    stepfunctions._poll_ecs_tasks("cluster", ["task"])
    print("succeeded")
except stepfunctions._ExecutionError as error:
    print(error.error)
"""


@pytest.mark.parametrize("codes", [(1,), (0, 137), (None,)])
def test_a_container_without_exit_status_0_fails_the_machine(codes: tuple[int | None]) -> None:
    assert _polled(*codes, repaired=True) == "States.TaskFailed"


def test_a_container_with_exit_status_0_does_not() -> None:
    assert _polled(0, repaired=True) == "succeeded"


def test_plain_ministack_succeeds_with_exit_status_1() -> None:
    assert _polled(1, repaired=False) == "succeeded"


def _unknown_image(probe: Probe) -> None:
    ecr = probe.client("ecr")
    name = f"probe-{uuid4().hex[:8]}"
    ecr.create_repository(repositoryName=name)
    found = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "none"}])
    assert found["imageDetails"] == []


def test_an_image_that_is_not_there_is_refused(good: Probe) -> None:
    with pytest.raises(ClientError) as caught:
        _unknown_image(good)
    assert caught.value.response["Error"]["Code"] == "ImageNotFoundException"


def test_plain_ministack_answers_nothing_for_an_unknown_image(plain: Probe) -> None:
    _unknown_image(plain)


# --- JSONata

_BRANCH = {"StartAt": "Say", "States": {"Say": {"Type": "Pass", "End": True}}}
_PARALLEL = {
    "Fork": {
        "Type": "Parallel",
        "Arguments": {"n": "{% $states.input.n + 1 %}"},
        "Branches": [_BRANCH, _BRANCH],
        "Assign": {"first": "{% $states.result[0].n %}"},
        "Output": {"count": "{% $count($states.result) %}"},
        "Next": "Tell",
    },
    "Tell": {
        "Type": "Pass",
        "Output": {"first": "{% $first %}", "count": "{% $states.input.count %}"},
        "End": True,
    },
}


def test_parallel_heeds_arguments_assign_and_output(good: Probe) -> None:
    assert good.output(_PARALLEL, {"n": 1}) == {"first": 2, "count": 2}


def test_plain_ministack_leaves_them_out_of_parallel(plain: Probe) -> None:
    assert plain.run(_PARALLEL, {"n": 1})["error"] == "States.QueryEvaluationError"


_DISTRIBUTED = {
    "Each": {
        "Type": "Map",
        "Items": "{% [0..$states.input.images - 1] %}",
        "ItemSelector": {"index": "{% $states.context.Map.Item.Value %}"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            **_BRANCH,
        },
        "Output": {"seen": "{% $states.result.index %}"},
        "End": True,
    }
}


def test_a_distributed_map_heeds_items_selector_and_output(good: Probe) -> None:
    assert good.output(_DISTRIBUTED, {"images": 3}) == {"seen": [0, 1, 2]}


def test_plain_ministack_leaves_them_out_of_a_distributed_map(plain: Probe) -> None:
    assert plain.output(_DISTRIBUTED, {"images": 3}) != {"seen": [0, 1, 2]}


def test_a_result_writer_is_refused_where_it_would_be_left_out(good: Probe) -> None:
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {"Bucket": "none"}}
    states = {"Each": {**_DISTRIBUTED["Each"], "ResultWriter": writer}}
    assert good.run(states, {"images": 3})["error"] == "States.Runtime"


def test_plain_ministack_leaves_a_result_writer_out(plain: Probe) -> None:
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {"Bucket": "none"}}
    states = {"Each": {**_DISTRIBUTED["Each"], "ResultWriter": writer}}
    assert plain.run(states, {"images": 3})["status"] == "SUCCEEDED"


_OUTSIDE = {
    "Set": {"Type": "Pass", "Assign": {"secret": 1}, "Next": "Each"},
    "Each": {
        "Type": "Map",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Say",
            "States": {"Say": {"Type": "Pass", "Output": "{% $secret %}", "End": True}},
        },
        "End": True,
    },
}


def test_a_distributed_map_knows_no_variables_from_outside(good: Probe) -> None:
    assert good.run(_OUTSIDE, [1])["status"] == "FAILED"


def test_plain_ministack_lets_them_in(plain: Probe) -> None:
    assert plain.run(_OUTSIDE, [1])["status"] == "SUCCEEDED"


_SUCCEED = {"Done": {"Type": "Succeed", "Output": {"run": "{% $states.input.run %}"}}}


def test_succeed_heeds_output(good: Probe) -> None:
    assert good.output(_SUCCEED, {"run": "r", "more": 1}) == {"run": "r"}


def test_plain_ministack_leaves_it_out_of_succeed(plain: Probe) -> None:
    assert plain.output(_SUCCEED, {"run": "r", "more": 1}) == {"run": "r", "more": 1}


_ASSIGN = {
    "First": {"Type": "Pass", "Assign": {"a": 1}, "Next": "Second"},
    "Second": {"Type": "Pass", "Assign": {"a": 2, "b": "{% $a %}"}, "Next": "Tell"},
    "Tell": {"Type": "Pass", "Output": "{% $b %}", "End": True},
}


def test_assign_sees_the_variables_as_they_were(good: Probe) -> None:
    assert good.output(_ASSIGN) == 1


def test_plain_ministack_assigns_one_after_the_other(plain: Probe) -> None:
    assert plain.output(_ASSIGN) == 2


# --- events


def _version_told(probe: Probe) -> tuple[str, str | None]:
    """Put an object into a versioned bucket; return its version, and that of its event."""
    s3, sqs, events = probe.client("s3"), probe.client("sqs"), probe.client("events")
    name = f"probe-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [name]}}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    version = s3.put_object(Bucket=name, Key="specs/a b.yaml", Body=b"x")["VersionId"]

    def received() -> dict[str, Any] | None:
        messages = sqs.receive_message(QueueUrl=queue).get("Messages")
        return json.loads(messages[0]["Body"]) if messages else None

    told = wait_until(received, "the event")["detail"]["object"]
    assert told["key"] == "specs/a b.yaml"
    return version, told.get("version-id")


def test_an_event_names_the_version(good: Probe) -> None:
    version, told = _version_told(good)
    assert told == version


def test_plain_ministack_leaves_the_version_out(plain: Probe) -> None:
    assert _version_told(plain)[1] is None


def _range_of_a_version(probe: Probe) -> bytes:
    s3, name = probe.client("s3"), f"probe-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=name, Key="key", Body=b"0123456789")["VersionId"]
    answer = s3.get_object(Bucket=name, Key="key", VersionId=version, Range="bytes=2-4")
    data: bytes = answer["Body"].read()
    return data


def test_a_range_of_a_version_is_that_range(good: Probe) -> None:
    assert _range_of_a_version(good) == b"234"


def test_plain_ministack_gives_the_whole_version(plain: Probe) -> None:
    assert _range_of_a_version(plain) == b"0123456789"


# --- time-outs, metrics, alarms

_LONG = {"Wait": {"Type": "Wait", "Seconds": 60, "Next": "Done"}, "Done": _DONE}


def test_a_machine_over_its_time_is_timed_out(good: Probe) -> None:
    assert good.run(_LONG, TimeoutSeconds=1)["status"] == "TIMED_OUT"


def test_plain_ministack_lets_it_run_on(plain: Probe) -> None:
    assert plain.run(_LONG, TimeoutSeconds=1)["status"] == "SUCCEEDED"


def _failed_count(probe: Probe) -> tuple[str, list[dict[str, Any]]]:
    machine, execution = probe.start({"End": {"Type": "Fail", "Error": "Probe"}}, {})
    probe.ended(execution)
    dimension = {"Name": "StateMachineArn", "Value": machine}
    metrics = probe.metrics("AWS/States")
    return machine, [metric for metric in metrics if dimension in metric["Dimensions"]]


def test_a_failed_execution_counts_in_aws_states(good: Probe) -> None:
    _, found = _failed_count(good)
    assert "ExecutionsFailed" in {metric["MetricName"] for metric in found}


def test_plain_ministack_counts_no_executions(plain: Probe) -> None:
    assert _failed_count(plain)[1] == []


def _log_metric(probe: Probe) -> None:
    function = probe.function(_EMBEDDED_METRIC)
    probe.client("lambda").invoke(FunctionName=function, Payload=json.dumps({}))


def test_a_metric_in_a_function_s_log_becomes_one(good: Probe) -> None:
    _log_metric(good)
    found = wait_until(lambda: good.metrics("Probe") or None, "the metric")
    assert found[0]["Dimensions"] == [{"Name": "side", "Value": "classified"}]


def test_plain_ministack_leaves_it_in_the_log(plain: Probe) -> None:
    _log_metric(plain)
    _log_metric(plain)
    assert plain.metrics("Probe") == []


def _alarm_on_another_dimension(probe: Probe) -> str:
    client, name = probe.client("cloudwatch"), f"probe-{uuid4().hex[:8]}"
    client.put_metric_alarm(
        AlarmName=name,
        Namespace=name,
        MetricName="Failed",
        Dimensions=[{"Name": "side", "Value": "connected"}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    dimensions = [{"Name": "side", "Value": "classified"}]
    datum = {"MetricName": "Failed", "Dimensions": dimensions, "Value": 1.0}
    client.put_metric_data(Namespace=name, MetricData=[datum])
    return _state(client, name)


def _state(client: Any, name: str) -> str:
    return str(client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])


def test_an_alarm_counts_its_own_dimensions_only(good: Probe) -> None:
    assert _alarm_on_another_dimension(good) != "ALARM"


def test_plain_ministack_alarms_for_any_dimension(plain: Probe) -> None:
    assert _alarm_on_another_dimension(plain) == "ALARM"


def test_an_alarm_goes_off_for_its_own_metric(good: Probe) -> None:
    client, name = good.client("cloudwatch"), f"probe-{uuid4().hex[:8]}"
    dimensions = [{"Name": "side", "Value": "connected"}]
    client.put_metric_alarm(
        AlarmName=name,
        Namespace=name,
        MetricName="Failed",
        Dimensions=dimensions,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    datum = {"MetricName": "Failed", "Dimensions": dimensions, "Value": 1.0}
    client.put_metric_data(Namespace=name, MetricData=[datum])
    assert _state(client, name) == "ALARM"
