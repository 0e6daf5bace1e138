"""The alarms of both sides, as data: each joins one metric, an audience and a runbook entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions

from petra.aws.metrics import NAMESPACE, SIDE, Metric, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_cdk import aws_sqs as sqs
    from aws_cdk import aws_stepfunctions as sfn
    from constructs import Construct

    from stacks.constructs.topics import Topics
    from stacks.settings import Thresholds

_PERIOD: Final = Duration.minutes(5)
_DAY: Final = Duration.days(1)
_MISSING: Final = cloudwatch.TreatMissingData

Audience = Literal["operators", "security"]


@dataclass(frozen=True)
class Ringing:
    """One alarm on one of Petra's own metrics.

    Attributes:
        runbook: the entry in ``docs/runbook.md``, and the construct's name in kebab case.
        metric: which.
        text: what has happened, in one sentence.
        audience: who is told.
        side: None: both sides have it.
        statistic: of each period.
        threshold: of the settings; 0: anything above nothing.
        missing: what no data means.
    """

    runbook: str
    metric: Metric
    text: str
    audience: Audience = "operators"
    side: Side | None = None
    statistic: str = "Sum"
    threshold: Callable[[Thresholds], float] = lambda _: 0
    missing: cloudwatch.TreatMissingData = _MISSING.NOT_BREACHING


ALARMS: Final = (
    Ringing(
        "verification-failed",
        Metric.VERIFICATION_FAILED,
        "Something is not what it claims to be; it was refused.",
        "security",
    ),
    Ringing(
        "quarantine-not-empty",
        Metric.QUARANTINE_OBJECTS,
        "Refused objects wait in the quarantine bucket for a person.",
        "security",
        Side.CLASSIFIED,
        "Maximum",
        missing=_MISSING.IGNORE,
    ),
    Ringing("run-failed", Metric.RUN_FAILED, "A run did not end well."),
    Ringing(
        "transfer-stalled",
        Metric.TRANSFER_STALLED,
        "A bundle did not cross within its deadline.",
        side=Side.CONNECTED,
    ),
    Ringing(
        "release-failed",
        Metric.RELEASE_FAILED,
        "The cluster did not become what the bundle says.",
        side=Side.CLASSIFIED,
    ),
    Ringing(
        "scan-database-old",
        Metric.SCAN_DATABASE_AGE_DAYS,
        "The scanner's database is older than allowed.",
        "security",
        Side.CONNECTED,
        "Maximum",
        lambda thresholds: thresholds.scan_database_days,
    ),
)


class Alarms:
    """Makes the alarms of one side's stack.

    Args:
        scope: the stack.
        side: which.
        topics: who is told.
        thresholds: settings.
    """

    def __init__(
        self, scope: Construct, side: Side, topics: Topics, thresholds: Thresholds
    ) -> None:
        self._scope = scope
        self._side = side
        self._topics = topics
        self._thresholds = thresholds
        self.made: list[cloudwatch.Alarm] = []

    def own(self) -> None:
        """Make those on Petra's own metrics, the clock of the last success among them."""
        for ringing in ALARMS:
            if ringing.side in (None, self._side):
                self._ring(ringing)
        self._last_success()

    def machine(self, made: sfn.StateMachine) -> None:
        """Make those on a state machine: failed, timed out, aborted."""
        for runbook, metric, text in (
            ("machine-failed", made.metric_failed, "An execution of the state machine failed."),
            ("machine-timed-out", made.metric_timed_out, "An execution took too long."),
            ("machine-aborted", made.metric_aborted, "Somebody stopped an execution."),
        ):
            self._alarm(runbook, metric(period=_PERIOD, statistic="Sum"), text, 0)

    def dead_letters(self, queue: sqs.Queue) -> None:
        """Make the one on a dead-letter queue."""
        metric = queue.metric_approximate_number_of_messages_visible(
            period=_PERIOD, statistic="Maximum"
        )
        self._alarm(
            "dead-letters", metric, "An event could not start a run; it waits in the queue.", 0
        )

    def _ring(self, ringing: Ringing) -> None:
        metric = own_metric(ringing.metric, self._side, ringing.statistic)
        self._alarm(
            ringing.runbook,
            metric,
            ringing.text,
            ringing.threshold(self._thresholds),
            audience=ringing.audience,
            missing=ringing.missing,
        )

    def _last_success(self) -> None:
        days = self._thresholds.last_success_days
        self._alarm(
            "last-success",
            own_metric(Metric.LAST_SUCCESS, self._side, "Sum", _DAY),
            f"No run has ended well for {days} days.",
            1,
            below=True,
            periods=days,
            missing=_MISSING.BREACHING,
        )

    def _alarm(  # noqa: PLR0913  # one place knows all that an alarm has
        self,
        runbook: str,
        metric: cloudwatch.IMetric,
        text: str,
        threshold: float,
        *,
        audience: Audience = "operators",
        below: bool = False,
        periods: int = 1,
        missing: cloudwatch.TreatMissingData = _MISSING.NOT_BREACHING,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self._scope,
            "".join(word.title() for word in runbook.split("-")) + "Alarm",
            alarm_description=f"{text} Runbook: docs/runbook.md#{runbook}",
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
            if below
            else cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=missing,
        )
        topic = getattr(self._topics, audience)
        alarm.add_alarm_action(actions.SnsAction(topic))
        alarm.add_ok_action(actions.SnsAction(topic))
        self.made.append(alarm)


def own_metric(
    metric: Metric,
    side: Side,
    statistic: str,
    period: Duration = _PERIOD,
    **dimensions: str,
) -> cloudwatch.Metric:
    """Return one of Petra's metrics as the handlers emit it.

    Args:
        metric: which.
        side: whose.
        statistic: of each period.
        period: how long one is.
        dimensions: further ones than the side.
    """
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric.value,
        dimensions_map={SIDE: side.value, **dimensions},
        statistic=statistic,
        period=period,
    )
