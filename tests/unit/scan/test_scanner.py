from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from petra.errors import FormatError, NotFoundError, PolicyError, ToolError
from petra.scan.model import Database, ScannerInfo, ScanResult
from petra.scan.sbom import Sbom, check_sbom
from petra.scan.scanner import LayoutImage, ScanJob, check_database_age, scan_all, scan_job
from tests.support.scans import BASH, DAY, NOW, SCANNER, SUBJECT, cyclonedx, finding, spdx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.scan.model import Subject
    from petra.scan.scanner import ImageSource


@dataclass
class Recorder:
    """A scanner that says what it was given; SBOMs of CycloneDX 1.7 are beyond it."""

    seen: list[str] = field(default_factory=list)

    def describe(self) -> ScannerInfo:
        return SCANNER

    def scan_sbom(self, subject: Subject, sbom: Sbom) -> ScanResult:
        check_sbom(sbom)
        if b'"1.7"' in sbom.data:
            raise ToolError("it cannot be read")
        self.seen.append(sbom.where)
        return ScanResult(subject, SCANNER, "sbom", NOW, (finding(),))

    def scan_image(self, subject: Subject, image: ImageSource) -> ScanResult:
        assert isinstance(image, LayoutImage)
        self.seen.append(str(image.path))
        return ScanResult(subject, SCANNER, "image", NOW, (finding(),))


@dataclass
class Layers:
    """An image whose layers can be read, and how often they were."""

    opened: int = 0
    closed: int = 0

    @contextmanager
    def __call__(self) -> Iterator[ImageSource]:
        self.opened += 1
        yield LayoutImage(Path("layout"))
        self.closed += 1


HOMELESS = spdx("pkg:deb/debian/bash@5.1-1")
NEW = replace(cyclonedx(BASH, version="1.7"), where="new.cdx.json")


def test_an_sbom_spares_the_layers() -> None:
    scanner, layers = Recorder(), Layers()

    result = scan_job(scanner, ScanJob(SUBJECT, (spdx(BASH), cyclonedx(BASH)), layers))

    assert scanner.seen == ["web.spdx.json"]
    assert (result.how, result.notes, layers.opened) == ("sbom", (), 0)


@pytest.mark.parametrize("unfit", [HOMELESS, NEW, spdx()])
def test_one_that_is_unfit_is_passed_over_and_that_is_told(unfit: Sbom) -> None:
    scanner = Recorder()

    result = scan_job(scanner, ScanJob(SUBJECT, (unfit, cyclonedx(BASH))))

    assert scanner.seen == ["web.cdx.json"]
    assert len(result.notes) == 1
    assert result.notes[0].startswith(f"{unfit.where} was passed over: ")


def test_the_layers_are_read_where_no_sbom_is_fit() -> None:
    scanner, layers = Recorder(), Layers()

    result = scan_job(scanner, ScanJob(SUBJECT, (HOMELESS,), layers))

    assert scanner.seen == ["layout"]
    assert result.how == "image"
    assert len(result.notes) == 1
    assert (layers.opened, layers.closed) == (1, 1)


def test_nothing_to_scan_is_an_error() -> None:
    with pytest.raises(NotFoundError, match="nothing to scan"):
        scan_job(Recorder(), ScanJob(SUBJECT))
    with pytest.raises(FormatError, match="of which distribution") as caught:
        scan_job(Recorder(), ScanJob(SUBJECT, (NEW, HOMELESS)))
    assert "cgr.dev/team/web" in str(caught.value)


@pytest.mark.parametrize(
    ("age", "says"),
    [
        (4.99, None),
        (5, None),
        (5.01, "too old"),
        (-0.9, None),
        (-1.1, "from the future"),
    ],
)
def test_the_age_of_a_database_is_limited_both_ways(age: float, says: str | None) -> None:
    info = ScannerInfo("grype", "1", Database(NOW - age * DAY))

    check_database_age(info, None, NOW)
    if says is None:
        check_database_age(info, 5 * DAY, NOW)
        return
    with pytest.raises(PolicyError, match=says):
        check_database_age(info, 5 * DAY, NOW)


def test_the_error_says_date_age_and_limit() -> None:
    info = ScannerInfo("grype", "1", Database(NOW - 9.5 * DAY))

    with pytest.raises(PolicyError) as caught:
        check_database_age(info, 5 * DAY, NOW)

    assert caught.value.expected == "at most 5 days"
    assert caught.value.found == "built 2026-11-15T00:00:00Z, 9.5 days ago"
    assert "grype db update" in str(caught.value.hint)


def test_a_database_of_unknown_age_is_refused_where_there_is_a_limit() -> None:
    check_database_age(ScannerInfo("other", "1"), None, NOW)
    with pytest.raises(PolicyError, match="is not known"):
        check_database_age(ScannerInfo("other", "1"), 5 * DAY, NOW)


def test_several_are_scanned_at_once_and_come_in_order() -> None:
    subjects = [replace(SUBJECT, reference=f"cgr.dev/team/{number}:1") for number in range(20)]
    jobs = [ScanJob(subject, (spdx(BASH),)) for subject in subjects]

    results = scan_all(Recorder(), jobs, workers=3)

    assert [one.subject for one in results] == subjects
    assert scan_all(Recorder(), []) == ()


def test_a_scanner_that_cannot_is_told_before_anything_is_scanned() -> None:
    class Old(Recorder):
        def describe(self) -> ScannerInfo:
            raise PolicyError("too old")

    scanner = Old()

    with pytest.raises(PolicyError, match="too old"):
        scan_all(scanner, [ScanJob(SUBJECT, (spdx(BASH),))])
    assert scanner.seen == []
