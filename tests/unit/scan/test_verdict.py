from __future__ import annotations

import pytest

from petra.errors import PolicyError
from petra.scan.gate import Gate
from petra.scan.model import FixState, Severity
from petra.scan.openvex import load_openvex
from petra.scan.verdict import evaluate, require_all, unused_waivers
from petra.scan.waivers import Waiver, Waivers
from tests.support.scans import DAY, NOW, finding, result, statement, vex

HIGH = Gate.at_least(Severity.HIGH)
NOBODY = Waivers()


def borne(name: str, end: float = 1) -> Waiver:
    return Waiver(name, "borne", NOW + end * DAY)


def test_findings_that_the_gate_stops_refuse_the_image() -> None:
    low = finding("CVE-2099-0009", severity=Severity.LOW)

    verdict = evaluate(result(finding(), low), HIGH, NOBODY, NOW)

    assert not verdict.allowed
    assert verdict.refused == (finding(),)
    assert verdict.passed == ((low, "severity"),)
    assert verdict.counts == {"high": 1, "low": 1}


def test_an_image_without_findings_is_allowed() -> None:
    verdict = evaluate(result(), HIGH, NOBODY, NOW)

    assert verdict.allowed
    verdict.require()
    assert verdict.to_json() == {
        "status": "allowed",
        "gate": HIGH.to_json(),
        "counts": {},
    }


def test_waivers_apply_before_the_gate_and_are_all_told() -> None:
    low = finding("CVE-2099-0009", severity=Severity.LOW)
    waivers = Waivers([borne("CVE-2099-0009"), borne("CVE-2099-0001")])

    verdict = evaluate(result(finding(), low), HIGH, waivers, NOW)

    assert verdict.allowed
    assert [one.id for one, _ in verdict.waived] == ["CVE-2099-0001", "CVE-2099-0009"]
    assert verdict.to_json()["waived"][0] == {
        "id": "CVE-2099-0001",
        "package": "bash",
        "version": "5.1-1",
        "severity": "high",
        "status": "accepted",
        "reason": "borne",
        "source": "policy",
        "expires": "2026-11-25T12:00:00Z",
    }


def test_refusals_list_each_finding_its_fix_and_the_next_step() -> None:
    second = finding("CVE-2099-0002", fix_state=FixState.NOT_FIXED, severity=Severity.CRITICAL)
    verdict = evaluate(result(finding(), second), HIGH, NOBODY, NOW)

    with pytest.raises(PolicyError) as caught:
        verdict.require()

    error = caught.value
    assert error.message == "2 vulnerabilities that the scan gate does not let pass"
    assert "CVE-2099-0001 bash 5.1-1 (high; fixed in 5.1-2)" in str(error.found)
    assert "CVE-2099-0002 bash 5.1-1 (critical; no fix yet)" in str(error.found)
    assert error.expected == "no critical or high or unknown finding"
    assert "cgr.dev/team/web:1.4" in str(error.where)
    assert "waiver" in str(error.hint)
    assert error.exit_status == 3


def test_ended_waivers_are_told_beside_the_refusal() -> None:
    verdict = evaluate(result(finding()), HIGH, Waivers([borne("CVE-2099-0001", -1)]), NOW)

    assert verdict.to_json()["expiredWaivers"] == ["CVE-2099-0001, until 2026-11-23T12:00:00Z"]
    with pytest.raises(PolicyError, match="these waivers have ended: CVE-2099-0001, until"):
        verdict.require()


def test_grace_is_told() -> None:
    gate = Gate.at_least(Severity.HIGH, grace=7 * DAY)
    young = finding(published=NOW - DAY)

    verdict = evaluate(result(young), gate, NOBODY, NOW)

    assert verdict.allowed
    assert [one["id"] for one in verdict.to_json()["withinGrace"]] == ["CVE-2099-0001"]


def test_several_images_are_refused_at_once() -> None:
    bad = evaluate(result(finding()), HIGH, NOBODY, NOW)
    good = evaluate(result(), HIGH, NOBODY, NOW)

    require_all([good])
    with pytest.raises(PolicyError, match="1 vulnerability that"):
        require_all([good, bad])


def test_an_endless_list_is_cut_in_the_error_alone() -> None:
    many = [finding(f"CVE-2099-{number}") for number in range(1000, 1070)]
    verdict = evaluate(result(*many), HIGH, NOBODY, NOW)

    with pytest.raises(PolicyError, match="and 20 more lines"):
        verdict.require()
    assert len(verdict.to_json()["refused"]) == 70


def test_a_waiver_of_another_image_is_not_unused() -> None:
    waivers = Waivers([borne("CVE-2099-0001"), borne("CVE-2099-0002")])
    first = evaluate(result(finding()), HIGH, waivers, NOW)
    second = evaluate(result(finding("CVE-2099-0002")), HIGH, waivers, NOW)

    assert unused_waivers(waivers, [first, second]) == []
    assert unused_waivers(waivers, [first]) == ["CVE-2099-0002, until 2026-11-25T12:00:00Z"]
    assert len(unused_waivers(waivers, [])) == 2


def test_openvex_statements_waive_with_their_source() -> None:
    waivers = Waivers(documents=[load_openvex(vex(statement()), where="web.vex.json")])

    verdict = evaluate(result(finding()), HIGH, waivers, NOW)

    assert verdict.allowed
    (_, why) = verdict.waived[0]
    assert why.source == "OpenVEX by security@example.com, web.vex.json"
    assert why.justification == "vulnerable_code_not_in_execute_path"
