"""The cluster that follows a load: told of it, and watched until its releases are at their ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petra.load.expected import with_manifests
from petra.load.k3s_objects import FLUX_NAMESPACE, SOURCE_NAME
from petra.load.kubernetes import HELM_RELEASE
from petra.load.notify import load_token
from petra.load.releases import ExpectedRelease, PublishedManifests
from petra.load.watch import Listener, Report, await_releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.load.kubernetes import Cluster
    from petra.load.ledger import DestinationRecord, LoadRecord
    from petra.load.watch import Standing

_OCI: Final = "oci://"


def _nobody(standings: Sequence[Standing]) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class ClusterFollower:
    """A cluster behind its API, or a Receiver, or both.

    Attributes:
        cluster: the API; None where only a Receiver is told, and nothing can be watched.
        call: calls the Receiver; None where there is none.
        timeout: seconds that the releases have.
        listen: told of each change.
    """

    cluster: Cluster | None
    call: Callable[[], None] | None = None
    timeout: float = 600.0
    listen: Listener = _nobody

    def reach(self) -> None:
        """Find out whether the API can be asked; change nothing.

        Raises:
            TransportError: it cannot be reached.
            AccessError: it refuses us.
        """
        if self.cluster:
            self.cluster.list(HELM_RELEASE, FLUX_NAMESPACE)

    def notify(self, progress: Progress) -> None:
        """Call the Receiver. Objects are asked while they are watched, also those that come later.

        Raises:
            PetraError: the Receiver did not take it.
        """
        if self.call:
            self.call()
            progress.on_note("the Receiver was told")

    def watch(
        self, record: LoadRecord, moment: datetime, progress: Progress
    ) -> tuple[Standing, ...]:
        """Ask Flux to look, and wait until each release is at its end, or time is up.

        Args:
            record: what was put where, and the releases that it is for.
            moment: when the load began.
            progress: who listens.

        Raises:
            AccessError: the API refuses.
            TransportError: it cannot be reached.
        """
        if self.cluster is None:
            return ()
        report = follow_record(
            self.cluster, record, moment, notify=True, timeout=self.timeout, listen=self.listen
        )
        if report.trouble:
            progress.on_note(f"the cluster was lost: {report.trouble}")
        return report.standings


def follow_record(
    cluster: Cluster,
    record: LoadRecord,
    moment: datetime | None,
    *,
    notify: bool = False,
    timeout: float = 0.0,
    listen: Listener = _nobody,
) -> Report:
    """Judge, or follow, the releases of a load as the ledger has it.

    Args:
        cluster: the API.
        record: what was put where, and the releases that it is for.
        moment: when the load began, which makes its token; None where that is not known.
        notify: whether to make the request.
        timeout: seconds to wait at most; 0 looks once.
        listen: told of changes.

    Raises:
        AccessError: the API refuses.
        TransportError: it cannot be reached.
    """
    return await_releases(
        cluster,
        recorded_releases(record),
        token=load_token(record.bundle.digest, moment) if moment else None,
        published=published_manifests(record.destinations),
        notify=notify,
        timeout=timeout,
        listen=listen,
    )


def recorded_releases(record: LoadRecord) -> list[ExpectedRelease]:
    """Return the releases of a load, with the manifests under which their charts were placed."""
    placed: dict[tuple[str, str], set[Digest]] = {}
    for destination in record.destinations:
        if destination.part == "charts" and destination.name.startswith(_OCI):
            for one in destination.placed:
                chart, _, version = one.name.rpartition(" ")
                placed.setdefault((chart, version), set()).add(one.digest)
    expected = (
        ExpectedRelease(
            namespace=one.namespace,
            name=one.name,
            chart=one.chart,
            version=one.version,
            archive=one.archive,
            source_namespace=one.source_namespace,
        )
        for one in record.releases
    )
    return with_manifests(expected, placed)


def published_manifests(destinations: Iterable[DestinationRecord]) -> PublishedManifests | None:
    """Return what the cluster's source of manifests reads since a load; None for other places."""
    for one in destinations:
        if one.part == "manifests" and one.name.startswith(_OCI) and one.switched:
            return PublishedManifests(FLUX_NAMESPACE, SOURCE_NAME, one.switched.digest)
    return None
