from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from petra.errors import SettingError
from petra.scan.openvex import load_openvex
from petra.scan.waivers import Waiver, Waivers
from tests.support.scans import BASH, DAY, DIGEST, NOW, SUBJECT, finding, statement, vex


def waiver(**more: Any) -> Waiver:
    values = {"id": "CVE-2099-0001", "reason": "not reachable", "expires": NOW + DAY}
    return Waiver(**{**values, **more})


def waives(one: Waiver, **more: Any) -> bool:
    return Waivers([one]).decide(finding(**more), SUBJECT, NOW).waived is not None


@pytest.mark.parametrize(
    ("more", "about"),
    [
        ({}, True),
        ({"id": "cve-2099-0001 "}, True),
        ({"id": "GHSA-aaaa"}, True),
        ({"id": "CVE-2099-0002"}, False),
        ({"image": "cgr.dev/team/web"}, True),
        ({"image": "cgr.dev/*/web"}, True),
        ({"image": "cgr.dev/**"}, True),
        ({"image": "cgr.dev/*"}, False),
        ({"image": "cgr.dev/team/we"}, False),
        ({"package": "bash"}, True),
        ({"package": "bas"}, False),
        ({"package": BASH}, True),
        ({"package": "pkg:deb/debian/bash"}, True),
        ({"package": "pkg:deb/debian/bash@5.1-2"}, False),
        ({"expires": NOW}, False),
    ],
)
def test_an_entry_is_about_what_it_names(more: dict[str, Any], about: bool) -> None:  # noqa: FBT001
    assert waives(waiver(**more), aliases=("GHSA-AAAA",)) is about


def test_a_package_url_is_about_no_package_without_one() -> None:
    assert not waives(waiver(package=BASH), purl="")


def test_it_says_why_and_until_when() -> None:
    found = Waivers([waiver(source="policy.yaml")]).decide(finding(), SUBJECT, NOW)

    assert found.waived is not None
    assert found.waived.to_json() == {
        "status": "accepted",
        "reason": "not reachable",
        "source": "policy.yaml",
        "expires": "2026-11-25T12:00:00Z",
    }


def test_an_ended_one_counts_as_none_and_is_told() -> None:
    ended = waiver(expires=NOW - DAY)

    decision = Waivers([ended]).decide(finding(), SUBJECT, NOW)

    assert decision.waived is None
    assert decision.expired == (ended,)
    assert Waivers([ended, waiver()]).decide(finding(), SUBJECT, NOW).waived is not None


@pytest.mark.parametrize("more", [{"id": " "}, {"reason": ""}, {"reason": "\n"}])
def test_one_without_a_reason_or_a_name_is_refused(more: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="without a vulnerability or a reason"):
        waiver(**more)


def test_an_end_without_a_time_zone_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="time zone"):
        waiver(expires=datetime(2027, 1, 1))  # noqa: DTZ001  # the point


def test_unused_ones_are_told() -> None:
    used, misspelt = waiver(), waiver(id="CVE-2099-00O1", package="bash", image="cgr.dev/**")
    statements = [statement(), statement(vulnerability={"name": "CVE-2000-0001"})]
    document = load_openvex(vex(*statements), where="web.vex.json")
    waivers = Waivers([used, misspelt], [document])

    matched = waivers.decide(finding(), SUBJECT, NOW).matched

    assert waivers.unused(matched) == [
        "CVE-2099-00O1 in bash of cgr.dev/**, until 2026-11-25T12:00:00Z",
        "web.vex.json: CVE-2000-0001",
    ]


def test_of_a_document_with_thousands_the_first_are_named() -> None:
    many = [statement(vulnerability={"name": f"CVE-2000-{number}"}) for number in range(1000, 1040)]
    waivers = Waivers(documents=[load_openvex(vex(*many), where="feed.json")])

    (line,) = waivers.unused(frozenset())

    assert line.startswith("feed.json: CVE-2000-1000, ")
    assert line.endswith(" and 30 more")


def test_statements_that_waive_nothing_are_not_unused() -> None:
    document = load_openvex(vex(statement(status="affected", justification=None)), where="x")

    assert Waivers(documents=[document]).unused(frozenset()) == []


def test_a_list_goes_before_statements() -> None:
    document = load_openvex(vex(statement(status="affected", justification=None)), where="x")

    decision = Waivers([waiver()], [document]).decide(finding(), SUBJECT, NOW)

    assert decision.waived is not None
    assert decision.waived.status == "accepted"


def test_a_newer_version_of_a_document_replaces_the_older() -> None:
    old = load_openvex(vex(statement(), version=1), where="old.json")
    other = statement(vulnerability={"name": "CVE-2000-0001"})
    new = load_openvex(vex(other, version=2), where="new.json")
    others = load_openvex(vex(other, **{"@id": "https://example.com/2"}, version=2), where="o.json")

    assert Waivers(documents=[old]).decide(finding(), SUBJECT, NOW).waived
    assert Waivers(documents=[old, others]).decide(finding(), SUBJECT, NOW).waived
    assert not Waivers(documents=[old, new]).decide(finding(), SUBJECT, NOW).waived
    assert not Waivers(documents=[new, old]).decide(finding(), SUBJECT, NOW).waived
    assert DIGEST  # what the statement is about
