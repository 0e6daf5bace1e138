"""petra status: the bundle's releases as a cluster's API tells them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from petra.cli.cluster import flux_receiver
from petra.cli.settings import Settings
from petra.content.digest import Digest
from petra.errors import PetraError
from tests.support.charts import chart
from tests.support.command import Run, assert_refused
from tests.support.flux_objects import NOT_READY, OTHER, helm_chart, release, with_template
from tests.support.petra_process import Petra
from tests.support.scripted_server import Received, Reply, ScriptedServer, scripted_server
from tests.support.world import World, connected_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHART = chart("web", "1.2.3")
ARCHIVE = Digest.of(CHART)
SERIAL = 7


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A connected side, and a bundle of one HelmRelease in its folder ``dist``."""
    folder = tmp_path_factory.mktemp("status")
    source = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "HelmRepository",
        "metadata": {"name": "charts", "namespace": "flux-system"},
    }
    with connected_side(folder) as world:
        world.add_chart("web", "1.2.3", CHART)
        path = folder / "manifests" / "base" / "web.yaml"
        path.parent.mkdir(parents=True)
        value = with_template(release())
        value["spec"]["chart"]["spec"]["version"] = "1.2.3"
        objects = [
            source | {"spec": {"interval": "1h", "url": f"{world.charts.url}/charts"}},
            {key: part for key, part in value.items() if key != "status"},
        ]
        path.write_text(yaml.safe_dump_all(objects))
        spec = world.spec(platform={"path": "manifests", "includeBase": True}, serial=SERIAL)
        Petra(folder).run("bundle", "create", "-f", spec, "--key", "ours.key")
        yield world


class Api:
    """Answers lists with `objects`, by plural, and ends watches at once."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.objects: dict[str, list[Any] | None] = {}
        server.otherwise = self.answer

    def answer(self, received: Received) -> Reply:
        found = self.objects.get(received.path.rpartition("/")[2], [])
        if found is None:
            return Reply(404, b"404 page not found")
        if "watch=true" in received.target:
            return Reply(200, chunked=True)
        listing = {"items": found, "metadata": {"resourceVersion": "1"}}
        return Reply(200, json.dumps(listing).encode())


@pytest.fixture
def api() -> Iterator[Api]:
    with scripted_server() as server:
        api = Api(server)
        api.objects["helmcharts"] = [helm_chart(digest=ARCHIVE)]
        yield api


@pytest.fixture
def status(api: Api, world: World, petra: Run, tmp_path: Path) -> Run:
    """Run the command on the bundle and the API."""
    path = tmp_path / "kubeconfig"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": api.server.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config))
    given = (
        *("-f", world.bundle, "--key", world.folder / "ours.pub"),
        *("--kubeconfig", path, "--ledger", tmp_path / "ledger"),
    )
    return lambda *arguments: petra("status", *given, *arguments)


def test_all_succeeded_is_status_0_and_a_line_each(api: Api, status: Run) -> None:
    api.objects["helmreleases"] = [with_template(release())]
    outcome = status()
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines() == [
        f"bundle      shop 1.4.0, serial {SERIAL}",
        "SUCCEEDED   flux-system/web  web 1.2.3",
        "releases    1 SUCCEEDED",
    ]
    assert {request.method for request in api.server.requests} == {"GET"}


def test_json_says_what_was_expected_and_found(api: Api, status: Run) -> None:
    api.objects["helmcharts"] = [helm_chart(digest=OTHER)]
    api.objects["helmreleases"] = [with_template(release())]
    outcome = status("--output", "json")
    assert outcome.status == 1
    assert outcome.json["succeeded"] is False
    assert outcome.json["error"]["code"] == "RECONCILE"
    (one,) = outcome.json["releases"]
    assert (one["state"], one["reason"]) == ("MISMATCH", "OtherDigest")
    assert one["expected"]["digest"] == ARCHIVE
    assert one["found"] == {"chart": "web 1.2.3", "digest": OTHER}


def test_failure_is_status_1_with_the_controllers_words(api: Api, status: Run) -> None:
    api.objects["helmreleases"] = [with_template(release(NOT_READY))]
    outcome = status()
    assert outcome.status == 1
    assert (
        "FAILED      flux-system/web  web 1.2.3  InstallFailed: Helm install failed" in outcome.out
    )
    assert "  next: " in outcome.err


def test_a_cluster_without_flux_has_everything_missing(api: Api, status: Run) -> None:
    api.objects["helmreleases"] = None
    outcome = status()
    assert outcome.status == 1
    assert "MISSING     flux-system/web  web 1.2.3  NotServed: " in outcome.out


def test_changes_are_told_on_the_side_unless_quiet(api: Api, status: Run) -> None:
    api.objects["helmreleases"] = [with_template(release())]
    assert "SUCCEEDED   flux-system/web" in status().err
    assert status("--quiet").err == ""


def test_what_is_under_way_times_out_when_one_waits(api: Api, status: Run) -> None:
    api.objects["helmreleases"] = [with_template(release(observedGeneration=1))]
    assert "PROGRESSING" in status().out
    assert "TIMEOUT     flux-system/web" in status("--timeout", "1s").out


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5m", "10x"])
def test_a_time_that_is_none_is_refused(status: Run, text: str) -> None:
    assert_refused(status("--timeout", text), 2, "length of time")


def test_without_a_cluster_the_call_says_how_to_name_one(
    world: World, petra: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBECONFIG", "PETRA_KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    outcome = petra("status", "-f", world.bundle, "--key", world.folder / "ours.pub")
    assert_refused(outcome, 2, "--kubeconfig", "PETRA_KUBECONFIG", "cluster.kubeconfig")


def test_a_ledger_that_knows_nothing_is_told(
    api: Api, petra: Run, status: Run, tmp_path: Path
) -> None:
    kubeconfig = ("--kubeconfig", tmp_path / "kubeconfig")
    outcome = petra("status", "shop", "--ledger", tmp_path / "none", *kubeconfig)
    assert_refused(outcome, 1, "shop", "-f")


# Receivers by their settings.


def test_a_receiver_is_named_by_one_url(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"s3cret\n")
    settings = Settings(
        flux_receiver="https://hooks.site/flux/flux-system/petra/",
        flux_receiver_token=str(tmp_path / "token"),
    )
    found = flux_receiver(settings, {})
    assert (found.url, found.namespace, found.name) == (
        "https://hooks.site/flux",
        "flux-system",
        "petra",
    )
    assert found.token == b"s3cret"


def test_its_token_may_stand_in_a_variable() -> None:
    settings = Settings(flux_receiver="https://hooks.site/flux-system/petra")
    assert flux_receiver(settings, {"PETRA_FLUX_RECEIVER_TOKEN": "s3cret"}).token == b"s3cret"


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://hooks.site/petra", "t"),
        ("https://hooks.site", "t"),
        ("ftp://hooks.site/flux-system/petra", "t"),
        ("https://hooks.site/flux-system/petra", ""),
        ("https://user:s3cret@hooks.site/flux-system/petra", "t"),
        ("https://s3cret@hooks.site/flux-system/petra", "t"),
        ("https://hooks.site/flux-system/petra?key=s3cret", "t"),
        ("https://hooks.site:http/flux-system/petra", "t"),
        ("https://hooks.site:99999/flux-system/petra", "t"),
        ("https://[::1/flux-system/petra", "t"),
        ("https://hooks.site/Flux System/petra", "t"),
    ],
)
def test_a_receiver_that_cannot_be_called_is_refused(url: str, token: str) -> None:
    with pytest.raises(PetraError) as caught:
        flux_receiver(Settings(flux_receiver=url), {"PETRA_FLUX_RECEIVER_TOKEN": token})
    assert caught.value.exit_status == 2
    assert "s3cret" not in str(caught.value)
