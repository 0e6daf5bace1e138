"""The gate: which findings stop an image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from petra.errors import SettingError
from petra.scan.model import Severity

if TYPE_CHECKING:
    from datetime import datetime

    from petra.scan.model import Finding

#: A publication's date may be this far ahead of our clock.
_SKEW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Gate:
    """Which findings stop an image. The others pass, each for a reason that can be told.

    Attributes:
        severities: those that stop it.
        fixable_only: findings stop it only if there may be a fix: those pass of which the scanner
            says that there is none. Where it says nothing, there may be one.
        grace: how long after its publication a finding does not stop it yet; None for no time. A
            finding without a date has no such time.
    """

    severities: frozenset[Severity]
    fixable_only: bool = False
    grace: timedelta | None = None

    def __post_init__(self) -> None:
        if not self.severities:
            raise SettingError(
                "a scan gate that no finding can stop at",
                hint="name severities, or say failOn: none",
            )

    @classmethod
    def at_least(
        cls, severity: Severity, *, fixable_only: bool = False, grace: timedelta | None = None
    ) -> Self:
        """Return the gate for `severity` and worse; an unknown severity may be that bad."""
        found = frozenset(one for one in Severity if one >= severity) | {Severity.UNKNOWN}
        return cls(found, fixable_only, grace)

    def passes(self, finding: Finding, now: datetime) -> str | None:
        """Return why `finding` does not stop the image at the moment `now`; None if it does."""
        if finding.severity not in self.severities:
            return "severity"
        if self.fixable_only and not finding.fixable:
            return "no fix"
        if self._young(finding, now):
            return "grace"
        return None

    def _young(self, finding: Finding, now: datetime) -> bool:
        if self.grace is None or finding.published is None:
            return False
        return -_SKEW <= now - finding.published < self.grace

    def describe(self) -> str:
        """Return it in one sentence's part: ``no critical or high finding with a fix``."""
        names = [str(one) for one in sorted(self.severities, reverse=True)]
        text = f"no {' or '.join(names)} finding"
        text += " that may have a fix" if self.fixable_only else ""
        if self.grace is not None:
            text += f", {self.grace.days} days after its publication"
        return text

    def to_json(self) -> dict[str, Any]:
        """Return it as documents have it."""
        value: dict[str, Any] = {
            "severities": [str(one) for one in sorted(self.severities, reverse=True)],
            "fixableOnly": self.fixable_only,
        }
        if self.grace is not None:
            value["graceHours"] = int(self.grace.total_seconds() // 3600)
        return value
