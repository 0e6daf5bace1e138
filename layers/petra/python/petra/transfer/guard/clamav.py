"""ClamAV as one more filter: a real scan of every file that crosses, with an alert on its limits.

Beyond its limits ClamAV passes a file over and reports it clean, unless it is told to alert; a
limit that was reached is a finding here. Source: clamscan(1), clamav issues #1032 and #1039.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from petra.errors import ToolError
from petra.scan.process import Limits, find_tool, run_tool
from petra.transfer.guard.filters import SHOWN, Finding
from petra.transfer.guard.pipeline import FilterVerdict, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.transfer.guard.profile import Profile

VARIABLE: Final = "PETRA_CLAMSCAN"
DATABASE_VARIABLE: Final = "PETRA_CLAMAV_DB"
NAME: Final = "clamav"
RULE: Final = "ClamAV finds nothing, and reaches none of its limits"
_FOUND: Final = 1
#: The largest limits that it takes: no file of 2 GiB and no more than 4 GiB out of one.
_ARGUMENTS: Final = (
    *("--no-summary", "--infected", "--stdout", "--alert-exceeds-max=yes", "--alert-encrypted=yes"),
    *("--max-filesize=2147483647", "--max-scansize=4294967295", "--max-scantime=0"),
    *("--max-files=0", "--max-recursion=100"),
)
_HOURS: Final = 4 * 3600.0


def scan_files(
    profile: Profile, files: Sequence[Path], environment: Mapping[str, str] | None = None
) -> tuple[FilterVerdict, ...]:
    """Scan files as the profile asks.

    Args:
        profile: says whether to scan at all.
        files: what crosses.
        environment: where PETRA_CLAMSCAN, PETRA_CLAMAV_DB and PATH come from.

    Returns:
        One verdict; none where the profile wants no scan.

    Raises:
        SettingError: PETRA_CLAMSCAN names no program.
        ToolError: the profile requires a scan and there is no scanner, or it failed.
    """
    mode, variables = profile.spec.clamav, os.environ if environment is None else environment
    if mode == "off":
        return ()
    tool = find_tool(VARIABLE, "clamscan", variables)
    if tool is None and mode == "required":
        raise ToolError(
            "the guard's profile requires a scan by ClamAV, and clamscan is not there",
            where=f"profile {profile.metadata.name}",
            hint=f"install clamav, or name clamscan with {VARIABLE}",
        )
    if tool is None:
        return (FilterVerdict(NAME, f"{RULE} (clamscan is not there)", "skipped", 0),)
    return (_scan(tool, files, variables.get(DATABASE_VARIABLE)),)


def _scan(tool: Path, files: Sequence[Path], database: str | None) -> FilterVerdict:
    # It runs in a folder of its own, where a relative path would lead elsewhere.
    chosen = [f"--database={Path(database).absolute()}"] if database else []
    output = run_tool(
        [tool, *_ARGUMENTS, *chosen, "--", *(path.absolute() for path in files)],
        what="clamscan",
        limits=Limits(seconds=_HOURS),
    )
    if output.status not in (0, _FOUND):
        raise ToolError(
            "clamscan failed",
            where=str(tool),
            found=output.errors or f"exit status {output.status}",
            hint=f"check that it has a database (freshclam, or {DATABASE_VARIABLE})",
        )
    lines = output.data.decode("utf-8", "replace").splitlines()
    found = [line.removesuffix(" FOUND") for line in lines if line.endswith(" FOUND")]
    if bool(found) != (output.status == _FOUND):
        raise ToolError("clamscan's answer is not understood", where=str(tool))
    findings = tuple(
        Finding(name.rpartition("/")[2], "found by ClamAV", found=what)
        for name, _, what in (line.rpartition(": ") for line in found[:SHOWN])
    )
    result: Result = "refused" if found else "passed"
    return FilterVerdict(NAME, RULE, result, len(files), len(found), findings)
