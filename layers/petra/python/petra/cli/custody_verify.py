"""``petra custody verify``: a bundle's way, proven."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from petra.cli.command import petra_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.cli.command import Call
    from petra.transfer.custody import Stage


@petra_command("verify")
@click.argument("logs", nargs=-1, required=True, type=click.Path(), metavar="LOG…")
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Public key (PEM) whose seals count; once for each side. [PETRA_VERIFY_KEY]",
)
def command(call: Call, logs: Sequence[str], keys: Sequence[str]) -> None:
    """Check a whole chain of custody, across both sides.

    LOG… are the logs in order: the sender's, then those that go on from it. Every line must follow
    from the one before, every stage be sealed by one of the keys, and nothing stand behind the last
    seal.
    """
    from petra.cli.keys import public_keys  # noqa: PLC0415  # start-up time
    from petra.encoding.models import to_value  # noqa: PLC0415  # as above
    from petra.transfer.custody import verify_custody  # noqa: PLC0415  # as above

    places = keys or [call.settings.need("verify_key")]
    trusted = [key for place in places for key in public_keys(place)]
    stages = verify_custody([Path(log) for log in logs], trusted)
    value: dict[str, Any] = {
        "verified": True,
        "logs": [*logs],
        "stages": [
            {
                "entries": [to_value(entry) for entry in stage.entries],
                "sealed": to_value(stage.seal),
                "key": stage.key.fingerprint,
            }
            for stage in stages
        ],
    }
    call.console.result(value, "\n".join(_lines(logs, stages)))


def _lines(logs: Sequence[str], stages: Sequence[Stage]) -> Iterator[str]:
    yield f"verified  {', '.join(logs)}"
    for stage in stages:
        for entry in stage.entries:
            yield f"{entry.number:4}  {entry.time:%Y-%m-%d %H:%M:%S}  {entry.stage}  {entry.who}"
            reason = f": {entry.reason}" if entry.reason else ""
            yield f"      {entry.action}, {entry.verdict}{reason}"
            yield from (f"      {name}  {digest}" for name, digest in entry.digests.items())
        yield f"{stage.seal.number:4}  sealed by sha256:{stage.key.fingerprint}"
