"""What the page shows, gathered from a bundle's metadata. The template only lays it out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from petra.scan.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.bundle.metadata import ImageRecord, Metadata
    from petra.bundle.scan_record import FindingRecord, ScanRecord

#: The worst first.
SEVERITIES: Final = tuple(str(one) for one in sorted(Severity, reverse=True))

#: What became of a finding at the gate: it would stop the image; it is waived; it passes.
Fate = Literal["stops", "waived", "passes", "not gated"]


@dataclass(frozen=True, slots=True)
class Row:
    """A finding in an image, for one platform.

    Attributes:
        image: the image's name.
        platform: the platform that was scanned; empty where the image has one.
        finding: as the metadata has it.
        fate: what became of it.
        why: the reason, where there is one.
    """

    image: str
    platform: str
    finding: FindingRecord
    fate: Fate
    why: str

    @property
    def order(self) -> tuple[int, int, str, str]:
        """The worst first, and what stops before what is waived."""
        fates: tuple[Fate, ...] = ("stops", "not gated", "waived", "passes")
        severity = SEVERITIES.index(str(Severity.parse(self.finding.severity)))
        return severity, fates.index(self.fate), self.finding.id, self.image


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that a reader has to weigh.

    Attributes:
        what: in a few words.
        text: one sentence.
    """

    what: str
    text: str


def rows(metadata: Metadata) -> list[Row]:
    """Return every finding, the worst first."""
    found = [
        _row(image, scan, finding)
        for image in metadata.images
        for scan in image.scans
        for finding in scan.findings
    ]
    return sorted(found, key=lambda row: row.order)


def _row(image: ImageRecord, scan: ScanRecord, finding: FindingRecord) -> Row:
    platform = str(scan.platform) if scan.platform and len(image.scans) > 1 else ""
    if finding.waiver:
        return Row(image.name, platform, finding, "waived", finding.waiver.reason)
    if finding.passes:
        return Row(image.name, platform, finding, "passes", finding.passes)
    return Row(image.name, platform, finding, "stops" if scan.gate else "not gated", "")


def counts(found: list[Row]) -> dict[str, int]:
    """Return how many findings there are of each severity, the worst first, none left out."""
    by = Counter(str(Severity.parse(row.finding.severity)) for row in found)
    return {name: by[name] for name in SEVERITIES}


def attention(metadata: Metadata, *, verified: bool) -> list[Attention]:
    """Return what a reader has to weigh before anything else."""
    return [
        *_of_bundle(metadata, verified=verified),
        *(one for image in metadata.images for one in _of_image(image)),
    ]


def _of_bundle(metadata: Metadata, *, verified: bool) -> Iterator[Attention]:
    if not verified:
        text = "Nobody checked this bundle's signature when the page was made: it shows what the "
        yield Attention("unverified", f"{text}file says of itself.")
    for step, reasons in metadata.skipped().items():
        yield Attention("skipped", f"{step}: {'; '.join(reasons)}")
    if metadata.base:
        count = len(metadata.base.absent)
        text = f"{count} layers are left out that the receiver has by {metadata.base}."
        yield Attention("differential", text)


def _of_image(image: ImageRecord) -> Iterator[Attention]:
    if image.no_sbom:
        yield Attention("no SBOM", f"{image.name}: {image.no_sbom}")
    for one in image.uncounted:
        text = f"{image.name}: {one.kind} {one.manifest}: {one.reason}"
        yield Attention("not counted", text)
    for scan in image.scans:
        for expired in scan.expired_waivers:
            yield Attention("expired waiver", f"{image.name}: {expired}")
        for note in scan.notes:
            yield Attention("note of a scan", f"{image.name}: {note}")
