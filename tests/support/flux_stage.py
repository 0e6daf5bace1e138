"""A namespace of a real API server, with a process of its own that plays Flux in it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from petra.content.digest import Digest
from petra.load.kubeconfig import connect
from petra.load.releases import ExpectedRelease
from petra.load.watch import Report, await_releases
from tests.support.processes import Server
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.kubernetes import KubernetesApi

_PLAYER = REPOSITORY / "tests" / "support" / "flux_player.py"
#: Nobody waits so long: each of these waits ends by what the player writes.
PATIENCE = 90.0
MANIFEST, ARCHIVE = Digest.of(b"placed manifest"), Digest.of(b"archive")


def helm_release(name: str, **spec: Any) -> dict[str, Any]:
    chart = {"kind": "OCIRepository", "name": name}
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": name},
        "spec": {"interval": "10m", "chartRef": chart, **spec},
    }


def oci_source(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "OCIRepository",
        "metadata": {"name": name},
        "spec": {
            "interval": "10m",
            "url": f"oci://registry.local:5000/charts/{name}",
            "ref": {"tag": "1.2.3"},
        },
    }


def expected_release(namespace: str, name: str) -> ExpectedRelease:
    return ExpectedRelease(namespace, name, name, "1.2.3", ARCHIVE, frozenset({MANIFEST}))


class Stage:
    """A namespace of an API server, and what its player is to do."""

    def __init__(self, api: KubernetesApi, namespace: str, folder: Path) -> None:
        self.api, self.namespace, self.folder = api, namespace, folder
        self.script: dict[str, dict[str, Any]] = {"releases": {}, "sources": {}}

    def cast(self, name: str, role: str, *, held: str = MANIFEST, **spec: Any) -> None:
        """Put a release and its OCIRepository there, which finds manifest `held`."""
        self.part(name, role, held)
        self.api.apply(oci_source(name), self.namespace)
        self.api.apply(helm_release(name, **spec), self.namespace)

    def part(self, name: str, role: str, held: str = MANIFEST) -> None:
        self.script["sources"][name] = {"revision": f"1.2.3@{held}", "digest": ARCHIVE}
        self.script["releases"][name] = {"role": role, "ociDigest": held}

    def get(self, value: dict[str, Any]) -> dict[str, Any]:
        return self.api.get(value, self.namespace)

    @contextmanager
    def playing(self) -> Iterator[Server]:
        """Run the player."""
        script = self.folder / "script.json"
        script.write_text(json.dumps(self.script))
        pool = self.api.http.connection_pool_kw
        options = {
            "url": self.api.url,
            "ca": pool["ca_certs"],
            "cert": pool["cert_file"],
            "key": pool["key_file"],
            "namespace": self.namespace,
            "script": str(script),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        command = [sys.executable, str(_PLAYER), *arguments]
        with Server("flux player", command, self.folder / "player.log") as player:
            player.wait_for_log("(playing)")
            yield player

    def watch(self, names: Sequence[str], token: str | None, **options: Any) -> Report:
        """Play, and follow the releases `names`."""
        expected = [expected_release(self.namespace, name) for name in names]
        with self.playing(), connect(str(self.api.kubeconfig)) as cluster:
            return await_releases(
                cluster, expected, token=token, notify=True, **{"timeout": PATIENCE} | options
            )
