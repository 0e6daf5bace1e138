"""What decides on the findings of a bundle that is scanned anew: flags, or a policy's rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from petra.errors import UsageError
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from petra.bundle.policy import ScanRules
    from petra.cli.policy_files import PolicyFile
    from petra.scan.gate import Gate
    from petra.scan.model import ScanResult
    from petra.scan.verdict import ScanVerdict
    from petra.scan.waivers import Waivers

#: The flags that say what a policy says too.
_FLAGS: Final = ("max_db_age", "fail_on", "fixable_only", "grace", "vex")
NONE: Final = "none"


class Deciding(NamedTuple):
    """What decides on an image's findings; without a gate nothing does."""

    gate: Gate | None
    waivers: Waivers


@dataclass(frozen=True, slots=True)
class RescanRules:
    """What decides, image by image.

    Attributes:
        of: gives it for an image, ``registry/repository``.
        max_age: how old the scanner's database may be.
        dated: whether it matters when findings were published.
    """

    of: Callable[[str], Deciding]
    max_age: timedelta
    dated: bool
    _made: list[tuple[Waivers, ScanVerdict]] = field(default_factory=list)

    def decide(self, result: ScanResult, now: datetime) -> ScanVerdict | None:
        """Return what becomes of each finding; None where nothing decides."""
        from petra.scan.verdict import evaluate  # noqa: PLC0415  # start-up time

        gate, waivers = self.of(Reference.parse(result.subject.reference).name)
        if gate is None:
            return None
        verdict = evaluate(result, gate, waivers, now)
        self._made.append((waivers, verdict))
        return verdict

    def unused(self) -> list[str]:
        """Return, a line each, the waivers that were about nothing in what was decided."""
        from petra.scan.verdict import unused_waivers  # noqa: PLC0415  # start-up time

        by_waivers: dict[int, tuple[Waivers, list[ScanVerdict]]] = {}
        for waivers, verdict in self._made:
            by_waivers.setdefault(id(waivers), (waivers, []))[1].append(verdict)
        return [
            line for one, verdicts in by_waivers.values() for line in unused_waivers(one, verdicts)
        ]


def flag_rules(options: dict[str, Any]) -> RescanRules:
    """Return what the flags of ``petra bundle scan`` say, of all images alike.

    Raises:
        PetraError: a document that they name is not there, or none.
    """
    from datetime import timedelta  # noqa: PLC0415  # start-up time

    deciding = Deciding(_gate(options), _waivers(options["vex"]))
    return RescanRules(
        lambda _: deciding,
        timedelta(days=options["max_db_age"]),
        dated=options["grace"] is not None,
    )


def policy_rules(file: PolicyFile) -> RescanRules:
    """Return what a policy says of each image's scan. The strictest age of a database counts.

    Raises:
        UsageError: a flag says what the policy says.
        PetraError: a document that the policy names is not there, or none.
    """
    from petra.bundle.policy_scan import scan_gate, scan_waivers  # noqa: PLC0415  # start-up time

    _check_flags(file)
    policy = file.policy
    source = f"policy {policy.name}"
    listed = [policy.spec.scan, *(one.scan for one in policy.spec.images if one.scan)]
    asked = [one for one in listed if not one.skip]
    made = {
        id(one): Deciding(scan_gate(one.gate), scan_waivers(one, file.read, source=source))
        for one in asked
    }

    def of(name: str) -> Deciding:
        return made.get(id(policy.scan(name)), _nothing())

    ages = [one.max_database_age for one in asked or [_defaults()]]
    dated = any(one.gate and one.gate.grace is not None for one in made.values())
    return RescanRules(of, min(ages), dated=dated)


def _check_flags(file: PolicyFile) -> None:
    """Refuse flags that would say something else than the policy."""
    context = click.get_current_context()
    given = click.core.ParameterSource.COMMANDLINE
    for name in _FLAGS:
        if context.get_parameter_source(name) == given:
            raise UsageError(
                "a flag that says what the policy says",
                where=f"--{name.replace('_', '-')}",
                found=f"policy {file.policy.name}, {file.path}",
                hint="change spec.scan in the policy, or scan without it",
            )


def _nothing() -> Deciding:
    from petra.scan.waivers import Waivers  # noqa: PLC0415  # start-up time

    return Deciding(None, Waivers())


def _defaults() -> ScanRules:
    from petra.bundle.policy import ScanRules  # noqa: PLC0415  # start-up time

    return ScanRules()


def _gate(options: dict[str, Any]) -> Gate | None:
    from datetime import timedelta  # noqa: PLC0415  # start-up time

    from petra.scan.gate import Gate  # noqa: PLC0415  # as above
    from petra.scan.model import Severity  # noqa: PLC0415  # as above

    if options["fail_on"] == NONE:
        return None
    grace = None if options["grace"] is None else timedelta(days=options["grace"])
    severity = Severity.parse(options["fail_on"])
    return Gate.at_least(severity, fixable_only=options["fixable_only"], grace=grace)


def _waivers(files: Sequence[str]) -> Waivers:
    from petra.cli.files import read_file  # noqa: PLC0415  # start-up time
    from petra.scan.openvex import DOCUMENT_LIMIT, load_openvex  # noqa: PLC0415  # as above
    from petra.scan.waivers import Waivers  # noqa: PLC0415  # as above

    return Waivers(
        documents=[load_openvex(read_file(one, limit=DOCUMENT_LIMIT), where=one) for one in files]
    )
