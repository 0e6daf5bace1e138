"""Several refused images in one error."""

from __future__ import annotations

import pytest

from petra.bundle.refusals import refuse
from petra.errors import PolicyError, SignatureError

UNSIGNED = SignatureError("image is not signed", where="a (x/a:1)", expected="a signature")
DENIED = PolicyError("no rule", where="b (x/b:1), by policy p", found="x/b", hint="add a rule")


def test_none_refuses_nothing() -> None:
    refuse({}, 3)


def test_one_is_raised_as_it_is() -> None:
    with pytest.raises(SignatureError) as caught:
        refuse({"a (x/a:1)": UNSIGNED}, 3)
    assert caught.value is UNSIGNED


def test_of_several_each_is_told_with_its_own_reason() -> None:
    with pytest.raises(SignatureError) as caught:
        refuse({"a (x/a:1)": UNSIGNED, "b (x/b:1)": DENIED}, 3)
    error = caught.value
    assert error.message == "2 of 3 images are refused"
    assert error.where == "a, b"
    assert str(error.found).splitlines() == [
        "",
        "    a (x/a:1): image is not signed",
        "      expected: a signature",
        "    b (x/b:1), by policy p: no rule",
        "      found: x/b",
    ]
    assert "add a rule" in str(error.hint)
    assert error.causes == (UNSIGNED, DENIED)
    assert [cause["message"] for cause in error.to_json()["causes"]] == [  # type: ignore[attr-defined]
        "image is not signed",
        "no rule",
    ]


def test_it_is_policys_error_only_if_policy_refuses_all() -> None:
    with pytest.raises(PolicyError):
        refuse({"b (x/b:1)": DENIED, "c (x/c:1)": PolicyError("no rule")}, 2)


def test_a_failure_that_names_no_image_gets_its_name() -> None:
    with pytest.raises(SignatureError) as caught:
        refuse({"a (x/a:1)": SignatureError("bad", where="sha256:12"), "b (x/b:1)": DENIED}, 2)
    assert "a (x/a:1), sha256:12: bad" in str(caught.value.found)


def test_a_list_of_hundreds_is_cut() -> None:
    with pytest.raises(PolicyError) as caught:
        refuse({f"n{one} (x)": PolicyError("no") for one in range(60)}, 60)
    assert "… and 10 more" in str(caught.value.found)
    assert len(caught.value.causes) == 60
