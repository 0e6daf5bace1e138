"""What a bundle's metadata say of an image's evidence, for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.bundle.fields import time_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.bundle.metadata import Evidence, ImageRecord, VerifiedSignature
    from petra.bundle.scan_record import ScanRecord


def evidence_lines(image: ImageRecord, told: str | None) -> Iterator[str]:
    """Yield what there is about an image, a line each.

    Args:
        image: the image.
        told: why the bundle's images were not scanned, where that was said already.
    """
    for scan in image.scans:
        yield _scan(scan)
        yield from (f"  {line}" for line in _waived(scan))
    if image.scan.status == "skipped" and image.scan.reason != told:
        yield f"not scanned ({image.scan.reason})"
    yield from (f"SBOM: {_evidence(one)}" for one in image.sboms)
    yield from (f"provenance: {_evidence(one)}" for one in image.provenance)
    if image.no_sbom and image.scan.status == "done":
        yield f"no SBOM ({image.no_sbom})"
    for one in image.uncounted:
        yield f"not counted: {one.kind} {one.manifest[:19]}… ({one.reason})"


def _scan(scan: ScanRecord) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in scan.counts.items())
    database = scan.scanner.database
    known = f", database of {time_text(database.built)}" if database else ""
    platform = f"{scan.platform} " if scan.platform else ""
    who = f"{scan.scanner.name} {scan.scanner.version}{known}"
    return f"{platform}scanned by {who}, by {scan.how}: {counts or 'no findings'}"


def _waived(scan: ScanRecord) -> Iterator[str]:
    for one in scan.findings:
        if one.waiver:
            yield f"{one.id} {one.package} waived: {one.waiver.reason} ({one.waiver.source})"


def _evidence(one: Evidence) -> str:
    if one.generated:
        return f"{one.format}, made here by {one.generated.name} {one.generated.version}"
    who = signer_text(one.verified) if one.verified else "nobody"
    return f"{one.format}, signed by {who}"


def signer_text(signature: VerifiedSignature) -> str:
    """Return who made a signature: an identity and its issuer, or the holder of a key."""
    if signature.method == "keyless":
        return f"{signature.identity} ({signature.issuer}, {signature.time:%Y-%m-%d})"
    return f"key {(signature.key or '')[:16]}…"
