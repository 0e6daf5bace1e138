"""A receiver's receipt: which bundle came, where it went, and what became of it.

Signed by the receiver, for the sender: by hand, or by whatever way policy lets it travel back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from petra.bundle.fields import API_VERSION, INTEGER_LIMIT, Label, Moment, Size, Text
from petra.encoding.json import dump_json, load_json
from petra.encoding.models import Items, Model, to_value, validate
from petra.errors import FormatError, NotFoundError
from petra.load.destination import Part  # noqa: TC001  # a model's field
from petra.load.ledger import History, Stamp

if TYPE_CHECKING:
    from datetime import datetime

    from petra.load.ledger import Ledger
    from petra.load.report import Report

RECEIPT_LIMIT: Final = 16 * 1024 * 1024


class DestinationReceipt(Model):
    """What is at one destination.

    Attributes:
        items: images, charts or artifacts that the bundle has there.
        bytes_sent: bytes that this load sent; None where it is told later, from the ledger.
        error: why it did not end.
    """

    part: Part
    name: Text
    items: Size
    bytes_sent: Size | None = None
    error: Text | None = None


class ReleaseReceipt(Model):
    """How one HelmRelease ended."""

    namespace: Text
    name: Text
    state: Text
    succeeded: bool


class Receipt(Model):
    """The whole document.

    Attributes:
        name: the receiver's.
        serial: how far its ledger had come; a later receipt has no smaller one.
        created: when this was written.
        time: when the bundle came to this state.
        verdict: how the load ended, or what the ledger knows of the bundle.
        reason: why it failed.
        healthy: whether all releases succeeded; None where nobody looked.
    """

    api_version: Literal["petra.sh/v1alpha1"] = API_VERSION
    kind: Literal["Receipt"] = "Receipt"
    name: Label
    serial: int = Field(ge=0, le=INTEGER_LIMIT)
    created: Moment
    time: Moment
    bundle: Stamp
    verdict: Text
    reason: Text | None = None
    destinations: Items[DestinationReceipt] = ()
    healthy: bool | None = None
    releases: Items[ReleaseReceipt] = ()


def receipt_of_report(name: str, report: Report, ledger: Ledger, now: datetime) -> Receipt:
    """Return the receipt of a load that has just ended, well or not.

    Args:
        name: the receiver's.
        report: how it ended.
        ledger: what is known of the bundle.
        now: the time.

    Raises:
        StorageError: the ledger cannot be read.
    """
    known = _known(report.bundle, ledger)
    steps = tuple(
        DestinationReceipt(
            part=step.part,
            name=step.destination,
            items=len(step.loaded.placed) if step.loaded else 0,
            bytes_sent=step.loaded.bytes_sent if step.loaded else 0,
            error=step.error.message if step.error else None,
        )
        for step in report.steps
    )
    told = [(one.to_json(), one.succeeded) for one in report.releases]
    return Receipt(
        name=name,
        serial=len(ledger.events()),
        created=now,
        time=now,
        bundle=report.bundle,
        verdict=report.verdict,
        reason=report.error.message if report.error else None,
        destinations=steps or known[0],
        healthy=known[1],
        releases=tuple(
            ReleaseReceipt(
                namespace=value["namespace"],
                name=value["name"],
                state=value["state"],
                succeeded=succeeded,
            )
            for value, succeeded in told
        ),
    )


def receipt_of_ledger(name: str, bundle: str | None, ledger: Ledger, now: datetime) -> Receipt:
    """Return the receipt of the bundle that is current by the ledger.

    Args:
        name: the receiver's.
        bundle: the bundle's name; None where only one was ever complete.
        ledger: what is known of it.
        now: the time.

    Raises:
        NotFoundError: no such bundle was loaded, or several were and none is named.
        StorageError: the ledger cannot be read.
    """
    events = ledger.events()
    history = History(events)
    names = [bundle] if bundle else history.names
    current = [one for each in names for one in history.complete(each)[-1:]]
    if len(current) != 1:
        raise NotFoundError(
            "several bundles are loaded" if current else "no such bundle was loaded",
            where="the ledger",
            expected=bundle or "the name of a bundle that was loaded",
            found=", ".join(history.names) or "none",
            hint="give the bundle's name" if current else "check --ledger and the bundle's name",
        )
    (stamp,) = current
    destinations, healthy = _known(stamp, ledger)
    return Receipt(
        name=name,
        serial=len(events),
        created=now,
        time=history.since(stamp.digest) or now,
        bundle=stamp,
        verdict=history.state(stamp.digest) or "complete",
        destinations=destinations,
        healthy=healthy,
    )


def _known(bundle: Stamp, ledger: Ledger) -> tuple[tuple[DestinationReceipt, ...], bool | None]:
    record = ledger.record(bundle)
    if record is None:
        return (), None
    found = (
        DestinationReceipt(part=one.part, name=one.name, items=len(one.placed))
        for one in record.destinations
    )
    return tuple(found), record.healthy


def dump_receipt(receipt: Receipt) -> bytes:
    """Return `receipt` as JSON, always the same bytes for the same value."""
    return dump_json(to_value(receipt))


def load_receipt(data: bytes, *, where: str) -> Receipt:
    """Return the receipt in `data`, whose signature was verified.

    Raises:
        FormatError: it is no such document.
    """
    return validate(Receipt, load_json(data, where=where), where=where, error=FormatError)
