"""One dashboard for each side: what passes, how much, how long, what was found, what rings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch

from petra.aws.metrics import NAMESPACE, SIDE, STAGE, Metric, Side
from stacks.constructs.alarms import own_metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_stepfunctions as sfn
    from constructs import Construct

_HOUR: Final = Duration.hours(1)


def dashboard(
    scope: Construct, side: Side, made: sfn.StateMachine, alarms: Sequence[cloudwatch.IAlarm]
) -> cloudwatch.Dashboard:
    """Make the dashboard.

    Args:
        scope: the stack.
        side: whose metrics.
        made: the machine, for executions by outcome.
        alarms: shown in one widget at the top.
    """
    board = cloudwatch.Dashboard(
        scope,
        "Dashboard",
        dashboard_name=Stack.of(scope).stack_name,
        default_interval=Duration.days(7),
    )
    board.add_widgets(
        cloudwatch.AlarmStatusWidget(title="Alarms", alarms=[*alarms], width=24, height=3)
    )
    board.add_widgets(
        _graph("Bundles", [own_metric(each, side, "Sum", _HOUR) for each in _RUNS]),
        _graph(
            "Executions",
            [
                made.metric_started(period=_HOUR),
                made.metric_succeeded(period=_HOUR),
                made.metric_failed(period=_HOUR),
                made.metric_timed_out(period=_HOUR),
            ],
        ),
    )
    board.add_widgets(
        _graph("Bytes of a bundle", [own_metric(Metric.BUNDLE_BYTES, side, "Maximum", _HOUR)]),
        _stages(side),
    )
    board.add_widgets(_graph(*_particular(side)))
    return board


_RUNS: Final = (Metric.RUN_SUCCEEDED, Metric.RUN_FAILED, Metric.VERIFICATION_FAILED)


def _graph(title: str, left: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=[*left], width=12, height=6)


def _stages(side: Side) -> cloudwatch.GraphWidget:
    """Durations by stage, whichever stages there are."""
    schema = f"{{{NAMESPACE},{SIDE},{STAGE}}}"
    which = f'{SIDE}="{side.value}" MetricName="{Metric.STAGE_SECONDS.value}"'
    search = f"SEARCH('{schema} {which}', 'Maximum', 3600)"
    return cloudwatch.GraphWidget(
        title="Seconds of each stage",
        left=[
            cloudwatch.MathExpression(expression=search, label="", using_metrics={}, period=_HOUR)
        ],
        width=12,
        height=6,
    )


def _particular(side: Side) -> tuple[str, list[cloudwatch.IMetric]]:
    if side is Side.CONNECTED:
        metrics = (Metric.FINDINGS, Metric.SCAN_DATABASE_AGE_DAYS, Metric.TRANSFER_STALLED)
        title = "Findings, age of the scanner's database, stalled transfers"
    else:
        metrics = (Metric.QUARANTINE_OBJECTS, Metric.RELEASE_FAILED, Metric.LAST_SUCCESS)
        title = "Quarantine, failed releases, successes"
    return title, [own_metric(metric, side, "Maximum", _HOUR) for metric in metrics]
