"""``petra bundle inspect``: show what is in a bundle, without unpacking it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from petra.cli.base_files import base_line
from petra.cli.command import file_option, petra_command
from petra.cli.evidence_text import evidence_lines, signer_text
from petra.cli.opening import unverified_metadata, verified
from petra.cli.output import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.bundle.metadata import ChartRecord, ImageRecord, Metadata
    from petra.cli.command import Call

UNVERIFIED = "UNVERIFIED: nobody checked the signature; give --key to do so"


@petra_command("inspect", settings=("verify_key",))
@file_option("The bundle, or its chunk folder.")
def command(call: Call, file: str) -> None:
    """Show what is in a bundle: images, charts, manifests, sizes and digests.

    Reads the head of the file and its seek table alone, whatever its size. With a key the whole
    file is verified first; without one everything shown is marked UNVERIFIED.
    """
    if call.settings.verify_key:
        with verified(call, file) as bundle:
            _show(call, file, bundle.metadata, bundle.archive.reader.source.size, known=True)
        return
    metadata, size = unverified_metadata(Path(file))
    _show(call, file, metadata, size, known=False)


def _show(call: Call, file: str, metadata: Metadata, size: int, *, known: bool) -> None:
    from petra.encoding.models import to_value  # noqa: PLC0415  # start-up time

    value: dict[str, Any] = {"verified": known, "file": file, "size": size}
    text = "\n".join(_lines(metadata, size, known=known))
    call.console.result(value | {"metadata": to_value(metadata)}, text)


def _lines(metadata: Metadata, size: int, *, known: bool) -> Iterator[str]:
    if not known:
        yield UNVERIFIED
    yield f"{metadata.name} {metadata.version}  serial {metadata.serial}, {human_size(size)}"
    tool = f"{metadata.tool.name} {metadata.tool.version}"
    yield f"made {metadata.created:%Y-%m-%d %H:%M:%S} UTC by {tool}"
    if metadata.not_after:
        yield f"not after {metadata.not_after:%Y-%m-%d %H:%M:%S} UTC"
    if metadata.base:
        yield f"differential: {base_line(metadata.base)}"
    if metadata.policy:
        yield f"by policy {metadata.policy.name}, {metadata.policy.digest}"
    for step, reasons in metadata.skipped().items():
        yield f"skipped: {step} ({'; '.join(reasons)})"
    yield ""
    yield from _branch(
        f"images ({len(metadata.images)})",
        [_image(image, metadata.checks.scan.reason) for image in metadata.images],
    )
    yield from _branch(
        f"charts ({len(metadata.charts)})", [_chart(chart) for chart in metadata.charts]
    )
    yield from _branch(
        f"platform ({len(metadata.platform)})",
        [
            [f"{part.set}/{part.name}" + (f"  {part.chart} {part.version}" if part.chart else "")]
            for part in metadata.platform
        ],
    )
    yield from _branch("members", [[line] for line in _folders(metadata)])


def _branch(title: str, items: list[list[str]]) -> Iterator[str]:
    """Give a title and a tree of items, the first line of each on its branch."""
    yield title
    for number, (first, *more) in enumerate(items, start=1):
        last = number == len(items)
        yield f"{'└──' if last else '├──'} {first}"
        yield from (f"{'   ' if last else '│  '}     {line}" for line in more)


def _image(image: ImageRecord, told: str | None) -> list[str]:
    platforms = ", ".join(str(one) for one in image.platforms) or "no platform"
    lines = [
        f"{image.reference}  {human_size(image.size)}",
        image.digest,
        f"{platforms}; {_signed(image)}",
        *evidence_lines(image, told),
    ]
    if image.absent_platforms:
        lines.append(f"left out: {', '.join(str(one) for one in image.absent_platforms)}")
    return lines


def _signed(image: ImageRecord) -> str:
    if image.signatures.status == "skipped":
        return f"signature not verified ({image.signatures.reason})"
    return f"signed by {', '.join(map(signer_text, image.signatures.verified))}"


def _chart(chart: ChartRecord) -> list[str]:
    return [
        f"{chart.name} {chart.version}  {human_size(chart.size)}  from {chart.repo}",
        chart.digest,
    ]


def _folders(metadata: Metadata) -> Iterator[str]:
    folders: dict[str, list[int]] = {}
    for member in metadata.members:
        folder = member.name.partition("/")[0] + "/" if "/" in member.name else member.name
        folders.setdefault(folder, []).append(member.size)
    for folder, sizes in folders.items():
        count = f"{counted(len(sizes), 'file')}, " if folder.endswith("/") else ""
        yield f"{folder}  {count}{human_size(sum(sizes))}"
