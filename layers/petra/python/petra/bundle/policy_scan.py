"""A policy's rules for scans as ``petra.scan`` knows them: gate, waivers and finished reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.scan.gate import Gate
from petra.scan.model import Severity
from petra.scan.openvex import load_openvex
from petra.scan.report import Report
from petra.scan.waivers import Waiver, Waivers

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.bundle import policy


def scan_gate(rules: policy.Gate) -> Gate | None:
    """Return the gate; None where findings are to stop nothing."""
    if rules.severities is not None:
        named = frozenset(Severity.parse(one) for one in rules.severities)
        return Gate(named, rules.fixable_only, rules.grace)
    if rules.fail_on == "none":
        return None
    severity = Severity.parse(rules.fail_on or "high")
    return Gate.at_least(severity, fixable_only=rules.fixable_only, grace=rules.grace)


def scan_waivers(
    rules: policy.ScanRules, read: Callable[[str], bytes], *, source: str = "policy"
) -> Waivers:
    """Return the waivers, those of OpenVEX documents too.

    Args:
        rules: the policy's.
        read: gives a file that the policy names.
        source: what the list is called in what the waivers say.

    Raises:
        DocumentError: a file is no OpenVEX document.
        PetraError: whatever `read` raises.
    """
    entries = [
        Waiver(one.vulnerability, one.reason, one.expires, one.image, one.package, source)
        for one in rules.waivers
    ]
    return Waivers(entries, [load_openvex(read(name), where=name) for name in rules.vex])


def scan_reports(rules: policy.ScanRules, read: Callable[[str], bytes]) -> list[Report]:
    """Return the finished reports; none where a scanner is to run.

    Args:
        rules: the policy's.
        read: gives a file that the policy names.

    Raises:
        PetraError: whatever `read` raises.
    """
    return [Report(read(one.file), one.file, one.image, one.database) for one in rules.reports]
