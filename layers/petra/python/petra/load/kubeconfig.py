"""How a cluster is found: a kubeconfig file, or the service account of the pod that we run in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from petra.errors import NotFoundError, SettingError
from petra.load.kubernetes import KubernetesCluster

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import KubeConfig, SingleConfig

    from petra.oci.retry import RetryPolicy

#: What stands for the service account, where a kubeconfig is asked for.
IN_CLUSTER: Final = "in-cluster"

_LIMIT: Final = 4 * 1024 * 1024
_EXEC: Final = "client.authentication.k8s.io/"
_TIMEOUT: Final = 15.0


def connect(kubeconfig: str, retry: RetryPolicy | None = None) -> KubernetesCluster:
    """Return the cluster that a kubeconfig's current context names. Nothing is asked of it yet.

    Client certificates, tokens, token files and credential plugins are understood, certificates of
    one's own, ``proxy-url``, and the proxy variables.

    Args:
        kubeconfig: a file, or :data:`IN_CLUSTER`.
        retry: when to try again.

    Raises:
        NotFoundError: there is no such file.
        SettingError: it is unusable; never says what is in it.
    """
    import ssl  # noqa: PLC0415  # start-up time

    from lightkube.config.client_adapter import Client, ConnectionParams  # noqa: PLC0415  # 0.1 s
    from lightkube.core.exceptions import ConfigError  # noqa: PLC0415  # as above

    try:
        in_cluster = Path(kubeconfig).name == IN_CLUSTER
        found, proxy = _service_account() if in_cluster else _file(kubeconfig)
        _adapt_plugin(found)
        http = Client(found, ConnectionParams(timeout=_timeout(), proxy=proxy))
    except (ConfigError, ssl.SSLError, OSError, LookupError, TypeError, ValueError) as error:
        raise _unusable(kubeconfig, error) from None
    return KubernetesCluster(http, found.cluster.server, retry)


def _timeout() -> Any:
    import httpx2  # noqa: PLC0415  # start-up time

    return httpx2.Timeout(_TIMEOUT)


def _service_account() -> tuple[SingleConfig, str | None]:
    from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415  # start-up time

    return _single(KubeConfig.from_service_account()), None


def _file(name: str) -> tuple[SingleConfig, str | None]:
    """Return the current context of a file, and the proxy that its cluster is behind."""
    import msgspec  # noqa: PLC0415  # start-up time
    import yaml  # noqa: PLC0415  # as above
    from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415  # as above

    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            value = yaml.safe_load(file.read(_LIMIT))
        found = _single(KubeConfig.from_dict(value, fname=path))
    except FileNotFoundError:
        raise NotFoundError("no such kubeconfig", where=name, hint="correct --kubeconfig") from None
    except (yaml.YAMLError, msgspec.ValidationError, AttributeError):
        raise ValueError("its form") from None
    return found, _extras(value, found)


def _single(config: KubeConfig) -> SingleConfig:
    found = config.get()
    if found is None or found.user is None:
        raise LookupError("a user in its current context")
    return found


def _extras(value: Any, found: SingleConfig) -> str | None:
    """Return what lightkube passes over in the cluster's entry and we need."""
    entries = {entry.get("name"): entry.get("cluster") or {} for entry in value["clusters"]}
    cluster = entries.get(found.context.cluster, {})
    if cluster.get("tls-server-name"):
        raise ValueError("tls-server-name")
    return str(cluster["proxy-url"]) if cluster.get("proxy-url") else None


def _adapt_plugin(found: SingleConfig) -> None:
    """Let credential plugins speak v1, whose answers have the form that lightkube reads."""
    from lightkube.config.models import NameValue  # noqa: PLC0415  # start-up time

    plugin = found.user.exec if found.user else None
    if plugin is None or not plugin.apiVersion.startswith(_EXEC):
        return
    head = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential"}
    info = {**head, "spec": {"interactive": False}}
    given = NameValue(name="KUBERNETES_EXEC_INFO", value=json.dumps(info))
    plugin.env = [*(plugin.env or []), given]
    plugin.apiVersion = f"{_EXEC}v1beta1"


def _unusable(kubeconfig: str, error: Exception) -> SettingError:
    # Its text may quote the file: only the errors that we and lightkube word ourselves are told.
    told = {
        "its form": "not a kubeconfig",
        "tls-server-name": "tls-server-name, which is not supported",
        "'a user in its current context'": "no user in its current context",
    }.get(str(error), "an entry, a certificate or a key in it that is missing or unusable")
    return SettingError(
        "unusable kubeconfig",
        where=kubeconfig,
        found=told,
        hint="check it with `kubectl --kubeconfig FILE get helmreleases -A`",
    )
