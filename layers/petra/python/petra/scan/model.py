"""What a scan found, in one form for all scanners."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from petra.content.digest import Digest
from petra.encoding.json import dump_json, load_json
from petra.errors import FormatError
from petra.scan import fields
from petra.scan.fields import moment_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

API_VERSION: Final = "petra.sh/v1alpha1"
KIND: Final = "ScanResult"
RESULT_LIMIT: Final = 64 * 1024 * 1024

#: What was read: a list of parts, the image's layers, or a report that another tool had made.
How = Literal["sbom", "image", "report"]
_HOW: Final[tuple[How, ...]] = ("sbom", "image", "report")


class Severity(IntEnum):
    """How bad a vulnerability is, as its publisher says. Ordered; UNKNOWN is below all others.

    An unknown severity may be any: see ``petra.scan.gate.Gate.at_least``.
    """

    UNKNOWN = 0
    NEGLIGIBLE = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @classmethod
    def parse(cls, text: str) -> Severity:
        """Return the severity that a scanner calls `text`, in any case; UNKNOWN for a new word."""
        return _SEVERITIES.get(text.strip().lower(), cls.UNKNOWN)

    @classmethod
    def of_score(cls, score: float) -> Severity:
        """Return the severity of a CVSS score from 0 to 10; 0 says that there is none.

        Source: CVSS v3.1 specification, section 5, table 14.
        """
        steps = ((9.0, cls.CRITICAL), (7.0, cls.HIGH), (4.0, cls.MEDIUM))
        low = cls.LOW if score > 0 else cls.UNKNOWN
        return next((severity for least, severity in steps if score >= least), low)

    def __str__(self) -> str:
        return self.name.lower()


_SEVERITIES: Final = {str(one): one for one in Severity} | {
    "moderate": Severity.MEDIUM,
    "important": Severity.HIGH,
    "minimal": Severity.NEGLIGIBLE,
    "info": Severity.NEGLIGIBLE,
    "informational": Severity.NEGLIGIBLE,
    "none": Severity.NEGLIGIBLE,
}


class FixState(StrEnum):
    """Whether there is a version without the vulnerability; what asks for action comes first."""

    FIXED = "fixed"
    UNKNOWN = "unknown"
    WONT_FIX = "wont-fix"
    NOT_FIXED = "not-fixed"

    @classmethod
    def parse(cls, text: str) -> FixState:
        """Return the state that a scanner calls `text`; UNKNOWN for a new word."""
        return next((one for one in cls if one == text), cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Finding:
    """A vulnerability of one package.

    Attributes:
        id: as the scanner's source has it, ``CVE-2099-0001`` or ``GHSA-…``.
        package: the package's name; empty where a report names none.
        version: the one that is installed.
        type: the kind of package, ``apk``, ``deb``, ``go-module`` …
        purl: the package's URL, where known.
        severity: as the source says.
        fix_state: whether there is a fix.
        fix_versions: the versions that have it.
        aliases: other names of the vulnerability.
        source: where the scanner knows it from.
        published: when the vulnerability was made public, where known.
        locations: paths within the image.
    """

    id: str
    package: str
    version: str
    type: str = ""
    purl: str = ""
    severity: Severity = Severity.UNKNOWN
    fix_state: FixState = FixState.UNKNOWN
    fix_versions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    source: str = ""
    published: datetime | None = None
    locations: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes two findings the same."""
        return self.id, self.package, self.version, self.type, self.purl

    @property
    def names(self) -> frozenset[str]:
        """All names of the vulnerability, in lower case."""
        return frozenset(name.lower() for name in (self.id, *self.aliases))

    @property
    def fixable(self) -> bool:
        """Whether there may be a fix: not so only where the source says that there is none."""
        return self.fix_state not in (FixState.NOT_FIXED, FixState.WONT_FIX)

    def describe(self) -> str:
        """Return it in one line: ``CVE-2099-0001 bash 5.1-1 (high; fixed in 5.1-2)``."""
        fix = {
            FixState.FIXED: f"fixed in {', '.join(self.fix_versions) or 'a later version'}",
            FixState.NOT_FIXED: "no fix yet",
            FixState.WONT_FIX: "will not be fixed",
            FixState.UNKNOWN: "fix unknown",
        }[self.fix_state]
        package = " ".join(filter(None, (self.package, self.version))) or "(no package named)"
        return f"{self.id} {package} ({self.severity}; {fix})"

    def to_json(self) -> dict[str, Any]:
        """Return it as documents have it; what is not known is left out."""
        value: dict[str, Any] = {
            "id": self.id,
            "severity": str(self.severity),
            "package": self.package,
            "version": self.version,
            "type": self.type,
            "purl": self.purl,
            "fix": {"state": str(self.fix_state), "versions": list(self.fix_versions)},
            "aliases": list(self.aliases),
            "source": self.source,
            "published": moment_text(self.published) if self.published else None,
            "locations": list(self.locations),
        }
        return {key: part for key, part in value.items() if part not in (None, "", [])}

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> Self:
        """Return the finding in `value`, as :meth:`to_json` wrote it.

        Raises:
            FormatError: a field is missing or has the wrong type.
        """
        fix = fields.inner(value, "fix", where)
        return cls(
            id=fields.need(value, "id", where),
            package=fields.text(value, "package", where),
            version=fields.text(value, "version", where),
            type=fields.text(value, "type", where),
            purl=fields.text(value, "purl", where),
            severity=Severity.parse(fields.text(value, "severity", where)),
            fix_state=FixState.parse(fields.text(fix, "state", where)),
            fix_versions=fields.texts(fix, "versions", where),
            aliases=fields.texts(value, "aliases", where),
            source=fields.text(value, "source", where),
            published=fields.moment(value, "published", where),
            locations=fields.texts(value, "locations", where),
        )


@dataclass(frozen=True, slots=True)
class Database:
    """What a scanner knows vulnerabilities from.

    Attributes:
        built: when it was made.
        schema: its version, as the scanner calls it.
    """

    built: datetime
    schema: str = ""


@dataclass(frozen=True, slots=True)
class ScannerInfo:
    """Who scanned, with what knowledge.

    Attributes:
        name: the program.
        version: its own.
        database: None where a report says nothing of it.
    """

    name: str
    version: str
    database: Database | None = None

    def to_json(self, scanned: datetime) -> dict[str, Any]:
        """Return it as documents have it, with the database's age at the moment `scanned`."""
        value: dict[str, Any] = {"name": self.name, "version": self.version, "database": None}
        if self.database:
            age = scanned - self.database.built
            value["database"] = {
                "schema": self.database.schema,
                "built": moment_text(self.database.built),
                "ageHours": int(age.total_seconds() // 3600),
            }
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> Self:
        """Return what :meth:`to_json` wrote.

        Raises:
            FormatError: a field is missing or has the wrong type.
        """
        database = fields.inner(value, "database", where)
        built = fields.moment(database, "built", where)
        return cls(
            name=fields.need(value, "name", where),
            version=fields.text(value, "version", where),
            database=Database(built, fields.text(database, "schema", where)) if built else None,
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """What is scanned: an image for one platform.

    Attributes:
        reference: as people call the image.
        digest: of the platform's manifest, or of whatever the image consists of.
        platform: ``os/architecture[/variant]``, where known.
        index: the index that the manifest stands in; None where there is none.
        sole: whether the index stands for this manifest alone, in the bundle at least. If so, what
            is said of the index's digest is said of this one.
    """

    reference: str
    digest: Digest
    platform: str = ""
    index: Digest | None = None
    sole: bool = False

    def __str__(self) -> str:
        return f"{self.reference} ({self.platform})" if self.platform else self.reference


@dataclass(frozen=True, slots=True)
class ScanResult:
    """All that a scanner found in one subject.

    Attributes:
        subject: what was scanned.
        scanner: who did it.
        how: from what.
        scanned: when.
        findings: each once, the worst first; always in the same order.
        notes: what a reader should know of how it came about.
        raw: the scanner's own report, byte for byte.
    """

    subject: Subject
    scanner: ScannerInfo
    how: How
    scanned: datetime
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    raw: bytes = field(default=b"", repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", merged(self.findings))

    def counts(self) -> dict[str, int]:
        """Return the number of findings of each severity that occurs, the worst first."""
        found = [finding.severity for finding in self.findings]
        return {str(one): found.count(one) for one in sorted(set(found), reverse=True)}

    def to_json(self) -> dict[str, Any]:
        """Return it as a ``scan/`` member has it; the raw report stays out."""
        subject = self.subject
        value: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "image": subject.reference,
            "digest": str(subject.digest),
            "platform": subject.platform or None,
            "index": str(subject.index) if subject.index else None,
            "sole": subject.sole or None,
            "how": self.how,
            "scanned": moment_text(self.scanned),
            "scanner": self.scanner.to_json(self.scanned),
            "notes": list(self.notes) or None,
            "counts": self.counts(),
            "findings": [finding.to_json() for finding in self.findings],
        }
        return {key: part for key, part in value.items() if part is not None}

    def dump(self, **more: Any) -> bytes:
        """Return it as the bytes of a member; `more` are further fields of the document."""
        return dump_json(self.to_json() | more)


def load_result(data: bytes, *, where: str) -> ScanResult:
    """Return the result that :meth:`ScanResult.dump` wrote; further fields are passed over.

    Raises:
        FormatError: it is no such document.
    """
    if len(data) > RESULT_LIMIT:
        raise FormatError("scan result too large", where=where, found=f"{len(data)} bytes")
    value = fields.as_object(load_json(data, where=where), "scan result", where)
    if (value.get("apiVersion"), value.get("kind")) != (API_VERSION, KIND):
        raise FormatError("not a scan result", where=where, expected=f"{API_VERSION} {KIND}")
    how = next((one for one in _HOW if one == value.get("how")), None)
    scanned = fields.moment(value, "scanned", where)
    if how is None or scanned is None:
        raise FormatError("scan result that does not say how and when", where=where)
    return ScanResult(
        subject=_subject(value, where),
        scanner=ScannerInfo.from_json(fields.inner(value, "scanner", where), where),
        how=how,
        scanned=scanned,
        findings=tuple(
            Finding.from_json(o, where) for o in fields.objects(value, "findings", where)
        ),
        notes=fields.texts(value, "notes", where),
    )


def _subject(value: dict[str, Any], where: str) -> Subject:
    index = fields.text(value, "index", where)
    return Subject(
        reference=fields.need(value, "image", where),
        digest=Digest.parse(fields.need(value, "digest", where), where=where),
        platform=fields.text(value, "platform", where),
        index=Digest.parse(index, where=where) if index else None,
        sole=value.get("sole") is True,
    )


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return `findings` in order, each once, with the places and names of all its doubles.

    Of doubles the worst severity and the most wanting fix count, so that none hides another.
    """
    unique: dict[tuple[str, ...], Finding] = {}
    for one in findings:
        other = unique.get(one.key)
        unique[one.key] = _both(other, one) if other else _ordered(one)
    return tuple(sorted(unique.values(), key=lambda one: (-one.severity, one.key)))


def _ordered(one: Finding) -> Finding:
    aliases = {name for name in one.aliases if name.lower() != one.id.lower()}
    return replace(one, aliases=tuple(sorted(aliases)), locations=tuple(sorted(set(one.locations))))


def _both(one: Finding, other: Finding) -> Finding:
    worse = max(one, other, key=lambda each: each.severity)
    dates = [each.published for each in (one, other) if each.published]
    versions = dict.fromkeys([*one.fix_versions, *other.fix_versions])
    whole = replace(
        worse,
        fix_state=min(one.fix_state, other.fix_state, key=[*FixState].index),
        fix_versions=tuple(versions),
        aliases=(*one.aliases, *other.aliases),
        published=min(dates) if dates else None,
        locations=(*one.locations, *other.locations),
    )
    return _ordered(whole)
