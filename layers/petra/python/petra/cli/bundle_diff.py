"""``petra bundle diff``: show how two bundles differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from petra.cli.base_files import base_line, base_value
from petra.cli.bundle_inspect import UNVERIFIED
from petra.cli.command import petra_command
from petra.cli.opening import unverified_metadata, verified
from petra.cli.output import human_size

if TYPE_CHECKING:
    from petra.bundle.diff import Change, Difference
    from petra.bundle.metadata import Metadata
    from petra.cli.command import Call

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@petra_command("diff", settings=("verify_key",))
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
def command(call: Call, old: str, new: str) -> None:
    """Show how two bundles differ: images, charts and files, and the bytes between them.

    With a key both are verified first; without one the result is marked UNVERIFIED.
    """
    from petra.bundle.diff import diff  # noqa: PLC0415  # start-up time

    before, after = _metadata(call, old), _metadata(call, new)
    found = diff(before, after)
    bases = {file: one.base for file, one in ((old, before), (new, after)) if one.base}
    known = call.settings.verify_key is not None
    value = {
        "verified": known,
        "old": old,
        "new": new,
        "changes": [
            {"kind": one.kind, "name": one.name, "change": one.verb, "old": one.old, "new": one.new}
            for one in found.changes
        ],
        "differential": {file: base_value(base) for file, base in bases.items()},
        "blobs": {"shared": found.shared, "added": found.added, "removed": found.removed},
    }
    lines = [] if known else [UNVERIFIED]
    lines += [f"{file} is differential: {base_line(base)}" for file, base in bases.items()]
    call.console.result(value, "\n".join([*lines, *map(_line, found.changes), _sum(found)]))


def _metadata(call: Call, file: str) -> Metadata:
    if call.settings.verify_key:
        with verified(call, file) as bundle:
            return bundle.metadata
    return unverified_metadata(Path(file))[0]


def _line(change: Change) -> str:
    digests = " -> ".join(digest[:19] for digest in (change.old, change.new) if digest)
    return f"{_SIGNS[change.verb]} {change.kind} {change.name}  {digests}"


def _sum(found: Difference) -> str:
    return (
        f"blobs: {human_size(found.shared)} shared, {human_size(found.added)} added, "
        f"{human_size(found.removed)} removed"
    )
