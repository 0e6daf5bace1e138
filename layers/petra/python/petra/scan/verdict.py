"""The verdict: what a scan's findings mean under a gate and its waivers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from petra.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from petra.scan.gate import Gate
    from petra.scan.model import Finding, ScanResult, Subject
    from petra.scan.waivers import Waived, Waiver, Waivers

#: Findings that an error lists; the document has all.
_LISTED = 50


@dataclass(frozen=True, slots=True)
class ScanVerdict:
    """What became of each finding of a scan.

    Attributes:
        subject: what was scanned.
        gate: what decided.
        counts: findings by severity, all of them.
        refused: those that stop the image.
        waived: those that somebody answers for, and who.
        passed: those that the gate lets pass, and why: ``severity``, ``no fix`` or ``grace``.
        expired: entries of the list that would have waived a finding here, had they not ended.
        used: waivers that had an effect, or would have had it, by their place in the Waivers.
    """

    subject: Subject
    gate: Gate
    counts: dict[str, int]
    refused: tuple[Finding, ...]
    waived: tuple[tuple[Finding, Waived], ...]
    passed: tuple[tuple[Finding, str], ...]
    expired: tuple[Waiver, ...]
    used: frozenset[int] = field(repr=False)

    @property
    def allowed(self) -> bool:
        """Whether nothing stops the image."""
        return not self.refused

    def to_json(self) -> dict[str, Any]:
        """Return it as documents have it; the details of findings stand in the scan's result."""
        within = [_short(finding) for finding, why in self.passed if why == "grace"]
        value: dict[str, Any] = {
            "status": "allowed" if self.allowed else "refused",
            "gate": self.gate.to_json(),
            "counts": self.counts,
            "refused": [_short(finding) for finding in self.refused],
            "waived": [_short(finding) | why.to_json() for finding, why in self.waived],
            "withinGrace": within,
            "expiredWaivers": [one.describe() for one in self.expired],
        }
        kept = ("status", "gate", "counts")
        return {key: part for key, part in value.items() if part or key in kept}

    def require(self) -> None:
        """Refuse the image unless it is allowed.

        Raises:
            PolicyError: lists each finding that stops it, and what can be done.
        """
        require_all([self])


def _short(finding: Finding) -> dict[str, Any]:
    names = {"id": finding.id, "package": finding.package, "version": finding.version}
    return {**names, "severity": str(finding.severity)}


def evaluate(result: ScanResult, gate: Gate, waivers: Waivers, now: datetime) -> ScanVerdict:
    """Decide on each finding of a scan.

    Waivers come first, so that all that apply are told, then the gate.

    Args:
        result: of the scan.
        gate: what stops an image.
        waivers: what somebody answers for.
        now: the time, for ends and graces.
    """
    refused: list[Finding] = []
    waived: list[tuple[Finding, Waived]] = []
    passed: list[tuple[Finding, str]] = []
    expired: dict[Waiver, None] = {}
    used: set[int] = set()
    for finding in result.findings:
        decision = waivers.decide(finding, result.subject, now)
        used |= decision.matched
        if decision.waived:
            waived.append((finding, decision.waived))
            continue
        expired |= dict.fromkeys(decision.expired)
        if why := gate.passes(finding, now):
            passed.append((finding, why))
        else:
            refused.append(finding)
    return ScanVerdict(
        subject=result.subject,
        gate=gate,
        counts=result.counts(),
        refused=tuple(refused),
        waived=tuple(waived),
        passed=tuple(passed),
        expired=tuple(expired),
        used=frozenset(used),
    )


def scan_member(result: ScanResult, verdict: ScanVerdict | None = None) -> bytes:
    """Return a result, and what became of it, as the bytes of a ``scan/`` member.

    ``petra.scan.model.load_result`` reads it again.
    """
    return result.dump(**({} if verdict is None else {"verdict": verdict.to_json()}))


def unused_waivers(waivers: Waivers, verdicts: Iterable[ScanVerdict]) -> list[str]:
    """Return, a line each, the waivers that were about nothing in all the scans of `verdicts`.

    They are not wrong, but somebody should look: the finding is gone, or the waiver misspelt.
    """
    return waivers.unused(frozenset().union(*(verdict.used for verdict in verdicts)))


def require_all(verdicts: Iterable[ScanVerdict]) -> None:
    """Refuse several images at once unless all are allowed.

    Raises:
        PolicyError: lists each finding that stops one, image by image, and what can be done.
    """
    stopped = [verdict for verdict in verdicts if not verdict.allowed]
    if not stopped:
        return
    lines = [line for verdict in stopped for line in _lines(verdict)]
    count = sum(len(verdict.refused) for verdict in stopped)
    more = [f"… and {len(lines) - _LISTED} more lines"] if len(lines) > _LISTED else []
    subjects = ", ".join(dict.fromkeys(str(verdict.subject) for verdict in stopped))
    expired = [one.describe() for verdict in stopped for one in verdict.expired]
    hint = "take an image with the fix; or record who bears it and why, in a waiver with an end "
    hint += "(or an OpenVEX statement) in the policy, or in spec.scan without one"
    if expired:
        hint += f"; these waivers have ended: {'; '.join(dict.fromkeys(expired))}"
    raise PolicyError(
        f"{count} vulnerabilit{'y' if count == 1 else 'ies'} that the scan gate does not let pass",
        where=subjects,
        expected=stopped[0].gate.describe(),
        found="\n    ".join([*lines[:_LISTED], *more]),
        hint=hint,
    )


def _lines(verdict: ScanVerdict) -> list[str]:
    return [f"{verdict.subject}: {finding.describe()}" for finding in verdict.refused]
