from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from petra.errors import ContentRefusedError, FormatError, NotFoundError, PolicyError, UsageError
from petra.scan.model import Finding, FixState, Severity
from petra.scan.report import Report, ReportScanner, read_report
from tests.support.scans import BASH, DAY, DIGEST, INDEX, NOW, STRANGE, SUBJECT

MADE = "2026-11-23T00:00:00Z"


def sarif(place: str = "", **run: Any) -> bytes:
    """Return a SARIF log of one finding, in `place`, with these parts of its run changed."""
    rule = {
        "id": "CVE-2099-0001-bash",
        "help": {"text": "Severity: high\nPackage: bash\nFix Version: 5.1-2\nType: deb\nLink: x:y"},
        "properties": {"purls": [BASH], "security-severity": "7.5"},
    }
    location = {
        "physicalLocation": {"artifactLocation": {"uri": "/var/lib/dpkg/status"}},
        "logicalLocations": [{"fullyQualifiedName": place}],
    }
    whole = {
        "tool": {"driver": {"name": "other", "version": "1.2", "rules": [rule]}},
        "results": [{"ruleId": "CVE-2099-0001-bash", "locations": [location]}],
        **run,
    }
    return json.dumps({"version": "2.1.0", "runs": [whole]}).encode()


def cyclonedx(version: str = "", **more: Any) -> bytes:
    """Return a CycloneDX document of one vulnerability, about an image of that version."""
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {
            "timestamp": MADE,
            "tools": {"components": [{"name": "other", "version": "1.2"}]},
            "component": {"name": "cgr.dev/team/web", "version": version, "bom-ref": "root"},
        },
        "components": [{"bom-ref": "a", "name": "bash", "version": "5.1-1", "purl": BASH}],
        "vulnerabilities": [
            {
                "id": "CVE-2099-0001",
                "source": {"name": "debian"},
                "references": [{"id": "GHSA-aaaa"}],
                "ratings": [{"severity": "low"}, {"severity": "high"}],
                "published": "2026-11-20T00:00:00.5Z",
                "affects": [{"ref": "a"}],
                "analysis": {"state": "not_affected"},
            }
        ],
    }
    return json.dumps({**document, **more}).encode()


def place(digest: str = DIGEST) -> str:
    return f"cgr.dev/team/web@{digest}@{STRANGE}:/var/lib/dpkg/status"


def stated(data: bytes) -> tuple[Finding, ...]:
    return read_report(Report(data, "web.json")).findings


def test_sarif_is_read() -> None:
    read = read_report(Report(sarif(place()), "web.sarif"))

    assert read.findings == (
        Finding(
            "CVE-2099-0001",
            "bash",
            "5.1-1",
            "deb",
            BASH,
            Severity.HIGH,
            FixState.FIXED,
            ("5.1-2",),
            locations=("/var/lib/dpkg/status",),
        ),
    )
    assert (read.scanner.name, read.scanner.version) == ("other", "1.2")
    assert read.digests == {DIGEST}


def test_cyclonedx_is_read() -> None:
    read = read_report(Report(cyclonedx(DIGEST), "web.json"))

    assert read.findings == (
        Finding(
            "CVE-2099-0001",
            "bash",
            "5.1-1",
            "deb",
            BASH,
            Severity.HIGH,
            aliases=("GHSA-aaaa",),
            source="debian",
            published=read.findings[0].published,
        ),
    )
    assert str(read.findings[0].published) == "2026-11-20 00:00:00+00:00"
    assert str(read.made) == "2026-11-23 00:00:00+00:00"
    assert read.digests == {DIGEST}


@pytest.mark.parametrize(
    ("ratings", "severity"),
    [
        ([], Severity.UNKNOWN),
        ([{"severity": "none"}], Severity.NEGLIGIBLE),
        ([{"score": 9.8}], Severity.CRITICAL),
        ([{"score": 9.8, "severity": "medium"}], Severity.MEDIUM),
        ([{"score": True}], Severity.UNKNOWN),
        ([{"severity": "unknown", "score": 5}], Severity.MEDIUM),
    ],
)
def test_cyclonedx_ratings(ratings: list[dict[str, Any]], severity: Severity) -> None:
    (one,) = stated(cyclonedx(vulnerabilities=[{"id": "CVE-1", "ratings": ratings}]))

    assert one.severity is severity
    assert one.package == ""


@pytest.mark.parametrize(
    ("reference", "package", "purl"),
    [
        ("root", "cgr.dev/team/web", ""),
        ("pkg:deb/debian/dash@1", "dash", "pkg:deb/debian/dash@1"),
        ("urn:cdx:x/1#y", "urn:cdx:x/1#y", ""),
    ],
)
def test_parts_that_stand_elsewhere_are_named(reference: str, package: str, purl: str) -> None:
    vulnerability = {"id": "CVE-1", "affects": [{"ref": reference}]}

    (one,) = stated(cyclonedx(vulnerabilities=[vulnerability]))

    assert (one.package, one.purl) == (package, purl)


def rule(**more: Any) -> dict[str, Any]:
    whole = {"name": "other", "rules": [{"id": "CVE-1-x", **more}]}
    return {"tool": {"driver": whole}, "results": [{"ruleId": "CVE-1-x"}]}


@pytest.mark.parametrize(
    ("more", "severity"),
    [
        ({}, Severity.UNKNOWN),
        ({"properties": {"security-severity": "9.1"}}, Severity.CRITICAL),
        ({"properties": {"security-severity": 4}}, Severity.MEDIUM),
        ({"properties": {"security-severity": "0.0"}}, Severity.UNKNOWN),
        ({"help": {"text": "Severity: Critical"}}, Severity.CRITICAL),
        (
            {
                "help": {"text": "Severity: low"},
                "properties": {"security-severity": "7.0"},
            },
            Severity.HIGH,
        ),
    ],
)
def test_sarif_severities_are_the_worse_of_score_and_word(
    more: dict[str, Any], severity: Severity
) -> None:
    (one,) = stated(sarif(**rule(**more)))

    assert one.severity is severity


def test_a_result_can_name_its_rule_by_number() -> None:
    parts = rule(properties={"security-severity": "9.1"})
    parts["results"] = [{"ruleIndex": 0, "message": {"text": "x"}}]

    (one,) = stated(sarif(**parts))

    assert (one.id, one.severity) == ("CVE-1-x", Severity.CRITICAL)


@pytest.mark.parametrize(
    ("result", "count"),
    [
        ({}, 1),
        ({"kind": "fail"}, 1),
        ({"kind": "open"}, 1),
        ({"suppressions": [{"kind": "external"}]}, 1),  # waivers are for our policy to say
        ({"kind": "pass"}, 0),
        ({"kind": "notApplicable"}, 0),
        ({"baselineState": "absent"}, 0),
    ],
)
def test_sarif_results_that_say_all_is_well_are_no_findings(
    result: dict[str, Any], count: int
) -> None:
    assert len(stated(sarif(results=[{"ruleId": "CVE-2099-0001-bash", **result}]))) == count


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"[]", "not a usable report"),
        (b"{}", "not a scan report"),
        (b'{"version": "2.0.0", "runs": []}', "not a scan report"),
        (b'{"version": "2.1.0", "runs": []}', "not the report of one scan"),
        (b'{"version": "2.1.0", "runs": [{}, {}]}', "not the report of one scan"),
        (sarif(results=None), "without results"),
        (sarif(invocations=[{"executionSuccessful": False}]), "says that the scan failed"),
        (sarif(tool={"driver": {}}), "name"),
        (sarif(results=[{"message": {}}]), "not a usable id"),
        (sarif(**rule(properties={"security-severity": "bad"})), "security-severity"),
        (sarif(**rule(properties={"security-severity": "nan"})), "security-severity"),
        (sarif(**rule(properties={"security-severity": 10**400})), "security-severity"),
        (sarif(results=[{"ruleId": "CVE-1", "kind": {}}]), "kind"),
        (sarif(**rule(help={"text": 1})), "help"),
        (cyclonedx(vulnerabilities=None), "no report of a scan"),
        (cyclonedx(metadata={}), "who scanned"),
        (cyclonedx(vulnerabilities=[{"ratings": []}]), "not a usable id"),
        (cyclonedx(vulnerabilities=[{"id": "CVE-1", "affects": [{}]}]), "not a usable ref"),
    ],
)
def test_what_is_no_report_of_a_scan_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(FormatError) as caught:
        ReportScanner([Report(data, "web.json")])

    assert says in str(caught.value)
    assert "web.json" in str(caught.value)


def test_grype_leaves_the_list_out_when_nothing_was_found() -> None:
    tools = {"tools": {"components": [{"name": "grype"}]}}

    assert stated(cyclonedx(vulnerabilities=None, metadata=tools)) == ()


def test_older_documents_list_tools_otherwise() -> None:
    read = read_report(Report(cyclonedx(metadata={"tools": [{"name": "old"}]}), "x"))

    assert read.scanner.name == "old"


SOLE = replace(SUBJECT, sole=True)
NAMED = "cgr.dev/team/web:1.4"


@pytest.mark.parametrize(
    ("data", "image", "subject"),
    [
        (sarif(place()), None, SUBJECT),
        (cyclonedx(DIGEST), None, SUBJECT),
        (cyclonedx(INDEX), None, SOLE),
        (sarif(), DIGEST, SUBJECT),
        (sarif(), INDEX, SOLE),
        (sarif(), f"cgr.dev/team/web@{DIGEST}", SUBJECT),
        (sarif(), NAMED, SOLE),
        (sarif(), NAMED, replace(SUBJECT, index=None)),
        (sarif(place(), results=[]), NAMED, SOLE),
        (sarif(f"cgr.dev/team/web:1.4@{STRANGE}:/var"), NAMED, SOLE),  # that digest is a layer's
        (cyclonedx(DIGEST), NAMED, SUBJECT),
    ],
)
def test_reports_are_matched_by_digest_or_by_what_the_user_says(
    data: bytes, image: str | None, subject: Any
) -> None:
    scanner = ReportScanner([Report(data, "web.json", image)], now=NOW)

    result = scanner.result(subject)

    assert result.subject == subject
    assert result.how == "report"
    assert result.raw == data


@pytest.mark.parametrize(
    ("data", "image", "subject"),
    [
        (cyclonedx(STRANGE), None, SUBJECT),
        (cyclonedx(INDEX), None, SUBJECT),  # scanners that are given an index scan one platform
        (sarif(), None, SUBJECT),
        (sarif(), NAMED, SUBJECT),  # a tag stands for all platforms
        (sarif(), "cgr.dev/team/web:1.5", SOLE),
        (sarif(), "cgr.dev/team/worker:1.4", SOLE),
        (sarif(), STRANGE, SUBJECT),
        (sarif(), f"cgr.dev/team/web:1.4@{STRANGE}", SOLE),
    ],
)
def test_reports_about_something_else_do_not_count(
    data: bytes, image: str | None, subject: Any
) -> None:
    scanner = ReportScanner([Report(data, "web.json", image)], now=NOW)

    with pytest.raises(NotFoundError, match="no scan report is about this image") as caught:
        scanner.result(subject)

    assert "web.json" in str(caught.value)


def test_a_report_must_not_say_otherwise() -> None:
    scanner = ReportScanner([Report(cyclonedx(STRANGE), "web.json", NAMED)], now=NOW)

    with pytest.raises(ContentRefusedError, match="about another image") as caught:
        scanner.result(SOLE)

    assert (caught.value.expected, caught.value.found) == (DIGEST, STRANGE)


def test_each_platform_gets_its_own_report() -> None:
    other = replace(SUBJECT, digest=STRANGE, platform="linux/arm64")
    reports = [
        Report(cyclonedx(DIGEST), "amd64.json", NAMED),
        Report(cyclonedx(STRANGE, vulnerabilities=[]), "arm64.json", NAMED),
    ]
    scanner = ReportScanner(reports, now=NOW)

    assert len(scanner.result(SUBJECT).findings) == 1
    assert scanner.result(other).findings == ()


def test_two_reports_for_one_image_are_one_too_many() -> None:
    reports = [Report(cyclonedx(DIGEST), "a.json"), Report(sarif(place()), "b.json")]

    with pytest.raises(UsageError, match=r"a\.json, b\.json"):
        ReportScanner(reports).result(SUBJECT)


def test_a_report_that_was_matched_by_name_says_so() -> None:
    by_name = ReportScanner([Report(sarif(), "web.sarif", NAMED)], now=NOW).result(SOLE)
    by_digest = ReportScanner([Report(cyclonedx(DIGEST), "web.json", NAMED)]).result(SOLE)

    assert by_name.notes == (f"web.sarif was given for the image by {NAMED}",)
    assert by_digest.notes == ()
    assert by_name.scanned == NOW
    assert str(by_digest.scanned) == "2026-11-23 00:00:00+00:00"


def test_the_age_of_what_is_behind_a_report_is_checked() -> None:
    dated = Report(cyclonedx(DIGEST), "web.json")  # made 1.5 days ago
    told = replace(dated, database=NOW - 9 * DAY)
    silent = Report(sarif(place()), "web.sarif")

    ReportScanner([dated], max_age=2 * DAY, now=NOW).result(SUBJECT)
    ReportScanner([silent], now=NOW).result(SUBJECT)
    for report, says in ((told, "too old"), (silent, "is not known")):
        with pytest.raises(PolicyError, match=says):
            ReportScanner([report], max_age=2 * DAY, now=NOW).result(SUBJECT)


def test_the_scanner_is_described_by_its_reports() -> None:
    one = Report(cyclonedx(DIGEST), "a.json")
    two = Report(sarif(place(STRANGE)), "b.json", database=NOW - 9 * DAY)
    silent = Report(sarif(), "c.json")

    info = ReportScanner([one, two]).describe()
    assert (info.name, info.version) == ("other", "1.2")
    assert info.database is not None
    assert info.database.built == NOW - 9 * DAY
    assert ReportScanner([one, silent]).describe().database is None
    with pytest.raises(NotFoundError, match="no scan reports"):
        ReportScanner([]).describe()
