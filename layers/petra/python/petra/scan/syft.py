"""Syft as a program of its own, entirely offline: makes the SBOM that an image lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.encoding.json import dump_json, load_json
from petra.errors import ToolError
from petra.scan import fields
from petra.scan.fields import moment_text
from petra.scan.process import Limits, built_in_version, find_tool, run_tool
from petra.scan.sbom import Sbom

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from petra.scan.model import Subject
    from petra.scan.scanner import LayoutImage

#: Names the syft to use; empty says that there is none.
SYFT_VARIABLE: Final = "PETRA_SYFT"
_ENVIRONMENT: Final = {
    "SYFT_CHECK_FOR_APP_UPDATE": "false",
    "SYFT_FILE_METADATA_SELECTION": "none",
}
_NAMESPACE: Final = "https://petra.sh/spdx/"
_ENDS: Final = ("spdxElementId", "relatedSpdxElement")


class Syft:
    """Makes SBOMs with syft. Safe for several threads.

    Args:
        program: syft.
        limits: what one SBOM may take.
    """

    def __init__(self, program: Path, *, limits: Limits | None = None) -> None:
        self._program = program
        self._limits = limits or Limits()
        self.version = built_in_version(program) or "unknown"

    @classmethod
    def find(cls, environment: Mapping[str, str] | None = None) -> Syft | None:
        """Return the one that ``PETRA_SYFT`` names, else the one in ``PATH``; None without any.

        Raises:
            SettingError: ``PETRA_SYFT`` names no program.
        """
        program = find_tool(SYFT_VARIABLE, "syft", environment)
        return cls(program) if program else None

    def sbom(self, subject: Subject, image: LayoutImage, moment: datetime) -> Sbom:
        """Return the SBOM of an image for one platform, as SPDX 2.3.

        The same image, program and moment give the same bytes: what syft makes up each time, it is
        told here. The list of files stays out, which is long and says nothing of packages.

        Args:
            subject: what the image is.
            image: where it is.
            moment: when the SBOM is to have been made.

        Raises:
            ToolError: syft failed.
            FormatError: what it wrote is no SPDX document.
        """
        command: list[str | Path] = [self._program, "scan", f"oci-dir:{image.path.absolute()}"]
        named = ["--source-name", subject.reference, "--source-version", str(subject.digest)]
        output = run_tool(
            [*command, "-o", "spdx-json", *named],
            what="syft",
            environment=_ENVIRONMENT,
            limits=self._limits,
        )
        if output.status:
            found = output.errors or f"exit status {output.status}"
            hint = "run it by hand to see; or set PETRA_SYFT= to do without"
            raise ToolError("syft makes no SBOM", where=str(subject), found=found, hint=hint)
        where = f"syft's SBOM of {subject}"
        value = fields.as_object(load_json(output.data, where=where), "SBOM", where)
        return Sbom(dump_json(_settled(value, subject, moment, where)), where)


def _settled(
    value: dict[str, Any], subject: Subject, moment: datetime, where: str
) -> dict[str, Any]:
    """Return the document without files, and with what differs from run to run made fast."""
    files = {one.get("SPDXID") for one in fields.objects(value, "files", where)}
    kept = [
        one
        for one in fields.objects(value, "relationships", where)
        if not any(one.get(end) in files for end in _ENDS)
    ]
    made = {**fields.inner(value, "creationInfo", where), "created": moment_text(moment)}
    settled = {
        "documentNamespace": f"{_NAMESPACE}{subject.digest.replace(':', '/')}",
        "creationInfo": made,
        "relationships": kept,
    }
    return {key: part for key, part in {**value, **settled}.items() if key != "files"}
