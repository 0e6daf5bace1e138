"""What evidence is asked for: by the spec, by a policy, by both, or by nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from petra.bundle.evidence_rules import EvidenceRules, strictest
from petra.bundle.policy import Policy, load_policy
from petra.bundle.spec import Spec, load_spec
from petra.encoding.yaml import dump_yaml
from petra.errors import DocumentError, PolicyError
from petra.scan.gate import Gate
from petra.scan.model import Severity
from tests.support.scans import NOW, SUBJECT, finding, statement, vex

HIGH, CRITICAL = Gate.at_least(Severity.HIGH), Gate.at_least(Severity.CRITICAL)
WAIVER = {
    "vulnerability": "CVE-2099-0001",
    "reason": "borne",
    "expires": "2099-01-01T00:00:00Z",
}


def spec(**scan: Any) -> Spec:
    value: dict[str, Any] = {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "Bundle",
        "metadata": {"name": "shop", "version": "1"},
        "spec": {
            "images": [
                {"name": "web", "image": "cgr.dev/team/web:1"},
                {"name": "db", "image": "docker.io/library/db:1"},
            ]
        },
    }
    if scan:
        value["spec"]["scan"] = scan["scan"]
    return load_spec(dump_yaml(value), where="bundle.yaml")


def policy(**rules: Any) -> Policy:
    value = {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "house"},
        "spec": rules,
    }
    return load_policy(dump_yaml(value), where="policy.yaml")


def nothing(name: str) -> bytes:
    raise AssertionError(f"{name} is not to be read")


def asked(spec: Spec, policy: Policy | None = None) -> EvidenceRules:
    return EvidenceRules(spec, nothing, policy)


def test_nobody_asks() -> None:
    rules = asked(spec()).image("web")

    assert rules.skip == "neither the spec nor a policy asks for a scan"
    assert not rules.scanner
    assert not rules.generate
    assert not rules.sbom_required


def test_a_spec_asks() -> None:
    rules = asked(spec(scan={})).image("web")

    assert rules.skip is None
    assert rules.scanner
    assert rules.gate == HIGH
    assert rules.max_age == timedelta(days=5)
    assert rules.generate


def test_a_spec_skips() -> None:
    rules = asked(spec(scan={"skip": "no scanner here"})).image("web")

    assert rules.skip == "no scanner here"
    assert not rules.generate


def test_a_policy_asks_without_a_word() -> None:
    rules = asked(spec(), policy()).image("web")

    assert rules.skip is None
    assert rules.gate == HIGH


def test_a_policy_may_skip_by_image() -> None:
    keyless = {"skip": "trusted"}
    rule = {"pattern": "docker.io/**", "verify": keyless, "scan": {"skip": "scanned elsewhere"}}
    found = asked(spec(), policy(images=[rule]))

    assert found.image("db").skip == "scanned elsewhere"
    assert found.image("web").skip is None


def test_a_spec_may_scan_what_a_policy_skips() -> None:
    rules = asked(spec(scan={}), policy(scan={"skip": "not here"})).image("web")

    assert rules.skip is None
    assert rules.gate == HIGH


def test_a_spec_may_not_skip_what_a_policy_asks_for() -> None:
    with pytest.raises(PolicyError, match="the spec skips the scan") as caught:
        asked(spec(scan={"skip": "in a hurry"}), policy())

    assert caught.value.found == "in a hurry"
    assert "policy house" in str(caught.value.where)


def test_unless_the_policy_lets_it() -> None:
    found = asked(spec(scan={"skip": "in a hurry"}), policy(bundle={"allowSkipped": ["scan"]}))

    assert found.image("web").skip == "in a hurry"


@pytest.mark.parametrize(
    ("mine", "theirs", "severities", "fixable", "grace"),
    [
        ({"failOn": "critical"}, {}, HIGH.severities, False, None),
        ({"failOn": "low"}, {}, Gate.at_least(Severity.LOW).severities, False, None),
        ({"failOn": "none"}, {}, HIGH.severities, False, None),
        ({"fixableOnly": True}, {}, HIGH.severities, False, None),
        ({"grace": "30d"}, {"grace": "3d"}, HIGH.severities, False, timedelta(days=3)),
        ({"grace": "1d"}, {"grace": "3d"}, HIGH.severities, False, timedelta(days=1)),
        ({"grace": "30d"}, {}, HIGH.severities, False, None),
        ({"fixableOnly": True}, {"fixableOnly": True}, HIGH.severities, True, None),
    ],
)
def test_of_two_gates_the_stricter_of_each_setting_counts(
    mine: dict[str, Any],
    theirs: dict[str, Any],
    severities: frozenset[Severity],
    fixable: bool,  # noqa: FBT001
    grace: timedelta | None,
) -> None:
    rules = asked(spec(scan={"gate": mine}), policy(scan={"gate": theirs})).image("web")

    assert rules.gate == Gate(severities, fixable, grace)


@pytest.mark.parametrize(("mine", "theirs"), [("90d", "5d"), ("5d", "90d")])
def test_of_two_ages_the_smaller_counts(mine: str, theirs: str) -> None:
    found = asked(spec(scan={"maxDatabaseAge": mine}), policy(scan={"maxDatabaseAge": theirs}))

    assert found.image("web").max_age == timedelta(days=5)


def test_waivers_of_a_spec_do_not_count_beside_a_policy() -> None:
    alone, beside = (
        asked(spec(scan={"waivers": [WAIVER]})),
        asked(spec(scan={"waivers": [WAIVER]}), policy()),
    )

    assert alone.image("web").waivers.decide(finding(), SUBJECT, NOW).waived
    assert not beside.image("web").waivers.decide(finding(), SUBJECT, NOW).waived
    assert alone.notes == ()
    assert "do not count" in beside.notes[0]


def test_waivers_of_a_policy_do_and_are_read_from_its_folder() -> None:
    document = vex(statement(vulnerability={"name": "CVE-2099-0002"}))
    rules = policy(scan={"waivers": [WAIVER], "vex": ["vendor.json"]})
    found = EvidenceRules(spec(), nothing, rules, {"vendor.json": document}.__getitem__)

    waivers = found.image("web").waivers
    listed = waivers.decide(finding(), SUBJECT, NOW).waived
    assert listed is not None
    assert listed.source == "policy"
    assert waivers.decide(finding("CVE-2099-0002"), SUBJECT, NOW).waived
    assert found.waivers() == (waivers,)


def test_a_bad_openvex_document_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"bad\.json"):
        EvidenceRules(spec(scan={"vex": ["bad.json"]}), lambda _: b"{}")


def test_sboms_are_required_by_policy_and_generated_unless_it_forbids() -> None:
    needed = asked(spec(), policy(scan={"skip": "x"}, sbom={"required": True})).image("web")
    forbidden = asked(spec(), policy(sbom={"required": True, "generate": False})).image("web")

    assert (needed.sbom_required, needed.generate) == (True, True)
    assert (forbidden.sbom_required, forbidden.generate) == (True, False)


def test_the_strictest_of_none_is_none() -> None:
    assert strictest(None, None) is None
    assert strictest(None, CRITICAL) == CRITICAL
