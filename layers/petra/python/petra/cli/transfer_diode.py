"""``petra transfer diode``: a bundle through a hardware diode, which cannot ask again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from petra.cli.command import file_option, petra_command
from petra.cli.custody import CUSTODY_SETTINGS, custody
from petra.cli.opening import verified
from petra.cli.output import human_size
from petra.errors import SettingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.bundle.verify import VerifiedBundle
    from petra.cli.command import Call
    from petra.content.progress import Progress
    from petra.transfer.shipment import Shipment, ShippedFile


@petra_command("diode", settings=("verify_key", *CUSTODY_SETTINGS))
@file_option("The bundle, or its chunk folder.")
@click.option("--to", metavar="DIR", help="The hot folder that the diode's software empties.")
@click.option(
    "--stream",
    metavar="HOST[:PORT]",
    help="Send a stream by pydiode to this address of the receiving side instead.",
)
@click.option(
    "--rate",
    default="50MiB/s",
    show_default=True,
    metavar="RATE",
    help="Bytes a second, such as 50MiB/s or 100MB/s; 0 for no limit.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="Send all N times, in random order from the second time on.",
)
@click.option(
    "--wait-taken", is_flag=True, help="After each round wait until the hot folder is emptied."
)
@click.option(
    "--aside",
    metavar="DIR",
    help="Write files here first, on the same file system, and move them into the hot folder.",
)
@click.option(
    "--copies",
    type=click.IntRange(1, 100),
    default=2,
    show_default=True,
    metavar="N",
    help="With --stream: send each run of datagrams N times.",
)
@click.option("--max-size", metavar="SIZE", help="Cut the bundle into chunks of this size first.")
@click.option(
    "--parity", type=click.IntRange(min=0), default=0, metavar="N", help="Parity for the chunks."
)
@click.option(
    "--chunks-to",
    metavar="DIR",
    help="Where the chunks are kept; NAME-VERSION.chunks beside the bundle.",
)
@click.option(
    "--sign-key",
    metavar="KEY",
    envvar="PETRA_KEY",
    help="Private key that signs the chunks' manifest, where they are cut here. [PETRA_KEY]",
)
@click.option("--seed", type=int, hidden=True, help="For tests: the order of repeats.")
def command(call: Call, file: str, **options: Any) -> None:
    """Send a bundle through a hardware diode.

    The bundle is verified first. Into a hot folder each file is moved whole; a chunk manifest and
    signatures come last in each round. What the diode has taken is sent again in the next round,
    what still lies there is not. The same call again goes on after an interruption.

    A diode cannot ask again: chunks with parity (--max-size, --parity) make up for what is lost.
    """
    if (options["to"] is None) == (options["stream"] is None):
        raise UsageError(
            "how to send it is not said" if options["to"] is None else "two ways are said",
            expected="exactly one of --to and --stream",
        )
    rate = _rate(options["rate"])
    with ExitStack() as stack:
        digests = stack.enter_context(custody(call, "diode", "transfer"))
        bundle, path = stack.enter_context(_opened(call, file, options))
        what = _shipment(bundle, path)
        digests[what.bundle] = what.digest
        progress = stack.enter_context(call.console.progress())
        sent = (_stream if options["stream"] else _hot_folder)(what, rate, options, progress)
    _tell(call, what, options, sent)


def _rate(text: str) -> int | None:
    from petra.transfer.sizes import parse_size  # noqa: PLC0415  # start-up time

    return None if text == "0" else parse_size(text.removesuffix("/s"), where="--rate")


@contextmanager
def _opened(
    call: Call, file: str, options: dict[str, Any]
) -> Iterator[tuple[VerifiedBundle, Path]]:
    """Open the bundle, or the chunks that are cut from it first and kept."""
    if options["max_size"] is None:
        with verified(call, file) as bundle:
            yield bundle, Path(file)
        return
    with verified(call, file) as whole:
        folder = _cut(call, whole, Path(file), options)
    with verified(call, str(folder)) as bundle:
        yield bundle, folder


def _cut(call: Call, whole: VerifiedBundle, file: Path, options: dict[str, Any]) -> Path:
    """Cut the bundle into a folder that is kept: what is sent again must be the same."""
    from petra.bundle.signatures import read_beside  # noqa: PLC0415  # start-up time
    from petra.cli.keys import signer_from  # noqa: PLC0415  # as above
    from petra.transfer.chunking import ChunkOptions, chunk  # noqa: PLC0415  # as above
    from petra.transfer.names import MANIFEST  # noqa: PLC0415  # as above
    from petra.transfer.sizes import parse_size  # noqa: PLC0415  # as above

    source = whole.archive.reader.source
    name = Path(source.name).name
    stem = f"{whole.metadata.name}-{whole.metadata.version}"
    folder = Path(options["chunks_to"] or file.with_name(f"{stem}.chunks"))
    if (folder / MANIFEST).is_file():
        _require_same(folder, whole)
        return folder
    if options["sign_key"] is None:
        raise SettingError(
            "no key signs the manifest of the chunks",
            hint="give --sign-key or set PETRA_KEY; or cut the bundle before: petra bundle chunk",
        )
    limit = parse_size(options["max_size"], where="--max-size")
    beside = {f"{name}{end}": data for end, data in read_beside(Path(source.name)).items()}
    with call.console.progress() as progress:
        cut = ChunkOptions(folder, limit, options["parity"])
        chunk(source, name, cut, lambda _: beside, signer_from(options["sign_key"]), progress)
    return folder


def _require_same(folder: Path, whole: VerifiedBundle) -> None:
    from petra.transfer.source import open_folder, require_whole  # noqa: PLC0415  # start-up time

    require_whole(open_folder(folder), whole.archive.digest)


def _shipment(bundle: VerifiedBundle, path: Path) -> Shipment:
    from petra.transfer.shipment import shipment  # noqa: PLC0415  # start-up time

    return shipment(bundle, path)


def _rounds(what: Shipment, options: dict[str, Any]) -> Iterator[Sequence[ShippedFile]]:
    from random import Random  # noqa: PLC0415  # start-up time

    from petra.transfer.rounds import rounds  # noqa: PLC0415  # as above

    return rounds(what, options["repeat"], Random(options["seed"]))  # noqa: S311  # an order


def _hot_folder(
    what: Shipment, rate: int | None, options: dict[str, Any], progress: Progress
) -> list[dict[str, int]]:
    from petra.transfer.hotfolder import HotFolder  # noqa: PLC0415  # start-up time
    from petra.transfer.pacing import TokenBucket  # noqa: PLC0415  # as above

    aside = Path(options["aside"]) if options["aside"] else None
    hot = HotFolder(Path(options["to"]), what.bundle, aside, TokenBucket(rate))
    made = []
    for files in _rounds(what, options):
        done = hot.send(files, progress)
        made.append({"written": done.written, "stayed": done.stayed})
        if options["wait_taken"]:
            hot.wait_taken(progress)
    return made


def _stream(
    what: Shipment, rate: int | None, options: dict[str, Any], progress: Progress
) -> list[dict[str, int]]:
    from petra.transfer.oneway import Endpoint, PyDiode  # noqa: PLC0415  # start-up time
    from petra.transfer.streaming import send_stream  # noqa: PLC0415  # as above

    endpoint = Endpoint.parse(options["stream"], where="--stream")
    link = PyDiode(endpoint, rate, options["copies"])
    count = send_stream(link, what.bundle, _rounds(what, options), progress)
    return [{"written": len(what.files), "stayed": 0}] * count


def _tell(call: Call, what: Shipment, options: dict[str, Any], sent: list[dict[str, int]]) -> None:
    to = options["to"] or options["stream"]
    value = {
        "bundle": what.bundle,
        "digest": what.digest,
        "to": to,
        "rounds": sent,
        "files": [{"name": one.name, "size": one.size, "digest": one.digest} for one in what.files],
    }
    lines = [
        f"sent      {what.description}, {human_size(what.size)}",
        f"digest    {what.digest}",
        f"to        {to}",
        *(
            f"round     {number}: {one['written']} files sent"
            + (f", {one['stayed']} still lay there (--wait-taken waits)" if one["stayed"] else "")
            for number, one in enumerate(sent, start=1)
        ),
    ]
    call.console.result(value, "\n".join(lines))
