"""The evidence about a bundle's images as the metadata have it, put together piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petra.archive.plan import Text
from petra.bundle.describe import signature_record
from petra.bundle.metadata import Check, Evidence, Tool, Uncounted
from petra.bundle.scanned import scan_record
from petra.scan.verdict import scan_member, unused_waivers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from petra.bundle.attached import Attachments, Attested
    from petra.bundle.evidence_rules import EvidenceRules, ImageRules
    from petra.bundle.images import ResolvedImage
    from petra.bundle.scan_record import ScanRecord
    from petra.content.descriptor import Descriptor
    from petra.scan.model import ScanResult, Subject
    from petra.scan.sbom import Sbom
    from petra.scan.scanner import Scanner
    from petra.scan.syft import Syft
    from petra.scan.verdict import ScanVerdict

_NO_SYFT: Final = "the image has none, and syft is not at hand to make one"
_UNASKED: Final = "the image has none, and nobody asks for one"
_FORBIDDEN: Final = "the image has none, and the policy lets none be generated"


@dataclass(frozen=True, slots=True)
class Tools:
    """Who makes evidence here.

    Attributes:
        scanner: who scans; None where no image is to be scanned here.
        syft: who makes SBOMs; None where syft is not at hand.
        now: the clock's time.
        moment: what is made here was made at: the lock's moment.
    """

    scanner: Scanner | None
    syft: Syft | None
    now: datetime
    moment: datetime


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """What there is about one image, as the metadata say it."""

    scan: Check
    scans: tuple[ScanRecord, ...] = ()
    sboms: tuple[Evidence, ...] = ()
    no_sbom: str | None = None
    provenance: tuple[Evidence, ...] = ()
    uncounted: tuple[Uncounted, ...] = ()


@dataclass(frozen=True, slots=True)
class Gathered:
    """The evidence of a bundle.

    Attributes:
        images: by their names in the spec.
        scan: whether images were scanned.
        members: the documents.
        notes: what somebody should know.
    """

    images: Mapping[str, ImageEvidence]
    scan: Check
    members: tuple[Text, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def certified(self) -> bool:
        """Whether a certificate vouches for any of it, and so a trusted root."""
        found = (one for image in self.images.values() for one in (*image.sboms, *image.provenance))
        return any(one.verified and one.verified.root for one in found)


@dataclass(frozen=True, slots=True)
class Work:
    """An image for one platform, and what is known of it so far."""

    image: ResolvedImage
    subject: Subject
    manifest: Descriptor
    label: str
    rules: ImageRules
    attested: tuple[Attested, ...]

    @property
    def sboms(self) -> list[Attested]:
        """The lists of parts among what is attested."""
        return [one for one in self.attested if one.form != "slsa"]


@dataclass(slots=True)
class Done:
    """What came of it: an SBOM that was made here, and a scan."""

    generated: Sbom | None = None
    result: ScanResult | None = None
    verdict: ScanVerdict | None = None


class Collector:
    """Puts together what the metadata say, and the members that they name."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._verdicts: list[ScanVerdict] = []
        self._members: dict[str, Text] = {}
        self._scans: dict[str, list[ScanRecord]] = {}
        self._sboms: dict[str, list[Evidence]] = {}
        self._provenance: dict[str, list[Evidence]] = {}

    def add(self, work: Work, done: Done) -> None:
        """Take what there is about an image for one platform."""
        name = work.image.name
        for one in work.attested:
            self._attested(name, work.label, one)
        if done.generated:
            self._sboms.setdefault(name, []).append(self._generated(work, done.generated))
        if done.verdict:
            self._verdicts.append(done.verdict)
        if done.result:
            member = self._member(f"scan/{work.label}", scan_member(done.result, done.verdict))
            record = scan_record(done.result, done.verdict, member)
            self._scans.setdefault(name, []).append(record)

    def _attested(self, name: str, label: str, one: Attested) -> None:
        folder = "attestations" if one.form == "slsa" else "sbom"
        member = self._member(f"{folder}/{label}.{one.form}", one.data)
        kept = self._provenance if one.form == "slsa" else self._sboms
        record = Evidence(
            format=one.form,
            member=member.name,
            digest=member.digest,
            subject=one.subject,
            manifest=one.manifest,
            verified=signature_record(one.verified),
        )
        kept.setdefault(name, []).append(record)

    def _generated(self, work: Work, sbom: Sbom) -> Evidence:
        assert self._tools.syft is not None  # noqa: S101  # for mypy: it made this one
        member = self._member(f"sbom/{work.label}.spdx", sbom.data)
        return Evidence(
            format="spdx",
            member=member.name,
            digest=member.digest,
            subject=work.subject.digest,
            generated=Tool(name="syft", version=self._tools.syft.version),
        )

    def _member(self, stem: str, data: bytes) -> Text:
        member = Text(f"{stem}.json", data)
        self._members[member.name] = member
        return member

    def gathered(
        self,
        images: Sequence[ResolvedImage],
        rules: EvidenceRules,
        attached: Mapping[str, Attachments],
    ) -> Gathered:
        """Return all of it, with what is about whole indexes."""
        for image in images:
            known = {one.subject for one in self._of(image.name)}
            for one in attached[image.name].attested:
                if one.subject not in known and one.subject == image.root.digest:
                    self._attested(image.name, f"{image.name}/index", one)
        found = {
            image.name: self._image(image.name, rules.image(image.name), attached[image.name])
            for image in images
        }
        reasons = [one.scan.reason for one in found.values()] or [rules.skip()]
        whole = Check.done() if None in reasons else Check.skipped(str(reasons[0]))
        unused = [line for one in rules.waivers() for line in unused_waivers(one, self._verdicts)]
        notes = [*rules.notes, *(f"a waiver is about nothing here: {line}" for line in unused)]
        return Gathered(found, whole, tuple(self._members.values()), tuple(notes))

    def _of(self, name: str) -> list[Evidence]:
        return [*self._sboms.get(name, ()), *self._provenance.get(name, ())]

    def _image(self, name: str, rules: ImageRules, attached: Attachments) -> ImageEvidence:
        sboms = tuple(self._sboms.get(name, ()))
        return ImageEvidence(
            scan=Check.done() if rules.skip is None else Check.skipped(rules.skip),
            scans=tuple(self._scans.get(name, ())),
            sboms=sboms,
            no_sbom=None if sboms else self._why_none(rules),
            provenance=tuple(self._provenance.get(name, ())),
            uncounted=tuple(
                Uncounted(manifest=one.manifest, kind=one.kind, reason=one.reason)
                for one in attached.rejected
            ),
        )

    def _why_none(self, rules: ImageRules) -> str:
        if rules.generate:
            return _NO_SYFT
        return _UNASKED if rules.skip is not None else _FORBIDDEN
