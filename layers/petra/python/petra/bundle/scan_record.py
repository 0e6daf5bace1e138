"""What ``metadata.json`` says of an image's scans. Bundle format, section 4.

The full results stand in the ``scan/`` members, which these records name.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from petra.bundle.fields import (  # noqa: TC001  # fields of models
    DigestField,
    Moment,
    PlatformField,
    Size,
    Text,
)
from petra.encoding.models import Items, Model


class DatabaseRecord(Model):
    """What a scanner knew vulnerabilities from."""

    version: str
    built: Moment
    age_hours: int = Field(description="When the scan was made, in whole hours.")


class ScannerRecord(Model):
    """Who scanned."""

    name: Text
    version: str
    database: DatabaseRecord | None = None


class GateRecord(Model):
    """Which findings stop an image."""

    severities: Items[Text]
    fixable_only: bool
    grace_hours: int | None = None


class WaiverRecord(Model):
    """Why a finding does not stop the image."""

    status: Text
    reason: Text
    source: Text
    justification: str | None = None
    expires: Moment | None = None


class FindingRecord(Model):
    """A vulnerability of one package. `passes` or `waiver` say why it does not stop the image."""

    id: Text
    package: str
    version: str
    severity: Text
    fixed_in: Items[str] = ()
    passes: str | None = Field(
        None, description="Why the gate lets it pass: severity, no fix, or grace."
    )
    waiver: WaiverRecord | None = None


class ScanRecord(Model):
    """A scan of an image for one platform.

    Attributes:
        subject: the manifest that was scanned.
        member: where the full result is.
        digest: the member's.
        scanned: the moment that the result stands for: the lock's, or the database's if that is
            newer. A scan follows from image and database alone.
        gate: None where findings were to stop nothing.
        expired_waivers: those that would have waived a finding here, had they not ended.
    """

    subject: DigestField
    platform: PlatformField | None = None
    member: Text
    digest: DigestField
    how: Literal["sbom", "image", "report"]
    scanned: Moment
    scanner: ScannerRecord
    gate: GateRecord | None = None
    counts: dict[str, Size] = Field(default_factory=dict)
    findings: Items[FindingRecord] = ()
    expired_waivers: Items[Text] = ()
    notes: Items[Text] = ()
