"""Waiting until every HelmRelease of a bundle has come to its end, or the time is over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from petra.errors import ReconcileError, TransportError
from petra.load.feeds import Feeds
from petra.load.flux_status import owner_key, source_key
from petra.load.kubernetes import HELM_CHART, HELM_RELEASE, KUSTOMIZATION, OCI_REPOSITORY
from petra.load.notify import ORDER, Notifier, scopes
from petra.load.releases import (
    ExpectedRelease,
    PublishedManifests,
    Sighting,
    State,
    Verdict,
    at_deadline,
    judge,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from petra.load.kubernetes import Cluster


#: Seconds that the first look may take, however short the timeout.
FIRST_LOOK: Final = 60.0
#: Seconds after which a request that failed is made again.
ASK_AGAIN: Final = 2.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A release and what was found."""

    expected: ExpectedRelease
    verdict: Verdict

    @property
    def succeeded(self) -> bool:
        """Whether it is at its end, with what the bundle brought."""
        return self.verdict.state is State.SUCCEEDED

    def line(self) -> str:
        """Return one line for people: what it is, which chart, and why where it is not well."""
        expected, verdict = self.expected, self.verdict
        text = f"{verdict.state:<11} {expected.key}  {expected.chart} {expected.version}"
        if self.succeeded:
            return text
        return f"{text}  {verdict.reason}: {' '.join(verdict.message.split())}"

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--output json`` has it."""
        expected, verdict = self.expected, self.verdict
        return {
            "namespace": expected.namespace,
            "name": expected.name,
            "state": str(verdict.state),
            "reason": verdict.reason,
            "message": verdict.message,
            "expected": {
                "chart": expected.chart,
                "version": expected.version,
                "digest": expected.archive,
                "manifests": sorted(expected.manifests),
            },
            "found": {"chart": verdict.chart, "digest": verdict.digest},
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all releases of a bundle.

    Attributes:
        standings: one for each release, in the bundle's order.
        token: the request that the controllers were to handle; None where none was made.
        seconds: how long was waited.
        trouble: why the cluster could not be followed at the end; None where it could.
    """

    standings: tuple[Standing, ...]
    token: str | None
    seconds: float
    trouble: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether each and every release did."""
        return all(one.succeeded for one in self.standings)

    def lines(self) -> list[str]:
        """Return one line a release, and one on the cluster if it was lost."""
        lines = [one.line() for one in self.standings]
        return [*lines, f"the cluster was lost: {self.trouble}"] if self.trouble else lines

    def summary(self) -> str:
        """Return how many releases are in which state."""
        states = [one.verdict.state for one in self.standings]
        counts = [f"{states.count(state)} {state}" for state in State if state in states]
        return ", ".join(counts) or "no releases"

    def require(self) -> None:
        """Pass if all succeeded.

        Raises:
            ReconcileError: not all did; names the first that did not.
        """
        bad = [one for one in self.standings if not one.succeeded]
        if bad:
            raise ReconcileError(
                f"{len(bad)} of {len(self.standings)} HelmReleases did not come to what the "
                "bundle says",
                where=bad[0].expected.key,
                expected=State.SUCCEEDED,
                found=f"{bad[0].verdict.state}: {bad[0].verdict.reason}",
            )

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--output json`` has it."""
        return {
            "succeeded": self.succeeded,
            "token": self.token,
            "seconds": round(self.seconds, 1),
            "trouble": self.trouble,
            "releases": [one.to_json() for one in self.standings],
        }


#: Told of all standings whenever one of them has changed.
Listener: TypeAlias = "Callable[[Sequence[Standing]], None]"


def await_releases(
    cluster: Cluster,
    expected: Sequence[ExpectedRelease],
    *,
    token: str | None = None,
    published: PublishedManifests | None = None,
    notify: bool = False,
    timeout: float = 0.0,
    listen: Listener = lambda standings: None,  # noqa: ARG005  # nobody
) -> Report:
    """Follow the releases of a bundle until each has come to its end.

    Args:
        cluster: the API.
        expected: the releases.
        token: the request that counts; None if any state counts that is current.
        published: the manifests that must have been applied; None where that is not known.
        notify: whether to make the request, of objects that appear only later, too.
        timeout: seconds to wait at most; 0 looks once.
        listen: told of changes.

    Raises:
        AccessError: the API refuses.
        TransportError: it was never reached.
    """
    began = time.monotonic()
    look = _Look(expected, token, published)
    notifier = Notifier(cluster, token, expected, published) if notify and token else None
    with Feeds(cluster, scopes(expected, published)) as feeds:
        number = feeds.first(max(timeout, FIRST_LOOK))
        while True:
            trouble = _ask(notifier, feeds) if notifier else None
            standings = look.at(feeds, notifier)
            if look.changed(standings):
                listen(standings)
            left = began + timeout - time.monotonic()
            if left <= 0 or all(one.verdict.settled for one in standings):
                break
            # What could not be asked is asked again, though nothing else may change meanwhile.
            number = feeds.wait(number, min(left, ASK_AGAIN) if trouble else left)
        trouble = trouble or feeds.trouble
    if timeout > 0:
        standings = [Standing(one.expected, at_deadline(one.verdict)) for one in standings]
    lost = f"{trouble.message} ({trouble.where})" if trouble else None
    return Report(tuple(standings), token, time.monotonic() - began, lost)


def _ask(notifier: Notifier, feeds: Feeds) -> TransportError | None:
    """Ask what has not been asked; the API may be lost for a while."""
    try:
        notifier.ask({kind: feeds.objects(kind) for kind in ORDER})
    except TransportError as error:
        return error
    return None


class _Look:
    """Judges all releases by what the feeds hold."""

    def __init__(
        self,
        expected: Sequence[ExpectedRelease],
        token: str | None,
        published: PublishedManifests | None,
    ) -> None:
        self._expected = expected
        self._token = token
        self._published = published
        self._before: list[Standing] = []

    def at(self, feeds: Feeds, notifier: Notifier | None) -> list[Standing]:
        """Return the standings now."""
        releases = _by_name(feeds.objects(HELM_RELEASE))
        owners = _by_name(feeds.objects(KUSTOMIZATION))
        sources = {
            (kind.name, *name): value | {"kind": kind.name}
            for kind in (OCI_REPOSITORY, HELM_CHART)
            for name, value in _by_name(feeds.objects(kind)).items()
        }
        served = feeds.served(HELM_RELEASE)
        handled = notifier.handled if notifier else frozenset()
        standings = []
        for one in self._expected:
            release = releases.get((one.namespace, one.name))
            behind = source_key(release) if release else None
            owner = owner_key(release) if release else None
            seen = Sighting(
                release,
                served,
                sources.get(behind) if behind else None,
                owners.get(owner) if owner else None,
                handled=(HELM_RELEASE.name, one.namespace, one.name) in handled,
                source_handled=behind in handled,
            )
            standings.append(Standing(one, judge(one, seen, self._token, self._published)))
        return standings

    def changed(self, standings: list[Standing]) -> bool:
        """Say whether they differ from the last ones."""
        before, self._before = self._before, standings
        return before != standings


def _by_name(objects: Sequence[dict[str, Any]]) -> Mapping[tuple[str, str], dict[str, Any]]:
    return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in objects}
