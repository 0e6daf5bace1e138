"""The container's task, what starts runs, and who we are at registries."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from petra.aws.metrics import Side
from petra.aws.pipeline.runs import run_of
from petra.aws.pipeline.starting import Starter
from petra.aws.registry_access import AwsCredentials, create_repositories, is_ecr
from petra.aws.task import beating, report
from petra.errors import AccessError, SignatureError
from petra.oci.credentials import Credential
from tests.support.s3 import REGION
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = REPOSITORY / "tests" / "assets" / "events"
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"


class ExistsError(Exception):
    """As boto3's client has it."""


@dataclass
class States:
    """Step Functions, as far as it is told something."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    beats: threading.Event = field(default_factory=threading.Event)
    exceptions: Any = field(
        default_factory=lambda: SimpleNamespace(ExecutionAlreadyExists=ExistsError)
    )

    def send_task_success(self, **told: Any) -> None:
        self.told.append(("success", told))

    def send_task_failure(self, **told: Any) -> None:
        self.told.append(("failure", told))

    def send_task_heartbeat(self, **told: Any) -> None:
        self.beats.set()
        raise ConnectionError("made up")

    def start_execution(self, **told: Any) -> None:
        if told["name"] in self.names:
            raise ExistsError
        self.names.add(told["name"])
        self.told.append(("start", told))


def test_a_task_reports_what_it_made() -> None:
    states = States()
    assert report(states, "token", lambda: {"bytes": 7}) == 0
    assert states.told == [("success", {"taskToken": "token", "output": '{"bytes":7}'})]


def test_a_task_reports_its_own_error_by_its_class() -> None:
    states = States()

    def refused() -> dict[str, Any]:
        raise SignatureError("no signature", where="web")

    assert report(states, "token", refused) == 1
    ((kind, told),) = states.told
    assert (kind, told["error"]) == ("failure", "SignatureError")
    cause = json.loads(told["cause"])
    assert cause["errorMessage"].startswith("no signature\n  where: web\n  next: ")


def test_a_very_long_error_still_fits_and_is_json() -> None:
    states = States()

    def refused() -> dict[str, Any]:
        raise SignatureError("\n" * 100_000)

    report(states, "token", refused)
    cause = states.told[0][1]["cause"]
    assert len(cause) <= 32_768
    assert json.loads(cause)["errorType"] == "SignatureError"


def test_a_defect_is_reported_and_raised() -> None:
    states = States()

    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("made up secret")

    with pytest.raises(ZeroDivisionError):
        report(states, "token", broken)
    assert states.told[0][1]["error"] == "ZeroDivisionError"
    assert "secret" not in states.told[0][1]["cause"]


def test_a_sign_of_life_that_is_lost_does_not_end_the_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    states = States()
    with beating(states, "token", seconds=0.01):
        assert states.beats.wait(30)
    assert "no sign of life was sent: ConnectionError" in capsys.readouterr().err


def event(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return value


def test_an_event_starts_its_run_once() -> None:
    states = States()
    starter = Starter(states, "arn:machine", Side.CONNECTED)
    runs = {starter.start(event("spec-created")) for _ in range(2)}
    ((_, told),) = states.told
    key, version = "specs/shop 1+2.yaml", "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"
    assert json.loads(told["input"]) == {
        "run": run_of("petra-staging", key, version),
        "bucket": "petra-staging",
        "key": key,
        "version": version,
    }
    assert runs == {told["name"]}


@pytest.mark.parametrize(
    ("side", "key", "starts"),
    [
        (Side.CONNECTED, "specs/a.yaml", True),
        (Side.CONNECTED, "specs/a.txt", False),
        (Side.CONNECTED, "bundles/a-1.tar.zst", True),
        (Side.CONNECTED, "bundles/a-1.tar.zst.sig", False),
        (Side.CONNECTED, "runs/x/spec.yaml", False),
        (Side.CLASSIFIED, "in/a-1/a-1.tar.zst.sig", True),
        (Side.CLASSIFIED, "in/a-1/", False),
        (Side.CLASSIFIED, "specs/a.yaml", False),
    ],
)
def test_only_what_is_uploaded_starts_runs(side: Side, key: str, starts: bool) -> None:  # noqa: FBT001  # a case
    states = States()
    value = event("spec-created")
    value["detail"]["object"]["key"] = key
    found = Starter(states, "arn:machine", side).start(value)
    assert (found is not None) == starts
    assert bool(states.told) == starts


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("ecr", region_name=REGION)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        (ECR, True),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", True),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", True),
        ("registry.example:5000", False),
        ("public.ecr.aws", False),
        ("123456789012.dkr.ecr.evil", False),
    ],
)
def test_hosts_of_ecr_are_known_in_every_partition(host: str, is_one: bool) -> None:  # noqa: FBT001  # a case
    assert is_ecr(host) == is_one


def test_ecr_gives_its_own_token(ecr: Any) -> None:
    found = AwsCredentials(lambda: ecr).get(ECR)
    assert found
    assert found.username == "AWS"


def test_other_registries_have_the_secrets_credentials(ecr: Any) -> None:
    config = {"auths": {"registry.example": {"auth": "bWU6cGFzcw=="}}}
    credentials = AwsCredentials(lambda: ecr, lambda: json.dumps(config).encode())
    assert credentials.get("registry.example") == Credential("me", "pass")
    assert credentials.get("other.example") is None


def test_an_ecr_that_gives_nothing_is_told(ecr: Any) -> None:
    class Empty:
        def get_authorization_token(self) -> dict[str, Any]:
            return {"authorizationData": []}

    with pytest.raises(AccessError, match="ECR gives no token"):
        AwsCredentials(Empty).get(ECR)  # type: ignore[arg-type]  # as far as it is asked


def test_repositories_of_ecr_are_made_where_they_are_not(ecr: Any) -> None:
    create_repositories(ecr, ["team/web", "team/web", "charts/app"])
    create_repositories(ecr, ["team/web", "team/new"])
    found = {one["repositoryName"] for one in ecr.describe_repositories()["repositories"]}
    assert found == {"team/web", "team/new", "charts/app"}
