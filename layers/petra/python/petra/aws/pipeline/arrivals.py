"""What has arrived in the landing bucket: whether a bundle's files are all here, pinned by version.

Files come in any order, and their events too, perhaps twice. Whichever event finds the set whole
goes on with it; any other finds that somebody did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.aws.objects import SCHEME
from petra.aws.pipeline.runs import read_object, run_of
from petra.aws.pipeline.status import tell
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import FormatError, PetraError, StorageError, UsageError
from petra.transfer.manifest import load_manifest
from petra.transfer.names import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from types_boto3_s3.client import S3Client

    from petra.aws.events import StartInput
    from petra.aws.pipeline.sides import Classified

INBOX: Final = "in/"
_BUNDLES: Final = (".tar.zst", ".tar.gz")
_SIGNATURES: Final = (".sig", ".sigstore.json")
#: Objects under one prefix that are looked at: 9999 chunks, parity and what lies beside.
FILES_LIMIT: Final = 25_000


@dataclass(frozen=True, slots=True)
class Arrived:
    """One object, pinned.

    Attributes:
        name: the file's.
        key: the object's.
        version: the version that counts from now on.
        size: bytes.
    """

    name: str
    key: str
    version: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """Return it as the run's documents have it."""
        return {"key": self.key, "version": self.version, "size": self.size}


def check_arrival(side: Classified, given: StartInput) -> dict[str, Any]:
    """Find out whether the bundle that an object belongs to is here, whole.

    Args:
        side: the classified side.
        given: the object; ``given.run`` is the event's.

    Returns:
        ``complete``, and ``run``: the bundle's, from here on; the event's where it is not complete.

    Raises:
        UsageError: the object is nothing that a bundle has.
        FormatError: a chunk manifest is malformed.
        PetraError: S3 failed.
    """
    folder, _, _ = given.key.rpartition("/")
    if not given.key.startswith(INBOX):
        raise UsageError("not where bundles arrive", where=given.key, expected=f"{INBOX}…")
    files = {one.name: one for one in _listed(side.s3, given.bucket, f"{folder}/")}
    found = _bundle(side, given, files)
    origin = {"run": given.run, "key": given.key, "version": given.version}
    waiting = {"complete": False, "run": given.run}
    if found is None:
        tell(side.s3, side.depot, origin, side.now, state="waiting", stage="arrival")
        return waiting
    bundle, parts, beside = found
    run = _claimed(side, given, parts, beside)
    if run is None:
        return waiting
    started = {**origin, "run": run}
    arrival = {
        "bucket": given.bucket,
        "origin": started,
        "bundle": bundle,
        "parts": [one.to_json() | {"name": one.name} for one in parts],
        "beside": {one.name: one.to_json() for one in beside},
    }
    side.runs(run).keep_json("arrival.json", arrival)
    side.runs(run).keep_json("origin.json", started)
    tell(side.s3, side.depot, started, side.now, state="running", stage="verify")
    return {"complete": True, "run": run}


def _claimed(
    side: Classified, given: StartInput, parts: Iterable[Arrived], beside: Iterable[Arrived]
) -> str | None:
    """Return the run of this set of versions if it is this event's to run; None if it is not.

    A set whose run has failed runs once more when a file of it comes anew.
    """
    versions = [given.bucket, *(f"{one.key}\n{one.version}" for one in parts)]
    run = run_of(*versions)
    if side.runs(run).keep_json("claim.json", {"by": given.run})["by"] == given.run:
        return run
    ended = side.runs(run).find_json("ended.json")
    if ended is None or ended["outcome"] == "succeeded":
        return None
    again = run_of(*versions, *(f"{one.key}\n{one.version}" for one in beside))
    claim = side.runs(again).keep_json("claim.json", {"by": given.run})
    return again if claim["by"] == given.run else None


def _listed(client: S3Client, bucket: str, prefix: str) -> list[Arrived]:
    """Return the newest version of each object in a folder."""
    found: list[Arrived] = []
    with petra_errors(doing="list the objects", where=f"{SCHEME}{bucket}/{prefix}"):
        pages = client.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            found += [
                Arrived(one["Key"].removeprefix(prefix), one["Key"], one["VersionId"], one["Size"])
                for one in page.get("Versions", ())
                if one["IsLatest"] and one["Key"] != prefix
            ]
            if len(found) > FILES_LIMIT:
                raise StorageError(
                    "too many files beside each other",
                    where=f"{SCHEME}{bucket}/{prefix}",
                    expected=f"at most {FILES_LIMIT}",
                    hint="let each bundle arrive in a folder of its own: in/NAME-VERSION/",
                )
    return found


def _bundle(
    side: Classified, given: StartInput, files: dict[str, Arrived]
) -> tuple[str, list[Arrived], list[Arrived]] | None:
    """Return a bundle's name, the objects that it is, and those beside it; None if one lacks."""
    name = given.key.rpartition("/")[2]
    whole = next((one for one in files if _is_of(one, name)), None)
    if whole:
        beside = _beside(files, whole)
        return (whole, [files[whole]], beside) if _signed(beside) else None
    if MANIFEST not in files or not _signed(_beside(files, MANIFEST)):
        return None
    return _chunked(side, given, files)


def _is_of(bundle: str, name: str) -> bool:
    """Say whether `bundle` is a bundle's file and `name` is it, or a file beside it."""
    return bundle.endswith(_BUNDLES) and (name == bundle or name.startswith(f"{bundle}."))


def _beside(files: dict[str, Arrived], name: str) -> list[Arrived]:
    suffixes = (*_SIGNATURES, ".intoto.json")
    return [files[name + suffix] for suffix in suffixes if name + suffix in files]


def _signed(beside: Iterable[Arrived]) -> bool:
    return any(one.name.endswith(_SIGNATURES) for one in beside)


def _chunked(
    side: Classified, given: StartInput, files: dict[str, Arrived]
) -> tuple[str, list[Arrived], list[Arrived]] | None:
    """Return a chunk set; its manifest is read only to see what is to come, not believed yet."""
    at = files[MANIFEST]
    data = read_object(side.s3, given.bucket, at.key, at.version, limit=DOCUMENT_LIMIT) or b""
    try:
        manifest = load_manifest(data, where=at.key)
    except PetraError as error:
        raise FormatError(
            "the chunk manifest is malformed", where=at.key, found=error.message
        ) from None
    parts = [files.get(one.name) for one in manifest.chunks]
    beside = _beside(files, manifest.bundle.name)
    if None in parts or not _signed(beside):
        return None
    more = [at, *_beside(files, MANIFEST), *beside]
    return manifest.bundle.name, [one for one in parts if one], more
