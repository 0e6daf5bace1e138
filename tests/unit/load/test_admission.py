from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra.bundle.metadata import Check, Checks, Metadata, Tool, Totals
from petra.bundle.verify import Signed
from petra.errors import PolicyError
from petra.load.admission import admit
from petra.load.ledger import History, Stamp
from tests.support import signing
from tests.support.ledgers import NOON, loaded, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = signing.public(signing.key())
SKIPPED = {"verify": Check.skipped("images are unsigned"), "scan": Check.skipped("no scanner")}


def signed(serial: int = 2, checks: Mapping[str, Check] | None = None) -> Signed:
    metadata = Metadata(
        name="shop",
        version="1.4.0",
        serial=serial,
        created=NOON,
        tool=Tool(name="petra", version="0"),
        checks=Checks(
            **{name: Check.done() for name in ("sign", "verify", "scan")} | dict(checks or {})
        ),
        totals=Totals(members=0, bytes=0, images=0, charts=0),
        members=(),
    )
    return Signed(metadata, stamp(serial).digest, KEY)


def test_a_bundle_with_every_check_done_is_admitted() -> None:
    admit(signed(), History([]))


def test_a_skipped_check_is_refused_with_its_reason_and_the_flag_that_allows_it() -> None:
    with pytest.raises(PolicyError, match="skipped a check") as refused:
        admit(signed(checks=SKIPPED), History([]), allowed_skips=["scan"])
    assert refused.value.found == "skipped: verify (images are unsigned)"
    assert "--allow-skipped verify" in refused.value.details()["next"]


def test_skips_that_are_allowed_by_name_pass() -> None:
    admit(signed(checks=SKIPPED), History([]), allowed_skips=["scan", "verify"])


def test_an_older_serial_of_the_same_signer_is_refused() -> None:
    newer = Stamp(**stamp(3).model_dump() | {"signer": KEY.fingerprint})
    with pytest.raises(PolicyError, match="older"):
        admit(signed(2), History(loaded(newer)))
    admit(signed(2), History(loaded(newer)), allow_rollback=True)


def test_an_older_serial_of_another_signer_passes() -> None:
    admit(signed(2), History(loaded(stamp(3))))
