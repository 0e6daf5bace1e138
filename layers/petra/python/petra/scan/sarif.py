"""Reads findings from SARIF 2.1, which scanners of images write alike, though it is made for code.

Source: SARIF 2.1.0 (OASIS), sections 3.13 to 3.52; ``security-severity`` as code hosts read it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from petra.errors import FormatError
from petra.scan import fields
from petra.scan.model import Finding, FixState, ScannerInfo, Severity
from petra.scan.purl import parse_purl
from petra.scan.stated import Stated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: IMAGE@DIGEST@LAYER:PATH. A digest that stands alone is a layer's.
_DIGEST: Final = re.compile(r"@(sha256:[0-9a-f]{64})@sha256:[0-9a-f]{64}:")
_VULNERABILITY: Final = re.compile(
    r"CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}|(?:GO|PYSEC|RUSTSEC|ALAS\d*|ELSA|RHSA)-\d{4}[:-]\d+",
    re.IGNORECASE,
)
#: Results of these kinds say that all is well (3.27.9).
_FINE: Final = frozenset({"pass", "notApplicable"})


def read_sarif(document: dict[str, Any], where: str) -> Stated:
    """Return what a SARIF log with one run says of vulnerabilities.

    Suppressions in it are passed over: what is waived is for our policy to say.

    Args:
        document: the parsed JSON.
        where: its name.

    Raises:
        FormatError: it is no such log, has no results because the scan failed, or several runs.
    """
    runs = fields.objects(document, "runs", where)
    if len(runs) != 1:
        raise FormatError(
            "not the report of one scan", where=where, expected="one run", found=len(runs)
        )
    run = runs[0]
    # A run that failed has no list of results; one that found nothing has an empty one (3.14.23).
    if not isinstance(run.get("results"), list):
        raise FormatError("a report without results: the scan failed", where=where)
    invocations = fields.objects(run, "invocations", where)
    if any(one.get("executionSuccessful") is False for one in invocations):
        raise FormatError("the report says that the scan failed", where=where)
    driver = fields.inner(fields.inner(run, "tool", where), "driver", where)
    rules = fields.objects(driver, "rules", where)
    results = [
        one
        for one in fields.objects(run, "results", where)
        if fields.text(one, "kind", where) not in _FINE and one.get("baselineState") != "absent"
    ]
    places = [place for one in results for place in _places(one, where)]
    times = [fields.moment(one, "endTimeUtc", where) for one in invocations]
    return Stated(
        scanner=_scanner(driver, where),
        findings=tuple(f for one in results for f in _findings(one, rules, where)),
        digests=frozenset(digest for place in places for digest in _DIGEST.findall(place)),
        name="",
        made=_latest(times),
    )


def _latest(times: list[datetime | None]) -> datetime | None:
    return max((time for time in times if time), default=None)


def _scanner(driver: dict[str, Any], where: str) -> ScannerInfo:
    version = fields.text(driver, "semanticVersion", where) or fields.text(driver, "version", where)
    return ScannerInfo(fields.need(driver, "name", where), version)


def _places(result: dict[str, Any], where: str) -> Iterator[str]:
    """Yield the full names of the places of a result: scanners put the image's name there."""
    for location in fields.objects(result, "locations", where):
        for one in fields.objects(location, "logicalLocations", where):
            yield fields.text(one, "fullyQualifiedName", where)


def _paths(result: dict[str, Any], where: str) -> Iterator[str]:
    for location in fields.objects(result, "locations", where):
        physical = fields.inner(location, "physicalLocation", where)
        yield fields.text(fields.inner(physical, "artifactLocation", where), "uri", where)


def _findings(result: dict[str, Any], rules: list[dict[str, Any]], where: str) -> Iterator[Finding]:
    """Yield a finding for each package of a result's rule; one without where none is named."""
    rule = _rule(result, rules, where)
    rule_id = fields.text(result, "ruleId", where) or fields.need(rule, "id", where)
    properties = fields.inner(rule, "properties", where)
    said = _lines(fields.inner(rule, "help", where), where)
    fix = said.get("fix version", "")
    match = _VULNERABILITY.search(rule_id)
    for purl in fields.texts(properties, "purls", where) or ("",):
        parsed = parse_purl(purl)
        yield Finding(
            id=match[0] if match else rule_id,
            package=said.get("package", "") or (parsed.name if parsed else ""),
            version=(parsed.version if parsed else "") or said.get("version", ""),
            type=said.get("type", "") or (parsed.type if parsed else ""),
            purl=purl,
            severity=_severity(properties, said, where),
            fix_state=FixState.FIXED if fix else FixState.UNKNOWN,
            fix_versions=tuple(filter(None, (part.strip() for part in fix.split(",")))),
            source=said.get("data namespace", ""),
            locations=tuple(filter(None, _paths(result, where))),
        )


def _rule(result: dict[str, Any], rules: list[dict[str, Any]], where: str) -> dict[str, Any]:
    """Return the rule that a result breaks, by its place in the list or by its name (3.27.5)."""
    index = result.get("ruleIndex", fields.inner(result, "rule", where).get("index"))
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(rules):
        return rules[index]
    name = result.get("ruleId")
    return next((rule for rule in rules if name and rule.get("id") == name), {})


def _lines(text: dict[str, Any], where: str) -> dict[str, str]:
    """Return the lines ``Key: value`` of a rule's help, keys in lower case."""
    found = text.get("text")
    if found is not None and not isinstance(found, str):
        raise fields.wrong("help", "text", where)
    pairs = (line.partition(":") for line in (found or "").splitlines())
    return {key.strip().lower(): fields.one_line(value) for key, colon, value in pairs if colon}


def _severity(properties: dict[str, Any], said: dict[str, str], where: str) -> Severity:
    """Return the worse of the score and the word, where there are both."""
    text = properties.get("security-severity")
    score = 0.0
    if text is not None:
        try:
            score = float(text)
        except (TypeError, ValueError, OverflowError):
            raise fields.wrong("security-severity", "a number from 0 to 10", where) from None
    if not math.isfinite(score):
        raise fields.wrong("security-severity", "a number from 0 to 10", where)
    return max(Severity.of_score(score), Severity.parse(said.get("severity", "")))
