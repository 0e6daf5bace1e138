"""From a scan's result and verdict to what the metadata say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.bundle.scan_record import (
    DatabaseRecord,
    FindingRecord,
    GateRecord,
    ScannerRecord,
    ScanRecord,
    WaiverRecord,
)
from petra.content.descriptor import Platform

if TYPE_CHECKING:
    from petra.archive.plan import Text
    from petra.scan.gate import Gate
    from petra.scan.model import Finding, ScanResult
    from petra.scan.verdict import ScanVerdict
    from petra.scan.waivers import Waived


def scan_record(result: ScanResult, verdict: ScanVerdict | None, member: Text) -> ScanRecord:
    """Return a scan as the metadata have it.

    Args:
        result: what was found.
        verdict: what became of it; None without a gate.
        member: the full result.
    """
    subject = result.subject
    return ScanRecord(
        subject=subject.digest,
        platform=Platform.parse(subject.platform) if subject.platform else None,
        member=member.name,
        digest=member.digest,
        how=result.how,
        scanned=result.scanned,
        scanner=_scanner(result),
        gate=_gate(verdict.gate) if verdict else None,
        counts=result.counts(),
        findings=_findings(result, verdict),
        expired_waivers=tuple(one.describe() for one in verdict.expired) if verdict else (),
        notes=result.notes,
    )


def _scanner(result: ScanResult) -> ScannerRecord:
    scanner, database = result.scanner, result.scanner.database
    return ScannerRecord(
        name=scanner.name,
        version=scanner.version,
        database=DatabaseRecord(
            version=database.schema,
            built=database.built,
            age_hours=int((result.scanned - database.built).total_seconds() // 3600),
        )
        if database
        else None,
    )


def _gate(gate: Gate) -> GateRecord:
    value = gate.to_json()
    return GateRecord(
        severities=tuple(value["severities"]),
        fixable_only=gate.fixable_only,
        grace_hours=value.get("graceHours"),
    )


def _findings(result: ScanResult, verdict: ScanVerdict | None) -> tuple[FindingRecord, ...]:
    passed = dict(verdict.passed) if verdict else {}
    waived = dict(verdict.waived) if verdict else {}
    return tuple(_finding(one, passed.get(one), waived.get(one)) for one in result.findings)


def _finding(finding: Finding, passes: str | None, waived: Waived | None) -> FindingRecord:
    return FindingRecord(
        id=finding.id,
        package=finding.package,
        version=finding.version,
        severity=str(finding.severity),
        fixed_in=finding.fix_versions,
        passes=passes,
        waiver=_waiver(waived) if waived else None,
    )


def _waiver(waived: Waived) -> WaiverRecord:
    return WaiverRecord(
        status=waived.status,
        reason=waived.reason,
        source=waived.source,
        justification=waived.justification or None,
        expires=waived.expires,
    )
