"""What the receiver signs for the sender, and the whole way from create to load on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from tests.support.command import Run, assert_refused, names
from tests.support.world import WEB, WORKER, World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sites import Bundles, There

#: The receiver signs with this key: its public half is what the sender has.
RECEIPT = ("--receipt", "receipt.json", "--receiver", "east")


def verify(petra: Run, file: str | Path = "receipt.json", key: str = "ours.pub") -> Any:
    return petra("receipt", "verify", "-f", file, "--key", key, "--output", "json")


def test_a_load_gives_a_signed_receipt(bundles: Bundles, there: There, petra: Run) -> None:
    file = bundles.make()
    assert there.load(file, *RECEIPT).status == 0

    outcome = verify(petra)
    content = outcome.json["content"]
    assert (content["name"], content["verdict"]) == ("east", "loaded")
    assert content["bundle"]["digest"] == Digest.of(file.read_bytes())
    assert content["bundle"]["serial"] == 4
    assert {one["part"]: one["items"] for one in content["destinations"]} == {
        "images": 1,
        "charts": 1,
        "manifests": 1,
    }
    assert all(one["bytesSent"] > 0 for one in content["destinations"])
    text = petra("receipt", "verify", "-f", "receipt.json", "--key", "ours.pub").out
    assert "verdict   loaded at " in text
    assert "1 in place" in text


def test_a_load_that_fails_gives_one_too(bundles: Bundles, there: There, petra: Run) -> None:
    file = bundles.make()
    place = there.folder / "charts"
    place.write_text("a file, where a folder should be made")
    images = ("--images-to", f"registry://{there.host}/mirror")
    arguments = (*there.options(), *images, "--charts-to", place)
    manifests = ("--manifests-to", there.folder / "platform", "--cluster-registry", "x/y")

    outcome = petra("bundle", "load", "-f", file, *arguments, *manifests, *RECEIPT)

    assert outcome.status != 0
    content = verify(petra).json["content"]
    assert content["verdict"] == "failed"
    assert content["reason"]
    failed = [one for one in content["destinations"] if "error" in one]
    assert [one["part"] for one in failed] == ["charts"]


def test_a_receipt_needs_a_key_before_anything_is_loaded(bundles: Bundles, there: There) -> None:
    file = bundles.make()
    to = ("--images-to", f"registry://{there.host}/mirror", "--charts-to", there.folder / "c")
    options = ("--key", "ours.pub", "--ledger", there.ledger)
    outcome = there.petra("bundle", "load", "-f", file, *options, *to, *RECEIPT)
    assert_refused(outcome, 2, "local signing key", "--sign-key")
    assert there.content.names() == []


def test_a_dry_run_gives_none(bundles: Bundles, there: There, world: World) -> None:
    assert there.load(bundles.make(), *RECEIPT, "--dry-run").status == 0
    assert not (world.folder / "receipt.json").exists()


@pytest.mark.parametrize("name", [(), ("shop",)])
def test_a_receipt_is_written_on_request(
    bundles: Bundles, there: There, petra: Run, name: tuple[str, ...]
) -> None:
    there.load(bundles.make())
    ledger = ("--key", "ours.key", "--ledger", there.ledger, "--receiver", "east")
    written = petra("receipt", "write", *name, "--to", "receipt.json", *ledger)
    assert written.status == 0, written.err
    content = verify(petra).json["content"]
    assert content["verdict"] == "complete"
    assert [one["items"] for one in content["destinations"]] == [1, 1, 1]
    assert "bytesSent" not in content["destinations"][0]


def test_no_receipt_for_what_was_never_loaded(petra: Run, there: There, world: World) -> None:
    ledger = ("--key", "ours.key", "--ledger", there.ledger, "--receiver", "east")
    outcome = petra("receipt", "write", "other", "--to", "receipt.json", *ledger)
    assert_refused(outcome, 1, "no such bundle was loaded", "other")
    assert not (world.folder / "receipt.json").exists()


def test_a_changed_receipt_is_refused(
    bundles: Bundles, there: There, petra: Run, world: World
) -> None:
    there.load(bundles.make(), *RECEIPT)
    path = world.folder / "receipt.json"
    path.write_bytes(path.read_bytes().replace(b'"loaded"', b'"failed"'))
    assert verify(petra).status == 3


def test_another_sides_receipt_is_refused(bundles: Bundles, there: There, petra: Run) -> None:
    there.load(bundles.make(), *RECEIPT)
    assert verify(petra, key="vendor.pub").status == 3


def test_a_receivers_name_that_is_none_is_refused(petra: Run, there: There, world: World) -> None:
    ledger = (
        "--key",
        world.folder / "ours.key",
        "--ledger",
        there.ledger,
        "--receiver",
        "East Side",
    )
    assert_refused(petra("inventory", "--to", "i.json", *ledger), 2, "--receiver", "East Side")


def test_an_inventory_counts_a_bundle_that_is_kept(
    bundles: Bundles, there: There, petra: Run
) -> None:
    file = bundles.make(images=(WEB, WORKER))
    keys = ("--key", "ours.key", "--bundle-key", "ours.pub", "--ledger", there.ledger)
    empty = petra("inventory", "--to", "a.json", *keys, "--output", "json").json
    kept = petra("inventory", "--to", "b.json", *keys, "-f", file, "--output", "json").json
    again = verify(petra, "b.json").json["content"]

    assert (empty["blobs"], kept["bundles"]) == (0, 1)
    assert kept["blobs"] == len(again["blobs"]) > 4
    assert again["bundles"][0]["digest"] == Digest.of(file.read_bytes())


def test_an_inventory_is_the_same_for_the_same_holdings(
    bundles: Bundles, there: There, petra: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.load(bundles.make(images=(WEB, WORKER)))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    ledger = ("--key", "ours.key", "--ledger", there.ledger, "--receiver", "east")
    for name in ("a.json", "b.json"):
        assert petra("inventory", "--to", name, *ledger).status == 0
    a, b = ((world.folder / name).read_bytes() for name in ("a.json", "b.json"))
    assert a == b
    assert json.loads(a)["created"] == "2023-11-14T22:13:20Z"


def test_nodes_are_named_as_not_counted(bundles: Bundles, there: There, petra: Run) -> None:
    where = f"k3s:{there.folder / 'agent'}"
    charts = ("--charts-to", there.folder / "charts", "--cluster-registry", "x/y")
    manifests = ("--manifests-to", there.folder / "platform")
    to = ("--images-to", where, *charts, *manifests)
    assert petra("bundle", "load", "-f", bundles.make(), *there.options(), *to).status == 0
    ledger = ("--key", "ours.key", "--ledger", there.ledger)
    outcome = petra("inventory", "--to", "i.json", *ledger)
    assert outcome.status == 0, outcome.err
    assert f"{where}: what it holds cannot be asked for by digest" in outcome.err
    assert "blobs      0" in outcome.out


def test_the_whole_way_is_on_record(
    bundles: Bundles, there: There, petra: Run, world: World
) -> None:
    """create, chunk, media; then receive, load: two logs, one chain."""
    sent, come = ("--custody", "sent.jsonl"), ("--custody", "come.jsonl", "--custody-key")
    spec = ("-f", world.spec(WEB), "--key", "ours.key")
    assert petra("bundle", "create", *spec, *sent).status == 0
    cut = ("--max-size", "95MiB", "--key", "ours.key", "--to", "c")
    assert petra("bundle", "chunk", "-f", world.bundle, *cut, *sent).status == 0
    key = ("--key", "ours.pub")
    medium = there.folder / "medium"
    to = ("--to", medium, "--sign-key", "ours.key")
    assert petra("transfer", "media", "-f", "c", *key, *to, *sent).status == 0

    receiver = (*come, "vendor.key")
    inbox = ("--to", there.folder / "inbox", "--custody-from", "sent.jsonl")
    outcome = petra("receive", medium, *key, *inbox, *receiver)
    assert outcome.status == 0, outcome.err
    arrived = there.folder / "inbox" / "shop-1.4.0"
    refused = petra(
        "bundle",
        "load",
        "-f",
        arrived,
        *there.options()[2:],
        *receiver,
        *("--key", "stranger.pub", "--images-to", f"registry://{there.host}/m"),
    )
    images = ("--images-to", f"registry://{there.host}/mirror")
    loaded = petra("bundle", "load", "-f", arrived, *there.options(), *images, *receiver)
    assert (refused.status, loaded.status) == (3, 0), loaded.err

    keys = ("--key", "ours.pub", "--key", "vendor.pub")
    chain = petra("custody", "verify", "sent.jsonl", "come.jsonl", *keys, "--output", "json")
    assert chain.status == 0, chain.err
    entries = [one for stage in chain.json["stages"] for one in stage["entries"]]
    assert [(one["stage"], one["action"], one["verdict"]) for one in entries] == [
        ("connected", "create", "ok"),
        ("connected", "chunk", "ok"),
        ("media", "write", "ok"),
        ("receive", "receive", "ok"),
        ("load", "load", "refused"),
        ("load", "load", "ok"),
    ]
    digest = Digest.of(world.bundle.read_bytes())
    assert all(digest in one["digests"].values() for one in entries if one["verdict"] == "ok")
    alone = petra("custody", "verify", "come.jsonl", *keys)
    assert_refused(alone, 3, "chain is broken")


def test_a_load_that_fails_after_it_began_is_on_record_as_refused(
    bundles: Bundles, there: There, petra: Run, world: World
) -> None:
    place = there.folder / "charts"
    place.write_text("a file, where a folder should be made")
    to = ("--images-to", f"registry://{there.host}/mirror", "--charts-to", place)
    manifests = ("--manifests-to", there.folder / "platform", "--cluster-registry", "x/y")
    log = ("--custody", "c.jsonl", "--custody-key", "ours.key")
    file = bundles.make()
    outcome = petra("bundle", "load", "-f", file, *there.options(), *to, *manifests, *log)

    assert outcome.status != 0
    (stage,) = petra("custody", "verify", "c.jsonl", "--key", "ours.pub", "--output", "json").json[
        "stages"
    ]
    (entry,) = stage["entries"]
    assert (entry["verdict"], entry["digests"]) == (
        "refused",
        {file.name: Digest.of(file.read_bytes())},
    )
    assert entry["reason"]


def test_a_dry_run_leaves_no_record(bundles: Bundles, there: There, world: World) -> None:
    assert there.load(bundles.make(), "--dry-run", "--custody", "c.jsonl").status == 0
    assert "c.jsonl" not in names(world.folder)
