"""Waivers: findings that somebody answers for, with a reason and, in a list, an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.errors import SettingError
from petra.oci.reference import Reference
from petra.scan.fields import moment_text
from petra.scan.purl import parse_purl
from petra.trust.policy import pattern_matches

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from petra.scan.model import Finding, Subject
    from petra.scan.openvex import Statement, VexDocument

#: How many of a document's unused statements are named.
_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Waived:
    """Why a finding does not stop an image.

    Attributes:
        reason: as whoever answers for it says.
        source: who that is: ``policy``, or the OpenVEX document and its author.
        status: what is claimed, ``accepted`` for a list's entry, or OpenVEX's status.
        justification: OpenVEX's.
        expires: when it ends; None for statements without an end.
    """

    reason: str
    source: str
    status: str
    justification: str = ""
    expires: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as documents have it."""
        value = {
            "status": self.status,
            "justification": self.justification,
            "reason": self.reason,
            "source": self.source,
            "expires": moment_text(self.expires) if self.expires else "",
        }
        return {key: part for key, part in value.items() if part}


@dataclass(frozen=True, slots=True)
class Waiver:
    """An entry of a list of waivers.

    Attributes:
        id: the vulnerability, by any of its names.
        reason: why it is borne. Never empty.
        expires: it waives nothing from this moment on.
        image: which images, ``registry/repository`` as a pattern of ``*`` and ``**``; None for all.
        package: which package, by name or by package URL; None for all.
        source: where the list stands.
    """

    id: str
    reason: str
    expires: datetime
    image: str | None = None
    package: str | None = None
    source: str = "policy"

    def __post_init__(self) -> None:
        if not self.id.strip() or not self.reason.strip():
            raise SettingError(
                "a waiver without a vulnerability or a reason",
                where=self.source,
                found=self.id or None,
                hint="say which vulnerability is borne, and why",
            )
        if self.expires.tzinfo is None:
            raise ValueError("a waiver's end needs a time zone")

    def matches(self, finding: Finding, subject: Subject) -> bool:
        """Say whether it is about this finding, expired or not."""
        return (
            self.id.strip().lower() in finding.names
            and self._about(subject)
            and self._names(finding)
        )

    def expired(self, now: datetime) -> bool:
        """Say whether it has ended."""
        return now >= self.expires

    def waived(self) -> Waived:
        """Return what it says of a finding."""
        return Waived(self.reason, self.source, "accepted", expires=self.expires)

    def _about(self, subject: Subject) -> bool:
        if self.image is None:
            return True
        return pattern_matches(self.image, Reference.parse(subject.reference).name)

    def _names(self, finding: Finding) -> bool:
        if self.package is None:
            return True
        wanted = parse_purl(self.package)
        if wanted is None:
            return self.package == finding.package
        found = parse_purl(finding.purl)
        return found is not None and wanted.covers(found)

    def describe(self) -> str:
        """Return it in one line, for reports."""
        parts = [self.id, self.package and f"in {self.package}", self.image and f"of {self.image}"]
        return " ".join(filter(None, parts)) + f", until {moment_text(self.expires)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the waivers say of one finding.

    Attributes:
        waived: why it is waived; None where it is not.
        matched: the waivers that are about it, by their place.
        expired: entries of the list that were about it until they ended.
    """

    waived: Waived | None
    matched: frozenset[int]
    expired: tuple[Waiver, ...] = ()


class Waivers:
    """All waivers of a policy: a list of its own, and OpenVEX documents.

    Args:
        entries: the list.
        documents: of several with one IRI only those of the highest version count.
    """

    def __init__(
        self, entries: Iterable[Waiver] = (), documents: Iterable[VexDocument] = ()
    ) -> None:
        self._entries = tuple(entries)
        newest: dict[str, int] = {}
        documents = tuple(documents)
        for document in documents:
            newest[document.id] = max(document.version, newest.get(document.id, document.version))
        self._documents = tuple(one for one in documents if one.version == newest[one.id])
        self._statements = [one for document in self._documents for one in document.statements]
        self._by_name: dict[str, list[int]] = {}
        for place, statement in enumerate(self._statements, start=len(self._entries)):
            for name in statement.vulnerability:
                self._by_name.setdefault(name, []).append(place)

    def decide(self, finding: Finding, subject: Subject, now: datetime) -> Decision:
        """Return what the waivers say of a finding at the moment `now`.

        The list comes first: it is this policy's own. Of the statements the latest decides, and of
        several of one moment one that does not waive.
        """
        places = [at for at, one in enumerate(self._entries) if one.matches(finding, subject)]
        ended = tuple(self._entries[at] for at in places if self._entries[at].expired(now))
        valid = [self._entries[at] for at in places if not self._entries[at].expired(now)]
        stated = self._stated(finding, subject)
        matched = frozenset([*places, *stated])
        if valid:
            return Decision(max(valid, key=lambda one: one.expires).waived(), matched, ended)
        found = [self._statement(at) for at in stated]
        latest = max(found, key=lambda one: (one.time, not one.waives), default=None)
        waived = _stated(latest) if latest and latest.waives else None
        return Decision(waived, matched, ended)

    def _stated(self, finding: Finding, subject: Subject) -> list[int]:
        places = {at for name in finding.names for at in self._by_name.get(name, ())}
        return sorted(at for at in places if self._statement(at).covers(finding, subject))

    def _statement(self, place: int) -> Statement:
        return self._statements[place - len(self._entries)]

    def unused(self, used: frozenset[int]) -> list[str]:
        """Return, a line each, the waivers whose places are not among `used`."""
        lines = [one.describe() for at, one in enumerate(self._entries) if at not in used]
        place = len(self._entries)
        for document in self._documents:
            names = [
                one.name
                for at, one in enumerate(document.statements, start=place)
                if one.waives and at not in used
            ]
            place += len(document.statements)
            lines += [f"{document.where}: {_listed(names)}"] if names else []
        return lines


def _stated(statement: Statement) -> Waived:
    reason = statement.text or statement.justification or statement.status
    return Waived(reason, statement.source, statement.status, statement.justification)


def _listed(names: list[str]) -> str:
    """Return the first of `names`: a vendor's document may have thousands."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
