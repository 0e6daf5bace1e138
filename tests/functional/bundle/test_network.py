"""Networks as they are: connections break, registries are busy, ask who we are, and send us on."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from tests.support.command import assert_refused, names
from tests.support.front import Front, cut, status
from tests.support.opened import opened
from tests.support.scripted_server import Received, Reply, ScriptedServer, scripted_server
from tests.support.world import WEB, WORKER, World, layers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command import Run

USER, PASSWORD = "robot", "hunter2"
BASIC = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    """Another host: a token server, or where blobs really lie."""
    with scripted_server() as running:
        yield running


def login(world: World, host: str) -> None:
    """Write what ``docker login`` writes."""
    folder = world.folder / "home" / ".docker"
    folder.mkdir(parents=True, exist_ok=True)
    auth = BASIC.removeprefix("Basic ")
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_that_ends_mid_blob_is_taken_up_where_it_broke(
    world: World, front: Front, create: Run, *, reset: bool
) -> None:
    layer = layers_of(world, WORKER)[-1]
    front.fault(f"GET .*{layer.digest}", cut(10_000, reset=reset), times=2)
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert outcome.status == 0, outcome.err
    assert Digest.of(opened(world.bundle).blob(layer.digest)) == layer.digest
    ranges = [one.headers.get("range") for one in front.asked(f"GET .*{layer.digest}")]
    starts = [int((text or "bytes=0-").removeprefix("bytes=").partition("-")[0]) for text in ranges]
    assert len(starts) == 3
    if not reset:  # a reset throws away what was on its way
        assert starts == [0, 10_000, 20_000]  # no byte is fetched twice


@pytest.mark.parametrize("number", [500, 502, 503, 429])
@pytest.mark.parametrize("what", ["manifests/1.4", "blobs/"])
def test_a_registry_that_is_busy_for_a_moment(
    world: World, front: Front, create: Run, number: int, what: str
) -> None:
    front.fault(what, status(number, b"later", Retry_After="0"), times=1)
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert outcome.status == 0, outcome.err
    assert opened(world.bundle).blob(world.images[WORKER].digest)


def test_a_registry_that_asks_for_more_patience_than_anyone_has(
    world: World, front: Front, create: Run
) -> None:
    front.fault("manifests/1.4", status(429, b"", Retry_After="86400"))
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert_refused(outcome, 1, front.host, "team/worker", "wait 86400 s")
    assert names(world.dist) == []


def _basic(received: Received, good: Reply) -> Reply:
    if received.headers.get("authorization") == BASIC:
        return good
    return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="registry"'})


def test_a_registry_that_asks_for_name_and_password(
    world: World, front: Front, create: Run
) -> None:
    front.fault("/v2/", _basic)
    login(world, front.host)
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("logged_in", [True, False])
def test_a_registry_that_does_not_let_us_in(
    world: World, front: Front, create: Run, *, logged_in: bool
) -> None:
    front.fault("/v2/", status(401, b"", WWW_Authenticate='Basic realm="registry"'))
    if logged_in:
        login(world, front.host)
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert_refused(outcome, 1, front.host, "config.json" if logged_in else "docker login")
    assert PASSWORD not in outcome.err
    assert BASIC.removeprefix("Basic ") not in outcome.err
    assert names(world.dist) == []


def test_a_registry_that_sends_us_for_a_token(
    world: World, front: Front, other: ScriptedServer, create: Run
) -> None:
    challenge = f'Bearer realm="{other.url}/token",service="registry"'

    def guard(received: Received, good: Reply) -> Reply:
        scope = f'{challenge},scope="repository:team/worker:pull"'
        if received.headers.get("authorization") == "Bearer made-up-token":
            return good
        return Reply(401, b"", {"WWW-Authenticate": scope})

    other.otherwise = Reply(200, b'{"token":"made-up-token","expires_in":300}')
    front.fault("/v2/", guard)
    login(world, front.host)
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert outcome.status == 0, outcome.err
    (asked,) = other.requests  # one token is enough for all of it
    assert asked.headers["authorization"] == BASIC
    assert "repository%3Ateam%2Fworker%3Apull" in asked.target
    assert "service=registry" in asked.target


def test_blobs_that_lie_elsewhere_are_fetched_without_our_secrets(
    world: World, front: Front, other: ScriptedServer, create: Run
) -> None:
    """As registries do that keep blobs in an object store, behind a signed URL."""

    def redirect(received: Received, good: Reply) -> Reply:
        if received.headers.get("authorization") != BASIC:
            return _basic(received, good)
        location = f"{other.url}/bucket{received.path}?X-Signature=secret-query"
        return Reply(307, b"", {"Location": location})

    def store(received: Received) -> Reply:
        path = received.path.removeprefix("/bucket")
        return front.good(Received("GET", path, received.headers, b"", 0))

    other.otherwise = store
    front.fault("GET .*/blobs/", redirect)
    front.fault("/v2/", _basic)
    login(world, front.host)
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert outcome.status == 0, outcome.err
    assert other.requests
    for request in other.requests:
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers


def test_a_signed_url_is_not_shown_when_it_fails(
    world: World, front: Front, other: ScriptedServer, create: Run
) -> None:
    digest = layers_of(world, WORKER)[-1].digest
    location = f"{other.url}/bucket/x?X-Signature=secret-query"
    front.fault(f"GET .*{digest}", status(307, b"", Location=location))
    other.otherwise = Reply(403, b"<Error><Token>secret-body</Token></Error>")
    world.spec(WORKER, host=front.host)

    outcome = create()

    assert_refused(outcome, 1, digest, other.host)
    assert "secret" not in outcome.err
    assert names(world.dist) == []


def test_a_redirect_that_goes_round_and_round(world: World, front: Front, create: Run) -> None:
    digest = layers_of(world, WORKER)[-1].digest

    def around(received: Received, _: Reply) -> Reply:
        return Reply(307, b"", {"Location": received.target})

    front.fault(f"GET .*{digest}", around)
    world.spec(WORKER, host=front.host)

    assert_refused(create(), 1, digest, "redirect")
    assert len(front.asked(str(digest))) < 50


def test_a_registry_that_knows_no_head_no_ranges_and_no_referrers(
    world: World, front: Front, create: Run
) -> None:
    """An old one: what there is, is found all the same."""
    front.fault("^HEAD ", status(405))
    front.fault("/referrers/", status(404))
    world.spec(WEB, host=front.host)

    outcome = create()

    assert outcome.status == 0, outcome.err
    assert opened(world.bundle).image("web")["signatures"]["status"] == "done"


def test_a_charts_repository_that_asks_who_we_are(world: World, create: Run) -> None:
    for page in world.charts.pages.values():
        page.authorization = BASIC
    world.spec(charts=[world.chart()])
    assert_refused(create(), 1, world.charts.url)
    assert names(world.dist) == []

    login(world, world.charts.url.removeprefix("http://"))

    assert create().status == 0
