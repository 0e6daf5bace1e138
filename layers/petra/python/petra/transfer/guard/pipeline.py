"""The linear pipeline: every filter in one order, each with its verdict, in one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from petra.errors import PolicyError
from petra.transfer.guard import contents, filters
from petra.transfer.guard.filters import Filter, Finding, Outer
from petra.transfer.guard.stop import StopError
from petra.transfer.guard.walk import form_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from petra.archive.source import Source
    from petra.content.progress import Progress
    from petra.transfer.guard.profile import Profile
    from petra.transfer.guard.walk import Entry

#: In this order content passes: what is cheap and outermost first.
FILTERS: Final[tuple[type[Filter], ...]] = (
    filters.FileNames,
    filters.FileSize,
    filters.Container,
    contents.Expansion,
    filters.Count,
    filters.MemberSize,
    filters.Headers,
    filters.RegularFiles,
    filters.Permissions,
    filters.Paths,
    filters.Names,
    filters.Depth,
    filters.Case,
    filters.Duplicates,
    contents.Kinds,
    contents.Nesting,
    contents.Encoding,
    contents.StrictJSON,
    contents.StrictYAML,
    contents.Programs,
    contents.Charts,
    contents.Digests,
)

#: `skipped` is for what the profile itself lets be absent.
Result = Literal["passed", "refused", "not-finished", "skipped"]


@dataclass(frozen=True, slots=True)
class FilterVerdict:
    """What one filter says.

    Attributes:
        name: the filter.
        rule: what it holds to.
        result: ``not-finished`` where another filter ended the walk first.
        checked: how many things it looked at.
        count: of findings.
        findings: the first of them.
    """

    name: str
    rule: str
    result: Result
    checked: int
    count: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def line(self) -> str:
        """The verdict as a log line."""
        text = f"{self.name:13} {self.result:12} {self.checked} checked"
        return f"{text}, {self.count} refused" if self.count else text

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--output json`` has it."""
        return {
            "filter": self.name,
            "rule": self.rule,
            "verdict": self.result,
            "checked": self.checked,
            "refused": self.count,
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class LintVerdict:
    """What the whole pipeline says.

    Attributes:
        profile: the profile's name.
        filters: each filter's verdict, in the pipeline's order.
    """

    profile: str
    filters: tuple[FilterVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every filter let everything pass."""
        return all(one.result in ("passed", "skipped") for one in self.filters)

    def refusal(self, where: str) -> PolicyError | None:
        """Return what to raise for `where`, or None where everything passed."""
        if self.passed:
            return None
        refusals = [one for one in self.filters if one.result == "refused"]
        told = [f"{one.name}: {_first(one)}" for one in refusals]
        return PolicyError(
            f"the guard's profile {self.profile!r} does not let it pass",
            where=where,
            expected=refusals[0].findings[0].expected or refusals[0].rule,
            found="\n    ".join(told),
            hint="change what the filters name, or, if the guard allows it, the profile",
        )


def _first(verdict: FilterVerdict) -> str:
    finding = verdict.findings[0]
    found = f" ({finding.found})" if finding.found else ""
    more = f", and {verdict.count - 1} more" if verdict.count > 1 else ""
    return f"{finding.where}: {finding.message}{found}{more}"


def lint(
    profile: Profile,
    source: Source,
    name: str,
    beside: Iterable[Outer],
    progress: Progress,
    more: Sequence[FilterVerdict] = (),
) -> LintVerdict:
    """Hold a bundle to a profile.

    Args:
        profile: the rules.
        source: the bundle, open.
        name: the bundle's file name; empty where `beside` has the files that it crosses as.
        beside: the other files that cross with it.
        progress: told of each piece that was read.
        more: verdicts of filters outside the pipeline, to stand at its end.

    Returns:
        The verdict of each filter.

    Raises:
        StorageError: the file cannot be read.
    """
    form = form_of(source)
    outers = [Outer(name, source.size, form), *beside] if name else _formed(beside, form)
    entries = walk(source, profile.spec.expansion, progress.on_progress)
    progress.on_start(f"lint {source.name}", source.size)
    verdict = judge(profile, outers, entries, source.name, more)
    progress.on_done()
    return verdict


def _formed(chunks: Iterable[Outer], form: str) -> list[Outer]:
    """Return the files of a chunk folder, the first of which says what form the bundle has."""
    first, *rest = chunks
    return [replace(first, form=form), *rest]


def judge(
    profile: Profile,
    outers: Iterable[Outer],
    entries: Iterable[Entry],
    where: str,
    more: Sequence[FilterVerdict] = (),
) -> LintVerdict:
    """Show files and members to every filter, in order.

    Args:
        profile: the rules.
        outers: the files that cross.
        entries: the members; StopError from here is a finding of the filter that it names.
        where: what to call the bundle in findings.
        more: verdicts of filters outside the pipeline, to stand at its end.
    """
    pipeline = [kind(profile.spec) for kind in FILTERS]
    for outer in outers:
        for each in pipeline:
            each.file(outer)
    stopped = _pass(pipeline, entries, where)
    verdicts = (_verdict(each, stopped=stopped) for each in pipeline)
    return LintVerdict(profile.metadata.name, (*verdicts, *more))


def _pass(pipeline: Sequence[Filter], entries: Iterable[Entry], where: str) -> bool:
    """Show every member to every filter; say whether one of them ended it early."""
    try:
        for entry in entries:
            for each in pipeline:
                each.entry(entry)
    except StopError as stop:
        owner = next(each for each in pipeline if each.name == stop.filter_name)
        owner.refuse(stop.where or where, stop.message, expected=stop.expected, found=stop.found)
        return True
    for each in pipeline:
        each.end()
    return False


def _verdict(each: Filter, *, stopped: bool) -> FilterVerdict:
    result: Result = "refused" if each.count else "not-finished" if stopped else "passed"
    return FilterVerdict(
        each.name, each.rule, result, each.checked, each.count, tuple(each.findings)
    )
