"""A state machine, and what starts it: an object → EventBridge → a queue → ``start_run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn

from stacks.constructs.acknowledged import acknowledge_wildcard
from stacks.constructs.function import log_group
from stacks.constructs.role import allow, allow_key, flat, guarded_role
from stacks.definition import definition, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_s3 as s3
    from constructs import Construct

    from stacks.constructs.function import Functions
    from stacks.settings import Side


@dataclass(frozen=True)
class Work:
    """What a machine is made of.

    Attributes:
        name: ``assemble`` or ``load``.
        functions: state functions by the names that the definition has.
        values: what ``${…}`` in the definition stands for, beside the functions.
        lists: what ``@…`` stands for.
        hours: after which an execution is ended.
    """

    name: str
    functions: Mapping[str, lambda_.Function]
    values: Mapping[str, str]
    lists: Mapping[str, Any]
    hours: int


def machine(scope: Construct, side: Side, key: kms.IKey, work: Work) -> sfn.StateMachine:
    """Make the machine, with a role that may invoke its functions and start its own map.

    Args:
        scope: the stack.
        side: settings.
        key: encrypts its log.
        work: what it does.
    """
    title = work.name.title()
    made = sfn.StateMachine(
        scope,
        title,
        definition_body=sfn.DefinitionBody.from_string(
            definition(work.name, timeout=work.hours * 3600, **work.lists)
        ),
        definition_substitutions={
            **{name: function.function_arn for name, function in work.functions.items()},
            **work.values,
            "Partition": Stack.of(scope).partition,
            "Refusals": refusals(),
        },
        role=guarded_role(scope, f"{title}Role", "states.amazonaws.com"),
        tracing_enabled=True,
        logs=sfn.LogOptions(
            destination=log_group(scope, f"{title}Log", side, key, f"states/{work.name}"),
            level=sfn.LogLevel.ALL,
            include_execution_data=False,
        ),
    )
    allow(
        made.role,
        ["lambda:InvokeFunction"],
        [function.function_arn for function in work.functions.values()],
    )
    acknowledge_wildcard(made.role, "*", "X-Ray and the delivery of logs know no resources")
    _allow_own_map(scope, made)
    return made


def _allow_own_map(scope: Construct, made: sfn.StateMachine) -> None:
    """A Distributed Map starts executions of its own machine. A policy apart breaks the circle."""
    stack = Stack.of(scope)
    runs = stack.format_arn(
        service="states",
        resource="execution",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
        resource_name=f"{made.state_machine_name}/*",
    )
    policy = iam.Policy(scope, f"{made.node.id}MapPolicy", roles=[made.role])
    policy.add_statements(
        iam.PolicyStatement(actions=["states:StartExecution"], resources=[made.state_machine_arn]),
        iam.PolicyStatement(
            actions=["states:DescribeExecution", "states:StopExecution"], resources=[runs]
        ),
    )
    acknowledge_wildcard(policy, flat(stack, runs), "the executions of its own map, no others")


@dataclass(frozen=True)
class Start:
    """How runs start."""

    queue: sqs.Queue
    dead: sqs.Queue
    function: lambda_.Function


def start(
    functions: Functions,
    made: sfn.StateMachine,
    bucket: s3.IBucket,
    prefixes: Sequence[str],
    key: kms.IKey,
) -> Start:
    """Let each new object of `bucket` below `prefixes` start an execution of `made`.

    EventBridge cannot name an execution, and the name is what makes a second event of the same
    object harmless: so a function starts it. What it cannot start ends in a dead-letter queue.

    Args:
        functions: makes the function.
        made: the machine.
        bucket: must tell EventBridge of its objects.
        prefixes: which keys count.
        key: encrypts the queues.
    """
    scope = functions.scope
    dead = _queue(scope, "StartDeadLetters", key)
    queue = _queue(scope, "StartQueue", key, dead)
    starter = functions.make("start_run", minutes=1, more={"PETRA_MACHINE": made.state_machine_arn})
    allow(starter, ["states:StartExecution"], [made.state_machine_arn])
    allow_key(starter, key, writes=False)
    starter.add_event_source(
        sources.SqsEventSource(queue, batch_size=10, report_batch_item_failures=True)
    )
    rule = events.Rule(
        scope,
        "NewObject",
        description="Petra: a new object starts a run",
        event_pattern=events.EventPattern(
            source=["aws.s3"],
            detail_type=["Object Created"],
            detail={
                "bucket": {"name": [bucket.bucket_name]},
                "object": {"key": [{"prefix": prefix} for prefix in prefixes]},
            },
        ),
    )
    rule.add_target(targets.SqsQueue(queue, dead_letter_queue=dead))
    return Start(queue, dead, starter)


def _queue(scope: Construct, name: str, key: kms.IKey, dead: sqs.Queue | None = None) -> sqs.Queue:
    return sqs.Queue(
        scope,
        name,
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        visibility_timeout=Duration.minutes(6),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=5) if dead else None,
    )
