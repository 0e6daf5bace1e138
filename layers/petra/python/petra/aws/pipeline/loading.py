"""Loads a verified bundle from its object: an image at a time, then charts, then manifests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from petra.archive.members import LOCK, METADATA
from petra.archive.reader import ArchiveReader
from petra.archive.target import ArchiveTarget
from petra.aws.pipeline.places import Places
from petra.aws.pipeline.received_source import open_arrival
from petra.aws.pipeline.receiving import ledger_of
from petra.aws.pipeline.status import tell
from petra.bundle.lock import load_lock
from petra.bundle.metadata import load_metadata
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.encoding.models import to_value, validate
from petra.errors import DigestMismatchError, FormatError, StorageError, UsageError
from petra.load.destination import OpenBundle
from petra.load.ledger import DestinationRecord, History, LoadRecord, PlacedRecord, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.aws.pipeline.sides import Classified
    from petra.load.destination import Publication


@contextmanager
def verified_bundle(side: Classified, run: str) -> Iterator[OpenBundle]:
    """Open the bundle of a run: the very versions that were verified, and no others.

    Raises:
        NotFoundError: it was not verified, or its objects are gone.
        DigestMismatchError: its metadata are not those that were verified.
    """
    runs = side.runs(run)
    found, arrival = runs.read_json("verified.json"), runs.read_json("arrival.json")
    with open_arrival(side.s3, arrival) as source:
        reader = ArchiveReader(source)
        data = reader.read(METADATA)
        if Digest.of(data) != found["metadata"]:
            raise DigestMismatchError(
                "the object is not what was verified",
                where=source.name,
                expected=found["metadata"],
                found=Digest.of(data),
            )
        yield OpenBundle(
            reader=reader,
            archive=ArchiveTarget(reader),
            metadata=load_metadata(data),
            lock=load_lock(reader.read(LOCK), where=LOCK, error=FormatError),
            digest=Digest.parse(found["digest"], where="verified.json"),
            signer=found["signer"],
        )


def load_image(side: Classified, run: str, index: int) -> dict[str, Any]:
    """Load an image, and what refers to it; what is there already is not sent again.

    Args:
        side: the classified side.
        run: the run.
        index: the image's place in the lock.

    Returns:
        ``index``, ``name`` and ``sent`` (bytes).

    Raises:
        PetraError: the registry failed; a further try goes on from there.
    """
    with verified_bundle(side, run) as bundle, Places(side, bundle) as places:
        if index >= len(bundle.lock.images):
            raise UsageError("the bundle has no such image", where=f"image {index}")
        loaded = places.images(index).load(NoProgress())
    document = {
        "name": loaded.destination,
        "placed": [to_value(PlacedRecord.of(one)) for one in loaded.placed],
    }
    side.runs(run).put_json(f"images/{index}.load.json", document)
    name = bundle.lock.images[index].name
    return {"index": index, "name": name, "sent": loaded.bytes_sent}


def load_charts(side: Classified, run: str) -> dict[str, Any]:
    """Load the charts, and note in the ledger where the images are.

    Args:
        side: the classified side.
        run: the run.

    Returns:
        ``run`` and ``charts`` (how many).

    Raises:
        PolicyError: another chart of the same name and version is there.
        PetraError: the registry failed.
    """
    runs, found = side.runs(run), []
    tell(side.s3, side.depot, runs.read_json("origin.json"), side.now, stage="charts")
    images = _loaded_images(side, run)
    with verified_bundle(side, run) as bundle, Places(side, bundle) as places:
        charts = places.charts()
        found = [images] if images else []
        if charts:
            found.append(DestinationRecord.of(charts.load(NoProgress())))
        count = len(bundle.metadata.charts)
    _remember(side, run, found)
    return {"run": run, "charts": count}


def _loaded_images(side: Classified, run: str) -> DestinationRecord | None:
    """Return where all images are, of the documents that their steps left."""
    runs = side.runs(run)
    count = runs.read_json("verified.json")["images"]
    documents = [runs.read_json(f"images/{index}.load.json") for index in range(count)]
    if not documents:
        return None
    value = {
        "part": "images",
        "name": documents[0]["name"],
        "placed": [one for document in documents for one in document["placed"]],
    }
    return validate(DestinationRecord, value, where="images", error=StorageError)


def publish_platform(side: Classified, run: str, action: str) -> dict[str, Any]:
    """Publish the manifests; or let the cluster read them, unless a newer bundle came meanwhile.

    Args:
        side: the classified side.
        run: the run.
        action: ``publish`` or ``switch``.

    Returns:
        ``run`` and ``manifests`` (their digest; None where the bundle has none).

    Raises:
        PolicyError: a newer bundle was begun since: its manifests are not to be replaced by older.
        PetraError: the registry, or S3, failed.
    """
    runs = side.runs(run)
    tell(side.s3, side.depot, runs.read_json("origin.json"), side.now, stage="platform")
    with verified_bundle(side, run) as bundle, Places(side, bundle) as places:
        place = places.manifests()
        digest = (
            _published(side, run, place) if action == "publish" else _switched(side, run, place)
        )
    return {"run": run, "manifests": digest}


def _published(side: Classified, run: str, place: Publication | None) -> Digest | None:
    if place is None:
        return None
    loaded = place.publish(NoProgress())
    _remember(side, run, [DestinationRecord.of(loaded)])
    return loaded.placed[0].digest


def _switched(side: Classified, run: str, place: Publication | None) -> Digest | None:
    ledger = ledger_of(side)
    with ledger.lock():
        History(ledger.events()).admit(stamp_of(side, run))
        if place is None:
            return None
        switched, record = place.switch(), known(side, run)
        at = next(one for one in record.destinations if one.part == "manifests")
        moved = at.model_copy(update={"switched": PlacedRecord.of(switched)})
        ledger.keep(record.at(moved))
    return switched.digest


def stamp_of(side: Classified, run: str) -> Stamp:
    """Return the stamp of a run's bundle."""
    value = side.runs(run).read_json("verified.json")["stamp"]
    return validate(Stamp, value, where="verified.json", error=StorageError)


def known(side: Classified, run: str) -> LoadRecord:
    """Return what the ledger knows of a run's bundle.

    Raises:
        StorageError: nothing: its record is gone.
    """
    record = ledger_of(side).record(stamp_of(side, run))
    if record is None:
        raise StorageError("the ledger's record of the bundle is gone", where=f"run {run}")
    return record


def _remember(side: Classified, run: str, found: list[DestinationRecord]) -> None:
    ledger = ledger_of(side)
    with ledger.lock():
        record = known(side, run)
        for one in found:
            before = next((old for old in record.destinations if old.part == one.part), None)
            kept = before.switched if before and before.name == one.name else None
            record = record.at(one.model_copy(update={"switched": kept}))
        ledger.keep(record)
