"""``petra bundle rollback`` and ``petra bundle prune``, as a user calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra.load.ledger import History
from petra.load.ledger_folder import FolderLedger
from tests.support import front as faults
from tests.support.command import assert_refused, names
from tests.support.front import front_of
from tests.support.world import WEB, WORKER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Outcome
    from tests.support.sites import Bundles, There


@pytest.fixture
def twice(bundles: Bundles, there: There) -> There:
    """A disconnected side where two bundles were loaded; their files are gone."""
    for file in (bundles.make(4), bundles.make(5, images=(WORKER,))):
        assert there.load(file).status == 0
        file.unlink()
    return there


def rollback(there: There, *more: str | Path) -> Outcome:
    options = ("--ledger", there.ledger, "--sign-key", "ours.key")
    return there.petra("bundle", "rollback", *options, *more)


def prune(there: There, *more: str | Path) -> Outcome:
    return there.petra("bundle", "prune", "--ledger", there.ledger, "--keep", "1", *more)


def current(there: There) -> list[str]:
    history = History(FolderLedger(there.ledger).events())
    return [stamp.version for stamp in history.complete("shop")]


def load_twice_into_folders(bundles: Bundles, there: There, images: str) -> None:
    """Load two bundles, charts and manifests into folders."""
    places = ("--charts-to", there.folder / "charts", "--manifests-to", there.folder / "platform")
    more = ("--images-to", images, "--cluster-registry", "charts.local/x")
    for serial in (4, 5):
        arguments = (*there.options(), *places, *more)
        loaded = there.petra("bundle", "load", "-f", bundles.make(serial), *arguments)
        assert loaded.status == 0, loaded.err


def test_the_channel_goes_back_without_the_bundles_file(twice: There) -> None:
    outcome = rollback(twice, "--output", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["verdict"] == "rolled back"
    assert outcome.json["bundle"]["version"] == "1.4.0"
    tags = twice.tags()["platform"]
    assert tags["stable"] == tags["1.4.0"] != tags["1.5.0"]
    assert current(twice) == ["1.4.0"]


def test_the_way_back_reads_well(twice: There) -> None:
    lines = rollback(twice, "shop").out.splitlines()
    assert lines[0] == "rolled back     shop 1.4.0, serial 4"
    assert any(line.startswith("  now    manifests of shop 1.4.0") for line in lines)


def test_nothing_lies_before_the_first_bundle(twice: There) -> None:
    rollback(twice)
    assert_refused(rollback(twice), 1, "no good bundle", "--allow-rollback")


def test_what_was_rolled_back_does_not_come_back_by_itself(bundles: Bundles, there: There) -> None:
    older, newer = bundles.make(4), bundles.make(5)
    for file in (older, newer):
        there.load(file)
    rollback(there)
    assert there.load(older).out.startswith("already loaded")
    assert_refused(there.load(newer), 3, "was rolled back", "--allow-rollback")
    assert there.load(newer, "--allow-rollback").status == 0
    assert current(there) == ["1.4.0", "1.5.0"]


def test_manifests_that_are_gone_are_not_gone_back_to(twice: There) -> None:
    before = twice.tags()["platform"]
    target = twice.content.create("platform")
    target._tags.pop("1.4.0")
    target._manifests.pop(before["1.4.0"])
    outcome = rollback(twice, "--output", "json")
    assert outcome.status == 1
    assert outcome.json["destinations"][0]["state"] == "failed"
    assert twice.tags()["platform"]["stable"] == before["1.5.0"]


def test_a_rollback_that_failed_goes_on_to_the_same_bundle(bundles: Bundles, there: There) -> None:
    with front_of(there.host) as front:
        there.host = front.host
        for serial in (3, 4, 5):
            there.load(bundles.make(serial))
        front.fault("^PUT .*/manifests/stable", faults.status(500))
        assert rollback(there).status == 1
        front._rules.clear()
        assert rollback(there).status == 0
        assert current(there) == ["1.3.0", "1.4.0"]


def test_folders_go_back_too(bundles: Bundles, there: There) -> None:
    load_twice_into_folders(bundles, there, f"layout:{there.folder / 'layout'}")
    assert rollback(there).status == 0
    link = (there.folder / "platform" / "current").readlink()
    assert str(link).startswith("shop-1.4.0-")


def test_prune_takes_from_folders_what_only_the_older_bundle_brought(
    bundles: Bundles, there: There
) -> None:
    load_twice_into_folders(bundles, there, f"k3s:{there.folder / 'k3s'}")
    before = [names(there.folder / one) for one in ("charts", "platform", "k3s")]
    assert [len(one) for one in before] == [3, 3, 2]

    would = prune(there, "--dry-run")
    assert would.out.startswith("would go     shop 1.4.0")
    assert [names(there.folder / one) for one in ("charts", "platform", "k3s")] == before

    outcome = prune(there)
    assert outcome.status == 0, outcome.err
    assert names(there.folder / "charts") == ["app-1.5.0.tgz", "index.yaml"]
    kept = names(there.folder / "platform")
    assert kept[0] == "current"
    assert kept[1].startswith("shop-1.5.0-")
    (image_file,) = names(there.folder / "k3s")
    assert image_file.startswith("shop-1.5.0-")
    assert current(there) == ["1.5.0"]
    assert prune(there).out.splitlines()[0] == "nothing to prune"


def test_a_registry_that_does_not_delete_is_explained_and_left_as_it_is(twice: There) -> None:
    before = twice.tags()
    outcome = prune(twice)
    assert outcome.status == 0, outcome.err
    assert "does not take DELETE" in outcome.out
    assert twice.tags() == before
    # It is not to be gone back to all the same: part of it may be gone.
    assert current(twice) == ["1.5.0"]


def test_what_the_cluster_reads_is_kept_after_a_rollback(twice: There) -> None:
    rollback(twice)
    outcome = prune(twice)
    assert outcome.out.splitlines()[0] == "nothing to prune"


def test_nothing_is_pruned_where_somebody_else_moved_the_channel(twice: There) -> None:
    target, tags = twice.content.create("platform"), twice.tags()["platform"]
    (signature,) = (tags[tag] for tag in tags if tag == f"sha256-{tags['1.4.0'].hex}.sig")
    target.tag(target.resolve(signature), "stable")
    assert_refused(prune(twice), 3, "does not know", "nothing was removed")
    assert current(twice) == ["1.4.0", "1.5.0"]


def test_only_one_command_works_on_a_ledger_at_a_time(twice: There) -> None:
    with FolderLedger(twice.ledger).lock():
        assert_refused(rollback(twice), 1, "under way")
        assert_refused(prune(twice), 1, "under way")


def test_keep_is_needed(there: There) -> None:
    outcome = there.petra("bundle", "prune", "--ledger", there.ledger)
    assert_refused(outcome, 2, "--keep")


def test_both_images_are_still_served_after_the_way_back(twice: There) -> None:
    rollback(twice)
    assert "1.4" in twice.tags()["mirror/" + WEB.partition(":")[0]]
