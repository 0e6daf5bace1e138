"""Tells the cluster, and looks at its releases, once a call: the state machine waits, not we."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from petra.aws.metrics import Metric
from petra.aws.pipeline.loading import known, stamp_of
from petra.aws.pipeline.receiving import event, ledger_of
from petra.aws.pipeline.status import tell
from petra.aws.registry_access import secret_text
from petra.bundle.fields import time_text
from petra.errors import SettingError, StorageError
from petra.load.follower import follow_record
from petra.load.ledger import History
from petra.load.releases import at_deadline
from petra.load.report import stamp_json
from petra.load.watch import Standing

if TYPE_CHECKING:
    from datetime import datetime

    from petra.aws.pipeline.sides import Classified

_HOME = 2


def notify_cluster(side: Classified, run: str) -> dict[str, Any]:
    """Tell the cluster's Receiver, and note in the ledger that the bundle is in place.

    Objects of the cluster's API are asked to look while their releases are polled.

    Args:
        side: the classified side.
        run: the run.

    Returns:
        ``run`` and ``told`` (whether there is a Receiver).

    Raises:
        TransportError: it cannot be reached.
        PetraError: it does not take it.
    """
    stamp = stamp_of(side, run)
    runs = side.runs(run)
    tell(side.s3, side.depot, runs.read_json("origin.json"), side.now, stage="releases")
    cluster = side.settings.cluster
    told = bool(cluster and cluster.receiver)
    if told:
        _call_receiver(side, {"action": "load", "bundle": stamp_json(stamp)})
    ledger = ledger_of(side)
    with ledger.lock():
        if History(ledger.events()).state(stamp.digest) == "begun":
            ledger.append(event(stamp, "complete", time_text(side.now.replace(microsecond=0))))
    runs.keep_json("notified.json", {"time": time_text(side.now.replace(microsecond=0))})
    return {"run": run, "told": told}


def _call_receiver(side: Classified, told: dict[str, Any]) -> None:
    from petra.load.receiver import Receiver, call_receiver  # noqa: PLC0415  # as needed

    cluster = side.settings.cluster
    assert cluster and cluster.receiver  # noqa: S101, PT018  # for mypy
    url = cluster.receiver.rstrip("/")
    *_, namespace, name = ["", "", *urlsplit(url).path.split("/")]
    if not (namespace and name and cluster.receiver_secret):
        raise SettingError(
            "not a usable Receiver",
            where="settings: cluster.receiver",
            expected="https://HOST[/PREFIX]/NAMESPACE/NAME, and receiverSecret",
            found=url,
        )
    token = secret_text(side.client("secretsmanager"), cluster.receiver_secret).rstrip(b"\r\n")
    receiver = Receiver(url.rsplit("/", _HOME)[0], namespace, name, token)
    with side.registries() as client:
        call_receiver(receiver, told, client.http)


def poll_releases(side: Classified, run: str) -> dict[str, Any]:
    """Look once how far the releases of a run's bundle are.

    Args:
        side: the classified side.
        run: the run.

    Returns:
        ``run``, ``done`` (whether waiting longer changes nothing), ``succeeded`` (all of them) and
        ``watched`` (whether there is an API to ask).

    Raises:
        TransportError: the API cannot be reached.
        AccessError: it refuses.
    """
    runs = side.runs(run)
    with side.cluster() as cluster:
        if cluster is None:
            return {"run": run, "done": True, "succeeded": True, "watched": False}
        record = known(side, run)
        report = follow_record(cluster, record, _moment(side, run), notify=True, timeout=0.0)
    over = side.now >= _deadline(side, runs.read_json("notified.json")["time"])
    standings = [
        Standing(one.expected, at_deadline(one.verdict)) if over else one
        for one in report.standings
    ]
    done = over or all(one.verdict.settled for one in standings)
    bad = [one for one in standings if not one.succeeded]
    runs.put_json("releases.json", [one.to_json() for one in standings])
    tell(
        side.s3,
        side.depot,
        runs.read_json("origin.json"),
        side.now,
        releases=[one.line() for one in standings],
    )
    if done:
        ledger = ledger_of(side)
        ledger.keep(record.model_copy(update={"healthy": not bad}))
        if bad:
            side.emit({Metric.RELEASE_FAILED: len(bad)})
    return {"run": run, "done": done, "succeeded": done and not bad, "watched": True}


def _moment(side: Classified, run: str) -> datetime:
    events = ledger_of(side).events()
    began = History(events).began(stamp_of(side, run).digest)
    if began is None:
        raise StorageError("the ledger does not know of this load", where=f"run {run}")
    return began


def _deadline(side: Classified, notified: str) -> datetime:
    from pydantic import TypeAdapter  # noqa: PLC0415  # as needed

    from petra.bundle.fields import Moment  # noqa: PLC0415  # as above

    began: datetime = TypeAdapter(Moment).validate_python(notified)
    return began + timedelta(minutes=side.settings.release_minutes)
