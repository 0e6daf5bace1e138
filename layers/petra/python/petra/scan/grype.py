"""Grype as a program of its own, entirely offline."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from petra.encoding.json import load_json
from petra.errors import FormatError, ToolError
from petra.scan import fields
from petra.scan.model import Database, Finding, FixState, How, ScannerInfo, ScanResult, Severity
from petra.scan.process import Limits, built_in_version, find_tool, run_tool
from petra.scan.sbom import check_sbom
from petra.scan.scanner import MAX_DATABASE_AGE, LayoutImage, check_database_age

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import timedelta

    from petra.scan.model import Subject
    from petra.scan.process import Output
    from petra.scan.sbom import Sbom
    from petra.scan.scanner import ImageSource

#: Names the grype to use; empty says that there is none.
GRYPE_VARIABLE: Final = "PETRA_GRYPE"

#: A scan of an SBOM is a third of a second on one core, and several go on at once: Go's own threads
#: and early collections only get in each other's way. Together they take a quarter off.
_SMALL: Final = {"GOMAXPROCS": "1", "GOGC": "200"}
_OFFLINE: Final = {
    "GRYPE_CHECK_FOR_APP_UPDATE": "false",
    "GRYPE_DB_AUTO_UPDATE": "false",
    "GRYPE_DB_REQUIRE_UPDATE_CHECK": "false",
    "GRYPE_DB_VALIDATE_AGE": "false",  # we do that, and say more about it
    "GRYPE_EXTERNAL_SOURCES_ENABLE": "false",
    "GRYPE_LOG_QUIET": "false",
}
_STATUS: Final = Limits(seconds=120, output=1024 * 1024)
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_IDS_AT_ONCE: Final = 500
_FIX_HINT: Final = "run it by hand to see; `grype db status` tells of the database"


def find_grype(environment: Mapping[str, str] | None = None) -> Path:
    """Return the grype program.

    Args:
        environment: ours by default. ``PETRA_GRYPE`` names it; else it is looked for in ``PATH``.

    Raises:
        SettingError: ``PETRA_GRYPE`` names no program.
        ToolError: there is none.
    """
    found = find_tool(GRYPE_VARIABLE, "grype", environment)
    if found is None:
        raise ToolError(
            "there is no scanner: grype is not at hand",
            hint=f"install grype and put it in PATH, or set {GRYPE_VARIABLE}; give a report that "
            "another scanner made; or skip the scan with a reason (spec.scan.skip), which the "
            "metadata records",
        )
    return found


def default_database(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder where the user's own grype keeps its database.

    Args:
        environment: ours by default. ``GRYPE_DB_CACHE_DIR`` names it; else it is grype's own in the
            user's cache.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get("GRYPE_DB_CACHE_DIR"):
        return Path(named)
    cache = environment.get("XDG_CACHE_HOME")
    home = environment.get("HOME") or str(Path("~").expanduser())
    return (Path(cache) if cache else Path(home) / ".cache") / "grype" / "db"


class GrypeScanner:
    """Scans with grype: SBOMs in a twentieth of a second, images in about one.

    Args:
        database: the folder of its database, what ``GRYPE_DB_CACHE_DIR`` names.
        program: by default what :func:`find_grype` finds.
        max_age: how old the database may be; None for any age.
        dates: whether findings get the date of their publication, for a gate that grants time. It
            costs a second call of grype.
        now: the time; the clock's where None.
        limits: what one scan may take.

    Raises:
        ToolError: there is no grype.
    """

    def __init__(
        self,
        database: Path,
        *,
        program: Path | None = None,
        max_age: timedelta | None = MAX_DATABASE_AGE,
        dates: bool = False,
        now: datetime | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._folder = database.absolute()
        self._program = program or find_grype()
        self._max_age = max_age
        self._dates = dates
        self._time = now
        self._limits = limits or Limits()
        self._info: ScannerInfo | None = None
        self._lock = threading.Lock()

    def describe(self) -> ScannerInfo:
        """Return grype's version and its database's, which is checked in full the first time.

        Raises:
            ToolError: grype does not run, or its database is missing or damaged.
            PolicyError: the database is too old.
        """
        with self._lock:
            if self._info is None:
                info = ScannerInfo("grype", self._version(), self._database())
                check_database_age(info, self._max_age, self._now())
                self._info = info
            return self._info

    def scan_sbom(self, subject: Subject, sbom: Sbom) -> ScanResult:
        """Scan an SBOM, and nothing else.

        Raises:
            FormatError: it is no SBOM, or unfit to be scanned.
            ToolError: grype failed.
        """
        check_sbom(sbom)
        return self._scan(subject, "sbom", "sbom:/dev/stdin", sbom.data)

    def scan_image(self, subject: Subject, image: ImageSource) -> ScanResult:
        """Scan an image's layers; grype unpacks them into a folder that goes with it.

        Raises:
            ToolError: grype failed.
        """
        if isinstance(image, LayoutImage):
            return self._scan(subject, "image", f"oci-dir:{image.path.absolute()}")
        return self._scan(subject, "image", f"registry:{image}")

    def _scan(
        self, subject: Subject, how: How, target: str, stdin: bytes | None = None
    ) -> ScanResult:
        info = self.describe()
        # The database's own digest was checked by describe(): 1 GiB need not be read every time.
        more = {"GRYPE_DB_VALIDATE_BY_HASH_ON_START": "false"}
        if how == "image":
            more["GRYPE_REGISTRY_INSECURE_USE_HTTP"] = "true"
        else:
            more |= _SMALL
        output = self._run([target, "-o", "json"], self._limits, stdin=stdin, more=more)
        if output.status:
            raise self._failed("grype cannot scan it", output, str(subject))
        value = _object(output.data, "grype's report")
        findings = tuple(_finding(one) for one in fields.objects(value, "matches", "grype"))
        if not isinstance(value.get("matches"), list):
            raise FormatError("grype's report has no matches", where=str(subject))
        if self._dates:
            findings = self._dated(findings)
        return ScanResult(subject, info, how, self._now(), findings, raw=output.data)

    def _dated(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Return `findings` with the earliest date that the database has for each."""
        published: dict[str, datetime] = {}
        ids = sorted({one.id for one in findings if _ID.fullmatch(one.id)})
        for start in range(0, len(ids), _IDS_AT_ONCE):
            for record in self._records(ids[start : start + _IDS_AT_ONCE]):
                name = fields.text(record, "id", "grype").lower()
                date = fields.moment(record, "published_date", "grype")
                if date:
                    published[name] = min(date, published.get(name, date))
        return tuple(replace(one, published=published.get(one.id.lower())) for one in findings)

    def _records(self, ids: list[str]) -> list[dict[str, Any]]:
        command = ["db", "search", "vuln", *ids, "--limit", "0", "-o", "json"]
        output = self._run(command, self._limits)
        if output.status:
            raise self._failed("grype cannot look up dates", output)
        records = load_json(output.data, where="grype db search")
        return fields.objects({"records": records}, "records", "grype db search")

    def _database(self) -> Database:
        output = self._run(["db", "status", "-o", "json"], _STATUS)
        try:
            status = _object(output.data, "grype db status")
        except FormatError:
            raise self._failed("grype does not tell the status of its database", output) from None
        built = fields.moment(status, "built", "grype db status")
        if output.status or status.get("valid") is not True or built is None:
            raise ToolError(
                "grype's database cannot be used",
                where=str(self._folder),
                found=fields.text(status, "error", "grype db status") or output.errors or None,
                hint="fetch one with `grype db update`, or name its folder with --db",
            )
        return Database(built, fields.text(status, "schemaVersion", "grype db status"))

    def _version(self) -> str:
        output = self._run(["version", "-o", "json"], _STATUS)
        if output.status:
            raise self._failed("grype does not tell its version", output)
        version = fields.text(_object(output.data, "grype version"), "version", "grype version")
        return version if version[:1].isdigit() else built_in_version(self._program) or "unknown"

    def _run(
        self,
        arguments: list[str],
        limits: Limits,
        *,
        stdin: bytes | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Output:
        variables = {**_OFFLINE, "GRYPE_DB_CACHE_DIR": str(self._folder)}
        variables |= dict(more or {})
        command: list[str | Path] = [self._program, *arguments]
        return run_tool(command, what="grype", stdin=stdin, environment=variables, limits=limits)

    def _failed(self, message: str, output: Output, where: str | None = None) -> ToolError:
        found = output.errors or f"exit status {output.status}"
        return ToolError(message, where=where or str(self._program), found=found, hint=_FIX_HINT)

    def _now(self) -> datetime:
        return (self._time or datetime.now(UTC)).replace(microsecond=0)


def _object(data: bytes, where: str) -> dict[str, Any]:
    return fields.as_object(load_json(data, where=where), "answer", where)


def _finding(match: dict[str, Any]) -> Finding:
    """Return one entry of ``matches``, as grype 0.110 writes it."""
    where = "grype's report"
    vulnerability = fields.inner(match, "vulnerability", where)
    package = fields.inner(match, "artifact", where)
    fix = fields.inner(vulnerability, "fix", where)
    related = fields.objects(match, "relatedVulnerabilities", where)
    return Finding(
        id=fields.need(vulnerability, "id", where),
        package=fields.need(package, "name", where),
        version=fields.text(package, "version", where),
        type=fields.text(package, "type", where),
        purl=fields.text(package, "purl", where),
        severity=Severity.parse(fields.text(vulnerability, "severity", where)),
        fix_state=FixState.parse(fields.text(fix, "state", where)),
        fix_versions=fields.texts(fix, "versions", where),
        aliases=tuple(_ids(related, where)),
        source=fields.text(vulnerability, "namespace", where),
        locations=tuple(_paths(fields.objects(package, "locations", where), where)),
    )


def _ids(related: Iterable[dict[str, Any]], where: str) -> Iterator[str]:
    return (fields.need(one, "id", where) for one in related)


def _paths(locations: Iterable[dict[str, Any]], where: str) -> Iterator[str]:
    return filter(None, (fields.text(one, "path", where) for one in locations))
