from __future__ import annotations

import threading

import pytest

from petra.content.needs import in_order_of_need


def test_each_comes_after_all_that_it_needs() -> None:
    needs = {"a": [], "b": [], "c": ["a", "b"], "d": ["c", "a"], "e": []}
    done: list[str] = []

    def work(key: str) -> None:
        assert set(needs[key]) <= set(done)
        done.append(key)

    in_order_of_need(work, needs, workers=3)

    assert sorted(done) == sorted(needs)


def test_what_comes_first_is_begun_first_and_what_others_wait_for_does_not_hold_them_up() -> None:
    done: list[str] = []

    in_order_of_need(
        done.append, {"a1": [], "b1": [], "a2": ["a1"], "b2": ["b1"], "c": []}, workers=1
    )

    assert done == ["a1", "b1", "a2", "b2", "c"]


def test_several_are_worked_on_at_a_time_and_no_more() -> None:
    together = threading.Barrier(3, timeout=10)
    names = set()

    def work(_: int) -> None:
        names.add(threading.current_thread().name)
        together.wait()

    in_order_of_need(work, {number: [] for number in range(6)}, workers=3)

    assert len(names) == 3


def test_after_an_error_nothing_is_begun_and_the_first_is_raised() -> None:
    begun: list[str] = []

    def work(key: str) -> None:
        begun.append(key)
        if key in ("b", "c"):
            raise KeyError(key)

    with pytest.raises(KeyError, match="b"):
        in_order_of_need(work, {"a": [], "b": ["a"], "c": [], "d": ["b"]}, workers=1)
    assert begun == ["a", "b"]


def test_those_that_wait_for_one_that_fails_end_too() -> None:
    def work(key: str) -> None:
        raise KeyError(key)

    with pytest.raises(KeyError, match="a"):
        in_order_of_need(work, {"a": [], "b": ["a"]}, workers=2)


@pytest.mark.parametrize("needs", [{"a": ["b"], "b": []}, {"a": ["a"]}, {"a": ["x"]}])
def test_needs_stand_before_what_needs_them(needs: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="before it"):
        in_order_of_need(lambda _: None, needs, workers=1)
