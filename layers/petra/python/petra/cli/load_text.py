"""A load's report as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.cli.output import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.load.report import Report, Step

_STATES = {
    "not begun": "not begun",
    "failed": "not in place",
    "published": "published, not yet what the cluster reads",
    "done": "in place",
}


def report_text(report: Report) -> str:
    """Return the report, a few lines for each destination."""
    bundle = report.bundle
    lines = [
        f"{report.verdict:15} {bundle.name} {bundle.version}, serial {bundle.serial}",
        f"{'digest':15} {bundle.digest}",
        f"{'signed by':15} sha256:{bundle.signer}",
    ]
    for step in report.steps:
        lines += _step(step)
    if report.error and not any(step.loaded for step in report.steps):
        lines.append(f"{'changed':15} nothing")
    lines += [f"{'release':15} {release.line()}" for release in report.releases]
    lines += [f"{'next':15} {note}" for note in report.notes]
    if report.notified and not report.releases:
        lines.append(f"{'cluster':15} told; `petra status` shows how its releases are")
    return "\n".join(lines)


def _step(step: Step) -> Iterator[str]:
    yield f"{step.part:15} {step.destination}: {_summary(step)}"
    for placed in step.loaded.placed if step.loaded else ():
        how = "sent" if placed.sent else "there"
        note = f"  ({placed.note})" if placed.note else ""
        yield f"  {how:6} {placed.name}  {placed.reference}{note}"
    if step.switched:
        yield f"  now    {step.switched.name}  {step.switched.reference}"
    if step.error:
        yield f"  error  {step.error.message}"
    for note in step.notes:
        yield f"  note   {note}"


def _summary(step: Step) -> str:
    if step.loaded:
        sent = sum(placed.sent for placed in step.loaded.placed)
        before = len(step.loaded.placed) - sent
        state = "" if step.state == "done" else f"{_STATES[step.state]}; "
        return f"{state}{sent} sent ({human_size(step.loaded.bytes_sent)}), {before} there before"
    survey = step.survey
    if survey is None or step.state == "failed":
        return _STATES[step.state]
    there = f"{survey.present} of {survey.items} there"
    return (
        f"{there}, {human_size(survey.bytes_to_send)} of {human_size(survey.bytes_total)} to send"
    )
