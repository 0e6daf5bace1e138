"""A policy's rules for scans, as the scan package takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from petra.bundle.policy import ScanRules
from petra.bundle.policy_scan import scan_gate, scan_reports, scan_waivers
from petra.encoding.models import validate
from petra.errors import DocumentError, NotFoundError
from petra.scan.gate import Gate
from petra.scan.model import Severity
from tests.support import scans


def _rules(**scan: Any) -> ScanRules:
    return validate(ScanRules, scan, where="policy.yaml")


def _read(name: str) -> bytes:
    files = {"vex.json": scans.vex(scans.statement()), "web.sarif": b"{}", "bad.json": b"{}"}
    if name not in files:
        raise NotFoundError("no such file", where=name)
    return files[name]


@pytest.mark.parametrize(
    ("rules", "gate"),
    [
        ({}, Gate.at_least(Severity.HIGH)),
        ({"failOn": "low"}, Gate.at_least(Severity.LOW)),
        ({"severities": ["critical"]}, Gate(frozenset({Severity.CRITICAL}))),
        ({"severities": ["unknown"]}, Gate(frozenset({Severity.UNKNOWN}))),
        ({"failOn": "none"}, None),
        ({"fixableOnly": True}, Gate.at_least(Severity.HIGH, fixable_only=True)),
        ({"grace": "14d"}, Gate.at_least(Severity.HIGH, grace=timedelta(days=14))),
    ],
)
def test_the_gate(rules: dict[str, Any], gate: Gate | None) -> None:
    assert scan_gate(_rules(gate=rules).gate) == gate


def test_a_waiver_of_the_list() -> None:
    rules = _rules(
        waivers=[
            {
                "vulnerability": "CVE-2099-0001",
                "reason": "no network there",
                "expires": "2030-01-01T00:00:00Z",
                "image": "cgr.dev/team/*",
                "package": "bash",
            }
        ]
    )
    waivers = scan_waivers(rules, _read, source="policy platform")
    decision = waivers.decide(scans.finding(), scans.SUBJECT, scans.NOW)
    assert decision.waived
    assert decision.waived.reason == "no network there"
    assert decision.waived.source == "policy platform"
    assert decision.waived.expires == datetime(2030, 1, 1, tzinfo=UTC)
    other = waivers.decide(scans.finding(package="openssl"), scans.SUBJECT, scans.NOW)
    assert other.waived is None


def test_an_openvex_document() -> None:
    waivers = scan_waivers(_rules(vex=["vex.json"]), _read)
    decision = waivers.decide(scans.finding(), scans.SUBJECT, scans.NOW)
    assert decision.waived
    assert "vex.json" in decision.waived.source


def test_files_that_are_wrong_or_missing_are_named() -> None:
    with pytest.raises(DocumentError, match=r"bad\.json"):
        scan_waivers(_rules(vex=["bad.json"]), _read)
    with pytest.raises(NotFoundError, match=r"gone\.json"):
        scan_waivers(_rules(vex=["gone.json"]), _read)
    with pytest.raises(NotFoundError, match=r"gone\.sarif"):
        scan_reports(_rules(reports=[{"file": "gone.sarif"}]), _read)


def test_a_report_and_what_the_user_says_of_it() -> None:
    listed = {"file": "web.sarif", "image": "a.io/web:1", "database": "2026-11-01T00:00:00Z"}
    (report,) = scan_reports(_rules(reports=[listed]), _read)
    assert report.data == b"{}"
    assert (report.where, report.image) == ("web.sarif", "a.io/web:1")
    assert report.database == datetime(2026, 11, 1, tzinfo=UTC)
