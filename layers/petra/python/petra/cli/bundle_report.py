"""``petra bundle report``: a bundle as one page for an accreditor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.command import petra_command
from petra.cli.opening import open_source, verified

if TYPE_CHECKING:
    from petra.bundle.metadata import Metadata
    from petra.cli.command import Call
    from petra.report.page import Facts

_FORMS = (".tar.zst", ".tar.gz")


@petra_command("report", settings=("verify_key",))
@click.argument("bundle", required=False, metavar="BUNDLE", type=click.Path())
@click.option("-f", "--file", metavar="FILE", type=click.Path(), help="The same as BUNDLE.")
@click.option("--to", metavar="FILE", help="The page; NAME-VERSION.report.html beside the bundle.")
def command(call: Call, bundle: str | None, file: str | None, to: str | None) -> None:
    """Write one self-contained HTML page about a bundle, to read, filter and print.

    What is in it, who signed what and how that is known, findings and what became of them,
    waivers, charts, sizes, and the layers that images share. With a key the bundle is verified
    first; without one the page says UNVERIFIED at its top.
    """
    from petra.archive.sink import write_file  # noqa: PLC0415  # start-up time
    from petra.bundle.agreement import bundle_lock  # noqa: PLC0415  # as above
    from petra.report.page import Facts, report  # noqa: PLC0415  # as above

    named = bundle or file
    if named is None or (bundle and file):
        raise click.UsageError("name one bundle")
    path = Path(named)
    if call.settings.verify_key:
        with verified(call, named) as found:
            reader = found.archive.reader
            name = Path(reader.source.name).name
            facts = Facts(name, reader.source.size, found.archive.digest, found.key.fingerprint)
            lock = bundle_lock(reader, found.metadata)
            page, target = report(found.metadata, lock, facts), _target(path, name, to)
    else:
        page, target = _unverified(path, to)
    write_file(target, page)
    verdict = bool(call.settings.verify_key)
    text = f"report    {target}" + ("" if verdict else "\nUNVERIFIED: give --key to verify first")
    call.console.result({"report": str(target), "verified": verdict, "size": len(page)}, text)


def _unverified(path: Path, to: str | None) -> tuple[bytes, Path]:
    from petra.archive.members import METADATA  # noqa: PLC0415  # start-up time
    from petra.archive.reader import ArchiveReader  # noqa: PLC0415  # as above
    from petra.bundle.agreement import bundle_lock  # noqa: PLC0415  # as above
    from petra.bundle.metadata import load_metadata  # noqa: PLC0415  # as above
    from petra.errors import PetraError  # noqa: PLC0415  # as above
    from petra.report.page import Facts, report  # noqa: PLC0415  # as above

    with open_source(path) as source:
        try:
            reader = ArchiveReader(source)
            metadata: Metadata = load_metadata(reader.read(METADATA))
            name = Path(source.name).name
            facts: Facts = Facts(name, source.size)
            return report(metadata, bundle_lock(reader, metadata), facts), _target(path, name, to)
        except PetraError as error:
            error.name(f"bundle {path}")
            raise


def _target(path: Path, name: str, to: str | None) -> Path:
    if to is not None:
        return Path(to)
    stem = name
    for form in _FORMS:
        stem = stem.removesuffix(form)
    return path.with_name(f"{stem}.report.html")
