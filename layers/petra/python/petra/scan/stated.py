"""What a finished report states, before it is matched to an image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # a field's type

from petra.scan.model import Finding, ScannerInfo  # noqa: TC001  # fields' types


@dataclass(frozen=True, slots=True)
class Stated:
    """The content of a report.

    Attributes:
        scanner: who made it.
        findings: as they stand in it.
        digests: those that it calls the image's; empty where it says nothing.
        name: what it calls the image; may be empty.
        made: when, where it says so.
    """

    scanner: ScannerInfo
    findings: tuple[Finding, ...]
    digests: frozenset[str]
    name: str
    made: datetime | None
