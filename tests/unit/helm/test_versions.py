import pytest

from petra.errors import UsageError
from petra.helm.versions import check_exact, same_version, version_key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.2.3", "1.2.3", True),
        ("v1.2.3", "1.2.3", True),
        ("1.2.3-rc.1", "v1.2.3-rc.1", True),
        ("1.2.3+a", "1.2.3+b", False),
        ("1.2.3", "1.2.30", False),
        ("1.2.3", "1.2.3-rc1", False),
        ("odd", "odd", True),
        ("odd", "vodd", False),
    ],
)
def test_only_a_leading_v_makes_no_difference(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert same_version(one, other) is same


@pytest.mark.parametrize(
    "text", ["^1.2", "~1.2.3", ">=1", "1.x", "1.2.X", "*", "latest", "", "1 2"]
)
def test_ranges_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not exact"):
        check_exact(text, where="chart")


@pytest.mark.parametrize("text", ["1.2.3", "v1.2.3", "1.2.3-rc.1+build.5", "2024.1"])
def test_exact_versions_pass(text: str) -> None:
    check_exact(text, where="chart")
    assert same_version(text, text)


def test_order_is_that_of_semantic_versioning() -> None:
    # The example of Semantic Versioning 2, section 11.
    ordered = [
        "odd",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.9",
        "1.0.10",
    ]

    shuffled = ordered[5:] + ordered[:5]

    assert sorted(shuffled, key=version_key) == ordered


def test_a_huge_version_is_no_number() -> None:
    assert version_key("1.0.0-" + "9" * 10_000)[0] == ()
