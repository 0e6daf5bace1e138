from __future__ import annotations

import pytest

from petra.errors import PolicyError
from petra.load.ledger import DestinationRecord, History, LoadRecord, PlacedRecord
from tests.support.ledgers import event, loaded, stamp

ONE, TWO, THREE = stamp(1), stamp(2), stamp(3)


def test_the_current_bundle_is_the_last_that_was_completed() -> None:
    history = History([*loaded(ONE, TWO), event("begun", THREE)])
    assert history.complete("shop") == [ONE, TWO]
    assert history.state(THREE.digest) == "begun"


def test_after_a_rollback_the_one_before_is_current() -> None:
    history = History([*loaded(ONE, TWO), event("rolled back", TWO, to=ONE)])
    assert history.complete("shop") == [ONE]
    assert history.state(TWO.digest) == "rolled back"


def test_a_pruned_bundle_is_no_longer_there() -> None:
    history = History([*loaded(ONE, TWO), event("pruned", ONE)])
    assert history.complete("shop") == [TWO]
    assert history.state(ONE.digest) == "pruned"


def test_loading_a_complete_bundle_elsewhere_leaves_it_complete() -> None:
    history = History([*loaded(ONE), event("begun", ONE)])
    assert history.state(ONE.digest) == "complete"


def test_a_rollback_under_way_is_remembered_until_it_ends() -> None:
    begun = event("rolling back", TWO, to=ONE)
    assert History([*loaded(ONE, TWO), begun]).rolling_back("shop") == begun
    ended = event("rolled back", TWO, to=ONE)
    assert History([*loaded(ONE, TWO), begun, ended]).rolling_back("shop") is None


def test_bundles_of_other_names_are_told_apart() -> None:
    other = stamp(9, name="mail")
    history = History(loaded(ONE, other))
    assert history.names == ["mail", "shop"]
    assert history.complete("mail") == [other]


def test_a_newer_serial_is_admitted() -> None:
    History(loaded(ONE)).admit(TWO)


def test_the_first_bundle_is_admitted() -> None:
    History([]).admit(ONE)


def test_the_current_bundle_is_admitted_again() -> None:
    History(loaded(ONE, TWO)).admit(TWO)


def test_an_older_serial_is_refused_with_both_serials() -> None:
    with pytest.raises(PolicyError, match="older than one that was loaded") as refused:
        History(loaded(TWO)).admit(ONE)
    assert refused.value.expected == "a serial above 2 (1.2.0, of the same signer)"
    assert refused.value.found == "1"
    assert "--allow-rollback" in refused.value.details()["next"]


def test_an_older_serial_is_refused_though_the_newer_load_never_ended() -> None:
    with pytest.raises(PolicyError, match="older"):
        History([event("begun", TWO)]).admit(ONE)


def test_an_older_bundle_that_was_loaded_once_is_refused_too() -> None:
    with pytest.raises(PolicyError, match="older"):
        History(loaded(ONE, TWO)).admit(ONE)


def test_a_bundle_between_the_current_one_and_one_rolled_back_is_refused() -> None:
    history = History([*loaded(ONE, THREE), event("rolled back", THREE, to=ONE)])
    with pytest.raises(PolicyError, match="older"):
        history.admit(TWO)


def test_another_bundle_of_the_same_serial_is_refused() -> None:
    with pytest.raises(PolicyError, match="the serial of another one"):
        History(loaded(ONE)).admit(stamp(1, seed="other"))


def test_a_load_that_was_begun_goes_on() -> None:
    History([*loaded(ONE), event("begun", TWO)]).admit(TWO)


def test_a_bundle_that_was_rolled_back_does_not_come_back_by_itself() -> None:
    history = History([*loaded(ONE, TWO), event("rolled back", TWO, to=ONE)])
    with pytest.raises(PolicyError, match="was rolled back"):
        history.admit(TWO)
    history.admit(ONE)
    history.admit(THREE)


def test_allow_rollback_lets_an_older_one_pass() -> None:
    History(loaded(TWO)).admit(ONE, allow_rollback=True)


@pytest.mark.parametrize("other", [stamp(1, name="mail"), stamp(1, signer="theirs")])
def test_serials_are_compared_within_one_name_and_signer(other: object) -> None:
    assert isinstance(other, type(ONE))
    History(loaded(THREE)).admit(other)


def test_a_record_keeps_one_entry_for_each_destination() -> None:
    old = DestinationRecord(part="images", name="registry://a/b")
    placed = PlacedRecord(name="web", reference="a/b/web", digest=ONE.digest)
    new = DestinationRecord(part="images", name="registry://a/b", placed=(placed,))
    charts = DestinationRecord(part="charts", name="/charts")
    record = LoadRecord(bundle=ONE).at(old).at(charts).at(new)
    assert record.destinations == (charts, new)


def test_a_record_covers_what_it_has_been_loaded_to_and_nothing_else() -> None:
    record = LoadRecord(bundle=ONE).at(DestinationRecord(part="images", name="registry://a/b"))
    assert record.covers([("images", "registry://a/b")])
    assert not record.covers([("images", "registry://a/c")])
    assert not record.covers([("charts", "registry://a/b")])
