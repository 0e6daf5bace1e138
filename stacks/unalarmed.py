"""Metrics that no alarm is about, each with its reason; a test holds alarms and these to all."""

from __future__ import annotations

from typing import Final

from petra.aws.metrics import Metric

WITHOUT_ALARM: Final = {
    Metric.RUN_SUCCEEDED: "good news; that it stays away is `last-success`",
    Metric.FINDINGS: "for the dashboard; the gate stops what must not pass",
    Metric.BUNDLE_BYTES: "for the dashboard",
    Metric.STAGE_SECONDS: "for the dashboard; deadlines are the machines'",
}
