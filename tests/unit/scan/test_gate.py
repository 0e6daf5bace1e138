from __future__ import annotations

from typing import Any

import pytest

from petra.errors import SettingError
from petra.scan.gate import Gate
from petra.scan.model import FixState, Severity
from tests.support.scans import DAY, NOW, finding

HIGH = Gate.at_least(Severity.HIGH)


@pytest.mark.parametrize(
    ("gate", "more", "why"),
    [
        (HIGH, {}, None),
        (HIGH, {"severity": Severity.CRITICAL}, None),
        (HIGH, {"severity": Severity.MEDIUM}, "severity"),
        (HIGH, {"severity": Severity.UNKNOWN}, None),
        (Gate(frozenset({Severity.LOW})), {}, "severity"),
        (Gate(frozenset({Severity.HIGH})), {"severity": Severity.UNKNOWN}, "severity"),
    ],
)
def test_severities_decide(gate: Gate, more: dict[str, Any], why: str | None) -> None:
    assert gate.passes(finding(**more), NOW) == why


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (FixState.FIXED, None),
        (FixState.UNKNOWN, None),
        (FixState.NOT_FIXED, "no fix"),
        (FixState.WONT_FIX, "no fix"),
    ],
)
def test_without_a_fix_it_passes_where_only_fixable_ones_count(
    state: FixState, why: str | None
) -> None:
    gate = Gate.at_least(Severity.HIGH, fixable_only=True)

    assert gate.passes(finding(fix_state=state), NOW) == why
    assert HIGH.passes(finding(fix_state=state), NOW) is None


@pytest.mark.parametrize(
    ("published", "why"),
    [
        (NOW - 6 * DAY, "grace"),
        (NOW - 7 * DAY, None),
        (NOW + 0.5 * DAY, "grace"),
        (NOW + 2 * DAY, None),  # a date that cannot be
        (None, None),
    ],
)
def test_young_findings_pass_for_a_while(published: Any, why: str | None) -> None:
    gate = Gate.at_least(Severity.HIGH, grace=7 * DAY)

    assert gate.passes(finding(published=published), NOW) == why
    assert HIGH.passes(finding(published=published), NOW) is None


def test_a_gate_that_stops_nothing_is_refused() -> None:
    with pytest.raises(SettingError, match="no finding can stop at"):
        Gate(frozenset())


def test_it_says_what_it_is() -> None:
    gate = Gate.at_least(Severity.HIGH, fixable_only=True, grace=7 * DAY)

    assert gate.describe() == (
        "no critical or high or unknown finding that may have a fix, 7 days after its publication"
    )
    assert gate.to_json() == {
        "severities": ["critical", "high", "unknown"],
        "fixableOnly": True,
        "graceHours": 168,
    }
    assert Gate(frozenset({Severity.LOW})).to_json() == {
        "severities": ["low"],
        "fixableOnly": False,
    }
