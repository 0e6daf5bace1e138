"""What a fresh k3s server needs before Flux can do the rest: its first objects.

Sources: k3s's documentation, "Helm" (HelmChart), "Managing Packages" (``server/manifests``) and
"Configuration File"; k3s's pkg/deploy, which applies a file again until all of it is accepted;
Flux's OCIRepository v1 and Kustomization v1.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.bundle.platform import PARTS, PlatformFiles
from petra.encoding.yaml import dump_yaml
from petra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from petra.bundle.platform import Manifest
    from petra.load.rendering import LocalRegistry
    from petra.trust.keys import PublicKey

#: Where Flux, its sources and its HelmReleases are.
FLUX_NAMESPACE = "flux-system"
#: The OCIRepository that the platform's Kustomizations read.
SOURCE_NAME = "petra-platform"
#: The Secret with the public key that the OCIRepository verifies with.
KEY_SECRET = "petra-platform-key"  # noqa: S105  # a name, and what is in it is public
#: k3s's controller puts the chart into a ConfigMap, which holds 1 MiB.
CHART_LIMIT = 1024 * 1024 - 16 * 1024
_HELM_NAMESPACE = "kube-system"
_FLUX_KUSTOMIZE = "kustomize.toolkit.fluxcd.io"


@dataclass(frozen=True, slots=True)
class FirstChart:
    """A chart that k3s installs before Flux runs, and Flux takes over afterwards.

    Attributes:
        release: what Helm calls the release; the HelmRelease has the same name for it.
        namespace: where it goes.
        data: the ``.tgz``.
        values: with the images' digests in them.
    """

    release: str
    namespace: str
    data: bytes
    values: Mapping[str, Any]


def helm_chart(chart: FirstChart) -> dict[str, Any]:
    """Return the HelmChart object that makes k3s install `chart` before there is a network.

    Raises:
        UsageError: the chart is too large to stand in an object.
    """
    content = b64encode(chart.data).decode("ascii")
    if len(content) > CHART_LIMIT:
        raise UsageError(
            f"the chart of {chart.release} is too large to be installed by k3s itself",
            where=f"chart of {chart.release}",
            expected=f"at most {CHART_LIMIT} characters of base64",
            found=f"{len(content)}",
            hint="install it by hand (helm install) before Flux",
        )
    return {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": chart.release, "namespace": _HELM_NAMESPACE},
        "spec": {
            "bootstrap": True,
            "targetNamespace": chart.namespace,
            "valuesContent": dump_yaml(dict(chart.values)).decode(),
            "chartContent": content,
        },
    }


def key_secret(key: PublicKey) -> dict[str, Any]:
    """Return the Secret with the public key that published manifests are verified with."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": KEY_SECRET, "namespace": FLUX_NAMESPACE},
        "type": "Opaque",
        "stringData": {"cosign.pub": key.pem.decode("ascii")},
    }


def platform_source(repository: str, channel: str, local: LocalRegistry) -> dict[str, Any]:
    """Return the OCIRepository that follows the channel of the published manifests.

    Args:
        repository: ``HOST[:PORT]/REPOSITORY``, as the cluster knows it.
        channel: the tag that it follows.
        local: how the cluster reaches the registry.
    """
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "OCIRepository",
        "metadata": {"name": SOURCE_NAME, "namespace": FLUX_NAMESPACE},
        "spec": {
            "interval": "5m",
            "timeout": "2m",
            "url": f"oci://{repository}",
            "ref": {"tag": channel},
            "verify": {"provider": "cosign", "secretRef": {"name": KEY_SECRET}},
            **local.settings(),
        },
    }


def first_kustomizations(files: PlatformFiles) -> list[dict[str, Any]]:
    """Return the Kustomizations that apply each part of the manifests.

    They are those in the manifests themselves, word for word, so that Flux finds nothing to change
    when it applies them; where a part has none, one is made.
    """
    ours = [
        item for item in files.of_kind(_FLUX_KUSTOMIZE, "Kustomization") if _reads_platform(item)
    ]
    found = {str(item.spec.get("path", "")).strip("./"): item.value for item in ours}
    parts = [part for part in PARTS if files.part(part)]
    return [found.get(part) or _kustomization(part) for part in parts]


def first_namespace(files: PlatformFiles) -> dict[str, Any]:
    """Return the Namespace of Flux, as the manifests have it where they do."""
    for item in files.of_kind("", "Namespace"):
        if item.name == FLUX_NAMESPACE:
            return item.value
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FLUX_NAMESPACE}}


def k3s_config(cilium: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of k3s that go with Cilium's values: who is the network, and no other.

    Args:
        cilium: the values of Cilium's chart.
    """
    settings: dict[str, Any] = {"flannel-backend": "none", "disable-network-policy": True}
    if str(cilium.get("kubeProxyReplacement", "")).lower() in ("true", "strict"):
        settings["disable-kube-proxy"] = True
    return settings


def dump_objects(objects: Iterable[Mapping[str, Any]], head: str) -> bytes:
    """Return objects as one file of YAML, with a comment on top."""
    texts = [dump_yaml(dict(one)) for one in objects]
    return f"# {head}\n".encode() + b"---\n".join(texts)


def _reads_platform(item: Manifest) -> bool:
    source = item.spec.get("sourceRef")
    wanted = {"kind": "OCIRepository", "name": SOURCE_NAME}
    return isinstance(source, dict) and wanted.items() <= source.items()


def _kustomization(part: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{_FLUX_KUSTOMIZE}/v1",
        "kind": "Kustomization",
        "metadata": {"name": f"platform-{part}", "namespace": FLUX_NAMESPACE},
        "spec": {
            "interval": "10m",
            "retryInterval": "2m",
            "timeout": "30m",
            "sourceRef": {"kind": "OCIRepository", "name": SOURCE_NAME},
            "path": f"./{part}",
            "prune": True,
            "wait": True,
        },
    }
