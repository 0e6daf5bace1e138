"""Ends a run: status, evidence, metrics, whom to tell; and what others wait for is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra import errors
from petra.archive.members import METADATA
from petra.archive.reader import ArchiveReader
from petra.aws.metrics import Metric
from petra.aws.pipeline.plans import run_lock
from petra.aws.pipeline.runs import write_object
from petra.aws.pipeline.status import tell
from petra.aws.pipeline.telling import publish
from petra.aws.s3_source import S3Source
from petra.encoding.json import dump_json, load_json
from petra.errors import PetraError

if TYPE_CHECKING:
    from petra.aws.events import Failure, ReportInput
    from petra.aws.pipeline.runs import Runs
    from petra.aws.pipeline.sides import Classified, Connected

#: Failures of single images that a status lists, and the characters of each.
LISTED: Final = 20
TEXT: Final = 4000


def report_run(side: Connected, given: ReportInput) -> dict[str, Any]:
    """End a run of the connected side.

    Args:
        side: the connected side.
        given: how it ended.

    Returns:
        ``run`` and ``outcome``.

    Raises:
        PetraError: AWS failed; the same call goes on.
    """
    runs = side.runs(given.run)
    plan = runs.find_json("plan.json")
    status = tell(side.s3, side.staging, _origin(given), side.now, **_told(given))
    if plan:
        _keep_evidence(side, runs, plan, status)
        run_lock(side, plan, given.run).free()
    ended = runs.keep_json("ended.json", {"outcome": given.outcome})
    side.emit(_measured(given))
    publish(side, status)
    return {"run": given.run, "outcome": ended["outcome"]}


def report_load(side: Classified, given: ReportInput) -> dict[str, Any]:
    """End a run of the classified side.

    Args:
        side: the classified side.
        given: how it ended; ``run`` is the bundle's, or the event's where it did not come so far.

    Returns:
        ``run`` and ``outcome``.

    Raises:
        PetraError: AWS failed; the same call goes on.
    """
    runs = side.runs(given.run)
    origin = runs.find_json("origin.json") or _origin(given)
    verified = runs.find_json("verified.json")
    bundle = {"bundle": f"{verified['name']}-{verified['version']}"} if verified else {}
    status = tell(side.s3, side.depot, origin, side.now, **bundle, **_told(given))
    ended = runs.keep_json("ended.json", {"outcome": given.outcome})
    side.emit(_measured(given) | {Metric.QUARANTINE_OBJECTS: _count(side)})
    publish(side, status)
    return {"run": given.run, "outcome": ended["outcome"]}


def _origin(given: ReportInput) -> dict[str, str]:
    return {"run": given.run, "key": given.key, "version": given.version}


def _told(given: ReportInput) -> dict[str, Any]:
    """Return what a status says of how a run ended."""
    told: dict[str, Any] = {"state": given.outcome}
    if given.outcome == "succeeded":
        return told | {"stage": "done", "error": None}
    if given.error:
        told["error"] = _error(given.error)
    failures = given.failures[:LISTED]
    if failures:
        told["failures"] = [{"image": one.index} | _error(one) for one in failures]
    return told


def _error(failure: Failure) -> dict[str, str]:
    """Return an error as people read it: Lambda wraps it in JSON, tasks and States do not."""
    text = failure.cause
    try:
        value = load_json(text.encode(), where="cause")
        text = str(value["errorMessage"]) if isinstance(value, dict) else text
    except (PetraError, KeyError):
        pass
    lines = text[:TEXT].splitlines() or [""]
    parts = dict(_part(line) for line in lines[1:] if ": " in line)
    found = getattr(errors, failure.error, None)
    code = {"code": found.code} if found and issubclass(found, PetraError) else {}
    return {"type": failure.error, **code, "message": lines[0], **parts}


def _part(line: str) -> tuple[str, str]:
    name, _, text = line.strip().partition(": ")
    return name, text


def _measured(given: ReportInput) -> dict[Metric, float]:
    if given.outcome == "succeeded":
        return {Metric.RUN_SUCCEEDED: 1, Metric.LAST_SUCCESS: 1}
    also = {"refused": Metric.VERIFICATION_FAILED, "stalled": Metric.TRANSFER_STALLED}
    more = {also[given.outcome]: 1.0} if given.outcome in also else {}
    return {Metric.RUN_FAILED: 1.0, **more}


def _keep_evidence(
    side: Connected, runs: Runs, plan: dict[str, Any], status: dict[str, Any]
) -> None:
    """Put what an auditor asks for into the bucket that nobody can delete from."""
    made = runs.find_json("bundle.json")
    files = {"status.json": dump_json(status)}
    if lock := runs.find("lock.yaml"):
        files["bundle.lock.yaml"] = lock
    if made:
        with S3Source(side.s3, side.outbox, made["key"], made["version"]) as source:
            files["metadata.json"] = ArchiveReader(source).read(METADATA)
    if signatures := runs.find("signatures.json"):
        files["signatures.json"] = signatures
    bucket = side.environment.need("EVIDENCE")
    for name, data in files.items():
        key = f"evidence/{plan['stem']}/{runs.run}/{name}"
        write_object(side.s3, bucket, key, data, once=True)


def _count(side: Classified) -> int:
    """Return how many objects are in quarantine; a thousand stands for more."""
    from petra.aws.faults import petra_errors  # noqa: PLC0415  # as needed

    with petra_errors(doing="count the objects", where=f"s3://{side.quarantine}"):
        return side.s3.list_objects_v2(Bucket=side.quarantine).get("KeyCount", 0)
