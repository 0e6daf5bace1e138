"""Finished reports in place of a scanner of ours: SARIF 2.1, or CycloneDX with vulnerabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from petra.encoding.json import load_json
from petra.errors import ContentRefusedError, FormatError, NotFoundError, PetraError, UsageError
from petra.oci.reference import Reference
from petra.scan import fields
from petra.scan.cyclonedx import read_cyclonedx
from petra.scan.model import Database, ScannerInfo, ScanResult
from petra.scan.sarif import read_sarif
from petra.scan.scanner import check_database_age

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from petra.scan.model import Subject
    from petra.scan.sbom import Sbom
    from petra.scan.scanner import ImageSource
    from petra.scan.stated import Stated

REPORT_LIMIT: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """A finished report.

    Attributes:
        data: the document.
        where: its name.
        image: what it is about, as the user says: a digest, or a reference with a digest or a tag.
            None where the report itself says so by digest.
        database: when the database was built that its scanner used, as the user says; SARIF and
            CycloneDX cannot. Where None the moment of the report stands for it.
    """

    data: bytes
    where: str
    image: str | None = None
    database: datetime | None = None


class ReportScanner:
    """Gives the results that others found, each for the image that it is about.

    A report is taken for an image if it says the image's digest, or if the user says that it is
    about the image and the report does not say otherwise.

    Args:
        reports: of any scanner.
        max_age: how old the database behind a report may be; None for any age.
        now: the time; the clock's where None.

    Raises:
        FormatError: a report is none, or of a scan that failed.
    """

    def __init__(
        self,
        reports: Iterable[Report],
        *,
        max_age: timedelta | None = None,
        now: datetime | None = None,
    ) -> None:
        self._read = [(report, read_report(report)) for report in reports]
        self._max_age = max_age
        self._now = now

    def describe(self) -> ScannerInfo:
        """Return who made the reports; of several scanners all, with the oldest database.

        Raises:
            NotFoundError: there are no reports.
        """
        found = [_info(report, stated) for report, stated in self._read]
        if not found:
            raise NotFoundError("no scan reports are given")
        names = dict.fromkeys(info.name for info in found)
        versions = dict.fromkeys(info.version for info in found)
        dates = [info.database for info in found if info.database]
        whole = len(dates) == len(found)
        oldest = min(dates, key=lambda one: one.built) if whole else None
        return ScannerInfo(", ".join(names), ", ".join(versions), oldest)

    def scan_sbom(self, subject: Subject, sbom: Sbom) -> ScanResult:  # noqa: ARG002  # the protocol's
        """Return the report about `subject`; the SBOM is not needed.

        Raises:
            NotFoundError: there is none.
            UsageError: there are several.
            PolicyError: its database is too old.
        """
        return self.result(subject)

    def scan_image(self, subject: Subject, image: ImageSource) -> ScanResult:  # noqa: ARG002  # the protocol's
        """Return the report about `subject`, as above."""
        return self.result(subject)

    def result(self, subject: Subject) -> ScanResult:
        """Return what the report about `subject` says.

        Raises:
            NotFoundError: there is none.
            UsageError: there are several.
            ContentRefusedError: the user's report for it is about another image.
            PolicyError: its database is too old.
        """
        stating = [pair for pair in self._read if pair[1].digests & _digests(subject)]
        named = [pair for pair in self._read if _named(pair[0].image, subject)]
        found = stating or [pair for pair in named if not pair[1].digests]
        if not found:
            raise _missing(subject, named, [report.where for report, _ in self._read])
        if len(found) > 1:
            raise UsageError(
                "several scan reports are about one image",
                where=str(subject),
                found=", ".join(report.where for report, _ in found),
                hint="give one report for each image",
            )
        return self._result(subject, *found[0])

    def _result(self, subject: Subject, report: Report, stated: Stated) -> ScanResult:
        info = _info(report, stated)
        now = self._now or datetime.now(UTC)
        check_database_age(info, self._max_age, now)
        by_digest = stated.digests & _digests(subject)
        notes = () if by_digest else (f"{report.where} was given for the image by {report.image}",)
        made = stated.made or (info.database.built if info.database else now)
        findings = stated.findings
        return ScanResult(
            subject, info, "report", made.replace(microsecond=0), findings, notes, raw=report.data
        )


def read_report(report: Report) -> Stated:
    """Return what a report states.

    Raises:
        FormatError: it is neither SARIF 2.1 nor CycloneDX, or of a scan that failed.
    """
    where = report.where
    if len(report.data) > REPORT_LIMIT:
        raise FormatError("report too large", where=where, expected=f"at most {REPORT_LIMIT} bytes")
    try:
        document = fields.as_object(load_json(report.data, where=where), "report", where)
        if document.get("bomFormat") == "CycloneDX":
            return read_cyclonedx(document, where)
        if str(document.get("version", "")).startswith("2.1.") and "runs" in document:
            return read_sarif(document, where)
    except PetraError as error:
        error.name(f"scan report {where}")
        raise
    raise FormatError(
        "not a scan report", where=where, expected="SARIF 2.1, or CycloneDX with vulnerabilities"
    )


def _digests(subject: Subject) -> frozenset[str]:
    """Return the digests by which a report may call `subject`.

    That of an index counts only if it stands for this manifest alone: scanners that are given an
    index scan one platform of it, and call it by the index's digest.
    """
    index = (subject.index,) if subject.index and subject.sole else ()
    return frozenset(str(one) for one in (subject.digest, *index))


def _missing(subject: Subject, named: list[tuple[Report, Stated]], given: list[str]) -> PetraError:
    for report, stated in named:
        return ContentRefusedError(
            "a scan report is about another image",
            where=report.where,
            expected=str(subject.digest),
            found=", ".join(sorted(stated.digests)),
            hint="scan the image anew, by this digest",
        )
    return NotFoundError(
        "no scan report is about this image",
        where=f"{subject} {subject.digest}",
        found=", ".join(given) or None,
        hint="let the scanner scan it by digest, or say beside the report which image it is about",
    )


def _named(image: str | None, subject: Subject) -> bool:
    """Say whether `image`, as the user wrote it, is the subject.

    A tag names all platforms of an image, and so none of several.
    """
    if image is None:
        return False
    if image.startswith("sha256:"):
        return image in _digests(subject)
    named, ours = Reference.parse(image), Reference.parse(subject.reference)
    if named.name != ours.name:
        return False
    if named.digest:
        return str(named.digest) in _digests(subject)
    whole = subject.index is None or subject.sole
    return whole and ours.tag is not None and named.tag == ours.tag


def _info(report: Report, stated: Stated) -> ScannerInfo:
    built = report.database or stated.made
    return replace(stated.scanner, database=Database(built) if built else None)
