"""What goes with a bundle for people: a page for the checkpoint, and the release in plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.bundle.fields import time_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.bundle.metadata import Metadata
    from petra.content.digest import Digest
    from petra.transfer.shipment import ShippedFile

README: Final = "README.txt"
RELEASE: Final = "RELEASE.txt"
_CHUNK_PATTERN: Final = ".[0-9]*-of-*"


def release_text(
    metadata: Metadata, bundle: str, digest: Digest, files: Sequence[ShippedFile]
) -> bytes:
    """Return the release in plain text: what crosses, and what is in it. One fact a line.

    Args:
        metadata: the bundle's.
        bundle: its file name.
        digest: its digest.
        files: the files that it crosses as.
    """
    lines = [
        f"release {metadata.name} {metadata.version}",
        f"serial {metadata.serial}",
        f"created {time_text(metadata.created)}",
        f"bundle {bundle} {digest}",
        *_base(metadata),
        *(f"skipped {step}: {'; '.join(why)}" for step, why in metadata.skipped().items()),
        *(f"file {one.name} {one.size} {one.digest}" for one in files),
        *(f"image {one.reference} {one.digest}" for one in metadata.images),
        *(f"chart {one.name} {one.version} {one.digest}" for one in metadata.charts),
    ]
    return _ascii(lines)


def _base(metadata: Metadata) -> Iterator[str]:
    if metadata.base:
        base, count = metadata.base, len(metadata.base.absent)
        yield f"differential {count} layers left out, which {base} has, {base.digest}"


def readme_text(
    metadata: Metadata, bundle: str, digest: Digest, files: Sequence[ShippedFile]
) -> bytes:
    """Return one page for whoever checks a medium, with tools that are no part of Petra.

    Args:
        metadata: the bundle's.
        bundle: its file name.
        digest: its digest.
        files: the files on the medium.
    """
    whole = any(one.name == bundle for one in files)
    count, size = len(files), sum(one.size for one in files)
    join = f"sha256sum {bundle}" if whole else f"cat {bundle}{_CHUNK_PATTERN} | sha256sum"
    return _ascii(
        [
            f"{metadata.name} {metadata.version}, serial {metadata.serial}",
            f"{count} files, {size} bytes; made {time_text(metadata.created)}",
            "",
            "This medium carries one software bundle for a disconnected cluster: data, no programs",
            f"to be started from here. {RELEASE} lists what is in it.",
            "",
            "1. Is the medium undamaged? Each line must end in OK:",
            "",
            "       sha256sum -c SHA256SUMS",
            "",
            "2. Is it the bundle? This must print the 64 digits below:",
            "",
            f"       {join}",
            f"       {digest.hex}",
            "",
            "3. Who signed it? With the sender's public key, which came to you another way:",
            "",
            f"       cosign verify-blob --key cosign.pub --bundle {bundle}.sigstore.json \\",
            f"         --insecure-ignore-tlog sha256:{digest.hex}",
            "",
            "   The digest from step 2 spares cosign reading the whole file into memory. Keys sign",
            "   without a public log, so none is asked: --insecure-ignore-tlog.",
            "",
            "Whatever does not match: stop, keep the medium, tell the sender.",
        ]
    )


def _ascii(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("ascii", "backslashreplace")
