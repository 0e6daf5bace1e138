"""The templates of three regions, each with other settings, synthesized once for all tests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import ROOT

#: Where Node is older than jsii likes, it says so at length on standard output.
QUIET = "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"
SYNTHESIZE = Path(__file__).parent / "synthesize.py"


def network(region: str, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "vpc": "vpc-0123456789abcdef0",
        "availabilityZones": [f"{region}a", f"{region}b"],
        "subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    }
    return known | more


def settings(region: str) -> dict[str, Any]:
    """What `region` is tried with: plainest, everything inside a VPC, and a copy across."""
    connected: dict[str, Any] = {
        "region": region,
        "config": "config/connected",
        "network": network(region),
    }
    classified: dict[str, Any] = {"region": region, "config": "config/classified"}
    if region == "us-iso-east-1":
        inside = network(region, functions=True, endpoints=True)
        boundary = "arn:aws-iso:iam::123456789012:policy/boundary"
        common: dict[str, Any] = {
            "account": "123456789012",
            "permissionsBoundary": boundary,
            "network": inside,
        }
        connected |= common
        connected |= {"compute": "ec2", "run": {"registrySecret": "petra/pull"}}
        cluster = {"secret": "petra/kubeconfig", "receiverSecret": "petra/receiver"}
        classified |= common | {
            "nodes": {"role": "k3s-node"},
            "run": {"registrySecret": "petra/push", "prefix": "petra", "cluster": cluster},
        }
    if region == "us-isob-east-1":
        common = {"architecture": "x86_64", "runtime": "python3.12", "retain": False}
        transfer = {"mode": "copy", "bucket": "petra-landing", "maxBytes": 2147483648}
        connected |= common | {
            "evidence": {"mode": "compliance", "days": 2555},
            "transferKey": "arn:aws-iso-b:kms:us-isob-east-1:210987654321:key/abc",
            "run": {"transfer": transfer},
        }
        classified |= common | {
            "sender": "arn:aws-iso-b:iam::123456789012:role/petra-transfer",
            "run": {"registry": "registry.example.com:5000", "manifests": "registry"},
        }
    return {"connected": connected, "classified": classified}


REGIONS = ("us-gov-west-1", "us-iso-east-1", "us-isob-east-1")


@dataclass(frozen=True)
class Template:
    """One stack's template."""

    region: str
    name: str
    text: str

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = json.loads(self.text)["Resources"]
        return found

    def of(self, *kinds: str) -> dict[str, dict[str, Any]]:
        return {name: each for name, each in self.resources.items() if each["Type"] in kinds}


@dataclass(frozen=True)
class Synthesized:
    """What one run of the program gave."""

    folder: Path
    status: int
    output: str

    def templates(self, name: str) -> list[Template]:
        files = sorted((self.folder / name).glob("*.template.json"))
        return [Template(name, file.name.partition(".")[0], file.read_text()) for file in files]


def run(folder: Path, contexts: dict[str, dict[str, Any]]) -> Synthesized:
    arguments = []
    for name, value in contexts.items():
        file = folder / f"{name}.json"
        base = json.loads((ROOT / "cdk.json").read_text())["context"]
        file.write_text(json.dumps(base | {"petra": value, "aws:cdk:bundling-stacks": []}))
        arguments.append(f"{name}={file}")
    done = subprocess.run(
        [sys.executable, SYNTHESIZE, folder, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), QUIET: "1"},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    return Synthesized(folder, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def _cdk() -> None:
    if importlib.util.find_spec("aws_cdk") is None:
        reason = "aws-cdk-lib is not installed: make infra"
        if os.environ.get("PETRA_INFRA"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def synthesized(_cdk: None, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    done = run(tmp_path_factory.mktemp("synth"), {region: settings(region) for region in REGIONS})
    assert done.status == 0, done.output[-6000:]
    return done


@pytest.fixture(scope="session")
def templates(synthesized: Synthesized) -> list[Template]:
    found = [each for region in REGIONS for each in synthesized.templates(region)]
    assert len(found) == 4 * len(REGIONS)
    return found
