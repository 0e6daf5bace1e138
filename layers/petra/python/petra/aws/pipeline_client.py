"""Puts a spec where the pipeline takes it up, and reads how its runs are.

Whoever calls needs ``s3:PutObject`` on ``specs/``, and ``s3:GetObject`` and ``s3:ListBucket`` on
``status/``: nothing of Step Functions. What a run came to is one small object, written for people.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.json import load_json
from petra.errors import FormatError, NotFoundError, PetraError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_s3.client import S3Client

SPECS: Final = "specs/"
STATUS: Final = "status/"
BY_SPEC: Final = "status/by-spec/"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
REFUSED: Final = "refused"
_POLL_SECONDS: Final = 2.0
_REFUSED_STATUS: Final = 3
#: What an error has besides its message, in reading order.
_DETAILS: Final = ("where", "expected", "found", "next")
_TITLES: Final = ("bundle", "state", "stage", "started", "updated", "run", "key", "version")


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a status object says of a run.

    Attributes:
        value: all of it.
    """

    value: Mapping[str, Any]

    @property
    def state(self) -> str:
        """``running``, or how it ended."""
        return str(self.value.get("state", ""))

    @property
    def stage(self) -> str:
        """The step that it is at, or ended at."""
        return str(self.value.get("stage", ""))

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.state != RUNNING

    @property
    def exit_status(self) -> int:
        """The command line's: 0 while it runs or ended well, 3 if it was refused, else 1."""
        if self.state in (RUNNING, SUCCEEDED):
            return 0
        return _REFUSED_STATUS if self.state == REFUSED else 1

    def lines(self) -> list[str]:
        """Return it as people read it."""
        lines = [f"{name:<11} {self.value[name]}" for name in _TITLES if self.value.get(name)]
        errors = [self.value.get("error"), *self.value.get("failures", [])]
        for error in errors:
            if isinstance(error, dict):
                lines += _error_lines(error)
        return lines


def _error_lines(error: dict[str, Any]) -> list[str]:
    message = error.get("message") or "no reason was told"
    kind, image = error.get("type", "error"), error.get("image")
    subject = "" if image is None else f" (image {image})"
    details = [f"  {name}: {error[name]}" for name in _DETAILS if error.get(name)]
    return [f"{kind}{subject}: {message}", *details]


@dataclass(frozen=True, slots=True)
class PipelineClient:
    """One side's pipeline, as people meet it.

    Attributes:
        client: for S3.
        bucket: the staging bucket; on the other side the depot.
        pause: waits so many seconds.
        clock: seconds, monotonic.
    """

    client: S3Client
    bucket: str
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def submit(self, name: str, data: bytes) -> tuple[str, str]:
        """Put a spec; the pipeline takes it up.

        Args:
            name: ``NAME-VERSION``.
            data: the spec.

        Returns:
            Its key and version.

        Raises:
            AccessError: S3 refuses.
            NotFoundError: there is no such bucket.
            TransportError: S3 failed, cannot be reached, or the bucket keeps no versions.
        """
        key = f"{SPECS}{name}.yaml"
        where = f"s3://{self.bucket}/{key}"
        with petra_errors(doing="put the spec", where=where):
            answer = self.client.put_object(
                Bucket=self.bucket, Key=key, Body=data, ChecksumAlgorithm="SHA256"
            )
        version = answer.get("VersionId", "null")
        if version == "null":
            raise TransportError(
                "the bucket keeps no versions, so it is no pipeline's",
                where=where,
                hint="name the staging bucket; the stack PetraConnectedData tells it",
            )
        return key, version

    def status(self, name: str) -> RunStatus:
        """Return how the newest run of a bundle, ``NAME-VERSION``, or of a key is.

        Raises:
            NotFoundError: there was none.
            FormatError: what is there is no status.
            AccessError: S3 refuses.
            TransportError: S3 failed or cannot be reached.
        """
        key = f"{BY_SPEC if '/' in name else STATUS}{name}.json"
        found = self._read(key)
        if found is None:
            raise NotFoundError(
                "the pipeline knows no such run",
                where=f"s3://{self.bucket}/{key}",
                hint="`petra pipeline status` without a name lists all",
            )
        return found

    def all(self) -> list[RunStatus]:
        """Return how the newest run of every bundle is, by name.

        Raises:
            FormatError: a status object is none.
            AccessError: S3 refuses.
            TransportError: S3 failed or cannot be reached.
        """
        keys = []
        with petra_errors(doing="list the runs", where=f"s3://{self.bucket}/{STATUS}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=STATUS, Delimiter="/"
            )
            keys += [one["Key"] for page in pages for one in page.get("Contents", [])]
        found = [self._read(key) for key in sorted(keys)]
        return [status for status in found if status]

    def follow(
        self,
        key: str,
        version: str,
        *,
        timeout: float,
        listen: Callable[[RunStatus], None],
    ) -> RunStatus:
        """Wait until the run of one version of an object has ended; return how.

        Args:
            key: the object's.
            version: its version.
            timeout: seconds.
            listen: told of every new stage.

        Raises:
            TransportError: it has not ended in time.
            PetraError: as for :meth:`status`.
        """
        deadline = self.clock() + timeout
        told = None
        while True:
            found = self._read(f"{BY_SPEC}{key}.json")
            if found and found.value.get("version") == version:
                if (found.state, found.stage) != told:
                    told = (found.state, found.stage)
                    listen(found)
                if found.ended:
                    return found
            if self.clock() >= deadline:
                raise _overdue(self.bucket, key, told)
            self.pause(_POLL_SECONDS)

    def _read(self, key: str) -> RunStatus | None:
        from botocore.exceptions import ClientError  # noqa: PLC0415  # boto3 is an extra

        where = f"s3://{self.bucket}/{key}"
        with petra_errors(doing="read the status", where=where):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return None
                raise
            with answer["Body"] as body:
                data = body.read(DOCUMENT_LIMIT)
        value = load_json(data, where=where)
        if not isinstance(value, dict) or not isinstance(value.get("state"), str):
            raise FormatError("the object is no status of a run", where=where)
        return RunStatus(value)


def _overdue(bucket: str, key: str, told: tuple[str, str] | None) -> PetraError:
    return TransportError(
        "the run has not ended in time",
        where=f"s3://{bucket}/{key}",
        expected="an end of the run",
        found=f"it is at {told[1]}" if told else "it has not begun",
        hint="`petra pipeline status` looks again; docs/runbook.md says what holds runs up",
    )
