"""Verifies a bundle: signature, then policy, then every member. Bundle format, section 5."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from petra.archive.verify import Verified, verify_archive
from petra.bundle.fields import time_text
from petra.errors import PetraError, PolicyError
from petra.trust.blob import verify_blob_by_any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from petra.archive.source import Source
    from petra.bundle.metadata import Metadata
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.trust.keys import PublicKey
    from petra.trust.verdict import SignatureVerdict


_SIGNED_BAD = "do not use it, though its signature is good; ask the sender to make it anew"


@dataclass(frozen=True, slots=True)
class Signed:
    """What is known of a bundle once its signature is good: what a receiver's policy goes by.

    Attributes:
        metadata: what it says of itself.
        digest: the file's digest.
        key: who signed it.
    """

    metadata: Metadata
    digest: Digest
    key: PublicKey


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle that was found genuine and whole.

    Attributes:
        archive: its members and its digest.
        metadata: what it says of itself.
        key: who signed it.
        verdicts: what vouches for each image, by name, where a receiver's policy had its signatures
            verified anew.
    """

    archive: Verified
    metadata: Metadata
    key: PublicKey
    verdicts: Mapping[str, SignatureVerdict] = field(default_factory=dict)


def verify_bundle(
    source: Source,
    signatures: tuple[bytes | None, bytes | None],
    keys: Sequence[PublicKey],
    progress: Progress,
    *,
    now: datetime | None = None,
    policy: Callable[[Signed], None] | None = None,
) -> VerifiedBundle:
    """Verify a bundle.

    Args:
        source: the file.
        signatures: what lies beside it, as ``read_signatures`` gives it.
        keys: whose signature counts.
        progress: told of each chunk.
        now: for ``notAfter``; the clock's time where None.
        policy: further rules, asked before any member is looked at; raises PolicyError.

    Raises:
        SignatureError: it is unsigned, was changed, or another key signed it.
        PolicyError: it has expired, or breaks `policy`.
        FormatError: it breaks the format; names the member. Or it lacks a blob of its images that
            it does not list as absent.
        DigestMismatchError: a member is not what the metadata says; names it.
    """
    signer: list[tuple[PublicKey, Digest]] = []
    metadata: list[Metadata] = []

    def check_signature(digest: Digest) -> None:
        key = verify_blob_by_any(
            digest,
            keys,
            signature=signatures[0],
            bundle=signatures[1],
            where=source.name,
        )
        signer.append((key, digest))

    def check_policy(data: bytes) -> None:
        from petra.bundle.metadata import load_metadata  # noqa: PLC0415  # 0.1 s, after the pass

        metadata.append(load_metadata(data))
        check_expiry(metadata[0], now or datetime.now(UTC))
        if policy:
            key, digest = signer[0]
            policy(Signed(metadata[0], digest, key))

    progress.on_start(f"verify {source.name}", source.size)
    try:
        verified = verify_archive(source, check_signature, check_policy, progress)
        _check_images(verified, metadata[0])
    except PetraError as error:
        error.name(f"bundle {source.name}")
        if signer:
            error.hint = error.hint or _SIGNED_BAD
        raise
    progress.on_done()
    return VerifiedBundle(verified, metadata[0], signer[0][0])


def _check_images(verified: Verified, metadata: Metadata) -> None:
    """Refuse a bundle whose parts disagree on its images, or that lacks a blob in silence."""
    from petra.archive.target import ArchiveTarget  # noqa: PLC0415  # start-up time
    from petra.bundle.agreement import bundle_lock, check_names  # noqa: PLC0415  # as above
    from petra.bundle.differential import check_blobs  # noqa: PLC0415  # as above

    check_names(metadata, ArchiveTarget(verified.reader))
    check_blobs(metadata, bundle_lock(verified.reader, metadata))


def check_expiry(metadata: Metadata, now: datetime) -> None:
    """Refuse a bundle after the moment that its spec set.

    Raises:
        PolicyError: it has expired.
    """
    if metadata.not_after is not None and now > metadata.not_after:
        raise PolicyError(
            "the bundle has expired",
            where=f"{metadata.name} {metadata.version}",
            expected=f"a time before {time_text(metadata.not_after)} (notAfter)",
            found=time_text(now),
            hint="ask the sender for a newer bundle, or check this machine's clock",
        )
