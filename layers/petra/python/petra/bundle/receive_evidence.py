"""Whether the evidence in a bundle is what its receiver asks for.

For each image, each by one function:

1. every platform has an SBOM, where one is required (:func:`_check_sboms`);
2. there is provenance, where it is required, by one of the builders (:func:`_check_provenance`);
3. the findings that the sender's scanner had pass the receiver's own gate and waivers, where the
   policy says anything about scans (:func:`_check_scans`).

What is attested counts if the image's rule vouches for it now. What the sender made itself, SBOMs
that were generated and scans, is signed with the bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from petra.bundle.attached import Attested, attached_evidence, builder_of, suffices
from petra.bundle.fields import duration_text
from petra.bundle.policy_scan import scan_gate, scan_waivers
from petra.errors import PolicyError
from petra.scan.model import load_result
from petra.scan.verdict import evaluate, require_all

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from petra.archive.reader import ArchiveReader
    from petra.bundle.metadata import Evidence
    from petra.bundle.policy import Policy, ScanRules
    from petra.bundle.received import ReceivedImage
    from petra.bundle.scan_record import ScanRecord
    from petra.scan.model import ScanResult, Subject
    from petra.scan.verdict import ScanVerdict
    from petra.trust.policy import SignaturePolicy


@dataclass(frozen=True, slots=True)
class EvidenceCheck:
    """What a receiver asks of evidence.

    Attributes:
        policy: the receiver's.
        read: gives a file that the policy names.
        reader: the bundle, verified.
        skippable: steps that may have been left out.
        now: the time.
    """

    policy: Policy
    read: Callable[[str], bytes]
    reader: ArchiveReader
    skippable: Collection[str]
    now: datetime

    def check(self, image: ReceivedImage, rule: SignaturePolicy | None) -> None:
        """Refuse an image whose evidence is not what is asked for.

        Args:
            image: in the bundle.
            rule: what its signatures, and so those of its attestations, must satisfy; None where
                the sender's word is enough.

        Raises:
            PolicyError: something is missing, or does not pass.
        """
        found = _Found(self, image, rule)
        if "sbom" not in self.skippable and self.policy.sbom(image.reference.name).required:
            _check_sboms(found)
        if "provenance" not in self.skippable:
            _check_provenance(found)
        scan = self.policy.asked_scan(image.reference.name)
        if scan and image.record.scan.status == "done":
            _check_scans(found, scan)


@dataclass(frozen=True)
class _Found:
    """The evidence about one image."""

    asked: EvidenceCheck
    image: ReceivedImage
    rule: SignaturePolicy | None

    @cached_property
    def attested(self) -> tuple[Attested, ...]:
        """What others attested, and the rule vouches for now."""
        return attached_evidence(self.image, self.rule).attested if self.rule else ()

    def recorded(self, listed: Collection[Evidence]) -> list[Evidence]:
        """Return what counts as it was recorded: made by the sender, or all by its word."""
        return [one for one in listed if one.generated or self.rule is None]

    def about(self, subject: Subject) -> set[str]:
        """Return the digests by which evidence speaks of a platform."""
        index = subject.index if subject.sole else None
        return {str(one) for one in (subject.digest, index) if one}


def _check_sboms(found: _Found) -> None:
    """Step 1: every platform has an SBOM."""
    record = found.image.record
    generate = found.asked.policy.sbom(found.image.reference.name).generate
    recorded = [one for one in found.recorded(record.sboms) if generate or not one.generated]
    described = {str(one.subject or record.digest) for one in recorded}
    described |= {str(one.subject) for one in found.attested if one.form != "slsa"}
    for subject, _ in found.image.platforms:
        if not found.about(subject) & described:
            raise PolicyError(
                "the image has no SBOM that counts, and the policy requires one",
                where=found.image.title,
                expected="an SPDX or CycloneDX attestation, signed as the image is"
                + (", or one that the sender generated" if generate else ""),
                found=record.no_sbom or f"none for {subject.platform or 'the image'}",
                hint="ask the sender for a bundle with one, or allow `sbom` to be skipped",
            )


def _check_provenance(found: _Found) -> None:
    """Step 2: there is provenance where it is required, by one of the builders."""
    wanted = found.asked.policy.provenance(found.image.reference.name)
    if not wanted.required and not wanted.builders:
        return
    builders = [builder_of(one.data) for one in found.attested if one.form == "slsa"]
    recorded = found.recorded(found.image.record.provenance)
    builders += [builder_of(found.asked.reader.read(one.member)) for one in recorded]
    if not suffices(wanted, builders):
        raise PolicyError(
            "the image's provenance is not what the policy asks for",
            where=found.image.title,
            expected=" or ".join(f"built by {one}" for one in wanted.builders) or "provenance",
            found=", ".join(builder or "no builder" for builder in builders) or "none",
            hint="ask the sender for an image with SLSA provenance that is signed as the image is",
        )


def _check_scans(found: _Found, rules: ScanRules) -> None:
    """Step 3: what the sender's scanner found passes the receiver's gate and waivers."""
    asked, gate = found.asked, scan_gate(rules.gate)
    waivers = scan_waivers(rules, asked.read, source=f"policy {asked.policy.name}")
    scans = {str(one.subject): one for one in found.image.record.scans}
    verdicts: list[ScanVerdict] = []
    for subject, _ in found.image.platforms:
        record = scans.get(str(subject.digest))
        if record is None:
            raise PolicyError(
                "the image was not scanned for a platform that the bundle carries",
                where=found.image.title,
                expected=subject.platform or str(subject.digest),
                hint="ask the sender for a bundle in which it was scanned",
            )
        result = _result(asked.reader, record, subject)
        _check_database(result, rules, found.image.title)
        if gate:
            verdicts.append(evaluate(result, gate, waivers, asked.now))
    require_all(verdicts)


def _result(reader: ArchiveReader, record: ScanRecord, subject: Subject) -> ScanResult:
    result = load_result(reader.read(record.member), where=record.member)
    if result.subject.digest != subject.digest:
        raise PolicyError(
            "a scan is about something else than the image",
            where=record.member,
            expected=str(subject.digest),
            found=str(result.subject.digest),
        )
    return result


def _check_database(result: ScanResult, rules: ScanRules, title: str) -> None:
    """Refuse a scan that was made with too old a database."""
    database = result.scanner.database
    if database and result.scanned - database.built <= rules.max_database_age:
        return
    raise PolicyError(
        "the image was scanned with too old a database",
        where=title,
        expected=f"a database of the last {duration_text(rules.max_database_age)} before the scan",
        found=f"built {database.built.isoformat()}" if database else "no date",
        hint="ask the sender for a bundle that is scanned anew",
    )
