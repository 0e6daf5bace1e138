"""``petra bundle lint``: prove a bundle to a guard's profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.command import file_option, petra_command
from petra.cli.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.cli.command import Call
    from petra.transfer.guard.pipeline import LintVerdict


@petra_command("lint")
@file_option("The bundle, or its chunk folder.")
@click.option(
    "--profile",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="default, strict or clamav; or a file of yours.",
)
def command(call: Call, file: str, profile: str) -> None:
    """Hold a bundle, and what lies beside it, to a guard's profile.

    A linear pipeline of filters looks at every file that crosses, every header and all content, in
    one pass; each has its verdict. It is not verification: see petra bundle verify. Exit status 3
    says that a filter refused something.
    """
    from petra.transfer.guard.clamav import scan_files  # noqa: PLC0415  # start-up time
    from petra.transfer.guard.filters import Outer  # noqa: PLC0415  # as above
    from petra.transfer.guard.pipeline import lint  # noqa: PLC0415  # as above
    from petra.transfer.guard.profile import load_profile  # noqa: PLC0415  # as above

    rules, path = load_profile(profile), Path(file)
    with open_source(path) as source, call.console.progress() as progress:
        beside = _beside(path)
        whole = [] if path.is_dir() else [path]
        scans = scan_files(rules, [*whole, *beside])
        outers = [Outer(one.name, one.stat().st_size) for one in beside]
        verdict = lint(rules, source, whole[0].name if whole else "", outers, progress, scans)
    value = {
        "bundle": file,
        "profile": verdict.profile,
        "passed": verdict.passed,
        "filters": [one.to_json() for one in verdict.filters],
    }
    call.console.judged(value, "\n".join(_lines(verdict)), verdict.refusal(file))


def _lines(verdict: LintVerdict) -> Iterator[str]:
    yield f"profile {verdict.profile}: {'passed' if verdict.passed else 'REFUSED'}"
    for one in verdict.filters:
        yield f"  {one.line}"
        for finding in one.findings:
            parts = {"expected": finding.expected, "found": finding.found}
            told = "; ".join(f"{name} {text}" for name, text in parts.items() if text)
            yield f"      {finding.where}: {finding.message}" + (f" ({told})" if told else "")


def _beside(bundle: Path) -> list[Path]:
    """Return the files that cross with a bundle: its signatures; all that a chunk folder holds."""
    folder, start = (bundle, "") if bundle.is_dir() else (bundle.parent, f"{bundle.name}.")
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(one for one in files if one.name.startswith(start) and one.is_file())
