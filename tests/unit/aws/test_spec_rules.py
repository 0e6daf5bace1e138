"""Each thing that an uploaded spec may not say, by itself."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from petra.aws.pipeline.spec_rules import SERIAL_AHEAD, check_uploaded
from petra.aws.side_settings import ConnectedSettings, Limits
from petra.bundle.image_rules import PolicyRules, Trust
from petra.bundle.policy import load_policy
from petra.bundle.spec import load_spec
from petra.encoding.yaml import dump_yaml
from petra.errors import NotFoundError, PolicyError
from petra.trust.root import TrustedRoot

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SETTINGS = ConnectedSettings(
    limits=Limits(images=2), sources=("registry.example/team", "charts.example", "plain.example")
)
SPEC: dict[str, Any] = {
    "apiVersion": "petra.sh/v1alpha1",
    "kind": "Bundle",
    "metadata": {"name": "shop", "version": "1.0.0"},
    "spec": {
        "images": [{"name": "web", "image": "registry.example/team/web:1"}],
        "charts": [{"name": "app", "repo": "https://charts.example/stable", "version": "1.2.3"}],
    },
}
POLICY = {
    "apiVersion": "petra.sh/v1alpha1",
    "kind": "Policy",
    "metadata": {"name": "platform"},
    "spec": {
        "images": [
            {"pattern": "registry.example/team/**", "verify": {"skip": "made up"}},
            {"pattern": "169.254.169.254/**", "verify": {"skip": "made up"}},
        ]
    },
}


def _keys(name: str) -> Any:
    raise NotFoundError("no such file", where=name)


def rules() -> PolicyRules:
    policy = load_policy(dump_yaml(POLICY), where="policy.yaml")
    return PolicyRules(policy, Trust(_keys, TrustedRoot.pinned, NOW))


def check(**changes: Any) -> None:
    document = copy.deepcopy(SPEC)
    document["spec"] |= changes
    check_uploaded(load_spec(dump_yaml(document), where="spec"), SETTINGS, rules(), NOW)


def image(reference: str, name: str = "web") -> dict[str, Any]:
    return {"name": name, "image": reference}


def chart(repo: str, name: str = "app") -> dict[str, Any]:
    return {"name": name, "repo": repo, "version": "1.2.3"}


def test_a_spec_that_asks_for_what_it_may_passes() -> None:
    check()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("spec.platform.path", {"platform": {"path": "/etc"}}),
        ("spec.output.dir", {"output": {"dir": "dist"}}),
        ("spec.output.chunks", {"output": {"chunks": {"maxSize": "100MiB"}}}),
        ("spec.output.sign", {"output": {"sign": False}}),
        ("spec.output.verify", {"output": {"verify": False}}),
        ("spec.scan.vex", {"scan": {"vex": ["all-is-well.json"]}}),
        ("spec.scan.reports", {"scan": {"reports": [{"file": "all-is-well.sarif"}]}}),
    ],
)
def test_a_field_that_is_the_stacks_own_is_refused(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="the spec says what only the stack may") as caught:
        check(**changes)
    assert caught.value.where == field


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("spec.images", {"images": [image(f"registry.example/team/{n}", n) for n in "abc"]}),
        ("spec.charts", {"charts": [chart("https://charts.example", n) for n in "abc"]}),
        ("spec.serial", {"serial": int(NOW.timestamp()) + SERIAL_AHEAD + 1}),
    ],
)
def test_too_much_of_something_is_refused(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="the spec asks for too much") as caught:
        check(**changes)
    assert caught.value.where == field


def test_a_serial_of_tomorrow_passes() -> None:
    check(serial=int(NOW.timestamp()) + SERIAL_AHEAD)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [image("169.254.169.254/latest/meta-data:1")]},
        {"images": [image("registry.example/teams/web:1")]},
        {"images": [image("registry.example.evil.example/team/web:1")]},
        {"charts": [chart("https://charts.example.evil.example/stable")]},
        {"charts": [chart("oci://other.example/charts")]},
    ],
)
def test_a_place_that_is_not_allowed_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="a place that the stack does not allow"):
        check(**changes)


def test_an_image_that_no_rule_matches_is_refused() -> None:
    with pytest.raises(PolicyError, match="has no rule for this image"):
        check(images=[image("plain.example/web:1")])
