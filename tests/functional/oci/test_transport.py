"""Redirects, retries, bounds and plain HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.errors import (
    AccessError,
    FormatError,
    NotFoundError,
    PetraError,
    RateLimitedError,
    TransportError,
)
from petra.oci.transport import Request
from petra.oci.urls import Url
from tests.support.scripted_server import Reply, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.oci.registry import RegistryClient
    from tests.functional.oci.conftest import MakeClient

BASIC = "Basic dXNlcjpzM2NyZXQ="


class Login:
    """Name and password, sent unasked."""

    def header(self) -> str:
        return BASIC

    def renew(self, refused: str | None, challenges: Sequence[str]) -> None:
        return None

    def hint(self) -> str:
        return "log in"


def get(client: RegistryClient, url: str, limit: int = 1000) -> bytes:
    request = Request("GET", Url.parse(url), "the thing")
    return client.http.document(request, Login(), limit=limit)[1]


class TestRedirects:
    def test_credentials_stay_with_their_server(
        self, client: RegistryClient, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        server.script = [Reply(307, headers={"Location": f"{other.url}/away?x=1"})]
        other.otherwise = Reply(200, b"found")

        assert get(client, f"{server.url}/here") == b"found"

        assert server.requests[0].headers["authorization"] == BASIC
        assert other.asked("GET") == ["/away?x=1"]
        assert "authorization" not in other.requests[0].headers

    def test_credentials_do_not_come_back_by_a_detour(
        self, client: RegistryClient, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        server.script = [Reply(302, headers={"Location": f"{other.url}/away"}), Reply(200, b"ok")]
        other.script = [Reply(302, headers={"Location": f"{server.url}/back"})]

        assert get(client, f"{server.url}/here") == b"ok"
        assert "authorization" not in server.requests[1].headers

    def test_a_callers_own_headers_stay_too(
        self, client: RegistryClient, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        server.script = [Reply(307, headers={"Location": f"{other.url}/away"})]
        other.otherwise = Reply(200, b"found")

        client.http.get(f"{server.url}/", limit=10, headers={"Authorization": BASIC, "X-Key": "k"})

        assert server.requests[0].headers["x-key"] == "k"
        assert {"authorization", "x-key"}.isdisjoint(other.requests[0].headers)

    def test_a_challenge_from_elsewhere_gets_no_credentials(
        self, client: RegistryClient, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        server.script = [Reply(307, headers={"Location": f"{other.url}/away"})]
        other.otherwise = Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

        with pytest.raises(AccessError):
            get(client, f"{server.url}/here")

        assert len(other.requests) == 1

    def test_relative_locations_keep_the_credentials(
        self, client: RegistryClient, server: ScriptedServer
    ) -> None:
        server.script = [Reply(301, headers={"Location": "../there"}), Reply(200, b"ok")]

        assert get(client, f"{server.url}/a/b/c") == b"ok"
        assert server.requests[1].target == "/a/there"
        assert server.requests[1].headers["authorization"] == BASIC

    def test_a_loop_ends(self, client: RegistryClient, server: ScriptedServer) -> None:
        server.otherwise = Reply(302, headers={"Location": "/again"})

        with pytest.raises(TransportError, match="more than 5 redirects"):
            get(client, f"{server.url}/")

        assert len(server.requests) == 6

    @pytest.mark.parametrize(
        "location",
        [
            "http://registry.example/x",
            "ftp://127.0.0.1/x",
            "file:///etc/passwd",
            "http://:80/",
            "//[::x]/",
        ],
    )
    def test_places_that_nobody_may_go_to(
        self, client: RegistryClient, server: ScriptedServer, location: str
    ) -> None:
        server.otherwise = Reply(302, headers={"Location": location})

        with pytest.raises(TransportError):
            get(client, f"{server.url}/")

        assert len(server.requests) == 1

    def test_a_body_is_sent_on_only_where_its_status_says_so(
        self, client: RegistryClient, server: ScriptedServer
    ) -> None:
        request = Request("PUT", Url.parse(f"{server.url}/"), "the thing", body=b"data")
        server.script = [Reply(307, headers={"Location": "/there"}), Reply(200)]
        client.http.send(request).settle()

        assert [received.body for received in server.requests] == [b"data", b"data"]

        server.script = [Reply(302, headers={"Location": "/there"})]
        with pytest.raises(TransportError, match="redirect of a PUT"):
            client.http.send(request)

    def test_a_body_with_a_secret_goes_to_no_other_server(
        self, client: RegistryClient, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        url = Url.parse(f"{server.url}/token")
        request = Request("POST", url, "a token", body=b"refresh_token=s3cret", secret="s3cret")
        server.otherwise = Reply(308, headers={"Location": f"{other.url}/token"})

        with pytest.raises(TransportError, match="credentials to another server"):
            client.http.send(request)

        assert other.requests == []


class TestPlainHttp:
    @pytest.mark.parametrize("url", ["http://registry.example/v2/", "http://10.0.0.1:5000/v2/"])
    def test_it_is_refused_with_the_way_to_allow_it(self, client: RegistryClient, url: str) -> None:
        with pytest.raises(TransportError, match=r"plain HTTP to .* is refused") as caught:
            get(client, url)

        assert "insecure registries" in str(caught.value.hint)

    @pytest.mark.parametrize("named", ["Registry.example:5000", "registry.example"])
    def test_named_hosts_may_speak_it(self, make_client: MakeClient, named: str) -> None:
        http = make_client(insecure_registries=frozenset({named})).http

        assert http.speaks_plain("registry.example", 5000)
        assert not http.speaks_plain("another.example", 5000)

    def test_one_port_of_a_host_does_not_speak_for_another(self, make_client: MakeClient) -> None:
        http = make_client(insecure_registries=frozenset({"registry.example:5000"})).http

        assert not http.speaks_plain("registry.example", 443)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
    def test_loopback_speaks_it(self, client: RegistryClient, host: str) -> None:
        assert client.http.speaks_plain(host, 5000)

    @pytest.mark.parametrize("host", ["localhost.example", "128.0.0.1", "0.0.0.0", "127.0.0.1.x"])  # noqa: S104
    def test_what_looks_like_loopback_does_not(self, client: RegistryClient, host: str) -> None:
        assert not client.http.speaks_plain(host, 5000)


class TestRetries:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_passing_troubles_are_waited_out(
        self, client: RegistryClient, server: ScriptedServer, waits: list[float], status: int
    ) -> None:
        server.script = [Reply(status), Reply(status), Reply(200, b"ok")]

        assert get(client, f"{server.url}/") == b"ok"
        assert waits == [0.1, 0.2]
        assert server.connections == 1

    @pytest.mark.parametrize("status", [400, 404, 409, 501])
    def test_lasting_ones_are_not(
        self, client: RegistryClient, server: ScriptedServer, status: int
    ) -> None:
        server.otherwise = Reply(status)

        with pytest.raises(PetraError):
            get(client, f"{server.url}/")

        assert len(server.requests) == 1

    def test_retry_after_in_seconds_is_kept_to(
        self, client: RegistryClient, server: ScriptedServer, waits: list[float]
    ) -> None:
        server.script = [Reply(429, headers={"Retry-After": "12"}), Reply(200, b"ok")]

        get(client, f"{server.url}/")

        assert waits == [12.1]

    def test_retry_after_as_a_date_is_kept_to(
        self, client: RegistryClient, server: ScriptedServer, waits: list[float]
    ) -> None:
        date = "Tue, 14 Nov 2023 22:13:50 GMT"  # 30 seconds after the tests' now
        server.script = [Reply(503, headers={"Retry-After": date}), Reply(200, b"ok")]

        get(client, f"{server.url}/")

        assert waits == [30.1]

    def test_a_wait_beyond_patience_is_told_and_not_made(
        self, client: RegistryClient, server: ScriptedServer, waits: list[float]
    ) -> None:
        server.otherwise = Reply(429, headers={"Retry-After": "21600"})

        with pytest.raises(RateLimitedError) as caught:
            get(client, f"{server.url}/")

        assert (caught.value.retry_after, waits, len(server.requests)) == (21600.0, [], 1)

    def test_a_document_cut_in_the_middle_is_asked_for_again(
        self, client: RegistryClient, server: ScriptedServer
    ) -> None:
        server.script = [Reply(200, b"0123456789", cut=4), Reply(200, b"0123456789")]

        assert get(client, f"{server.url}/") == b"0123456789"

    def test_a_document_cut_again_and_again_is_given_up(
        self, client: RegistryClient, server: ScriptedServer
    ) -> None:
        server.otherwise = Reply(200, b"0123456789", cut=4, length=10)

        with pytest.raises(TransportError, match="cut in the middle") as caught:
            get(client, f"{server.url}/")

        assert (caught.value.expected, caught.value.found) == ("10 bytes", "4 bytes")
        assert len(server.requests) == 4

    def test_nobody_there(self, client: RegistryClient, waits: list[float]) -> None:
        with pytest.raises(TransportError, match="Connection refused"):
            get(client, "http://127.0.0.1:9/")

        assert len(waits) == 3

    def test_a_server_that_says_nothing_times_out(
        self, make_client: MakeClient, server: ScriptedServer
    ) -> None:
        server.otherwise = Reply(200, delay=0.4)

        with pytest.raises(TransportError, match="timed out"):
            get(make_client(timeout=0.1, retries=1), f"{server.url}/")

    def test_an_idle_connection_that_the_server_closed_is_no_error(
        self, client: RegistryClient, server: ScriptedServer
    ) -> None:
        server.otherwise = Reply(200, b"ok", cut=2)  # closes after each answer, unannounced

        assert [get(client, f"{server.url}/") for _ in range(3)] == [b"ok"] * 3


class TestBounds:
    @pytest.mark.parametrize("way", [{}, {"chunked": True}, {"length": -1}])
    def test_a_document_that_is_too_large(
        self, client: RegistryClient, server: ScriptedServer, way: dict[str, bool]
    ) -> None:
        server.otherwise = Reply(200, bytes(1001), **way)  # type: ignore[arg-type]

        with pytest.raises(FormatError, match="too large"):
            get(client, f"{server.url}/")

        server.otherwise = Reply(200, bytes(1000), **way)  # type: ignore[arg-type]
        assert get(client, f"{server.url}/") == bytes(1000)

    @pytest.mark.parametrize("status", [200, 404, 503])
    def test_an_endless_body_ends_here(
        self, client: RegistryClient, server: ScriptedServer, status: int
    ) -> None:
        server.otherwise = Reply(status, bytes(10_000), endless=True)

        with pytest.raises(PetraError):
            get(client, f"{server.url}/")

        assert server.sent < 50_000_000  # sockets' buffers, not the bound itself, make this vague

    def test_an_errors_body_is_read_to_64_kib_only(
        self, client: RegistryClient, server: ScriptedServer
    ) -> None:
        inside = b'{"errors":[{"code":"X","message":"y"}]' + b" " * 60_000 + b"}"
        beyond = b'{"errors":[{"code":"X","message":"y"}]' + b" " * 70_000 + b"}"

        server.otherwise = Reply(400, inside)
        with pytest.raises(TransportError, match="X: y"):
            get(client, f"{server.url}/")

        server.otherwise = Reply(400, beyond)
        with pytest.raises(TransportError) as caught:
            get(client, f"{server.url}/")
        assert "X: y" not in str(caught.value)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (404, NotFoundError),
            (401, AccessError),
            (403, AccessError),
            (429, RateLimitedError),
            (400, TransportError),
            (500, TransportError),
            (204, TransportError),
        ],
    )
    def test_each_status_has_its_error(
        self, client: RegistryClient, server: ScriptedServer, status: int, kind: type[PetraError]
    ) -> None:
        server.otherwise = Reply(status)

        with pytest.raises(kind) as caught:
            get(client, f"{server.url}/v2/?token=s3cret")

        assert type(caught.value) is kind
        assert "the thing" in caught.value.message
        assert caught.value.where == f"{server.url}/v2/"
        assert caught.value.hint

    def test_what_the_registry_says_is_passed_on_short_and_clean(
        self, client: RegistryClient, server: ScriptedServer
    ) -> None:
        message = "no\x1b[31m such\nthing " + "x" * 1000
        body = json.dumps({"errors": [{"code": "DENIED", "message": message}]})
        server.otherwise = Reply(403, body.encode())

        with pytest.raises(AccessError) as caught:
            get(client, f"{server.url}/")

        assert "DENIED: no?[31m such thing xxx" in caught.value.message
        assert len(caught.value.message) < 350

    @pytest.mark.parametrize("echo", [BASIC, "dXNlcjpzM2NyZXQ=", "user:s3cret", "pw s3cret"])
    def test_a_server_that_repeats_credentials_is_not_repeated(
        self, client: RegistryClient, server: ScriptedServer, echo: str
    ) -> None:
        body = json.dumps({"errors": [{"code": "DENIED", "message": f"you sent {echo}"}]})
        server.otherwise = Reply(403, body.encode())

        with pytest.raises(AccessError) as caught:
            get(client, f"{server.url}/")

        assert "DENIED" in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert "dXNlcjpzM2NyZXQ" not in str(caught.value)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": []}', b'{"errors": 5}'])
    def test_bodies_that_say_nothing(
        self, client: RegistryClient, server: ScriptedServer, body: bytes
    ) -> None:
        server.otherwise = Reply(400, body)

        with pytest.raises(TransportError) as caught:
            get(client, f"{server.url}/")

        assert caught.value.message == f"{server.host} answered HTTP 400 for the thing"
