"""Emits metrics in CloudWatch's embedded format, by Powertools, with exactly our dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

from petra.aws.metrics import NAMESPACE, SIDE, STAGE, Metric

if TYPE_CHECKING:
    from petra.aws.metrics import Side

#: CloudWatch's units, where it is not a count.
UNITS: Final = {
    Metric.BUNDLE_BYTES: "Bytes",
    Metric.STAGE_SECONDS: "Seconds",
    Metric.SCAN_DATABASE_AGE_DAYS: "None",
    Metric.LAST_SUCCESS: "Count",
}


def emit(side: Side, values: dict[Metric, float], *, stage: str | None = None) -> None:
    """Write metrics to the log, from which CloudWatch takes them.

    Args:
        side: their dimension.
        values: what was measured.
        stage: the second dimension, of the stage's duration alone.
    """
    if not values:
        return
    provider = AmazonCloudWatchEMFProvider(namespace=NAMESPACE)
    provider.service = ""  # Powertools' own dimension would make other metrics of them
    provider.add_dimension(SIDE, side)
    if stage:
        provider.add_dimension(STAGE, stage)
    for metric, value in values.items():
        provider.add_metric(metric, UNITS.get(metric, "Count"), value)
    provider.flush_metrics()
