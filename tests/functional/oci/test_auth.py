"""Tokens and passwords: fetched, kept, renewed, and shown to nobody else."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from petra.errors import AccessError, TransportError
from petra.oci.registry import RegistryClient, RegistryOptions
from petra.oci.retry import RetryPolicy
from tests.support.scripted_server import Received, Reply, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.functional.oci.conftest import MakeClient

MANIFEST = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
)
INDEX = "application/vnd.oci.image.index.v1+json"


class Gate:
    """A registry that wants tokens, and the token server that gives them."""

    def __init__(self, registry: ScriptedServer, tokens: ScriptedServer) -> None:
        self.realm = f"{tokens.url}/token"
        self.accepted: set[str] = set()
        self.issued = 0
        self.answer: dict[str, Any] = {}
        registry.otherwise = self.registry
        tokens.otherwise = self.tokens

    def registry(self, received: Received) -> Reply:
        if received.headers.get("authorization", "") in self.accepted:
            return Reply(200, MANIFEST, {"Content-Type": INDEX})
        challenge = f'Bearer realm="{self.realm}",service="the registry",scope="extra:scope:pull"'
        return Reply(401, headers={"WWW-Authenticate": challenge})

    def tokens(self, received: Received) -> Reply:
        self.issued += 1
        token = f"token-{self.issued}"
        self.accepted.add(f"Bearer {token}")
        return Reply(200, json.dumps({"token": token, **self.answer}).encode())


@pytest.fixture
def gate(server: ScriptedServer, other: ScriptedServer) -> Gate:
    return Gate(server, other)


def query(received: Received) -> dict[str, list[str]]:
    return parse_qs(urlsplit(received.target).query)


def docker_config(folder: Path, host: str, **entry: str) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": {host: entry}}))
    return path


def login(folder: Path, host: str) -> Path:
    pair = base64.b64encode(b"user:s3cret").decode()
    return docker_config(folder, host, auth=pair)


def test_an_anonymous_token_for_the_repositorys_scope(
    gate: Gate, client: RegistryClient, server: ScriptedServer, other: ScriptedServer
) -> None:
    client.repository(server.host, "some/repo").fetch_manifest("v1")

    (asked,) = other.requests
    assert asked.method == "GET"
    assert query(asked) == {
        "service": ["the registry"],
        "scope": ["repository:some/repo:pull", "extra:scope:pull"],
    }
    assert "authorization" not in asked.headers
    assert [request.headers.get("authorization") for request in server.requests] == [
        None,
        "Bearer token-1",
    ]


def test_a_token_is_kept_for_its_scope_and_others_are_asked_for_unchallenged(
    gate: Gate, client: RegistryClient, server: ScriptedServer, other: ScriptedServer
) -> None:
    for name in ("one", "one", "two"):
        client.repository(server.host, name).fetch_manifest("v1")

    assert [query(asked)["scope"] for asked in other.requests] == [
        ["repository:one:pull", "extra:scope:pull"],
        ["repository:two:pull"],
    ]
    assert len(server.requests) == 4  # one 401, three manifests


@pytest.mark.parametrize(("said", "seconds"), [({"expires_in": 300}, 270), ({}, 54)])
def test_a_token_is_renewed_before_it_ends(
    gate: Gate, server: ScriptedServer, tmp_path: Path, said: dict[str, int], seconds: int
) -> None:
    gate.answer = said
    now = [1000.0]
    environ = {"HOME": str(tmp_path)}
    with RegistryClient(environ=environ, clock=lambda: now[0]) as client:
        repository = client.repository(server.host, "some/repo")
        repository.fetch_manifest("v1")
        now[0] += seconds - 1
        repository.fetch_manifest("v1")
        assert gate.issued == 1
        now[0] += 2
        repository.fetch_manifest("v1")

    assert gate.issued == 2
    assert server.requests[-1].headers["authorization"] == "Bearer token-2"


def test_a_token_that_is_refused_is_renewed_once(
    gate: Gate, client: RegistryClient, server: ScriptedServer
) -> None:
    repository = client.repository(server.host, "some/repo")
    repository.fetch_manifest("v1")
    gate.accepted.clear()

    repository.fetch_manifest("v1")

    assert gate.issued == 2


def test_a_registry_that_refuses_every_token_is_not_asked_for_ever(
    gate: Gate, client: RegistryClient, server: ScriptedServer
) -> None:
    server.otherwise = Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{gate.realm}"'})

    with pytest.raises(AccessError) as caught:
        client.repository(server.host, "some/repo").resolve("v1")

    assert len(server.requests) == 2
    assert f"docker login {server.host}" in str(caught.value.hint)


def test_many_threads_share_one_token(
    gate: Gate, client: RegistryClient, server: ScriptedServer
) -> None:
    repository = client.repository(server.host, "some/repo")
    threads = [threading.Thread(target=repository.fetch_manifest, args=("v1",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert gate.issued == 1


def test_name_and_password_go_to_the_token_server_only(
    gate: Gate,
    make_client: MakeClient,
    server: ScriptedServer,
    other: ScriptedServer,
    tmp_path: Path,
) -> None:
    client = make_client(docker_config=login(tmp_path, server.host))

    client.repository(server.host, "some/repo").fetch_manifest("v1")

    assert other.requests[0].headers["authorization"] == "Basic dXNlcjpzM2NyZXQ="
    assert query(other.requests[0])["account"] == ["user"]
    assert all("Basic" not in r.headers.get("authorization", "") for r in server.requests)


def test_an_identity_token_buys_tokens(
    gate: Gate,
    make_client: MakeClient,
    server: ScriptedServer,
    other: ScriptedServer,
    tmp_path: Path,
) -> None:
    gate.answer = {"token": None, "access_token": "bought"}
    gate.accepted.add("Bearer bought")
    client = make_client(
        docker_config=docker_config(tmp_path, server.host, identitytoken="id3ntity")
    )

    client.repository(server.host, "some/repo").fetch_manifest("v1")

    (asked,) = other.requests
    assert asked.method == "POST"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["the registry"],
        "scope": ["repository:some/repo:pull extra:scope:pull"],
        "client_id": ["petra"],
        "refresh_token": ["id3ntity"],
    }
    assert server.requests[-1].headers["authorization"] == "Bearer bought"


def test_a_registry_token_is_sent_as_it_is(
    gate: Gate, make_client: MakeClient, server: ScriptedServer, tmp_path: Path
) -> None:
    gate.accepted.add("Bearer given")
    client = make_client(docker_config=docker_config(tmp_path, server.host, registrytoken="given"))

    client.repository(server.host, "some/repo").fetch_manifest("v1")

    assert gate.issued == 0


def test_basic_authentication_waits_to_be_asked_and_then_stays(
    make_client: MakeClient, server: ScriptedServer, tmp_path: Path
) -> None:
    def step(received: Received) -> Reply:
        if received.headers.get("authorization") == "Basic dXNlcjpzM2NyZXQ=":
            return Reply(200, MANIFEST, {"Content-Type": INDEX})
        return Reply(401, headers={"WWW-Authenticate": 'Basic realm="here"'})

    server.otherwise = step
    client = make_client(docker_config=login(tmp_path, server.host))

    for name in ("one", "one", "two"):
        client.repository(server.host, name).fetch_manifest("v1")

    assert [("authorization" in request.headers) for request in server.requests] == [
        False,
        True,
        True,
        True,
    ]


def test_a_refused_password_is_told_without_being_shown(
    make_client: MakeClient, server: ScriptedServer, tmp_path: Path
) -> None:
    server.otherwise = Reply(401, headers={"WWW-Authenticate": 'Basic realm="here"'})
    path = login(tmp_path, server.host)

    with pytest.raises(AccessError) as caught:
        make_client(docker_config=path).repository(server.host, "some/repo").fetch_manifest("v1")

    assert str(path) in str(caught.value.hint)
    assert "s3cret" not in str(caught.value)
    assert len(server.requests) == 2


def test_a_helpers_new_password_is_taken_when_the_old_one_is_refused(
    make_client: MakeClient, server: ScriptedServer, tmp_path: Path
) -> None:
    helper = tmp_path / "docker-credential-turning"
    helper.write_text(
        "#!/bin/sh\n"
        f"echo x >> {tmp_path}/asked\n"
        f'echo "{{\\"Username\\":\\"u\\",\\"Secret\\":\\"p$(grep -c x {tmp_path}/asked)\\"}}"\n'
    )
    helper.chmod(0o755)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {server.host: "turning"}}))
    accepted = ["Basic " + base64.b64encode(b"u:p1").decode()]

    def step(received: Received) -> Reply:
        if received.headers.get("authorization") in accepted:
            return Reply(200, MANIFEST, {"Content-Type": INDEX})
        return Reply(401, headers={"WWW-Authenticate": 'Basic realm="here"'})

    server.otherwise = step
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    repository = make_client(environ, docker_config=config).repository(server.host, "some/repo")
    repository.fetch_manifest("v1")
    accepted[:] = ["Basic " + base64.b64encode(b"u:p2").decode()]

    assert repository.fetch_manifest("v1").raw == MANIFEST


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_server_that_refuses_is_told(
    gate: Gate,
    make_client: MakeClient,
    server: ScriptedServer,
    other: ScriptedServer,
    tmp_path: Path,
    status: int,
) -> None:
    other.otherwise = Reply(status, b'{"errors":[{"code":"DENIED","message":"not user:s3cret"}]}')
    client = make_client(docker_config=login(tmp_path, server.host))

    with pytest.raises(AccessError, match=f"a token for {server.host}") as caught:
        client.repository(server.host, "some/repo").fetch_manifest("v1")

    assert caught.value.where == gate.realm
    assert "s3cret" not in str(caught.value)
    assert len(other.requests) == 1


def test_an_identity_token_that_comes_back_in_an_error_is_blotted_out(
    gate: Gate,
    make_client: MakeClient,
    server: ScriptedServer,
    other: ScriptedServer,
    tmp_path: Path,
) -> None:
    other.otherwise = Reply(400, b'{"errors":[{"code":"BAD","message":"id3ntity is no good"}]}')
    client = make_client(
        docker_config=docker_config(tmp_path, server.host, identitytoken="id3ntity")
    )

    with pytest.raises(TransportError, match="BAD") as caught:
        client.repository(server.host, "some/repo").fetch_manifest("v1")

    assert "id3ntity" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"token": 5}', b'{"token": "a\\r\\nX: y"}', b'{"token": "a b"}'],
)
def test_token_servers_that_talk_nonsense(
    gate: Gate, client: RegistryClient, server: ScriptedServer, other: ScriptedServer, answer: bytes
) -> None:
    other.otherwise = Reply(200, answer)

    with pytest.raises(AccessError, match="no usable token"):
        client.repository(server.host, "some/repo").fetch_manifest("v1")


def test_a_realm_that_plain_http_may_not_reach_is_refused(
    gate: Gate, make_client: MakeClient, server: ScriptedServer, tmp_path: Path
) -> None:
    gate.realm = "http://tokens.example/token"
    client = make_client(docker_config=login(tmp_path, server.host))

    with pytest.raises(TransportError, match=r"plain HTTP to tokens\.example is refused"):
        client.repository(server.host, "some/repo").fetch_manifest("v1")


@pytest.mark.parametrize("challenge", ["Negotiate abc", "Bearer", "", "Digest realm=x"])
def test_a_challenge_that_nobody_can_meet(
    client: RegistryClient, server: ScriptedServer, challenge: str
) -> None:
    server.otherwise = Reply(401, headers={"WWW-Authenticate": challenge})

    with pytest.raises(AccessError, match="HTTP 401"):
        client.repository(server.host, "some/repo").fetch_manifest("v1")

    assert len(server.requests) == 1


def test_a_token_server_in_trouble_is_tried_again(
    gate: Gate, server: ScriptedServer, other: ScriptedServer, tmp_path: Path
) -> None:
    other.script = [Reply(503), Reply(200, b'{"token": "cut', length=50, cut=14)]
    quick = RetryPolicy(sleep=lambda _: None)
    environ = {"HOME": str(tmp_path)}
    with RegistryClient(RegistryOptions(), retry=quick, environ=environ) as client:
        client.repository(server.host, "some/repo").fetch_manifest("v1")

    assert len(other.requests) == 3
