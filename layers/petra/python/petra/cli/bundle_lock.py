"""``petra bundle lock``: resolve a spec, and write what it stands for beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from petra.cli.command import file_option, petra_command
from petra.cli.output import human_size
from petra.cli.registries import REGISTRY_SETTINGS
from petra.cli.spec_files import lock_value, read_spec, request, warn_of_missing

if TYPE_CHECKING:
    from petra.bundle.lock import Lock
    from petra.cli.command import Call


@petra_command("lock", settings=REGISTRY_SETTINGS)
@file_option("The spec, a bundle.yaml.", metavar="SPEC")
@click.option(
    "--allow-missing-images",
    is_flag=True,
    help="Go on although a bundled release needs an image that the spec lacks.",
)
def command(call: Call, file: str, allow_missing_images: bool) -> None:  # noqa: FBT001  # a flag
    """Resolve a spec and write bundle.lock.yaml beside it: every tag a digest, every blob a size.

    `create --locked` keeps to it and refuses any drift. No layer is fetched.
    """
    from petra.archive.sink import write_file  # noqa: PLC0415  # start-up time
    from petra.bundle.create import prepare  # noqa: PLC0415  # as above
    from petra.bundle.lock import dump_lock  # noqa: PLC0415  # as above

    spec = read_spec(file)
    with request(spec, call.settings, locked=None, allow_missing=allow_missing_images) as wanted:
        prepared = prepare(wanted)
    write_file(spec.lock_path, dump_lock(prepared.lock))
    warn_of_missing(call, prepared.settled.missing)
    missing = [image.reference for image in prepared.settled.missing]
    value = {
        "lock": str(spec.lock_path),
        **lock_value(prepared.lock),
        "bytes": _size(prepared.lock),
        "missingImages": missing,
    }
    call.console.result(value, f"{_text(prepared.lock)}lock    {spec.lock_path}")


def _size(lock: Lock) -> int:
    return sum(blob.size for blob in lock.blobs()) + sum(chart.size for chart in lock.charts)


def _text(lock: Lock) -> str:
    images = "".join(f"image   {i.reference}\n        {i.root.digest}\n" for i in lock.images)
    charts = "".join(f"chart   {c.name} {c.version}\n        {c.digest}\n" for c in lock.charts)
    return f"{images}{charts}bytes   {human_size(_size(lock))}\n"
