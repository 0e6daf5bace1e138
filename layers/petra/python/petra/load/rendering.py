"""The bundle's platform manifests, with the local registry in them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.bundle.platform import (
    SUBSTITUTION,
    PlatformFiles,
    require_local,
    substitute_charts,
)
from petra.bundle.platform_releases import SOURCE_GROUP
from petra.errors import UsageError
from petra.oci.urls import is_loopback

if TYPE_CHECKING:
    from petra.bundle.platform import Manifest
    from petra.load.destination import OpenBundle

_FOLDER = "platform/"


@dataclass(frozen=True, slots=True)
class LocalRegistry:
    """How the cluster reaches the registry that charts and manifests are in.

    The cluster may know it by another name than the machine that loads: what stands here goes into
    the manifests.

    Attributes:
        charts: where the charts are, ``HOST[:PORT][/FOLDER]``; None if they are in no registry.
        insecure: the cluster has to speak plain HTTP to it.
        secret: the Secret of type ``dockerconfigjson`` with credentials for it, in the namespace of
            the sources.
        ca_secret: the Secret with ``ca.crt``, the authority that its certificate is from.
    """

    charts: str | None = None
    insecure: bool = False
    secret: str | None = None
    ca_secret: str | None = None

    def notes(self) -> tuple[str, ...]:
        """Return what a person should know about it, one sentence each."""
        host = (self.charts or "").partition("/")[0]
        if not host or not is_loopback(host.rpartition(":")[0] or host):
            return ()
        return (
            (
                f"{host} is each pod's own loopback: say with --cluster-registry how the cluster "
                "knows the registry"
            ),
        )

    def settings(self) -> dict[str, Any]:
        """Return what a source of Flux says of the registry beside its URL.

        Source: Flux, OCIRepository v1 and HelmRepository v1, ``insecure``, ``secretRef`` and
        ``certSecretRef``.
        """
        fields: dict[str, Any] = {}
        if self.insecure:
            fields["insecure"] = True
        if self.secret:
            fields["secretRef"] = {"name": self.secret}
        if self.ca_secret:
            fields["certSecretRef"] = {"name": self.ca_secret}
        return fields


def platform_files(bundle: OpenBundle) -> PlatformFiles:
    """Return the manifests in the bundle, as they are there, each checked.

    Raises:
        DigestMismatchError: one is not what the metadata says.
    """
    names = sorted(name for name in bundle.reader.members if name.startswith(_FOLDER))
    return PlatformFiles({name: bundle.reader.read(name) for name in names})


def local_manifests(bundle: OpenBundle, registry: LocalRegistry) -> PlatformFiles:
    """Return the manifests as the cluster is to read them: every source at the local registry.

    The URL of a chart's source gets the local registry. Where the registry asks for it, the source
    also says ``insecure: true``, or names Secrets; nothing else changes, and a file in which
    nothing changes keeps every byte.

    Raises:
        UsageError: the bundle has no manifests; or they need charts in a registry and there is
            none; or its place is malformed.
        IncompleteError: a source points outside.
    """
    files = platform_files(bundle)
    if not files.files:
        raise UsageError(
            "the bundle has no platform manifests",
            where=f"{bundle.metadata.name} {bundle.metadata.version}",
            hint="leave --manifests-to out, or ask for a bundle with spec.platform",
        )
    require_local(files)
    mark = SUBSTITUTION.encode()
    if not any(mark in data for data in files.files.values()):
        return files
    if registry.charts is None:
        raise UsageError(
            "the manifests take their charts from a registry, and none is named",
            where=next(name for name, data in files.files.items() if mark in data),
            expected="the place of the charts, HOST[:PORT][/FOLDER]",
            hint="load the charts with --charts-to oci://HOST/PREFIX",
        )
    changes = {
        (item.file, item.number): _source(item, registry)
        for item in files.of_kind(SOURCE_GROUP)
        if registry.settings() and SUBSTITUTION in str(item.spec.get("url", ""))
    }
    return substitute_charts(files.replaced(changes) if changes else files, registry.charts)


def _source(item: Manifest, registry: LocalRegistry) -> dict[str, Any]:
    value: dict[str, Any] = copy.deepcopy(item.value)
    value["spec"] |= registry.settings()
    return value
