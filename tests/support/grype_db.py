"""Writes a small vulnerability database as grype's schema v6 has it, from records made up here.

Grype reads ``CACHE/6/vulnerability.db``, an SQLite file, and believes it by the XXH64 digest in
``import.json`` beside it. Only the tables and columns that matching asks for are written.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCHEMA = (6, 1, 4)
BUILT = datetime(2026, 11, 20, tzinfo=UTC)

_TABLES = """
create table db_metadata (build_timestamp datetime, model integer, revision integer,
    addition integer);
create table providers (id text primary key, version text, processor text,
    date_captured datetime, input_digest text);
create table blobs (id integer primary key, value text);
create table vulnerability_handles (id integer primary key, name text, status text,
    published_date datetime, modified_date datetime, withdrawn_date datetime, provider_id text,
    blob_id integer);
create table vulnerability_aliases (name text, alias text);
create table operating_systems (id integer primary key, name text, release_id text,
    major_version text, minor_version text, label_version text, codename text, channel text,
    eol_date datetime, eoas_date datetime);
create table operating_system_specifier_overrides (alias text, version text,
    version_pattern text, codename text, channel text, replacement text,
    replacement_major_version text, replacement_minor_version text,
    replacement_label_version text, replacement_channel text, rolling numeric,
    applicable_client_db_schemas text);
create table packages (id integer primary key, ecosystem text, name text);
create table package_specifier_overrides (ecosystem text, replacement_ecosystem text);
create table package_cpes (cpe_id integer, package_id integer);
create table cpes (id integer primary key, part text, vendor text, product text, edition text,
    language text, software_edition text, target_hardware text, target_software text,
    other text);
create table known_exploited_vulnerability_handles (id integer primary key, cve text,
    blob_id integer);
create table epss_handles (id integer primary key, cve text, epss real, percentile real);
create table epss_metadata (date datetime);
create table cwe_handles (id integer primary key, cve text, cwe text, source text, type text);
create table affected_package_handles (id integer primary key, vulnerability_id integer,
    operating_system_id integer, package_id integer, blob_id integer);
create table unaffected_package_handles (id integer primary key, vulnerability_id integer,
    operating_system_id integer, package_id integer, blob_id integer);
create table affected_cpe_handles (id integer primary key, vulnerability_id integer,
    cpe_id integer, blob_id integer);
create table unaffected_cpe_handles (id integer primary key, vulnerability_id integer,
    cpe_id integer, blob_id integer);
"""


@dataclass(frozen=True)
class Distribution:
    """An operating system as the database and package URLs call it.

    Attributes:
        name: ``debian``.
        major: its version's first part; empty for one that rolls.
        ecosystem: of its packages.
        format: of its versions.
    """

    name: str
    major: str
    ecosystem: str
    format: str

    @property
    def rolling(self) -> bool:
        return not self.major

    def purl(self, package: str, version: str, architecture: str = "") -> str:
        """Return the package URL that SBOMs have for a package of it."""
        distro = f"{self.name}-{self.major}" if self.major else self.name
        arch = f"arch={architecture}&" if architecture else ""
        return f"pkg:{self.ecosystem}/{self.name}/{package}@{version}?{arch}distro={distro}"


DEBIAN = Distribution("debian", "12", "deb", "dpkg")
WOLFI = Distribution("wolfi", "", "apk", "apk")


@dataclass(frozen=True)
class Record:
    """A vulnerability of one package.

    Attributes:
        id: its name.
        severity: a word.
        package: the package's name.
        fix: the first version without it; None where there is none.
        on: the distribution; None for a Go module.
        state: of the fix, where there is none.
        published: the day of publication.
    """

    id: str
    severity: str
    package: str
    fix: str | None = None
    on: Distribution | None = DEBIAN
    state: str = "not-fixed"
    published: datetime = BUILT

    @property
    def provider(self) -> str:
        return self.on.name if self.on else "github"


def write_database(cache: Path, records: Iterable[Record], built: datetime = BUILT) -> Path:
    """Write the database to ``CACHE/6``; return `cache`, what ``GRYPE_DB_CACHE_DIR`` names."""
    folder = cache / ".".join(map(str, SCHEMA[:1]))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vulnerability.db"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    try:
        _Writer(database, built).write(records)
        database.commit()
    finally:
        database.close()
    seal(cache)
    return cache


def seal(cache: Path) -> None:
    """Write the digest by which grype believes the database."""
    folder = cache / "6"
    digest = f"xxh64:{xxh64((folder / 'vulnerability.db').read_bytes()):016x}"
    imported = {"digest": digest, "source": "made up", "client_version": "v" + _dotted()}
    (folder / "import.json").write_text(json.dumps(imported))


def _dotted() -> str:
    return ".".join(map(str, SCHEMA))


class _Writer:
    """Fills one database, row by row."""

    def __init__(self, database: sqlite3.Connection, built: datetime) -> None:
        self._database = database
        self._built = built
        self._known: dict[tuple[str, tuple[Any, ...]], int] = {}

    def write(self, records: Iterable[Record]) -> None:
        self._database.executescript(_TABLES)
        model, revision, addition = SCHEMA
        self._add(
            "db_metadata",
            build_timestamp=_moment(self._built),
            model=model,
            revision=revision,
            addition=addition,
        )
        for record in records:
            self._record(record)

    def _record(self, record: Record) -> None:
        provider = {"version": "1", "processor": "tests", "input_digest": "xxh64:0"}
        self._once("providers", id=record.provider, date_captured=_moment(self._built), **provider)
        about = {
            "id": record.id,
            "description": f"made up for {record.package}",
            "severities": [{"scheme": "CHMLN", "value": record.severity, "rank": 1}],
        }
        vulnerability = self._add(
            "vulnerability_handles",
            name=record.id,
            status="active",
            published_date=_moment(record.published),
            modified_date=_moment(record.published),
            provider_id=record.provider,
            blob_id=self._blob(about),
        )
        self._add(
            "affected_package_handles",
            vulnerability_id=vulnerability,
            operating_system_id=self._system(record.on) if record.on else None,
            package_id=self._once(
                "packages",
                ecosystem=record.on.ecosystem if record.on else "go-module",
                name=record.package,
            ),
            blob_id=self._blob({"cves": [record.id], "ranges": [_range(record)]}),
        )

    def _system(self, one: Distribution) -> int:
        """Add a distribution; one that rolls has no versions, which takes a rule of its own."""
        if one.rolling:
            self._once(
                "operating_system_specifier_overrides",
                alias=one.name,
                version="",
                version_pattern="",
                codename="",
                channel="",
                rolling=1,
                applicable_client_db_schemas="",
            )
        return self._once(
            "operating_systems",
            name=one.name,
            release_id=one.name,
            major_version=one.major,
            minor_version="",
            label_version="rolling" if one.rolling else "",
            codename="",
            channel="",
        )

    def _blob(self, value: dict[str, Any]) -> int:
        return self._add("blobs", value=json.dumps(value))

    def _once(self, table: str, **values: Any) -> int:
        key = table, tuple(values.values())
        if key not in self._known:
            self._known[key] = self._add(table, **values)
        return self._known[key]

    def _add(self, table: str, **values: Any) -> int:
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        cursor = self._database.execute(
            f"insert into {table} ({columns}) values ({marks})",  # noqa: S608  # our own names
            tuple(values.values()),
        )
        return cursor.lastrowid or 0


def _range(record: Record) -> dict[str, Any]:
    kind = record.on.format if record.on else "go"
    constraint = f"< {record.fix}" if record.fix else ""
    state = "fixed" if record.fix else record.state
    return {
        "version": {"type": kind, "constraint": constraint},
        "fix": {"version": record.fix or "", "state": state},
    }


def _moment(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S+00:00")


_ONES = (1 << 64) - 1
_A, _B, _C, _D, _E = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def xxh64(data: bytes) -> int:
    """Return the XXH64 digest of `data` with seed 0. Source: xxHash specification, XXH64."""
    whole = len(data) // 32 * 32
    total = _stripes(data[:whole]) if whole else _E
    total = (total + len(data)) & _ONES
    rest = data[whole:]
    while len(rest) >= 8:
        total = (_turn(total ^ _round(0, _word(rest[:8])), 27) * _A + _D) & _ONES
        rest = rest[8:]
    if len(rest) >= 4:
        total = (_turn(total ^ (_word(rest[:4]) * _A & _ONES), 23) * _B + _C) & _ONES
        rest = rest[4:]
    for byte in rest:
        total = _turn(total ^ (byte * _E & _ONES), 11) * _A & _ONES
    total = (total ^ total >> 33) * _B & _ONES
    total = (total ^ total >> 29) * _C & _ONES
    return total ^ total >> 32


def _stripes(data: bytes) -> int:
    lanes = [(_A + _B) & _ONES, _B, 0, -_A & _ONES]
    for start in range(0, len(data), 32):
        lanes = [
            _round(lane, _word(data[at : at + 8]))
            for lane, at in zip(lanes, range(start, start + 32, 8), strict=True)
        ]
    turns = zip(lanes, (1, 7, 12, 18), strict=True)
    total = sum(_turn(lane, count) for lane, count in turns) & _ONES
    for lane in lanes:
        total = ((total ^ _round(0, lane)) * _A + _D) & _ONES
    return total


def _round(lane: int, word: int) -> int:
    return _turn((lane + word * _B) & _ONES, 31) * _A & _ONES


def _turn(word: int, count: int) -> int:
    return (word << count | word >> 64 - count) & _ONES


def _word(data: bytes) -> int:
    return int.from_bytes(data, "little")
