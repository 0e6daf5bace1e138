"""Verifies what arrived: signature, policy, ledger, members, images. What fails is put aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from petra.archive.members import METADATA
from petra.aws.dynamo_ledger import DynamoLedger
from petra.aws.faults import petra_errors
from petra.aws.metrics import Metric
from petra.aws.objects import SCHEME
from petra.aws.pipeline.opening import check_received
from petra.aws.pipeline.places import Places
from petra.aws.pipeline.received_source import (
    beside,
    check_chunks,
    name_damaged,
    open_arrival,
)
from petra.aws.pipeline.status import tell
from petra.bundle.fields import time_text
from petra.content.digest import Digest
from petra.encoding.models import to_value
from petra.errors import PolicyError, VerificationError
from petra.load.destination import OpenBundle
from petra.load.ledger import Event, History, Stamp
from petra.load.run import new_record

if TYPE_CHECKING:
    from petra.aws.pipeline.runs import Runs
    from petra.aws.pipeline.sides import Classified
    from petra.bundle.verify import Signed, VerifiedBundle
    from petra.load.ledger import Ledger
    from petra.transfer.manifest import ChunkManifest

REASON_TAG: Final = "petra-reason"
RUN_TAG: Final = "petra-run"


def ledger_of(side: Classified) -> DynamoLedger:
    """Return the side's ledger."""
    return DynamoLedger(side.client("dynamodb"), side.environment.need("LEDGER_TABLE"))


def verify_run(side: Classified, run: str) -> dict[str, Any]:
    """Verify the bundle of a run, and note in the ledger that its load begins.

    Args:
        side: the classified side.
        run: the run.

    Returns:
        ``run``, ``name``, ``version``, ``images`` (how many), and the bundle's object: ``key``,
        ``versionId`` and ``digest``.

    Raises:
        VerificationError: it is not what it should be; its objects are in quarantine.
        PolicyError: … or it is older than what was loaded.
        PetraError: S3, the table or a registry failed; nothing was changed.
    """
    runs = side.runs(run)
    arrival = runs.read_json("arrival.json")
    found = runs.find_json("verified.json")
    if found is None:
        try:
            found = _verified(side, runs, arrival)
        except VerificationError as error:
            put_aside(side, run, arrival, type(error).__name__)
            raise
        found = runs.keep_json("verified.json", found)
    stem = f"{found['name']}-{found['version']}"
    tell(side.s3, side.depot, arrival["origin"], side.now, bundle=stem, stage="images")
    first = arrival["parts"][0]
    return {
        "run": run,
        "name": found["name"],
        "version": found["version"],
        "images": found["images"],
        "digest": found["digest"],
        "key": first["key"],
        "versionId": first["version"],
    }


def _verified(side: Classified, runs: Runs, arrival: dict[str, Any]) -> dict[str, Any]:
    receiver, ledger = side.config.receiver(side.now), ledger_of(side)
    history = History(ledger.events())
    total = sum(one["size"] for one in arrival["parts"])
    if total > side.settings.limits.bundle_bytes:
        raise PolicyError(
            "the bundle is too large",
            where=arrival["bundle"],
            expected=f"at most {side.settings.limits.bundle_bytes} bytes",
            found=total,
        )
    manifest = check_chunks(side.s3, arrival, receiver.signers)

    def is_newer(signed: Signed) -> None:
        history.admit(Stamp.of_signed(signed))

    with open_arrival(side.s3, arrival) as source:
        try:
            bundle = check_received(
                source,
                arrival["bundle"],
                beside(side.s3, arrival, arrival["bundle"]),
                receiver,
                now=side.now,
                policy=is_newer,
            )
        except VerificationError as error:
            raise _named(side, arrival, manifest, error) from None
        return _begun(side, runs, ledger, bundle)


def _named(
    side: Classified,
    arrival: dict[str, Any],
    manifest: ChunkManifest | None,
    error: VerificationError,
) -> VerificationError:
    """Return the error that names damaged chunks, where those are why."""
    if manifest is None or isinstance(error, PolicyError):
        return error
    return name_damaged(side.s3, arrival, manifest) or error


def _begun(side: Classified, runs: Runs, ledger: Ledger, bundle: VerifiedBundle) -> dict[str, Any]:
    """Look at every place, then note that the load begins; nothing was changed before."""
    opened = OpenBundle.of(bundle)
    with Places(side, opened) as places:
        places.survey()
    about, began = new_record(opened), side.now.replace(microsecond=0)
    metadata = bundle.archive.reader.read(METADATA)
    begun = runs.keep_json("begun.json", {"time": time_text(began)})
    with ledger.lock():
        history = History(ledger.events())
        history.admit(about.bundle)
        if history.state(about.bundle.digest) != "begun":
            ledger.append(event(about.bundle, "begun", begun["time"]))
        if ledger.record(about.bundle) is None:
            ledger.keep(about)
    side.emit({Metric.BUNDLE_BYTES: bundle.archive.reader.source.size})
    return {
        "name": bundle.metadata.name,
        "version": bundle.metadata.version,
        "images": len(opened.lock.images),
        "digest": bundle.archive.digest,
        "signer": opened.signer,
        "metadata": Digest.of(metadata),
        "stamp": to_value(about.bundle),
        "began": begun["time"],
    }


def event(bundle: Stamp, what: str, moment: str) -> Event:
    """Return an event of the ledger."""
    from pydantic import TypeAdapter  # noqa: PLC0415  # as needed

    value = {"time": moment, "event": what, "bundle": to_value(bundle)}
    found: Event = TypeAdapter(Event).validate_python(value)
    return found


def put_aside(side: Classified, run: str, arrival: dict[str, Any], reason: str) -> int:
    """Copy all objects of an arrival to quarantine, under the same keys, tagged with the reason.

    The landing bucket keeps them: nothing of the input is deleted here.

    Args:
        side: the classified side.
        run: the run.
        arrival: what arrived.
        reason: the error's class.

    Returns:
        How many.

    Raises:
        AccessError: S3 refuses.
        TransportError: S3 failed or cannot be reached.
    """
    objects = [*arrival["parts"], *arrival["beside"].values()]
    tags = f"{REASON_TAG}={quote(reason)}&{RUN_TAG}={run}"
    for one in objects:
        source = {"Bucket": arrival["bucket"], "Key": one["key"], "VersionId": one["version"]}
        where = f"{SCHEME}{side.quarantine}/{one['key']}"
        with petra_errors(doing="put the object aside", where=where):
            # boto3's own copy cuts what is above 5 GiB into parts.
            side.s3.copy(
                source,  # type: ignore[arg-type]  # the three above
                side.quarantine,
                one["key"],
                ExtraArgs={"Tagging": tags, "TaggingDirective": "REPLACE"},
            )
    return len(objects)
