"""Settings of a deployment: typed, closed, and told in words where they are wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.bundle.policy import load_policy
from petra.errors import SettingError
from stacks.settings import ROOT, deployment

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = {
    "vpc": "vpc-0123abcd",
    "availabilityZones": ["us-gov-west-1a"],
    "subnets": ["subnet-0123abcd"],
}


def connected(**more: Any) -> dict[str, Any]:
    return {"connected": {"config": "config/connected", "network": NETWORK} | more}


def classified(**more: Any) -> dict[str, Any]:
    return {"classified": {"config": "config/classified"} | more}


def test_the_settings_that_come_with_the_repository_are_usable() -> None:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]["petra"]
    settings = deployment(context)
    assert settings.connected
    assert settings.classified
    assert settings.connected.architecture == "arm64"


@pytest.mark.parametrize("side", ["connected", "classified"])
def test_the_policy_that_comes_with_each_side_is_one(side: str) -> None:
    file = ROOT / "config" / side / "policy.yaml"
    assert load_policy(file.read_bytes(), where=str(file)).metadata.name == side


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (None, "petra: "),
        ({}, "neither `connected` nor `classified`"),
        (connected(regoin="us-gov-west-1"), "connected.regoin"),
        (connected(compute="lambda"), "connected.compute"),
        (connected(logRetentionDays=2), "connected.logRetentionDays"),
        (connected(config="config/nowhere"), "config/nowhere has no policy.yaml"),
        (connected(scanner="config"), "config has no bin/grype"),
        (connected(run={"transfer": {"mode": "copy"}}), "needs `bucket`"),
        (connected(network=NETWORK | {"subnets": ["subnet-1", "subnet-2"]}), "same length"),
        (classified(thresholds={"lastSuccessDays": 8}), "classified.thresholds.lastSuccessDays"),
        (classified(run={"cluster": {"secret": "kubeconfig"}}), "needs `network`"),
    ],
)
def test_a_mistake_is_named_with_its_place(context: Any, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        deployment(context)
    assert said in str(caught.value)
    assert "cdk.json" in str(caught.value)


@pytest.mark.parametrize(
    "context",
    [
        connected(run={"transfer": {"deadlineMinutes": 10080, "pollSeconds": 60}}),
        classified(run={"releaseMinutes": 1440, "pollSeconds": 20}),
    ],
)
def test_more_polls_than_a_history_holds_are_refused(context: Any) -> None:
    with pytest.raises(SettingError, match=r"2,000"):
        deployment(context)


def test_a_text_names_a_file_with_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "production.json"
    file.write_text(json.dumps(classified(name="Production")))
    side = deployment(str(file)).classified
    assert side
    assert side.name == "Production"


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingError, match=r"nowhere\.json"):
        deployment("nowhere.json")
