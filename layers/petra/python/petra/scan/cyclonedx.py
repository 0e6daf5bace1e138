"""Reads findings from CycloneDX documents with vulnerabilities, whoever wrote them.

Source: CycloneDX 1.4 to 1.7, JSON, "vulnerabilities".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from petra.errors import FormatError
from petra.scan import fields
from petra.scan.model import Finding, ScannerInfo, Severity
from petra.scan.purl import parse_purl
from petra.scan.stated import Stated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
#: Scanners that leave `vulnerabilities` out when there are none (seen with grype 0.110).
_SILENT_WHEN_CLEAN: Final = frozenset({"grype"})


def read_cyclonedx(document: dict[str, Any], where: str) -> Stated:
    """Return what a CycloneDX document says of vulnerabilities.

    An ``analysis`` in it, the writer's own opinion, is passed over: what is waived is for our
    policy to say. Fixed versions are not part of the format.

    Args:
        document: the parsed JSON.
        where: its name.

    Raises:
        FormatError: it is no such document, or a mere SBOM that nobody scanned.
    """
    metadata = fields.inner(document, "metadata", where)
    scanner = _scanner(metadata, where)
    if document.get("vulnerabilities") is None and scanner.name not in _SILENT_WHEN_CLEAN:
        raise FormatError(
            "an SBOM, but no report of a scan",
            where=where,
            expected="vulnerabilities, though the list may be empty",
            hint="let the scanner write SARIF, which says that nothing was found",
        )
    parts = _parts(document, where)
    findings = [
        finding
        for one in fields.objects(document, "vulnerabilities", where)
        for finding in _findings(one, parts, where)
    ]
    subject = fields.inner(metadata, "component", where)
    return Stated(
        scanner=scanner,
        findings=tuple(findings),
        digests=frozenset(_digests(subject, where)),
        name=fields.text(subject, "name", where),
        made=fields.moment(metadata, "timestamp", where),
    )


def _scanner(metadata: dict[str, Any], where: str) -> ScannerInfo:
    """Return the first tool that is named, in the form of 1.5 and later or in the older one."""
    tools = metadata.get("tools")
    if isinstance(tools, dict):
        listed = fields.objects(tools, "components", where)
    else:
        listed = fields.objects(metadata, "tools", where)
    for tool in listed:
        return ScannerInfo(fields.need(tool, "name", where), fields.text(tool, "version", where))
    raise FormatError("a report that does not say who scanned", where=where)


def _digests(subject: dict[str, Any], where: str) -> Iterator[str]:
    purl = parse_purl(fields.text(subject, "purl", where))
    found = [fields.text(subject, "version", where), purl.version if purl else ""]
    found += [
        f"sha256:{fields.text(one, 'content', where).lower()}"
        for one in fields.objects(subject, "hashes", where)
        if one.get("alg") == "SHA-256"
    ]
    return (text for text in found if _DIGEST.fullmatch(text))


def _parts(document: dict[str, Any], where: str) -> Mapping[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    left = fields.objects(document, "components", where)
    left.append(fields.inner(fields.inner(document, "metadata", where), "component", where))
    while left:
        part = left.pop()
        left += fields.objects(part, "components", where)
        reference = fields.text(part, "bom-ref", where)
        if reference:
            found[reference] = part
    return found


def _findings(
    one: dict[str, Any], parts: Mapping[str, dict[str, Any]], where: str
) -> Iterator[Finding]:
    """Yield a finding for each part that is affected; one without a part where none is named."""
    references = [fields.need(each, "ref", where) for each in fields.objects(one, "affects", where)]
    aliases = [fields.text(each, "id", where) for each in fields.objects(one, "references", where)]
    for reference in references or [""]:
        part = parts.get(reference, {})
        # A part of another document is named by its URL alone.
        purl = fields.text(part, "purl", where) or (reference if parse_purl(reference) else "")
        parsed = parse_purl(purl)
        yield Finding(
            id=fields.need(one, "id", where),
            package=fields.text(part, "name", where) or (parsed.name if parsed else reference),
            version=fields.text(part, "version", where) or (parsed.version if parsed else ""),
            type=parsed.type if parsed else "",
            purl=purl,
            severity=_severity(fields.objects(one, "ratings", where), where),
            aliases=tuple(alias for alias in aliases if alias),
            source=fields.text(fields.inner(one, "source", where), "name", where),
            published=fields.moment(one, "published", where),
        )


def _severity(ratings: list[dict[str, Any]], where: str) -> Severity:
    """Return the worst of all ratings; scores count where a rating has no word."""
    found = [Severity.UNKNOWN]
    for rating in ratings:
        word = Severity.parse(fields.text(rating, "severity", where))
        score = rating.get("score")
        if not word and isinstance(score, int | float) and not isinstance(score, bool):
            word = Severity.of_score(score)
        found.append(word)
    return max(found)
