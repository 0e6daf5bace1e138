"""``petra bundle scan``: what is known of a bundle's images by now."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from petra.cli.bundle_inspect import UNVERIFIED
from petra.cli.command import file_option, petra_command
from petra.cli.opening import open_source, verified
from petra.cli.policy_files import read_policy
from petra.cli.rescan_rules import NONE, flag_rules, policy_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from petra.archive.reader import ArchiveReader
    from petra.bundle.metadata import Metadata
    from petra.cli.command import Call
    from petra.cli.rescan_rules import RescanRules
    from petra.scan.grype import GrypeScanner
    from petra.scan.model import Finding, ScanResult
    from petra.scan.verdict import ScanVerdict

_SEVERITIES: Final = ("negligible", "low", "medium", "high", "critical")


@petra_command("scan", settings=("verify_key", "policy"))
@file_option("The bundle, or its chunk folder.")
@click.option(
    "--signature",
    metavar="FILE",
    help="The signature, .sig or .sigstore.json, instead of those beside the bundle.",
)
@click.option(
    "--db",
    metavar="DIR",
    envvar="PETRA_GRYPE_DB",
    help="Grype's database; its own folder in the user's cache by default. [PETRA_GRYPE_DB]",
)
@click.option(
    "--max-db-age",
    type=click.FloatRange(min=0, min_open=True),
    default=5,
    show_default=True,
    metavar="DAYS",
    help="How old the database may be.",
)
@click.option(
    "--fail-on",
    type=click.Choice([*_SEVERITIES, NONE]),
    default="high",
    show_default=True,
    help="Refuse findings of this severity and worse, and of an unknown one.",
)
@click.option("--fixable-only", is_flag=True, help="Let pass what is known to have no fix.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Let pass what was published less than this long ago.",
)
@click.option(
    "--vex",
    multiple=True,
    metavar="FILE",
    help="An OpenVEX document whose statements waive findings. May stand several times.",
)
@click.option("--sbom-only", is_flag=True, help="Fail where layers would have to be read.")
def command(call: Call, file: str, signature: str | None, sbom_only: bool, **options: Any) -> None:  # noqa: FBT001  # click's way
    """Scan a bundle's images anew, with grype and the database at hand, offline.

    Each image is scanned by its SBOM in the bundle; one that has none is read out of the bundle in
    place, and grype unpacks what it needs into its own temporary folder. What was not known when
    the bundle was made is shown as new. With a key the bundle is verified first; without one
    everything shown is marked UNVERIFIED. Under a policy its rules for scans decide, and not the
    flags. Exit status 3 says that there are findings to stop at.
    """
    from datetime import UTC, datetime  # noqa: PLC0415  # start-up time

    from petra.cli.rescan import BundleImages  # noqa: PLC0415  # as above
    from petra.scan.scanner import scan_all  # noqa: PLC0415  # as above

    now = datetime.now(UTC)
    policy = read_policy(call.settings)
    rules = policy_rules(policy) if policy else flag_rules(options)
    scanner = _scanner(options["db"], rules, now)
    with (
        _opened(call, file, signature) as (reader, metadata),
        BundleImages(reader, metadata) as images,
    ):
        call.console.note(f"scanning with {_described(scanner, now)}")
        results = scan_all(scanner, images.jobs(layers=not sbom_only))
        known = images.recorded()
    found = _Found(metadata, scanner, results, known, rules, now)
    found.tell(call, file)


def _scanner(database: str | None, rules: RescanRules, now: datetime) -> GrypeScanner:
    from petra.scan.grype import GrypeScanner, default_database  # noqa: PLC0415  # start-up time

    return GrypeScanner(
        Path(database) if database else default_database(),
        max_age=rules.max_age,
        dates=rules.dated,
        now=now,
    )


def _described(scanner: GrypeScanner, now: datetime) -> str:
    from petra.scan.fields import moment_text  # noqa: PLC0415  # start-up time
    from petra.scan.scanner import days  # noqa: PLC0415  # as above

    info = scanner.describe()
    built = info.database.built if info.database else now
    return f"{info.name} {info.version}, database of {moment_text(built)}, {days(now - built)} old"


@contextmanager
def _opened(
    call: Call, file: str, signature: str | None
) -> Iterator[tuple[ArchiveReader, Metadata]]:
    """Open the bundle: verified with a key, unverified without one."""
    from petra.archive.members import METADATA  # noqa: PLC0415  # start-up time
    from petra.archive.reader import ArchiveReader  # noqa: PLC0415  # as above
    from petra.bundle.metadata import load_metadata  # noqa: PLC0415  # as above
    from petra.errors import PetraError  # noqa: PLC0415  # as above

    if call.settings.verify_key or signature:
        with verified(call, file, signature) as bundle:
            yield bundle.archive.reader, bundle.metadata
        return
    with open_source(Path(file)) as source:
        try:
            reader = ArchiveReader(source)
            metadata = load_metadata(reader.read(METADATA))
        except PetraError as error:
            error.name(f"bundle {file}")
            raise
        yield reader, metadata


class _Found:
    """What all scans found, as text and as JSON."""

    def __init__(
        self,
        metadata: Metadata,
        scanner: GrypeScanner,
        results: Sequence[ScanResult],
        known: dict[Any, ScanResult],
        rules: RescanRules,
        now: datetime,
    ) -> None:
        from petra.cli.rescan import news  # noqa: PLC0415  # start-up time

        self._metadata = metadata
        self._scanner = scanner.describe().to_json(now)
        self._head = _described(scanner, now)
        self._results = results
        self._news = [news(one, known.get(one.subject.digest)) for one in results]
        self._verdicts = [rules.decide(one, now) for one in results]
        self._unused = rules.unused()

    def tell(self, call: Call, file: str) -> None:
        """Print it; refuse if the gate does."""
        from petra.errors import PolicyError  # noqa: PLC0415  # start-up time
        from petra.scan.verdict import require_all  # noqa: PLC0415  # as above

        known = call.settings.verify_key is not None
        refusal = None
        try:
            require_all(self._decided)
        except PolicyError as error:
            refusal = error
        for line in self._unused:
            call.console.warn(f"a waiver is about nothing here: {line}")
        value: dict[str, Any] = {"verified": known, "bundle": file, **self._json()}
        text = "\n".join([*([] if known else [UNVERIFIED]), *self._lines()])
        call.console.judged(value, text, refusal)

    def _json(self) -> dict[str, Any]:
        images = []
        for place, result in enumerate(self._results):
            new = self._news[place]
            image = result.to_json()
            image["new"] = None if new is None else [finding.to_json() for finding in new]
            if verdict := self._verdicts[place]:
                image["verdict"] = verdict.to_json()
            images.append(image)
        return {
            "name": self._metadata.name,
            "version": self._metadata.version,
            "scanner": self._scanner,
            "allowed": all(one.allowed for one in self._decided) if self._decided else None,
            "images": images,
            "unusedWaivers": self._unused,
        }

    def _lines(self) -> Iterator[str]:
        yield f"{self._metadata.name} {self._metadata.version}  scanned with {self._head}"
        for place, result in enumerate(self._results):
            yield from self._image(result, self._news[place], self._verdicts[place])

    @property
    def _decided(self) -> list[ScanVerdict]:
        return [verdict for verdict in self._verdicts if verdict]

    def _image(
        self,
        result: ScanResult,
        new: tuple[Finding, ...] | None,
        verdict: ScanVerdict | None,
    ) -> Iterator[str]:
        counts = ", ".join(f"{count} {name}" for name, count in result.counts().items())
        since = "not scanned when the bundle was made" if new is None else f"{len(new)} new"
        yield f"{result.subject}  by {result.how}: {counts or 'no findings'}; {since}"
        for note in result.notes:
            yield f"    note: {note}"
        waived = dict(verdict.waived) if verdict else {}
        for finding in result.findings:
            mark = "new " if new and finding in new else ""
            why = waived.get(finding)
            ending = f"  waived: {why.reason} ({why.source})" if why else ""
            yield f"    {mark}{finding.describe()}{ending}"
