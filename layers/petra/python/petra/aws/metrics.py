"""The names of Petra's CloudWatch metrics: handlers emit them, alarms and dashboards join them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NAMESPACE: Final = "Petra"
#: The one dimension that every metric has: which side of the gap it is from.
SIDE: Final = "side"
#: The second dimension of `Metric.STAGE_SECONDS`.
STAGE: Final = "stage"


class Side(StrEnum):
    """The sides of the gap; values of the dimension `SIDE`."""

    CONNECTED = "connected"
    CLASSIFIED = "classified"


class Metric(StrEnum):
    """A metric's name in CloudWatch."""

    #: Runs that ended because something is not what it claims to be. A count.
    VERIFICATION_FAILED = "VerificationFailed"
    #: Objects in the quarantine bucket, emitted by each run. A gauge.
    QUARANTINE_OBJECTS = "QuarantineObjects"
    #: Runs that ended in any other way than well. A count.
    RUN_FAILED = "RunFailed"
    #: Runs that ended well. A count.
    RUN_SUCCEEDED = "RunSucceeded"
    #: Releases that the cluster did not reconcile. A count.
    RELEASE_FAILED = "ReleaseFailed"
    #: Age of the scanner's database when it was used. Days.
    SCAN_DATABASE_AGE_DAYS = "ScanDatabaseAgeDays"
    #: Vulnerabilities that scans found, waived ones as well. A count.
    FINDINGS = "Findings"
    #: Transfers that did not end in time. A count.
    TRANSFER_STALLED = "TransferStalled"
    #: Size of a bundle that was packed or verified. Bytes.
    BUNDLE_BYTES = "BundleBytes"
    #: Duration of one stage of a run. Seconds; has the dimension `STAGE` too.
    STAGE_SECONDS = "StageSeconds"
    #: 1 whenever a run ends well: that none comes is the alarm.
    LAST_SUCCESS = "LastSuccess"
