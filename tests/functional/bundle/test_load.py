"""``petra bundle load`` as a user calls it, into a registry of this process."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.load.ledger_folder import FolderLedger
from tests.support import front as faults
from tests.support.command import assert_refused, names
from tests.support.front import Front, front_of
from tests.support.scripted_server import Received, Reply, ScriptedServer, scripted_server
from tests.support.sites import SKIPPED, Bundles, There
from tests.support.world import WEB, WORKER, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def before(there: There) -> Iterator[Front]:
    """What stands before the registry, and misbehaves where the test says so."""
    with front_of(there.host) as front:
        there.host = front.host
        yield front


def events(there: There) -> list[str]:
    return [one.event for one in FolderLedger(there.ledger).events()]


# What a load does.


def test_images_charts_and_manifests_come_to_be_in_place(
    world: World, bundles: Bundles, there: There
) -> None:
    outcome = there.load(bundles.make(), "--output", "json")
    assert outcome.status == 0, outcome.err
    tags = there.tags()
    image = world.images[WEB].digest
    assert tags["mirror/team/web"] == {
        "1.4": image,
        f"sha256-{image.hex}.sig": world.repository(WEB).resolve(f"sha256-{image.hex}.sig").digest,
    }
    assert set(tags["charts/app"]) == {"1.4.0"}
    assert tags["platform"]["stable"] == tags["platform"]["1.4.0"]
    assert events(there) == ["begun", "complete"]


def test_the_report_names_everything_that_is_in_place(
    world: World, bundles: Bundles, there: There
) -> None:
    file = bundles.make()
    report = there.load(file, "--output", "json").json
    assert report["verdict"] == "loaded"
    assert report["bundle"]["digest"] == Digest.of(file.read_bytes())
    assert report["bundle"]["serial"] == 4
    images, charts, manifests = report["destinations"]
    image = world.images[WEB].digest
    assert images["placed"] == [
        {
            "name": world.reference(WEB),
            "reference": f"{there.host}/mirror/team/web@{image}",
            "digest": image,
            "sent": True,
        }
    ]
    assert charts["placed"][0]["name"] == "app 1.4.0"
    assert manifests["switched"]["reference"].startswith(f"{there.host}/platform:stable@sha256:")
    assert {one["state"] for one in report["destinations"]} == {"done"}
    assert report["bytesSent"] == sum(one["bytesSent"] for one in report["destinations"]) > 0


def test_the_manifests_are_the_last_that_changes(bundles: Bundles, there: There) -> None:
    there.load(bundles.make())
    writes = [line for line in there.requests if line.split()[0] in ("PUT", "POST", "PATCH")]
    parts = [line.split("/")[2] for line in writes]
    assert list(dict.fromkeys(parts)) == ["mirror", "charts", "platform"]
    assert writes[-1] == "PUT /v2/platform/manifests/stable"


def test_folders_take_charts_and_manifests(bundles: Bundles, there: There) -> None:
    folders = ("--charts-to", there.folder / "charts", "--cluster-registry", "charts.local/x")
    images = ("--images-to", f"registry://{there.host}/mirror")
    manifests = ("--manifests-to", there.folder / "platform")
    arguments = (*there.options(), *images, *folders, *manifests)
    outcome = there.petra("bundle", "load", "-f", bundles.make(), *arguments)
    assert outcome.status == 0, outcome.err
    assert names(there.folder / "charts") == ["app-1.4.0.tgz", "index.yaml"]
    current = (there.folder / "platform" / "current" / "base" / "app.yaml").read_text()
    assert "oci://charts.local/x" in current


def test_images_go_to_several_places(bundles: Bundles, there: There) -> None:
    second = f"layout:{there.folder / 'layout'}"
    outcome = there.load(bundles.make(), "--images-to", second, "--output", "json")
    assert outcome.status == 0, outcome.err
    assert [one["destination"] for one in outcome.json["destinations"]][:2] == [
        f"registry://{there.host}/mirror",
        second,
    ]
    assert (there.folder / "layout" / "index.json").is_file()


def test_text_output_reads_well(world: World, bundles: Bundles, there: There) -> None:
    lines = there.load(bundles.make()).out.splitlines()
    assert lines[0] == "loaded          shop 1.4.0, serial 4"
    image = world.images[WEB].digest
    assert f"  sent   {world.reference(WEB)}  {there.host}/mirror/team/web@{image}" in lines
    assert any(line.startswith("  now    manifests of shop 1.4.0  ") for line in lines)


# Dry run and no-op.


def test_a_dry_run_says_what_would_be_sent_and_touches_nothing(
    bundles: Bundles, there: There
) -> None:
    outcome = there.load(bundles.make(), "--dry-run", "--output", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["verdict"] == "would load"
    assert outcome.json["bytesToSend"] > 0
    assert [one["items"] for one in outcome.json["destinations"]] == [1, 1, 1]
    assert {line.split()[0] for line in there.requests} == {"HEAD"}
    assert not there.ledger.exists()


def test_the_same_bundle_again_is_a_no_op_that_says_so(bundles: Bundles, there: There) -> None:
    file = bundles.make()
    there.load(file)
    there.requests.clear()
    outcome = there.load(file)
    assert outcome.status == 0
    assert outcome.out.startswith("already loaded  shop 1.4.0")
    assert there.requests == []
    assert events(there) == ["begun", "complete"]


def test_the_same_bundle_with_other_manifests_is_no_no_op(bundles: Bundles, there: There) -> None:
    """Whoever corrects how the cluster knows the registry is not told that all is well already."""
    file, corrected = bundles.make(), ("--cluster-registry", "registry.site:5000/charts")
    there.load(file)
    before = there.tags()["platform"]["stable"]
    refused = there.load(file, *corrected)
    assert refused.status == 3
    assert "other manifests are there as version 1.4.0 already" in refused.err
    assert "--replace" in refused.err

    outcome = there.load(file, *corrected, "--replace")
    assert outcome.status == 0, outcome.err
    assert there.tags()["platform"]["stable"] != before


def test_the_same_bundle_again_is_verified_all_the_same(bundles: Bundles, there: There) -> None:
    file = bundles.make()
    there.load(file)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert_refused(there.load(file), 3, "signature")


def test_again_puts_back_what_somebody_removed(bundles: Bundles, there: There) -> None:
    file = bundles.make()
    there.load(file)
    before = there.tags()
    there.content.create("charts/app")._tags.clear()
    outcome = there.load(file, "--again")
    assert outcome.out.startswith("loaded ")
    assert there.tags() == before


def test_a_newer_bundle_sends_only_what_changed(
    world: World, bundles: Bundles, there: There
) -> None:
    there.load(bundles.make(4, images=(WEB, WORKER)))
    report = there.load(bundles.make(5, images=(WEB, WORKER)), "--output", "json").json
    images, charts, manifests = report["destinations"]
    assert [one["sent"] for one in images["placed"]] == [False, False]
    assert images["bytesSent"] == 0
    assert charts["placed"][0]["sent"]
    assert manifests["switched"]["sent"]


# Refused, with nothing touched.


def assert_untouched(there: There) -> None:
    assert there.requests == []
    assert events(there) == []


def test_a_call_without_any_destination_is_told_three_ways(bundles: Bundles, there: There) -> None:
    outcome = there.petra("bundle", "load", "-f", bundles.make(), *there.options())
    three = ("--images-to", "PETRA_IMAGES_TO", "load.imagesTo")
    assert_refused(outcome, 2, "no destination for images", *three)


@pytest.mark.parametrize(
    ("part", "given", "variable"),
    [
        ("image", "--charts-to", "PETRA_IMAGES_TO"),
        ("chart", "--images-to", "PETRA_CHARTS_TO"),
    ],
)
def test_a_part_without_a_destination_is_told(
    bundles: Bundles, there: There, part: str, given: str, variable: str
) -> None:
    scheme = "registry" if given == "--images-to" else "oci"
    arguments = (*there.options(), given, f"{scheme}://{there.host}/x")
    outcome = there.petra("bundle", "load", "-f", bundles.make(), *arguments)
    assert_refused(outcome, 2, f"1 {part}", variable)
    assert_untouched(there)


@pytest.mark.parametrize("flag", ["--charts-to", "--manifests-to"])
@pytest.mark.parametrize(
    "url", ["https://user:s3cret@registry.site/x", "registry://registry.site/x", "oci:/registry/x"]
)
def test_a_url_of_another_kind_does_not_become_a_folder(
    bundles: Bundles, there: There, flag: str, url: str
) -> None:
    before = names(there.folder)
    outcome = there.load(there.folder / "not-read", flag, url)
    assert_refused(outcome, 2, f"where: {flag} {url.partition(':')[0]}:", "oci://HOST", "a folder")
    assert "s3cret" not in outcome.err
    assert names(there.folder) == before
    assert_untouched(there)


def test_another_signer_is_refused(bundles: Bundles, there: There) -> None:
    assert_refused(there.load(bundles.make(), "--key", "stranger.pub"), 3, "signature")
    assert_untouched(there)


def test_a_skipped_check_is_refused_unless_it_is_allowed(bundles: Bundles, there: There) -> None:
    file = bundles.make()
    options = tuple(one for one in there.options() if one not in ("--allow-skipped", SKIPPED))
    outcome = there.petra("bundle", "load", "-f", file, *options, *there.places())
    assert_refused(outcome, 3, "scan", "--allow-skipped")
    assert_untouched(there)


def test_an_older_bundle_is_refused_unless_it_is_meant(bundles: Bundles, there: There) -> None:
    older, newer = bundles.make(3), bundles.make(4)
    there.load(newer)
    there.requests.clear()
    assert_refused(there.load(older), 3, "older", "--allow-rollback", "above 4")
    assert there.requests == []
    assert there.load(older, "--allow-rollback").status == 0
    assert there.tags()["platform"]["stable"] == there.tags()["platform"]["1.3.0"]


def test_a_registry_that_is_not_there_is_told_before_anything_is_begun(
    bundles: Bundles, there: There
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
        outcome = there.load(
            bundles.make(), "--charts-to", f"oci://{nobody}/charts", "--output", "json"
        )
    assert outcome.status == 1
    assert outcome.json["verdict"] == "failed"
    assert nobody in json.dumps(outcome.json["error"])
    assert [one["state"] for one in outcome.json["destinations"]] == [
        "not begun",
        "failed",
        "not begun",
    ]
    assert {line.split()[0] for line in there.requests} == {"HEAD"}
    assert events(there) == []


def test_a_failure_before_the_first_change_says_that_nothing_was_changed(
    bundles: Bundles, there: There, before: Front
) -> None:
    before.fault(r"^HEAD /v2/charts", faults.status(500))
    outcome = there.load(bundles.make())
    assert outcome.status == 1
    assert "changed         nothing" in outcome.out.splitlines()


def test_the_ledger_knows_folders_by_their_whole_path(
    bundles: Bundles, there: There, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    places = ("--images-to", "layout:images", "--charts-to", "charts")
    outcome = there.petra("bundle", "load", "-f", bundles.make(), *there.options(), *places)
    assert outcome.status == 0, outcome.err
    (begun, _) = FolderLedger(there.ledger).events()
    assert begun.destinations == (f"layout:{tmp_path}/images", f"{tmp_path}/charts")


def test_a_second_load_at_once_is_kept_out(bundles: Bundles, there: There) -> None:
    file = bundles.make()
    with FolderLedger(there.ledger).lock():
        assert_refused(there.load(file), 1, "under way", "process ")
    assert_untouched(there)


# Bad days.


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.status(500), "500"),
        (faults.status(507, b'{"errors":[{"code":"DENIED","message":"disk is full"}]}'), "full"),
        (faults.cut(0, reset=True), ""),
    ],
    ids=["5xx", "full", "reset"],
)
def test_a_registry_that_fails_in_the_middle_leaves_a_clear_report_and_goes_on(
    bundles: Bundles, there: There, before: Front, fault: faults.Fault, says: str
) -> None:
    file = bundles.make()
    before.fault(r"^POST /v2/charts", fault)
    failed = there.load(file, "--output", "json")
    assert failed.status == 1
    assert says in json.dumps(failed.json["error"])
    assert [one["state"] for one in failed.json["destinations"]] == [
        "done",
        "failed",
        "not begun",
    ]
    assert "platform" not in there.tags()
    assert events(there) == ["begun"]

    before._rules.clear()
    there.requests.clear()
    report = there.load(file, "--output", "json").json
    assert report["verdict"] == "loaded"
    assert report["destinations"][0]["bytesSent"] == 0
    assert events(there) == ["begun", "begun", "complete"]


def test_a_failure_in_text_says_what_is_in_place_and_what_is_not(
    bundles: Bundles, there: There, before: Front
) -> None:
    before.fault(r"^PUT /v2/platform/manifests/stable", faults.status(500))
    outcome = there.load(bundles.make())
    assert outcome.status == 1
    assert outcome.out.startswith("failed          shop 1.4.0")
    assert "error: " in outcome.err
    assert f"manifests       oci://{there.host}/platform: not in place" in outcome.out


def test_a_registry_that_fails_once_is_asked_again(
    bundles: Bundles, there: There, before: Front
) -> None:
    before.fault(r"^PUT /v2/charts/app/manifests/", faults.status(503), times=1)
    outcome = there.load(bundles.make())
    assert outcome.status == 0, outcome.err


# Settings.


def test_the_shortest_call_takes_everything_from_variables(
    bundles: Bundles, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bundles.make()
    for name, value in {
        "PETRA_VERIFY_KEY": "ours.pub",
        "PETRA_SIGN_KEY": "ours.key",
        "PETRA_IMAGES_TO": f"registry://{there.host}/mirror",
        "PETRA_CHARTS_TO": f"oci://{there.host}/charts",
        "PETRA_MANIFESTS_TO": f"oci://{there.host}/platform",
        "PETRA_ALLOW_SKIPPED": SKIPPED,
        "XDG_STATE_HOME": str(there.folder / "state"),
    }.items():
        monkeypatch.setenv(name, value)
    assert there.petra("bundle", "load", "-f", file).status == 0
    assert "stable" in there.tags()["platform"]
    assert (there.folder / "state" / "petra" / "ledger" / "log.jsonl").is_file()


def test_the_shortest_call_takes_everything_from_the_configuration(
    world: World, bundles: Bundles, there: There
) -> None:
    path = world.folder / "home" / ".config" / "petra" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"verifyKey: {world.folder}/ours.pub\n"
        "load:\n"
        f"  imagesTo: ['registry://{there.host}/mirror']\n"
        f"  chartsTo: oci://{there.host}/charts\n"
        f"  manifestsTo: oci://{there.host}/platform\n"
        f"  signKey: {world.folder}/ours.key\n"
        "  channel: edge\n"
        "  ledger: the-ledger\n"
        f"  allowSkipped: [{SKIPPED}]\n"
    )
    outcome = there.petra("bundle", "load", "-f", bundles.make())
    assert outcome.status == 0, outcome.err
    assert "edge" in there.tags()["platform"]
    assert (path.parent / "the-ledger" / "log.jsonl").is_file()


def test_manifests_need_a_key_of_this_side(bundles: Bundles, there: There) -> None:
    options = ("--key", "ours.pub", "--ledger", there.ledger, "--allow-skipped", SKIPPED)
    outcome = there.petra("bundle", "load", "-f", bundles.make(), *options, *there.places())
    assert_refused(outcome, 2, "no local signing key", "--sign-key", "PETRA_SIGN_KEY")
    assert_untouched(there)


def test_two_channels_are_one_too_many(bundles: Bundles, there: There) -> None:
    url = f"oci://{there.host}/platform:stable"
    outcome = there.load(bundles.make(), "--manifests-to", url, "--channel", "edge")
    assert_refused(outcome, 2, "two channels")


# The cluster.


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A Receiver that takes everything, unless a test says otherwise."""
    monkeypatch.setenv("PETRA_FLUX_RECEIVER_TOKEN", "a token")
    with scripted_server() as server:
        server.otherwise = Reply(200)
        yield server


def receiver(hook: ScriptedServer) -> tuple[str, str]:
    return ("--flux-receiver", f"{hook.url}/flux-system/petra")


def test_the_receiver_is_told_after_the_switch(
    bundles: Bundles, there: There, hook: ScriptedServer
) -> None:
    switched = []

    def answer(received: Received) -> Reply:
        switched.append("stable" in there.tags()["platform"])
        assert json.loads(received.body)["bundle"]["version"] == "1.4.0"
        return Reply(200)

    hook.otherwise = answer
    outcome = there.load(bundles.make(), *receiver(hook), "--output", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["notified"]
    assert switched == [True]


def test_a_refused_webhook_leaves_a_report_of_what_is_in_place_and_is_called_again(
    bundles: Bundles, there: There, hook: ScriptedServer
) -> None:
    file = bundles.make()
    hook.otherwise = Reply(403)
    failed = there.load(file, *receiver(hook), "--output", "json")
    assert failed.status == 1
    assert failed.json["verdict"] == "failed"
    assert not failed.json["notified"]
    assert {one["state"] for one in failed.json["destinations"]} == {"done"}
    assert events(there) == ["begun"]

    hook.otherwise = Reply(200)
    called = len(hook.requests)
    report = there.load(file, *receiver(hook), "--output", "json").json
    assert (report["verdict"], report["bytesSent"]) == ("loaded", 0)
    assert len(hook.requests) == called + 1


def test_a_cluster_that_is_away_is_told_before_anything_is_begun(
    bundles: Bundles, there: There
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{free.getsockname()[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": {"token": "x"}}],
        }
        path = there.folder / "kubeconfig"
        path.write_text(json.dumps(config))
        outcome = there.load(bundles.make(), "--kubeconfig", path, "--output", "json")
    assert outcome.status == 1
    assert "127.0.0.1" in json.dumps(outcome.json["error"])
    assert events(there) == []
    assert there.tags() == {}
