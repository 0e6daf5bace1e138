"""Bundles in S3, opened: verified as a receiver does it, and read in place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from petra.aws.pipeline.runs import read_object
from petra.bundle.provenance import PROVENANCE_SUFFIX, check_provenance
from petra.bundle.receive import check_signed, receiver_policy
from petra.bundle.verify import verify_bundle
from petra.content.progress import NoProgress
from petra.errors import FormatError
from petra.trust.blob import BUNDLE_SUFFIX, SIGNATURE_SUFFIX
from petra.trust.sigstore import BUNDLE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from types_boto3_s3.client import S3Client

    from petra.archive.source import Source
    from petra.bundle.receive import Receiver
    from petra.bundle.verify import Signed, VerifiedBundle

#: What lies beside a bundle and belongs to it.
BESIDE: Final = (SIGNATURE_SUFFIX, BUNDLE_SUFFIX, PROVENANCE_SUFFIX)


def read_beside(client: S3Client, bucket: str, key: str) -> dict[str, bytes]:
    """Return what lies beside the bundle at `key`, by the end of its name.

    Raises:
        StorageError: one is too large.
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """
    found = {
        suffix: read_object(client, bucket, key + suffix, limit=BUNDLE_LIMIT) for suffix in BESIDE
    }
    return {suffix: data for suffix, data in found.items() if data is not None}


def check_received(
    source: Source,
    file: str,
    beside: Mapping[str, bytes],
    receiver: Receiver,
    *,
    now: datetime,
    policy: Callable[[Signed], None] | None = None,
) -> VerifiedBundle:
    """Verify a bundle as ``petra bundle verify`` does under a policy.

    Args:
        source: the bundle, of one version.
        file: its file name.
        beside: what lies beside it, by the end of its name.
        receiver: what is asked of it.
        now: the time.
        policy: further rules, asked once the signature is good.

    Raises:
        VerificationError: it is not what it should be.
    """

    def check(signed: Signed) -> None:
        check_signed(receiver, signed, now=now)
        named = f"{signed.metadata.name}-{signed.metadata.version}."
        if not file.startswith(named):
            raise FormatError(
                "the file is named after another bundle", where=file, expected=f"{named}tar.zst"
            )
        if policy:
            policy(signed)

    signatures = (beside.get(SIGNATURE_SUFFIX), beside.get(BUNDLE_SUFFIX))
    found = verify_bundle(source, signatures, receiver.signers, NoProgress(), now=now, policy=check)
    if receiver.bundle.provenance:
        check_provenance(
            beside.get(PROVENANCE_SUFFIX),
            found.archive.digest,
            found.metadata,
            receiver.signers,
            where=source.name,
        )
    return replace(found, verdicts=receiver_policy(receiver, found, now=now))
