from __future__ import annotations

import json

import pytest

from petra.errors import FormatError
from petra.scan.model import (
    Finding,
    FixState,
    ScannerInfo,
    ScanResult,
    Severity,
    load_result,
    merged,
)
from tests.support.scans import DAY, DIGEST, INDEX, NOW, SCANNER, SUBJECT, finding, result


def test_severities_are_ordered_and_read_in_any_case() -> None:
    words = ["unknown", "negligible", "low", "medium", "high", "critical"]

    assert [str(one) for one in sorted(Severity)] == words
    assert [Severity.parse(word.title()) for word in words] == sorted(Severity)
    assert Severity.parse(" Moderate ") is Severity.MEDIUM
    assert Severity.parse("dreadful") is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("score", "severity"),
    [
        (0.0, Severity.UNKNOWN),
        (0.1, Severity.LOW),
        (3.9, Severity.LOW),
        (4.0, Severity.MEDIUM),
        (6.9, Severity.MEDIUM),
        (7.0, Severity.HIGH),
        (9.0, Severity.CRITICAL),
    ],
)
def test_scores_have_the_words_of_cvss(score: float, severity: Severity) -> None:
    assert Severity.of_score(score) is severity


def test_a_result_survives_being_written_and_read() -> None:
    whole = ScanResult(
        SUBJECT,
        SCANNER,
        "image",
        NOW,
        (
            finding(aliases=("GHSA-aaaa",), published=NOW - 3 * DAY, locations=("/a", "/b")),
            finding("CVE-2099-0002", severity=Severity.UNKNOWN, fix_state=FixState.WONT_FIX),
        ),
        notes=("an SBOM was passed over",),
        raw=b"{}",
    )

    again = load_result(whole.dump(verdict={"status": "allowed"}), where="scan/web.json")

    assert again == whole
    assert again.raw == b""
    assert load_result(result().dump(), where="x") == result()


def test_the_document_says_who_scanned_what_with_what_knowledge() -> None:
    value = result(finding(), finding("CVE-2099-0002")).to_json()

    assert value["digest"] == DIGEST
    assert value["index"] == INDEX
    assert value["platform"] == "linux/amd64"
    assert value["scanner"] == {
        "name": "grype",
        "version": "v0.110.0",
        "database": {"schema": "v6.1.4", "built": "2026-11-23T12:00:00Z", "ageHours": 24},
    }
    assert value["scanned"] == "2026-11-24T12:00:00Z"
    assert value["counts"] == {"high": 2}


def test_a_scanner_without_a_database_says_so() -> None:
    value = ScannerInfo("other", "1").to_json(NOW)

    assert value == {"name": "other", "version": "1", "database": None}


def test_findings_stand_in_one_order_the_worst_first() -> None:
    low = finding("CVE-1", severity=Severity.LOW)
    critical = finding("CVE-3", severity=Severity.CRITICAL)
    other = finding("CVE-2", severity=Severity.CRITICAL)

    assert result(low, critical, other).findings == (other, critical, low)
    assert result(other, low, critical).dump() == result(low, critical, other).dump()


def test_doubles_are_merged_and_the_worst_of_them_counts() -> None:
    mild = finding(
        severity=Severity.LOW, fix_state=FixState.NOT_FIXED, fix_versions=(), locations=("/b",)
    )
    late = finding(published=NOW, locations=("/a",), aliases=("GHSA-a",))
    early = finding(published=NOW - DAY, aliases=("CVE-2099-0001", "GHSA-b"))

    (one,) = merged([mild, late, early])

    assert one.severity is Severity.HIGH
    assert one.fix_state is FixState.FIXED
    assert one.fix_versions == ("5.1-2",)
    assert one.locations == ("/a", "/b")
    assert one.aliases == ("GHSA-a", "GHSA-b")
    assert one.published == NOW - DAY


def test_the_same_vulnerability_of_two_versions_is_two_findings() -> None:
    assert len(merged([finding(), finding(version="5.1-0")])) == 2


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (FixState.FIXED, "fixed in 5.1-2"),
        (FixState.NOT_FIXED, "no fix yet"),
        (FixState.WONT_FIX, "will not be fixed"),
        (FixState.UNKNOWN, "fix unknown"),
    ],
)
def test_a_finding_is_described_in_one_line(state: FixState, says: str) -> None:
    assert finding(fix_state=state).describe() == f"CVE-2099-0001 bash 5.1-1 (high; {says})"


def test_only_what_is_said_to_have_no_fix_has_none() -> None:
    states = {state: finding(fix_state=state).fixable for state in FixState}

    assert states == {
        FixState.FIXED: True,
        FixState.UNKNOWN: True,
        FixState.NOT_FIXED: False,
        FixState.WONT_FIX: False,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Bundle"},
        {"apiVersion": "petra.sh/v2"},
        {"how": "guess"},
        {"scanned": None},
        {"scanned": "yesterday"},
        {"scanned": "2026-11-24T12:00:00"},
        {"digest": "sha256:abc"},
        {"image": ""},
        {"scanner": {}},
        {"findings": "none"},
        {"findings": [{"package": "bash"}]},
        {"findings": [{"id": 1}]},
        {"findings": [{"id": "CVE-1", "aliases": [1]}]},
    ],
)
def test_what_is_no_result_is_refused(change: dict[str, object]) -> None:
    value = {**result(finding()).to_json(), **change}

    with pytest.raises(FormatError) as caught:
        load_result(json.dumps(value).encode(), where="scan/web.json")

    assert "scan/web.json" in str(caught.value)


def test_text_of_strangers_stands_on_one_line() -> None:
    value = {"id": "CVE-1\nerror: x\x1b[2J", "package": "p" * 900}

    one = Finding.from_json(value, "here")

    assert one.id == "CVE-1 error: x [2J"
    assert len(one.package) == 500


def test_nine_digits_of_a_second_and_other_time_zones_are_read() -> None:
    value = result().to_json()
    value["scanned"] = "2026-11-24T13:00:00.123456789+01:00"

    assert load_result(json.dumps(value).encode(), where="x").scanned == NOW
