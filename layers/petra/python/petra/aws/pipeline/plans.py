"""From what was uploaded to a run's plan: the lock, what it comes to, and who makes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from petra.aws.objects import describe
from petra.aws.pipeline.locks import RunLock
from petra.aws.pipeline.runs import read_object
from petra.aws.pipeline.spec_rules import check_uploaded
from petra.aws.pipeline.status import tell
from petra.aws.s3_source import S3Source
from petra.bundle.create import Request, prepare
from petra.bundle.lock import LOCK_LIMIT, Lock, dump_lock, load_lock
from petra.bundle.resolve import Sources
from petra.bundle.spec import Spec, load_spec
from petra.errors import FormatError, NotFoundError, PolicyError, SignatureError, UsageError
from petra.helm.repository import ChartSource

if TYPE_CHECKING:
    from datetime import datetime

    from petra.aws.events import StartInput
    from petra.aws.pipeline.sides import Connected
    from petra.oci.registry import RegistryClient

SPECS: Final = "specs/"
BUNDLES: Final = "bundles/"
SUFFIXES: Final = (".tar.zst", ".tar.gz")
#: A spec's own folder. There is none: what it names in it is refused.
NOWHERE: Final = Path("/nonexistent")


def out_key(stem: str, file: str) -> str:
    """Return the key of a bundle's file in the outbox."""
    return f"out/{stem}/{file}"


def resolve_upload(side: Connected, given: StartInput) -> dict[str, Any]:
    """Take up what was uploaded: a spec, or a finished bundle.

    Args:
        side: the connected side.
        given: the object.

    Returns:
        ``run``, ``name``, ``version``, ``images`` (how many), ``bytes`` (about), ``route``
        (``lambda`` or ``task``) and ``assembled`` (whether it is a finished bundle).

    Raises:
        PolicyError: it says what an uploader may not, or the version was made already.
        BusyError: another run makes this name and version.
        PetraError: what :func:`petra.bundle.create.prepare` raises.
    """
    origin = {"run": given.run, "key": given.key, "version": given.version}
    tell(side.s3, side.staging, origin, side.now, state="running", stage="resolve")
    runs = side.runs(given.run)
    runs.keep_json("origin.json", origin)
    plan = runs.find_json("plan.json")
    if plan is None:
        work = _spec_plan if given.key.startswith(SPECS) else _bundle_plan
        plan = runs.keep_json("plan.json", work(side, given))
    else:
        _lock(side, plan["name"], plan["bundleVersion"], given.run).take(side.now)
    tell(side.s3, side.staging, origin, side.now, bundle=plan["stem"], stage="images")
    return {
        "run": given.run,
        "name": plan["name"],
        "version": plan["bundleVersion"],
        "images": plan["images"],
        "bytes": plan["bytes"],
        "route": "task" if plan["bytes"] >= side.settings.task_bytes else "lambda",
        "assembled": plan["assembled"],
    }


def _spec_plan(side: Connected, given: StartInput) -> dict[str, Any]:
    data = _spec_bytes(side, given)
    spec = load_spec(data, where=given.key)
    check_uploaded(spec, side.settings, side.config.rules(side.now), side.now)
    _claim(side, spec.metadata.name, spec.metadata.version, given.run)
    with side.registries() as registries:
        lock = prepare(request(spec, data, registries, side.now)).lock
    size = planned_bytes(lock)
    if size > side.settings.limits.bundle_bytes:
        raise PolicyError(
            "the bundle would be too large",
            where=given.key,
            expected=f"at most {side.settings.limits.bundle_bytes} bytes",
            found=size,
            hint="name fewer images or platforms, or have the stack's limit raised",
        )
    runs = side.runs(given.run)
    runs.keep("spec.yaml", data)
    runs.keep("lock.yaml", dump_lock(lock))
    return {
        "name": lock.name,
        "bundleVersion": lock.version,
        "stem": spec.stem,
        "serial": lock.serial,
        "images": len(lock.images),
        "bytes": size,
        "assembled": False,
        "file": f"{spec.stem}.{spec.spec.output.format}",
    }


def _spec_bytes(side: Connected, given: StartInput) -> bytes:
    limit = side.settings.limits.spec_bytes
    data = read_object(side.s3, given.bucket, given.key, given.version, limit=limit)
    if data is None:
        raise NotFoundError(
            "the spec is not there any more",
            where=given.key,
            hint="upload it again",
        )
    return data


def request(spec: Spec, data: bytes, registries: RegistryClient, now: datetime) -> Request:
    """Return what :func:`petra.bundle.create.prepare` takes."""
    sources = Sources(registries, ChartSource.of(registries, folder=NOWHERE))
    return Request(spec, data, NOWHERE, sources, now.replace(microsecond=0))


def planned_bytes(lock: Lock) -> int:
    """Return what the bundle of a lock comes to, about: each blob once, and the charts."""
    blobs = {
        blob.digest: blob.size
        for image in lock.images
        for blob in (*image.documents, *image.layers)
    }
    return sum(blobs.values()) + sum(chart.size for chart in lock.charts)


def read_spec(side: Connected, run: str) -> tuple[Spec, bytes, Lock]:
    """Return spec and lock of a run.

    Raises:
        NotFoundError: the run has none.
    """
    runs = side.runs(run)
    data, lock = runs.read("spec.yaml"), runs.read("lock.yaml")
    assert len(lock) <= LOCK_LIMIT  # noqa: S101  # we wrote it
    return load_spec(data, where="spec.yaml"), data, load_lock(lock, where="lock.yaml")


def _bundle_plan(side: Connected, given: StartInput) -> dict[str, Any]:
    """Plan for a finished bundle: what it says of itself is checked when it is verified."""
    file = given.key.rpartition("/")[2]
    if not given.key.startswith(BUNDLES) or not file.endswith(SUFFIXES):
        raise UsageError(
            "neither a spec nor a bundle",
            where=given.key,
            expected=f"{SPECS}NAME.yaml, or {BUNDLES}NAME-VERSION.tar.zst beside its signatures",
        )
    name, version, images, size = _of_itself(side, given)
    stem = f"{name}-{version}"
    if file.removesuffix(".tar.zst").removesuffix(".tar.gz") != stem:
        raise FormatError(
            "the file is named after another bundle",
            where=given.key,
            expected=f"{BUNDLES}{stem}.tar.zst",
            found=file,
        )
    signatures = [f"{given.key}{suffix}" for suffix in (".sig", ".sigstore.json")]
    if not any(describe(side.s3, given.bucket, one) for one in signatures):
        raise SignatureError(
            "the bundle has no signature beside it",
            where=given.key,
            expected=" or ".join(signatures),
            hint="upload the signatures first, and the bundle after them",
        )
    _claim(side, name, version, given.run)
    return {
        "name": name,
        "bundleVersion": version,
        "stem": stem,
        "images": images,
        "bytes": size,
        "assembled": True,
        "file": file,
        "given": {"bucket": given.bucket, "key": given.key, "version": given.version},
    }


def _of_itself(side: Connected, given: StartInput) -> tuple[str, str, int, int]:
    from petra.archive.members import METADATA  # noqa: PLC0415  # as needed
    from petra.archive.reader import ArchiveReader  # noqa: PLC0415  # as above
    from petra.bundle.metadata import load_metadata  # noqa: PLC0415  # as above

    with S3Source(side.s3, given.bucket, given.key, given.version) as source:
        found = load_metadata(ArchiveReader(source).read(METADATA))
        return found.name, found.version, len(found.images), source.size


def _lock(side: Connected, name: str, version: str, run: str) -> RunLock:
    table = side.environment.need("IDEMPOTENCY_TABLE")
    return RunLock(side.client("dynamodb"), table, f"{name}#{version}", run)


def run_lock(side: Connected, plan: dict[str, Any], run: str) -> RunLock:
    """Return the lock that the run of a plan holds."""
    return _lock(side, plan["name"], plan["bundleVersion"], run)


def _claim(side: Connected, name: str, version: str, run: str) -> None:
    """Take the name and version for this run; refuse what was made already."""
    _lock(side, name, version, run).take(side.now)
    stem = f"{name}-{version}"
    for suffix in SUFFIXES:
        key = out_key(stem, stem + suffix)
        if describe(side.s3, side.outbox, key) and side.runs(run).find("packed.json") is None:
            _lock(side, name, version, run).free()
            raise PolicyError(
                "a bundle of this name and version was made already; nothing is replaced",
                where=f"s3://{side.outbox}/{key}",
                hint="give the spec a new metadata.version",
            )
