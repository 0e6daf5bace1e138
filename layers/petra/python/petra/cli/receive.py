"""``petra receive``: take in what has arrived, verified, whole and rebuilt where parity can."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from petra.cli.chunk_folders import verified_whole
from petra.cli.command import petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.durations import Duration
from petra.cli.policy_files import RECEIVER_SETTINGS, receiver_of
from petra.cli.watching import Watching, watch
from petra.errors import DigestMismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.bundle.receive import Receiver
    from petra.bundle.verify import VerifiedBundle
    from petra.cli.command import Call
    from petra.transfer.arrival import Arrival


@petra_command("receive", settings=("verify_key", *RECEIVER_SETTINGS, *CUSTODY_SETTINGS))
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option(
    "--to",
    "inbox",
    metavar="DIR",
    envvar="PETRA_INBOX",
    help="Copy what is good into this inbox, as DIR/NAME-VERSION. [PETRA_INBOX]",
)
@click.option(
    "--watch", is_flag=True, help="Go on watching DIR, and take in each bundle when it can be."
)
@click.option(
    "--settle",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: so long a file must not have changed.",
)
@click.option(
    "--give-up",
    type=Duration(),
    metavar="TIME",
    help="With --watch: end so long after the last change, with the names of what did not come.",
)
@click.option("--once", is_flag=True, help="With --watch: end when all that came is taken in.")
@click.option(
    "--stream",
    metavar="HOST[:PORT]",
    help="Listen here for a stream by pydiode that fills DIR, and watch it.",
)
def command(call: Call, folder: str, inbox: str | None, **options: Any) -> None:
    """Take in the bundles that have arrived in DIR: a medium, a diode's folder, a chunk folder.

    Each is verified as petra bundle verify does it. With --to it is copied into an inbox first, so
    that a medium can be read-only: chunks that are missing, damaged or cannot be read are rebuilt
    there from parity. It appears in the inbox only when all of it is good, and DIR stays as it is.
    Without --to chunks are rebuilt in DIR itself.

    With --watch files may come in any order, several times, in halves or not at all: each bundle is
    taken in as soon as it is whole or parity makes up for the rest. What is missing is named.
    """
    from petra.transfer.arrival import find_arrivals  # noqa: PLC0415  # start-up time

    receiver = receiver_of(call.settings)
    place = Path(inbox) if inbox else None
    if options["watch"] or options["stream"]:
        how = _watching(Path(folder), place, options)
        watch(call, how, receiver, lambda one: _watched(call, one, place, receiver), _lines)
        return
    if options["once"] or options["give_up"] is not None:
        raise UsageError("--once and --give-up are for a watch", expected="--watch as well")
    with custody(call, "receive", "receive") as digests:
        found = []
        for one in find_arrivals(Path(folder)):
            found.append(_receive(call, one, place, receiver))
            digests[one.path.name] = found[-1]["digest"]
    lines = [line for one in found for line in _lines(one)]
    call.console.result({"received": found}, "\n".join(lines))


def _watching(folder: Path, inbox: Path | None, options: dict[str, Any]) -> Watching:
    from petra.transfer.watch import Patience  # noqa: PLC0415  # start-up time

    if inbox is None:
        raise UsageError("watching needs an inbox", expected="--to DIR")
    patience = Patience(options["settle"], options["give_up"], options["once"])
    return Watching(folder, inbox, options["stream"], patience)


def _watched(
    call: Call, arrival: Arrival, inbox: Path | None, receiver: Receiver | None
) -> dict[str, Any]:
    """Take in one bundle of a watch, a stage of custody of its own."""
    with custody(call, "receive", "receive") as digests:
        value = _receive(call, arrival, inbox, receiver)
        digests[arrival.path.name] = value["digest"]
    return value


def _receive(
    call: Call, arrival: Arrival, inbox: Path | None, receiver: Receiver | None
) -> dict[str, Any]:
    if inbox is None:
        with verified_whole(call, str(arrival.path), None, receiver=receiver) as (bundle, rebuilt):
            return _value(bundle, arrival.path, rebuilt or [])
    from petra.transfer.arrival import taken_in  # noqa: PLC0415  # start-up time

    with call.console.progress() as progress, taken_in(arrival, inbox, progress) as (copy, unread):
        with verified_whole(call, str(copy), None, receiver=receiver) as (bundle, rebuilt):
            value = _value(bundle, arrival.path, rebuilt or [])
            stem = f"{bundle.metadata.name}-{bundle.metadata.version}"
        value["unread"] = unread
        return value | _placed(call, copy, inbox / stem, value["digest"], receiver)


def _placed(
    call: Call, copy: Path, final: Path, digest: str, receiver: Receiver | None
) -> dict[str, Any]:
    """Let the copy appear in the inbox, unless the same bundle is there already."""
    from petra.transfer.arrival import publish  # noqa: PLC0415  # start-up time

    if not final.exists():
        return {"path": str(publish(copy, final.parent, final.name)), "wasThere": False}
    place = final if copy.is_dir() else final / copy.name
    with verified_whole(call, str(place), None, receiver=receiver) as (bundle, _):
        there = bundle.archive.digest
    if there != digest:
        raise DigestMismatchError(
            "another bundle of this name and version is in the inbox",
            where=str(place),
            expected=digest,
            found=there,
            hint="ask the sender which one is right; nothing is replaced",
        )
    return {"path": str(place), "wasThere": True}


def _value(bundle: VerifiedBundle, path: Path, rebuilt: list[str]) -> dict[str, Any]:
    metadata = bundle.metadata
    return {
        "from": str(path),
        "path": str(path),
        "name": metadata.name,
        "version": metadata.version,
        "serial": metadata.serial,
        "digest": bundle.archive.digest,
        "key": bundle.key.fingerprint,
        "rebuilt": rebuilt,
        "skipped": metadata.skipped(),
    }


def _lines(value: Mapping[str, Any]) -> list[str]:
    was_there = " (was there already)" if value.get("wasThere") else ""
    return [
        f"received  {value['name']} {value['version']}, serial {value['serial']}",
        f"bundle    {value['path']}{was_there}",
        f"digest    {value['digest']}",
        f"signed by sha256:{value['key']}",
        *(f"unread    {name}" for name in value.get("unread", ())),
        *(f"rebuilt   {name}" for name in value["rebuilt"]),
    ]
