"""The status of a run, as a person reads it: where it is, what failed, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.aws.pipeline.runs import read_object, write_object
from petra.bundle.fields import time_text
from petra.encoding.json import dump_json, load_json

if TYPE_CHECKING:
    from datetime import datetime

    from types_boto3_s3.client import S3Client

#: Status objects by bundle, ``status/NAME-VERSION.json``, and by what started the run.
FOLDER: Final = "status/"
BY_SPEC: Final = "status/by-spec/"
_LIMIT: Final = 1024 * 1024


def by_spec(key: str) -> str:
    """Return the key of the status of what was put at `key`."""
    return f"{BY_SPEC}{key}.json"


def by_bundle(stem: str) -> str:
    """Return the key of the status of the bundle ``NAME-VERSION``."""
    return f"{FOLDER}{stem}.json"


def tell(
    client: S3Client,
    bucket: str,
    origin: dict[str, str],
    now: datetime,
    **fields: Any,
) -> dict[str, Any]:
    """Write a run's status, by what started it and, once it has a name, by that.

    Args:
        client: for S3.
        bucket: where status objects are.
        origin: ``run``, ``key`` and ``version`` of what started it.
        now: the time.
        fields: ``state``, ``stage`` and more; what was told of this run before stays otherwise.

    Returns:
        The status as it is now.
    """
    name = by_spec(origin["key"])
    before = read_object(client, bucket, name, limit=_LIMIT)
    found: dict[str, Any] = load_json(before, where=name) if before else {}
    kept = found if found.get("run") == origin["run"] else {"started": time_text(now)}
    status = {**kept, **origin, **fields, "updated": time_text(now)}
    data = dump_json({name: value for name, value in status.items() if value is not None})
    write_object(client, bucket, name, data, once=False)
    if "bundle" in status:
        write_object(client, bucket, by_bundle(status["bundle"]), data, once=False)
    return status
