"""The cluster's API over HTTP: what is asked, what goes wrong, and what is never said."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from petra.errors import (
    AccessError,
    FormatError,
    NotFoundError,
    PetraError,
    SettingError,
    TransportError,
)
from petra.load.kubeconfig import connect
from petra.load.kubernetes import HELM_RELEASE, OBJECT_LIMIT, PAGE, Event, KubernetesCluster
from petra.load.kubernetes_errors import GoneError
from petra.oci.retry import RetryPolicy
from tests.support.pki import write_pki
from tests.support.scripted_server import Reply, ScriptedServer, scripted_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOKEN = "eyJhbGciOi.a-bearer-token"
_PAUSES: list[float] = []
_PATH = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux-system/helmreleases"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


def _kubeconfig(
    folder: Path, server: str, user: dict[str, Any] | None = None, **cluster: Any
) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": _TOKEN} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def _connect(folder: Path, server: str, *user: dict[str, Any], **cluster: Any) -> KubernetesCluster:
    retry = RetryPolicy(retries=2, sleep=_PAUSES.append)
    return connect(str(_kubeconfig(folder, server, *user, **cluster)), retry)


@pytest.fixture
def cluster(server: ScriptedServer, tmp_path: Path) -> Iterator[KubernetesCluster]:
    with _connect(tmp_path, server.url) as cluster:
        yield cluster


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _named(*names: str) -> list[dict[str, Any]]:
    head = {"namespace": "flux-system", "resourceVersion": "7"}
    return [{"metadata": {"name": name, **head}} for name in names]


def _list(cluster: KubernetesCluster) -> Any:
    return cluster.list(HELM_RELEASE, "flux-system")


def test_a_list_is_read_page_by_page(server: ScriptedServer, cluster: KubernetesCluster) -> None:
    more = {"continue": "next", "resourceVersion": "41"}
    server.script = [
        _json({"items": _named("a"), "metadata": more}),
        _json({"items": _named("b"), "metadata": {"resourceVersion": "41"}}),
    ]
    found = _list(cluster)
    assert [item["metadata"]["name"] for item in found.items] == ["a", "b"]
    assert found.version == "41"
    assert server.asked("GET") == [
        f"{_PATH}?limit=500",
        f"{_PATH}?limit=500&continue=next",
    ]
    assert server.requests[0].headers["authorization"] == f"Bearer {_TOKEN}"


def test_a_kind_that_is_not_served_is_no_error(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    server.script = [Reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})]
    assert _list(cluster) is None


def test_annotations_are_set_by_a_merge_patch(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    server.script = [_json({})]
    assert cluster.annotate(HELM_RELEASE, "flux-system", "web", {"a": "b"})
    request = server.requests[0]
    assert (request.method, request.target) == ("PATCH", f"{_PATH}/web")
    assert request.headers["content-type"] == "application/merge-patch+json"
    assert json.loads(request.body) == {"metadata": {"annotations": {"a": "b"}}}


def test_an_object_that_is_gone_is_not_annotated(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    server.script = [_json({"kind": "Status", "code": 404}, 404)]
    assert not cluster.annotate(HELM_RELEASE, "flux-system", "web", {"a": "b"})


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_verb_and_resource_and_what_the_api_said(
    server: ScriptedServer, cluster: KubernetesCluster, status: int
) -> None:
    server.script = [_json({"message": 'User "petra" cannot list resource'}, status)]
    with pytest.raises(AccessError) as caught:
        _list(cluster)
    text = str(caught.value)
    assert "list helmreleases.helm.toolkit.fluxcd.io in namespace flux-system" in text
    assert 'User "petra" cannot list resource' in text
    assert _TOKEN not in text
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_a_server_in_trouble_is_asked_again(
    server: ScriptedServer, cluster: KubernetesCluster, status: int
) -> None:
    server.script = [Reply(status, headers={"Retry-After": "1"}), _json({"items": []})]
    assert _list(cluster).items == ()
    assert len(server.requests) == 2


def test_trouble_that_stays_is_told(server: ScriptedServer, cluster: KubernetesCluster) -> None:
    server.otherwise = Reply(503)
    with pytest.raises(TransportError, match="HTTP 503"):
        _list(cluster)
    assert len(server.requests) == 3


def test_a_mistake_of_ours_is_not_repeated(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    server.otherwise = _json({"message": "the body is wrong"}, 422)
    with pytest.raises(TransportError, match="the body is wrong"):
        cluster.annotate(HELM_RELEASE, "flux-system", "web", {})
    assert len(server.requests) == 1


def test_a_broken_answer_is_asked_for_again(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    server.script = [Reply(200, b'{"items": []}', cut=5), _json({"items": []})]
    assert _list(cluster).items == ()


def test_an_answer_that_is_no_json_is_told(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    server.script = [Reply(200, b"<html>a login page</html>")]
    with pytest.raises(FormatError):
        _list(cluster)


def test_nobody_there_is_told_with_where_and_no_token(tmp_path: Path) -> None:
    with _connect(tmp_path, "http://127.0.0.1:1") as away, pytest.raises(TransportError) as caught:
        _list(away)
    assert "http://127.0.0.1:1" in str(caught.value)
    assert _TOKEN not in str(caught.value)


# Watches.


def _lines(*events: tuple[str, dict[str, Any]]) -> Reply:
    lines = (json.dumps({"type": kind, "object": value}) + "\n" for kind, value in events)
    return Reply(200, "".join(lines).encode(), chunked=True)


def test_a_watch_yields_what_happens(server: ScriptedServer, cluster: KubernetesCluster) -> None:
    one = _named("a")[0]
    server.script = [_lines(("ADDED", one), ("BOOKMARK", one), ("DELETED", one))]
    events = [*cluster.watch(HELM_RELEASE, "flux-system", "41", 30)]
    assert [event.type for event in events] == ["ADDED", "BOOKMARK", "DELETED"]
    assert server.requests[0].target.partition("?")[2].split("&") == [
        "watch=true",
        "resourceVersion=41",
        "allowWatchBookmarks=true",
        "timeoutSeconds=30",
    ]


@pytest.mark.parametrize(
    "reply",
    [_json({"message": "too old"}, 410), _lines(("ERROR", {"code": 410, "message": "too old"}))],
    ids=["status", "event"],
)
def test_a_version_that_is_too_old_is_told_apart(
    server: ScriptedServer, cluster: KubernetesCluster, reply: Reply
) -> None:
    server.script = [reply]
    with pytest.raises(GoneError):
        list(cluster.watch(HELM_RELEASE, "flux-system", "1", 30))


def test_a_watch_is_closed_from_another_thread(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    line = json.dumps({"type": "ADDED", "object": _named("a")[0]}).encode() + b"\n"
    server.script = [Reply(200, line + b" " * 60_000, pace=0.5)]
    watch = cluster.watch(HELM_RELEASE, "flux-system", "1", 300)
    seen: list[Event] = []
    first = threading.Event()

    def follow() -> None:
        try:
            for event in watch:
                seen.append(event)
                first.set()
        except TransportError:
            pass

    thread = threading.Thread(target=follow)
    thread.start()
    assert first.wait(30)
    watch.close()
    thread.join(10)
    assert not thread.is_alive()
    assert len(seen) == 1


# Kubeconfigs.


def test_a_credential_plugin_of_v1_gives_the_token(server: ScriptedServer, tmp_path: Path) -> None:
    program = """if True:
        import json, os
        info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
        status = {"token": "from-plugin"}
        print(json.dumps({"apiVersion": info["apiVersion"], "status": status}))
    """
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable}
    server.script = [_json({"items": []})]
    user = {"exec": {**plugin, "args": ["-c", program]}}
    with _connect(tmp_path, server.url, user) as cluster:
        _list(cluster)
    assert server.requests[0].headers["authorization"] == "Bearer from-plugin"


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.exit('secret-stuff')",
        "print('secret-stuff')",
        "print('{\"secret-stuff\": 1}')",
    ],
    ids=["fails", "no-json", "no-token"],
)
def test_what_a_failing_plugin_says_is_not_repeated(
    server: ScriptedServer, tmp_path: Path, program: str
) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": sys.executable}
    user = {"exec": {**plugin, "args": ["-c", program]}}
    with _connect(tmp_path, server.url, user) as cluster, pytest.raises(AccessError) as caught:
        _list(cluster)
    assert "secret-stuff" not in str(caught.value)


def test_a_plugin_that_is_not_there_is_told(server: ScriptedServer, tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}
    with _connect(tmp_path, server.url, {"exec": plugin}) as cluster, pytest.raises(AccessError):
        _list(cluster)


def test_ones_own_certificates_are_trusted_and_others_are_not(tmp_path: Path) -> None:
    pki = write_pki(tmp_path / "pki")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    with scripted_server(context) as server:
        server.otherwise = _json({"items": []})
        own = {"certificate-authority": str(pki / "ca.crt")}
        with _connect(tmp_path, server.url, **own) as cluster:
            assert _list(cluster).items == ()
        with _connect(tmp_path, server.url) as cluster, pytest.raises(TransportError) as caught:
            _list(cluster)
    assert "cannot be trusted" in str(caught.value)
    assert not caught.value.retryable


def test_a_cluster_behind_a_proxy_is_asked_through_it(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.script = [_json({"items": []})]
    with _connect(tmp_path, "http://api.invalid:6443", **{"proxy-url": server.url}) as cluster:
        _list(cluster)
    assert server.requests[0].target == f"http://api.invalid:6443{_PATH}?limit=500"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- secret-stuff", "not a kubeconfig"),
        ("{secret-stuff: [", "not a kubeconfig"),
        ("{clusters: [], contexts: [], users: []}", "missing or unusable"),
        ("{clusters: [{name: c, cluster: {server: 7}}], contexts: []}", "not a kubeconfig"),
    ],
)
def test_a_bad_kubeconfig_is_refused_without_its_content(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(SettingError, match=says) as caught:
        connect(str(path))
    assert "secret-stuff" not in str(caught.value)


def test_an_unsupported_field_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="tls-server-name"):
        _connect(tmp_path, "https://127.0.0.1:1", **{"tls-server-name": "api"})


def test_a_client_certificate_that_is_not_there_is_told(tmp_path: Path) -> None:
    user = {"client-certificate": "/no/such.crt", "client-key": "/no/such.key"}
    with pytest.raises(PetraError, match="unusable"):
        _connect(tmp_path, "https://127.0.0.1:1", user)


def test_no_kubeconfig_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        connect(str(tmp_path / "none"))


def test_outside_a_pod_there_is_no_service_account() -> None:
    with pytest.raises(SettingError, match="unusable kubeconfig"):
        connect("in-cluster")


# An API that is none, or that wishes us ill.


@pytest.mark.parametrize(
    "item",
    [
        "no object",
        {},
        {"metadata": None},
        {"metadata": {"namespace": "flux-system"}},
        {"metadata": {"name": 7, "namespace": "flux-system"}},
        {"metadata": {"name": "a"}},
        {"metadata": {"name": "a", "namespace": "elsewhere"}},
    ],
)
def test_what_is_no_object_of_the_namespace_is_refused(
    server: ScriptedServer, cluster: KubernetesCluster, item: Any
) -> None:
    server.script = [_json({"items": [item], "metadata": {"resourceVersion": "41"}})]
    with pytest.raises(FormatError, match="not an object") as caught:
        _list(cluster)
    assert caught.value.where == server.url


@pytest.mark.parametrize("event", [[], {"type": "ADDED"}, {"type": "ADDED", "object": {"a": 1}}])
def test_what_is_no_event_is_refused(
    server: ScriptedServer, cluster: KubernetesCluster, event: Any
) -> None:
    server.script = [Reply(200, json.dumps(event).encode() + b"\n", chunked=True)]
    with pytest.raises(PetraError, match="not an"):
        list(cluster.watch(HELM_RELEASE, "flux-system", "1", 30))


@pytest.mark.parametrize("page", [{"items": None}, {"metadata": None}, {"items": {"a": 1}}, []])
def test_a_list_of_nothing_has_nothing(
    server: ScriptedServer, cluster: KubernetesCluster, page: Any
) -> None:
    server.script = [_json(page)]
    assert _list(cluster).items == ()


def test_a_list_that_never_ends_is_ended(
    server: ScriptedServer, cluster: KubernetesCluster
) -> None:
    page = {"items": _named("a") * PAGE, "metadata": {"continue": "next"}}
    server.otherwise = _json(page)
    with pytest.raises(FormatError, match="too many helmreleases"):
        _list(cluster)
    assert len(server.requests) == OBJECT_LIMIT // PAGE + 1
