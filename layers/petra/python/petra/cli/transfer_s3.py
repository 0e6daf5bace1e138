"""``petra transfer s3``: a bundle across by S3, or by a service that takes objects from S3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from petra.cli.command import file_option, petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.opening import verified
from petra.cli.output import human_size
from petra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.aws.objects import Place
    from petra.cli.command import Call
    from petra.content.progress import Progress
    from petra.transfer.crossing import Limits, Parcel, Transfer
    from petra.transfer.shipment import Shipment, ShippedFile


@petra_command("s3", settings=("verify_key", *CUSTODY_SETTINGS))
@file_option("The bundle, or its chunk folder.")
@click.option(
    "--outbox",
    required=True,
    metavar="s3://BUCKET/PREFIX",
    envvar="PETRA_OUTBOX",
    help="Where the files are put, to be sent from. [PETRA_OUTBOX]",
)
@click.option(
    "--to", "landing", metavar="s3://BUCKET/PREFIX", help="Copy them to this place inside S3."
)
@click.option(
    "--call",
    "template",
    metavar="FILE",
    help="Send them by the service calls that this TransferCall document describes.",
)
@click.option(
    "--in-flight", type=click.IntRange(1, 100), default=4, show_default=True, help="At once."
)
@click.option(
    "--per-second",
    type=click.FloatRange(0, 1000, min_open=True),
    default=5.0,
    show_default=True,
    help="Transfers that begin in a second.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=6.0,
    show_default=True,
    metavar="HOURS",
    help="How long one file may take.",
)
def command(
    call: Call,
    file: str,
    outbox: str,
    landing: str | None,
    template: str | None,
    **options: Any,
) -> None:
    """Send a bundle across by S3: verified, put into an outbox, and from there to the other side.

    From the outbox files go by a copy inside S3 (--to), or by any service that takes objects from
    S3 and whose calls a document describes (--call). Nothing is ever replaced; the same call again
    goes on where the last one ended. A chunk manifest and signatures go last.
    """
    from petra.aws.objects import Place  # noqa: PLC0415  # boto3 is slow to load
    from petra.transfer.crossing import carry  # noqa: PLC0415  # as above
    from petra.transfer.shipment import shipment  # noqa: PLC0415  # as above

    place = Place.parse(outbox)
    transfer = _transfer(landing, template)
    log = custody(call, "s3", "send")
    with log as digests, verified(call, file) as bundle, call.console.progress() as progress:
        what = shipment(bundle, Path(file))
        digests[what.bundle] = what.digest
        parcels = _put(what, place, progress)
        carry(transfer, parcels, _limits(options), progress)
    _tell(call, what, outbox, landing or str(template))


def _transfer(landing: str | None, template: str | None) -> Transfer:
    if (landing is None) == (template is None):
        raise UsageError(
            "how to send it is not said" if landing is None else "two ways to send it are said",
            expected="exactly one of --to and --call",
        )
    from petra.aws.clients import service_client  # noqa: PLC0415  # boto3 is slow to load

    if landing is not None:
        from petra.aws.objects import Place  # noqa: PLC0415  # as above
        from petra.aws.s3_copy import S3Copy  # noqa: PLC0415  # as above

        return S3Copy(service_client("s3", where=landing), Place.parse(landing))
    from petra.aws.call_template import (  # noqa: PLC0415  # as above
        TEMPLATE_LIMIT,
        CallTransfer,
        load_template,
    )
    from petra.cli.files import read_file  # noqa: PLC0415  # as above

    where = str(template)
    calls = load_template(read_file(where, limit=TEMPLATE_LIMIT), where=where)
    return CallTransfer(service_client(calls.spec.service, where=where), calls)


def _limits(options: dict[str, Any]) -> Limits:
    from petra.transfer.crossing import Limits  # noqa: PLC0415  # start-up time

    return Limits(
        in_flight=options["in_flight"],
        per_second=options["per_second"],
        seconds=options["deadline"] * 3600,
    )


def _put(what: Shipment, place: Place, progress: Progress) -> list[list[Parcel]]:
    """Put every file into the outbox; return what is to be sent, by the order of sending."""
    from petra.aws.clients import service_client  # noqa: PLC0415  # boto3 is slow to load

    client = service_client("s3", where=str(place))
    progress.on_start(f"upload to {place}", what.size)
    parcels = [
        [_upload(client, one, what, place, progress) for one in each] for each in what.groups
    ]
    progress.on_done()
    return parcels


def _upload(
    client: Any, file: ShippedFile, what: Shipment, place: Place, progress: Progress
) -> Parcel:
    from petra.archive.source import FileSource  # noqa: PLC0415  # start-up time
    from petra.aws.objects import upload  # noqa: PLC0415  # as above
    from petra.transfer.crossing import Parcel  # noqa: PLC0415  # as above

    key = place.key(file.name)
    with FileSource(file.path) as source:
        stored = upload(client, source, file.digest, place.bucket, key, progress)
    description = f"{file.name} of {what.description}"
    return Parcel(place.bucket, key, stored.version, file.size, file.digest, description)


def _tell(call: Call, what: Shipment, outbox: str, to: str) -> None:
    files: Sequence[ShippedFile] = what.files
    value = {
        "bundle": what.bundle,
        "digest": what.digest,
        "outbox": outbox,
        "to": to,
        "files": [{"name": one.name, "size": one.size, "digest": one.digest} for one in files],
    }
    lines = [
        f"sent      {what.description}",
        f"digest    {what.digest}",
        f"to        {to}",
        f"files     {len(files)}, {human_size(what.size)}",
    ]
    call.console.result(value, "\n".join(lines))
