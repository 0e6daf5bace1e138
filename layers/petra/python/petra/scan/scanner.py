"""What all scanners have in common, and how an image is scanned by one: its SBOM, else itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path  # noqa: TC003  # a field's type
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from petra.content.digest import Digest  # noqa: TC001  # a field's type
from petra.content.parallel import in_parallel
from petra.errors import FormatError, NotFoundError, PetraError, PolicyError, ToolError
from petra.scan.fields import moment_text
from petra.scan.model import Subject  # noqa: TC001  # as above
from petra.scan.sbom import Sbom  # noqa: TC001  # as above

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from petra.scan.model import ScannerInfo, ScanResult

#: How old a database may be unless policy says otherwise; grype's own default.
MAX_DATABASE_AGE: Final = timedelta(days=5)
#: How far a clock may be behind before we take it for wrong.
_SKEW: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image in an OCI layout that holds nothing else: scanners refuse to choose."""

    path: Path


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """An image in a registry on this machine, over plain HTTP.

    Attributes:
        host: ``127.0.0.1:PORT``.
        repository: its name there.
        digest: the platform's manifest.
    """

    host: str
    repository: str
    digest: Digest

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}@{self.digest}"


ImageSource: TypeAlias = LayoutImage | RegistryImage


class Scanner(Protocol):
    """Finds vulnerabilities. Safe for several threads."""

    def describe(self) -> ScannerInfo:
        """Return who scans, with what knowledge.

        Raises:
            ToolError: it cannot be run, or its database is unusable.
            PolicyError: its database is too old.
        """
        ...

    def scan_sbom(self, subject: Subject, sbom: Sbom, /) -> ScanResult:
        """Return what is known of the packages that an SBOM lists.

        Raises:
            FormatError: it is no SBOM, or unfit to be scanned.
            ToolError: the scanner failed.
        """
        ...

    def scan_image(self, subject: Subject, image: ImageSource, /) -> ScanResult:
        """Return what is known of the packages in an image's layers.

        Raises:
            ToolError: the scanner failed.
        """
        ...


#: Makes an image's content available while its scan lasts.
OpenImage: TypeAlias = Callable[[], AbstractContextManager[ImageSource]]


@dataclass(frozen=True, slots=True)
class ScanJob:
    """An image for one platform, to be scanned.

    Attributes:
        subject: what it is.
        sboms: of that very subject, the preferred one first.
        image: opens its layers; None where they are not to be read.
    """

    subject: Subject
    sboms: tuple[Sbom, ...] = ()
    image: OpenImage | None = None


def scan_all(
    scanner: Scanner, jobs: Sequence[ScanJob], *, workers: int | None = None
) -> tuple[ScanResult, ...]:
    """Scan several images at once; results come in the order of `jobs`.

    Args:
        scanner: who scans. It is asked once, first, whether it can.
        jobs: what.
        workers: scans at a time; by default one for each CPU, four at most.

    Raises:
        PetraError: as for :func:`scan_job` and ``Scanner.describe``.
    """
    scanner.describe()
    count = workers or min(4, os.cpu_count() or 1)
    return in_parallel(lambda job: scan_job(scanner, job), jobs, workers=count)


def scan_job(scanner: Scanner, job: ScanJob) -> ScanResult:
    """Scan an image by the first of its SBOMs that is fit, else by its layers.

    Returns:
        The result; its notes say why an SBOM was passed over.

    Raises:
        NotFoundError: there is neither an SBOM nor the image.
        FormatError: no SBOM was fit, and the layers are not to be read.
        ToolError: the scanner failed.
    """
    notes: list[str] = []
    failure: PetraError = NotFoundError(
        "nothing to scan: the image has no SBOM, and its layers are not to be read",
        where=str(job.subject),
        hint="attach an SBOM to the image, or let the image itself be scanned",
    )
    for sbom in job.sboms:
        try:
            return _noted(scanner.scan_sbom(job.subject, sbom), notes)
        except (FormatError, ToolError) as error:
            notes.append(f"{sbom.where} was passed over: {error.message}")
            failure = error
    if job.image is None:
        failure.name(f"image {job.subject.reference}")
        raise failure
    with job.image() as source:
        return _noted(scanner.scan_image(job.subject, source), notes)


def _noted(result: ScanResult, notes: list[str]) -> ScanResult:
    return replace(result, notes=(*notes, *result.notes)) if notes else result


def check_database_age(info: ScannerInfo, limit: timedelta | None, now: datetime) -> None:
    """Refuse a scanner whose knowledge is too old, or of a date that cannot be.

    Args:
        info: from the scanner.
        limit: the most that its database's age may be; None for any, and for none at all.
        now: the time.

    Raises:
        PolicyError: says the database's date, its age and the limit.
    """
    if limit is None:
        return
    if info.database is None:
        raise PolicyError(
            "the age of the vulnerability database is not known",
            where=info.name,
            expected=f"a database of at most {days(limit)}",
            hint="say when the database was built, beside the report",
        )
    built, age = info.database.built, now - info.database.built
    if age > limit:
        raise PolicyError(
            "the vulnerability database is too old",
            where=info.name,
            expected=f"at most {days(limit)}",
            found=f"built {moment_text(built)}, {days(age)} ago",
            hint="update it (`grype db update`, or carry a newer one over), or allow a greater age",
        )
    if -age > _SKEW:
        raise PolicyError(
            "the vulnerability database is from the future",
            where=info.name,
            expected=f"a time before {moment_text(now)}",
            found=moment_text(built),
            hint="check this machine's clock",
        )


def days(span: timedelta) -> str:
    """Return a time as people read it, in days with one digit: ``4.5 days``."""
    return f"{span.total_seconds() / 86400:.1f} days".replace(".0 days", " days")
