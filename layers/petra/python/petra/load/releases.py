"""What became of each HelmRelease, judged from the objects as Flux's controllers write them.

Nothing here talks to a cluster. Source: helm-controller v1.6.3 (``api/v2``,
``internal/controller/helmrelease_controller.go``, ``internal/reconcile``), source-controller
v1.9.1, kustomize-controller v1.9.4 and ``fluxcd/pkg/runtime/conditions``:

- ``lastHandledReconcileAt`` is written at the end of every reconciliation, a failed one and that of
  a suspended object among them, so it proves no success by itself;
- ``observedGeneration`` moves only where nothing is left to try; each condition has its own;
- Reconciling and Stalled exclude each other, and Reconciling stays while another try will come;
- a Helm action that failed for good is Stalled, too (``RetriesExceeded``): FAILED here, with what
  Helm said. STALLED is what the controller cannot even try (``AccessDenied``, for one);
- with a chart from an OCIRepository ``ociDigest`` is the manifest's digest, and the chart's version
  ends with its first twelve hex digits; with any other source there is no ``ociDigest``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from petra.bundle.platform_files import mapping
from petra.load.flux_status import (
    chart_text,
    condition,
    generation,
    is_version,
    latest,
    plain_version,
    released,
    revision_digest,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.content.digest import Digest

#: Why helm-controller stalls a release whose tries are used up: what failed is what counts then.
RETRIES_EXCEEDED: Final = "RetriesExceeded"


class State(StrEnum):
    """How far a HelmRelease is."""

    SUCCEEDED = "SUCCEEDED"
    REMEDIATED = "REMEDIATED"
    FAILED = "FAILED"
    STALLED = "STALLED"
    SUSPENDED = "SUSPENDED"
    MISMATCH = "MISMATCH"
    MISSING = "MISSING"
    PROGRESSING = "PROGRESSING"
    TIMEOUT = "TIMEOUT"


@dataclass(frozen=True, slots=True)
class ExpectedRelease:
    """A HelmRelease of a bundle, and the chart that it is to run.

    Attributes:
        namespace: the object's namespace.
        name: the object's name.
        chart: the chart's name.
        version: its exact version.
        archive: the digest of the chart's ``.tgz``, as the bundle has it.
        manifests: digests of the manifests under which a load placed the chart in registries. They
            are not the public registry's: a chart that is pushed gets a new manifest. Empty where
            that is not known; then the source's artifact must show the archive's digest.
        source_namespace: the namespace of the chart's source; the release's own where None.
    """

    namespace: str
    name: str
    chart: str
    version: str
    archive: Digest
    manifests: frozenset[Digest] = frozenset()
    source_namespace: str | None = None

    @property
    def key(self) -> str:
        """What reports call it, ``flux-system/cilium``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PublishedManifests:
    """The platform's manifests as a load published them: the OCIRepository that Flux follows.

    Attributes:
        namespace: the OCIRepository's namespace.
        name: its name.
        digest: the artifact's manifest digest.
    """

    namespace: str
    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Sighting:
    """A HelmRelease in the cluster, with the objects that its judgement needs.

    Attributes:
        release: the HelmRelease; None where there is none.
        served: whether the API serves HelmReleases at all.
        source: the OCIRepository or HelmChart that its chart comes from; None where it is unknown.
        owner: the Kustomization that applies it; None where it is unknown.
        handled: whether the release is known to have handled the request, though somebody may have
            made another one since.
        source_handled: the same of the source.
    """

    release: Mapping[str, Any] | None
    served: bool = True
    source: Mapping[str, Any] | None = None
    owner: Mapping[str, Any] | None = None
    handled: bool = False
    source_handled: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        state: how far it is.
        reason: one word, the controller's where it gave one.
        message: a sentence, the controller's where it gave one.
        chart: the chart that runs, ``NAME VERSION``; None where nothing was released.
        digest: its digest as the cluster knows it: the manifest's, or the archive's.
        settled: whether waiting longer will not change it.
    """

    state: State
    reason: str
    message: str
    chart: str | None = None
    digest: str | None = None
    settled: bool = False


def judge(
    expected: ExpectedRelease,
    seen: Sighting,
    token: str | None = None,
    published: PublishedManifests | None = None,
) -> Verdict:
    """Return what became of a release.

    Args:
        expected: the release as the bundle has it.
        seen: what is in the cluster.
        token: the request that must have been handled; None where none was made.
        published: what must have been applied; None where that is not known.
    """
    release = seen.release
    if release is None:
        what = "no such HelmRelease" if seen.served else "the cluster serves no HelmReleases"
        return Verdict(State.MISSING, "NotFound" if seen.served else "NotServed", f"{what} (yet)")
    pending = _pending(release, seen, token, published)
    if mapping(release.get("spec")).get("suspend") is True:
        return _suspended(release, settled=pending is None)
    if pending:
        return pending
    verdict = _by_conditions(release) or _by_chart(expected, release, seen.source)
    if verdict.state in (State.SUCCEEDED, State.PROGRESSING):
        return verdict
    return replace(verdict, settled=_is_fresh(release, seen, token))


def _pending(
    release: Mapping[str, Any],
    seen: Sighting,
    token: str | None,
    published: PublishedManifests | None,
) -> Verdict | None:
    """Return why what the release says is not about this load yet; None where it is."""
    if mapping(release.get("metadata")).get("deletionTimestamp"):
        return Verdict(State.PROGRESSING, "Deleting", "the HelmRelease is being deleted")
    if published and not _is_applied(seen.owner, published):
        return _not_applied(seen.owner, published)
    if not (seen.handled or _has_handled(release, token)):
        text = "helm-controller has not handled this load's request yet"
        at_work = condition(release, "Reconciling")
        if at_work.get("status") == "True":
            reason, message = said(at_work)
            return Verdict(State.PROGRESSING, reason, f"{message}; {text}")
        return Verdict(State.PROGRESSING, "TokenNotHandled", text)
    return None


def _suspended(release: Mapping[str, Any], *, settled: bool) -> Verdict:
    text = "the HelmRelease is suspended (spec.suspend): Flux leaves it as it is"
    return Verdict(State.SUSPENDED, "Suspended", text, *released(release), settled=settled)


def _by_conditions(release: Mapping[str, Any]) -> Verdict | None:
    """Return what the conditions of this generation say; None where all of them are good."""
    ready, found = condition(release, "Ready"), released(release)
    failed = ready.get("status") == "False"
    for kind, state in (
        ("Reconciling", State.PROGRESSING),
        ("Remediated", State.REMEDIATED),
        ("Stalled", State.STALLED),
    ):
        one = condition(release, kind)
        if one.get("status") == "True" and not (failed and one.get("reason") == RETRIES_EXCEEDED):
            return Verdict(state, *said(one, ready), *found)
    if failed:
        return Verdict(State.FAILED, *said(ready, condition(release, "Stalled")), *found)
    if ready.get("status") != "True":
        told = said(ready) if ready else ("NotObserved", _NOT_OBSERVED)
        return Verdict(State.PROGRESSING, *told, *found)
    status = mapping(release.get("status"))
    if status.get("observedGeneration") != generation(release):
        return Verdict(State.PROGRESSING, "NotObserved", _NOT_OBSERVED, *found)
    return None


_NOT_OBSERVED: Final = "helm-controller has not observed the current generation yet"


def _by_chart(
    expected: ExpectedRelease, release: Mapping[str, Any], source: Mapping[str, Any] | None
) -> Verdict:
    """Judge a release that is ready by the chart that it runs."""
    ready, snapshot = condition(release, "Ready"), latest(release)
    oci = str(snapshot.get("ociDigest") or "")
    digest = oci or _archive_digest(source, expected) if snapshot else ""
    found = chart_text(snapshot), digest or None

    def mismatch(reason: str, message: str) -> Verdict:
        return Verdict(State.MISMATCH, reason, message, *found)

    if snapshot.get("chartName") != expected.chart or not is_version(snapshot, expected.version):
        wanted = f"{expected.chart} {expected.version}"
        return mismatch("OtherChart", f"expected chart {wanted}, found {found[0] or 'none'}")
    if not digest:
        return mismatch("DigestUnknown", "the cluster does not tell the chart's digest")
    good = {expected.archive} if not oci else expected.manifests or _proven(source, expected, oci)
    if not good:
        text = f"nothing shows that manifest {oci} holds chart archive {expected.archive}"
        return mismatch("DigestUnknown", text)
    if digest not in good:
        wanted = " or ".join(sorted(good))
        return mismatch("OtherDigest", f"expected chart digest {wanted}, found {digest}")
    return Verdict(State.SUCCEEDED, *said(ready), *found, settled=True)


def _archive_digest(source: Mapping[str, Any] | None, expected: ExpectedRelease) -> str:
    """Return the digest of the chart's archive that a HelmChart holds in this version."""
    if source is None or source.get("kind") != "HelmChart":
        return ""
    artifact = mapping(mapping(source.get("status")).get("artifact"))
    same = plain_version(str(artifact.get("revision", ""))) == plain_version(expected.version)
    return str(artifact.get("digest", "")) if same else ""


def _proven(
    source: Mapping[str, Any] | None, expected: ExpectedRelease, oci: str
) -> frozenset[str]:
    """Return `oci` if an OCIRepository shows that it holds the archive (operation ``copy``)."""
    if source is None or source.get("kind") != "OCIRepository":
        return frozenset()
    artifact = mapping(mapping(source.get("status")).get("artifact"))
    is_it = revision_digest(artifact.get("revision")) == oci
    return frozenset({oci}) if is_it and artifact.get("digest") == expected.archive else frozenset()


def _has_handled(value: Mapping[str, Any], token: str | None) -> bool:
    return token is None or mapping(value.get("status")).get("lastHandledReconcileAt") == token


def _is_fresh(release: Mapping[str, Any], seen: Sighting, token: str | None) -> bool:
    """Say whether the source has looked since the request, and the release was tried with that.

    Otherwise another chart may be on its way, and with it another outcome.
    """
    source = seen.source
    if token is None or source is None:
        return True
    status = mapping(source.get("status"))
    if not (seen.source_handled or _has_handled(source, token)):
        return False
    if status.get("observedGeneration") != generation(source):
        return False
    tried = mapping(release.get("status")).get("lastAttemptedRevisionDigest")
    held = revision_digest(mapping(status.get("artifact")).get("revision"))
    return not tried or not held or tried == held


def _is_applied(owner: Mapping[str, Any] | None, published: PublishedManifests) -> bool:
    """Say whether the Kustomization has applied what was published.

    One that waits for what it applied says so in its Reconciling condition, or has failed to see it
    healthy; ``lastAppliedRevision`` moves only after that. A release that no Kustomization of that
    source applies is nobody's to wait for.
    """
    if owner is None or not follows(owner, published):
        return True
    status = mapping(owner.get("status"))
    if revision_digest(status.get("lastAppliedRevision")) == published.digest:
        return True
    attempted = str(status.get("lastAttemptedRevision") or "")
    if revision_digest(attempted) != published.digest:
        return False
    waits = f"Running health checks for revision {attempted} "
    reconciling, ready = condition(owner, "Reconciling"), condition(owner, "Ready")
    return (
        reconciling.get("status") == "True" and str(reconciling.get("message")).startswith(waits)
    ) or (ready.get("status") == "False" and ready.get("reason") == "HealthCheckFailed")


def follows(owner: Mapping[str, Any], published: PublishedManifests) -> bool:
    """Say whether a Kustomization applies what the OCIRepository of `published` holds."""
    reference = mapping(mapping(owner.get("spec")).get("sourceRef"))
    namespace = reference.get("namespace") or mapping(owner.get("metadata")).get("namespace")
    wanted = ("OCIRepository", published.namespace, published.name)
    return (reference.get("kind"), namespace, reference.get("name")) == wanted


def _not_applied(owner: Mapping[str, Any] | None, published: PublishedManifests) -> Verdict:
    metadata = mapping((owner or {}).get("metadata"))
    who = f"Kustomization {metadata.get('namespace')}/{metadata.get('name')}"
    text = f"{who} has not applied {published.digest} yet"
    ready = condition(owner or {}, "Ready")
    if ready.get("status") == "False":
        text += ": {}: {}".format(*said(ready))
    return Verdict(State.PROGRESSING, "ManifestsNotApplied", text)


def at_deadline(verdict: Verdict) -> Verdict:
    """Return the verdict that stands when no time is left: what went on until then timed out."""
    if verdict.state is not State.PROGRESSING:
        return verdict
    return replace(verdict, state=State.TIMEOUT, settled=True)
