"""Trusted roots: the copy that comes with Petra, and files of one's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

from petra.content.digest import Digest
from petra.errors import SettingError
from petra.trust.root import PINNED_DIGEST, ROOT_LIMIT, Period, TrustedRoot, require_pinned

_SHIPPED = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"


def document() -> Any:
    """Return the pinned root, to be changed."""
    return json.loads(TrustedRoot.pinned().data)


def parse(value: Any) -> TrustedRoot:
    return TrustedRoot.parse(json.dumps(value).encode(), where="root.json")


def refuse(value: Any, match: str) -> None:
    with pytest.raises(SettingError, match=match) as caught:
        parse(value)
    assert str(caught.value.where).startswith("root.json")
    assert "cosign trusted-root create" in str(caught.value.hint)


def test_the_pinned_root_is_what_sigstore_python_ships() -> None:
    shipped = resources.files("sigstore") / "_store" / _SHIPPED / "trusted_root.json"
    assert TrustedRoot.pinned().data == shipped.read_bytes()


def test_the_pinned_root_has_the_digest_that_stands_in_the_code() -> None:
    assert TrustedRoot.pinned().digest == Digest.of(TrustedRoot.pinned().data) == PINNED_DIGEST


def test_another_root_in_the_place_of_the_pinned_one_is_refused() -> None:
    data = TrustedRoot.pinned().data
    require_pinned(data, where="installed")
    with pytest.raises(SettingError, match="that comes with Petra was changed") as caught:
        require_pinned(data + b" ", where="installed")
    assert caught.value.expected == PINNED_DIGEST
    assert caught.value.where == "installed"


def test_the_pinned_root_holds_the_public_instance() -> None:
    root = TrustedRoot.pinned()
    assert [len(one.certificates) for one in root.authorities] == [1, 2]
    assert [one.key.algorithm for one in root.logs] == ["ecdsa-p256", "ed25519"]
    assert root.logs[0].id == Digest.of(root.logs[0].key.der).raw
    assert [one.period.end is None for one in root.certificate_logs] == [False, True]


def test_roots_are_compared_by_their_bytes() -> None:
    pinned = TrustedRoot.pinned()
    assert parse(document()) != pinned
    assert TrustedRoot.parse(pinned.data, where="copy") == pinned
    assert hash(TrustedRoot.parse(pinned.data, where="copy")) == hash(pinned)


def test_a_period_holds_both_its_ends() -> None:
    first, last, after = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3))
    period = Period(first, last)
    assert [period.covers(time) for time in (first, last, after)] == [True, True, False]
    assert Period(last).covers(after)
    assert not Period(last).covers(first)


def test_a_period_that_is_open_may_say_so_with_null() -> None:
    value = document()
    value["tlogs"][0]["publicKey"]["validFor"]["end"] = None
    assert parse(value).logs == TrustedRoot.pinned().logs


def test_a_log_with_a_key_of_an_unknown_kind_is_passed_over() -> None:
    value = document()
    value["tlogs"][1]["publicKey"]["rawBytes"] = "AAAA"
    assert [one.id for one in parse(value).logs] == [TrustedRoot.pinned().logs[0].id]
    del value["tlogs"][0]
    refuse(value, "without usable tlogs")


@pytest.mark.parametrize("key", ["tlogs", "ctlogs", "certificateAuthorities"])
def test_a_root_that_lacks_a_part_is_refused(key: str) -> None:
    value = document()
    del value[key]
    refuse(value, f"without usable {key}")


@pytest.mark.parametrize(
    ("path", "replacement"),
    [
        (("tlogs", 0, "logId"), None),
        (("tlogs", 0, "publicKey", "validFor"), {}),
        (("tlogs", 0, "publicKey", "validFor"), {"start": "2021-01-12T11:53:27"}),
        (("tlogs", 0, "publicKey", "validFor"), {"start": "once"}),
        (("tlogs", 0, "publicKey", "validFor"), {"start": "9999-12-31T23:59:59-23:59"}),
        (("ctlogs", 0, "publicKey", "rawBytes"), "not base64"),
        (("certificateAuthorities", 0, "certChain", "certificates"), []),
        (("certificateAuthorities", 0, "validFor"), None),
        (("ctlogs",), {"log": 1}),
    ],
)
def test_a_damaged_root_is_refused(path: tuple[Any, ...], replacement: Any) -> None:
    value = document()
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = replacement
    refuse(value, "trusted root is damaged")


def test_a_root_of_another_version_is_refused() -> None:
    refuse(document() | {"mediaType": "application/json"}, "of a version that Petra reads")
    refuse([], "of a version that Petra reads")


def test_what_is_no_root_at_all_is_refused() -> None:
    for data, match in ((b"{", "not JSON"), (b" " * (ROOT_LIMIT + 1), "too large")):
        with pytest.raises(SettingError, match=match):
            TrustedRoot.parse(data, where="root.json")
