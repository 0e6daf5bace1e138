"""Asking Flux to look at once: the sources, then what consumes them, each by its annotation.

Source: ``fluxcd/pkg/apis/meta/annotations.go``: any new value of ``requestedAt`` is a request, and
a controller writes the value to ``status.lastHandledReconcileAt`` when it has dealt with it. With
the same value ``resetAt`` lets helm-controller v1.6.3 forget failed attempts: a load which is
repeated after its cause was mended is another try.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from petra.bundle.platform_files import mapping
from petra.load.flux_status import owner_key, source_key
from petra.load.kubernetes import (
    HELM_CHART,
    HELM_RELEASE,
    HELM_REPOSITORY,
    KUSTOMIZATION,
    OCI_REPOSITORY,
    Kind,
)
from petra.load.releases import follows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from petra.content.digest import Digest
    from petra.load.kubernetes import Cluster
    from petra.load.releases import ExpectedRelease, PublishedManifests

REQUESTED_AT: Final = "reconcile.fluxcd.io/requestedAt"
RESET_AT: Final = "reconcile.fluxcd.io/resetAt"

#: Sources, then consumers: who is asked first has looked when the next one asks it.
ORDER: Final = (OCI_REPOSITORY, HELM_REPOSITORY, HELM_CHART, KUSTOMIZATION, HELM_RELEASE)

#: A kind in a namespace.
Scope: TypeAlias = tuple[Kind, str]
#: All objects seen, by kind.
Objects: TypeAlias = "Mapping[Kind, Sequence[Mapping[str, Any]]]"
_Key: TypeAlias = tuple[str, str, str]


def load_token(digest: Digest, moment: datetime) -> str:
    """Return the token of a load: the same for the same bundle and time, another for any other.

    Args:
        digest: the bundle's.
        moment: when the load began.
    """
    return f"petra-{digest.hex[:12]}-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def scopes(
    expected: Iterable[ExpectedRelease], published: PublishedManifests | None
) -> list[Scope]:
    """Return what has to be listed to notify and to judge: every kind, in each namespace named."""
    spaces = dict.fromkeys(
        space for one in expected for space in (one.namespace, one.source_namespace) if space
    )
    if published:
        spaces[published.namespace] = None
    return [(kind, space) for kind in ORDER for space in spaces]


def notify(
    cluster: Cluster,
    token: str,
    expected: Sequence[ExpectedRelease],
    published: PublishedManifests | None = None,
) -> tuple[str, ...]:
    """Ask Flux to reconcile, once, whatever of it is there; return what was asked.

    Args:
        cluster: the API.
        token: the request's value.
        expected: the releases of the bundle.
        published: the manifests' OCIRepository.

    Raises:
        AccessError: the API refuses.
        TransportError: it cannot be reached.
    """
    objects: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in ORDER}
    for kind, namespace in scopes(expected, published):
        listing = cluster.list(kind, namespace)
        objects[kind] += listing.items if listing else ()
    return Notifier(cluster, token, expected, published).ask(objects)


class Notifier:
    """Asks each object of a load once, also those that appear only later.

    Args:
        cluster: the API.
        token: the request's value.
        expected: the releases of the bundle.
        published: the manifests' OCIRepository.
    """

    def __init__(
        self,
        cluster: Cluster,
        token: str,
        expected: Iterable[ExpectedRelease],
        published: PublishedManifests | None,
    ) -> None:
        self._cluster = cluster
        self._token = token
        self._releases = {(one.namespace, one.name) for one in expected}
        self._published = published
        #: What has handled the token at some time, though somebody may have asked anew since.
        self.handled: set[_Key] = set()

    def ask(self, objects: Objects) -> tuple[str, ...]:
        """Ask those of `objects` that this load is about and that were not asked yet.

        Raises:
            AccessError: the API refuses.
            TransportError: it cannot be reached.
        """
        concerned = self._concerned(objects)
        asked: list[str] = []
        for kind in ORDER:
            for value in objects.get(kind, ()):
                key = _key(kind, value)
                if (
                    key in concerned
                    and not self._is_asked(key, value)
                    and self._annotate(kind, key)
                ):
                    asked.append(f"{kind.name} {key[1]}/{key[2]}")
        return tuple(asked)

    def _annotate(self, kind: Kind, key: _Key) -> bool:
        annotations = {REQUESTED_AT: self._token}
        if kind is HELM_RELEASE:
            annotations[RESET_AT] = self._token
        return self._cluster.annotate(kind, key[1], key[2], annotations)

    def _is_asked(self, key: _Key, value: Mapping[str, Any]) -> bool:
        if mapping(value.get("status")).get("lastHandledReconcileAt") == self._token:
            self.handled.add(key)
        annotations = mapping(mapping(value.get("metadata")).get("annotations"))
        return key in self.handled or annotations.get(REQUESTED_AT) == self._token

    def _concerned(self, objects: Objects) -> set[_Key]:
        found: set[_Key] = set()
        if self._published:
            found.add((OCI_REPOSITORY.name, self._published.namespace, self._published.name))
        for release in objects.get(HELM_RELEASE, ()):
            key = _key(HELM_RELEASE, release)
            if key[1:] in self._releases:
                found |= {key, *_behind(release)}
        for chart in objects.get(HELM_CHART, ()):
            if _key(HELM_CHART, chart) in found:
                found |= {*_repository(chart, mapping(chart.get("spec")))}
        for owner in objects.get(KUSTOMIZATION, ()):
            if self._published and follows(owner, self._published):
                found.add(_key(KUSTOMIZATION, owner))
        return found


def _behind(release: Mapping[str, Any]) -> Iterator[_Key]:
    """Yield what a HelmRelease depends on: its source, its repository and its Kustomization."""
    if source := source_key(release):
        yield source
    template = mapping(mapping(release.get("spec")).get("chart"))
    yield from _repository(release, mapping(template.get("spec")))
    if owner := owner_key(release):
        yield (KUSTOMIZATION.name, *owner)


def _repository(value: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[_Key]:
    reference = mapping(spec.get("sourceRef"))
    if reference:
        home = reference.get("namespace") or mapping(value.get("metadata")).get("namespace")
        yield str(reference.get("kind")), str(home), str(reference.get("name"))


def _key(kind: Kind, value: Mapping[str, Any]) -> _Key:
    metadata = mapping(value.get("metadata"))
    return kind.name, str(metadata.get("namespace")), str(metadata.get("name"))
