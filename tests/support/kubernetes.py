"""A real Kubernetes API for custom resources: etcd and apiextensions-apiserver on loopback.

It is upstream's own server, so schemas, generations, server-side apply, the status subresource and
watches are as in any cluster. It knows no core types (Pods, Secrets, namespaces as objects).
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import urllib3
import yaml

from tests.support.pki import write_pki
from tests.support.processes import Server
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_OURS = REPOSITORY / "tests" / "assets" / "crds"
_SHARED = REPOSITORY.parent / "shared" / "data" / "crds"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_APPLY = "application/apply-patch+yaml"
_ATTEMPTS = 3
_NO_ADMISSION = (
    "NamespaceLifecycle",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
)


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status and the text what it said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Resource:
    """Where the objects of one kind live."""

    group: str
    version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """Return the URL path of object `name`, of the whole list without one."""
        parts = ["/apis", self.group, self.version]
        parts += ["namespaces", namespace] * self.namespaced
        parts += [self.plural, *([name] if name else [])]
        return "/".join(parts)


@dataclass
class KubernetesApi:
    """A client of the running API server.

    Attributes:
        url: ``https://127.0.0.1:PORT``.
        kubeconfig: a file for other clients.
        http: a connection pool with the administrator's certificate.
        resources: by (apiVersion, kind), what it serves.
    """

    url: str
    kubeconfig: Path
    http: urllib3.PoolManager
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def request(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Any:
        """Return the parsed answer.

        Raises:
            ApiError: its status is not a good one.
        """
        response = self.http.request(
            method,
            self.url + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content_type},
        )
        if response.status >= 300:
            message = response.data.decode(errors="replace")
            with suppress(ValueError, KeyError):
                message = json.loads(message)["message"]
            raise ApiError(response.status, message)
        return json.loads(response.data) if response.data[:1] == b"{" else response.data.decode()

    def define(self, definitions: Iterable[Mapping[str, Any]]) -> None:
        """Apply custom resource definitions and wait until each is served."""
        for definition in definitions:
            name, spec = definition["metadata"]["name"], definition["spec"]
            path = f"{_DEFINITIONS}/{name}?fieldManager=tests&force=true"
            self.request("PATCH", path, definition, _APPLY)
            for version in spec["versions"]:
                resource = Resource(
                    spec["group"],
                    version["name"],
                    spec["names"]["plural"],
                    spec["scope"] == "Namespaced",
                )
                key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                if version["served"]:
                    self.resources[key] = resource

    def served(self, resource: Resource) -> bool:
        """Say whether objects of this kind can be listed by now."""
        try:
            self.request("GET", resource.path("default"))
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def resource(self, value: Mapping[str, Any]) -> Resource | None:
        """Return where `value`, an object, lives; None for a kind that is not served here."""
        return self.resources.get((str(value.get("apiVersion")), str(value.get("kind"))))

    def apply(
        self, value: Mapping[str, Any], namespace: str, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Apply `value` server-side, unknown fields refused; return the object as stored."""
        resource = self.resource(value)
        assert resource is not None, f"{value.get('kind')} is not served here"
        query = "?fieldManager=tests&force=true&fieldValidation=Strict" + "&dryRun=All" * dry_run
        metadata = {**value["metadata"]}
        if resource.namespaced:
            metadata["namespace"] = namespace
        path = resource.path(namespace, metadata["name"]) + query
        return dict(self.request("PATCH", path, {**value, "metadata": metadata}, _APPLY))

    def get(self, value: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        """Return the object that `value` names, as it is now."""
        resource = self.resource(value)
        assert resource is not None, f"{value.get('kind')} is not served here"
        return dict(self.request("GET", resource.path(namespace, value["metadata"]["name"])))

    def delete(self, value: Mapping[str, Any], namespace: str) -> None:
        """Delete the object that `value` names."""
        resource = self.resource(value)
        assert resource is not None, f"{value.get('kind')} is not served here"
        self.request("DELETE", resource.path(namespace, value["metadata"]["name"]))

    def set_status(
        self, value: Mapping[str, Any], namespace: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write an object's status as its controller would; return the object."""
        resource = self.resource(value)
        assert resource is not None, f"{value.get('kind')} is not served here"
        path = resource.path(namespace, value["metadata"]["name"]) + "/status"
        merge = "application/merge-patch+json"
        return dict(self.request("PATCH", path, {"status": dict(status)}, merge))


@dataclass(frozen=True)
class Checked:
    """What became of a set of manifests: ``KIND/NAME`` each.

    Attributes:
        accepted: the API server takes them.
        refused: it does not, and why.
        unchecked: their kinds are not served here.
    """

    accepted: list[str]
    refused: dict[str, str]
    unchecked: list[str]

    def summary(self) -> str:
        """Return one line for the end of a test run."""
        others = ", ".join(self.unchecked) or "none"
        return (
            f"{len(self.accepted)} custom resources accepted, {len(self.refused)} refused; "
            f"of kinds not served here, so unchecked: {others}"
        )


def check_manifests(
    api: KubernetesApi, documents: Iterable[Mapping[str, Any]], namespace: str
) -> Checked:
    """Offer each of `documents` to the API server, nothing stored, unknown fields refused."""
    checked = Checked([], {}, [])
    for document in documents:
        name = f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"
        if api.resource(document) is None:
            checked.unchecked.append(name)
            continue
        try:
            api.apply(document, namespace, dry_run=True)
        except ApiError as error:
            checked.refused[name] = str(error)
        else:
            checked.accepted.append(name)
    return checked


def flux_definitions() -> tuple[str, list[dict[str, Any]]]:
    """Return where Flux's definitions come from, and the definitions.

    ``PETRA_FLUX_CRDS`` names a folder of the real ones; else a ready folder beside the checkout;
    else our small ones of the same names.
    """
    named = os.environ.get("PETRA_FLUX_CRDS")
    folder = REPOSITORY / named if named else _SHARED if _SHARED.is_dir() else _OURS
    files = sorted(folder.glob("*.yaml"))
    assert files, f"no definitions in {folder}"
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return folder.name, [document for document in documents if document]


@contextmanager
def running_kubernetes(etcd: Path, apiserver: Path, folder: Path) -> Iterator[KubernetesApi]:
    """Run both servers in `folder` until the block ends; ready when it begins."""
    pki = write_pki(folder / "pki")
    for attempt in range(_ATTEMPTS):
        with ExitStack() as stack:
            try:
                port = _start(stack, etcd, apiserver, folder, pki)
            except RuntimeError:
                # Another process can take a free port before its server does.
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            yield _client(port, folder, pki)
            return


def _start(stack: ExitStack, etcd: Path, apiserver: Path, folder: Path, pki: Path) -> int:
    client, peer, port = _free_ports(3)
    store, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    command = [str(etcd), "--data-dir", str(folder / f"etcd-{client}"), "--unsafe-no-fsync"]
    command += ["--listen-client-urls", store, "--advertise-client-urls", store]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    command += ["--initial-cluster", f"default={peers}"]
    stack.enter_context(Server("etcd", command, folder / "etcd.log"))
    kubeconfig = _write_kubeconfig(folder, port, pki)
    command = [
        str(apiserver),
        f"--etcd-servers={store}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authentication-skip-lookup",
        *(f"--{who}kubeconfig={kubeconfig}" for who in ("", "authentication-", "authorization-")),
        # It knows no core types, so what admission would look up is not there.
        f"--disable-admission-plugins={','.join(_NO_ADMISSION)}",
        "--enable-priority-and-fairness=false",
    ]
    server = stack.enter_context(
        Server("apiextensions-apiserver", command, folder / "apiserver.log")
    )
    api = _client(port, folder, pki)

    def ready() -> bool:
        try:
            # Its informer for Services never syncs: it knows no core types, and needs none.
            return str(api.request("GET", "/readyz?exclude=informer-sync")) == "ok"
        except (ApiError, urllib3.exceptions.HTTPError):
            return False

    server.wait_for(ready)
    return port


def _client(port: int, folder: Path, pki: Path) -> KubernetesApi:
    pool = urllib3.PoolManager(
        ca_certs=str(pki / "ca.crt"),
        cert_file=str(pki / "admin.crt"),
        key_file=str(pki / "admin.key"),
        retries=False,
        timeout=30,
    )
    return KubernetesApi(f"https://127.0.0.1:{port}", folder / "kubeconfig", pool)


def _write_kubeconfig(folder: Path, port: int, pki: Path) -> Path:
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority": str(pki / "ca.crt"),
    }
    user = {"client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
