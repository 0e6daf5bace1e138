"""A transfer that is a copy inside S3, from an outbox bucket to a landing bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.aws.objects import Place, Stored, copy_object
from petra.transfer.crossing import Parcel, State, Status

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


class S3Copy:
    """Copies each object under its name to another place. A :class:`Transfer`.

    Args:
        client: for S3, allowed to read the outbox and to write the landing bucket.
        landing: where objects go.
    """

    def __init__(self, client: S3Client, landing: Place) -> None:
        self._client = client
        self._landing = landing

    def start(self, parcel: Parcel) -> str:
        """Copy the object; return its new place.

        Raises:
            PetraError: as :func:`petra.aws.objects.copy_object`.
        """
        source = {"Bucket": parcel.bucket, "Key": parcel.key}
        if parcel.version:
            source["VersionId"] = parcel.version
        key = self._landing.key(parcel.key.rpartition("/")[2])
        there = Stored(parcel.version, parcel.size, parcel.digest)
        copy_object(self._client, source, there, self._landing.bucket, key)
        return f"s3://{self._landing.bucket}/{key}"

    def status(self, parcel: Parcel, identifier: str) -> Status:  # noqa: ARG002  # the protocol's
        """Say that it is done: a copy has ended when it returns."""
        return Status(State.DONE, identifier)
