"""A load that is killed at any step and run again ends like one that nobody disturbed.

The whole command runs as a process of its own and gets a SIGKILL while the registry holds back the
answer to one request, before or after it did what was asked.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from petra.load.ledger import History
from petra.load.ledger_folder import FolderLedger
from tests.support.held import held
from tests.support.loading import state_of
from tests.support.petra_process import Petra
from tests.support.scripted_server import Reply, scripted_server
from tests.support.sites import Bundles, There, disconnected_side
from tests.support.world import WORKER, Hosts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Run

#: Each step of a load, by the request that is its first or its last.
STEPS: list[tuple[str, Literal["before", "after"]]] = [
    (r"^HEAD /v2/mirror/", "before"),  # the survey
    (r"^HEAD /v2/platform/manifests/stable", "before"),  # its end
    (r"^POST /v2/mirror/", "before"),  # the first change
    (r"^PUT /v2/mirror/.*/uploads/", "before"),
    (r"^PUT /v2/mirror/.*/uploads/", "after"),
    (r"^PUT /v2/mirror/.*/manifests/sha256:", "before"),
    (r"^PUT /v2/mirror/.*/manifests/sha256:", "after"),
    (r"^PUT /v2/mirror/.*/manifests/1.4$", "before"),
    (r"^PUT /v2/mirror/.*/manifests/1.4$", "after"),  # the last image, before it is remembered
    (r"^POST /v2/charts/", "before"),
    (r"^PUT /v2/charts/app/manifests/1.4.0$", "before"),
    (r"^PUT /v2/charts/app/manifests/1.4.0$", "after"),
    (r"^POST /v2/platform/", "before"),
    (r"^PUT /v2/platform/manifests/1.4.0$", "before"),
    (r"^PUT /v2/platform/manifests/sha256-.*\.sig$", "before"),
    (r"^PUT /v2/platform/manifests/sha256-.*\.sig$", "after"),
    (r"^PUT /v2/platform/manifests/stable$", "before"),
    (r"^PUT /v2/platform/manifests/stable$", "after"),  # the switch, before it is remembered
]


#: The manifests name the charts' registry, which has another port in each test.
_NAMED = ("--cluster-registry", "registry.example/charts")


@dataclass(frozen=True)
class Made:
    """A bundle, and the keys beside it.

    Attributes:
        petra: runs commands where the keys are.
        file: the bundle.
    """

    petra: Petra
    file: Path


@pytest.fixture(scope="module")
def made(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One bundle for all tests here."""
    folder = tmp_path_factory.mktemp("made")
    petra = Petra(folder)
    return Made(petra, Bundles(hosts.fill(folder), petra.outcome).make(images=(WORKER,)))


def end_state(there: There) -> Any:
    """Return everything that a load leaves, but for what is random: signatures made here."""
    ledger = FolderLedger(there.ledger)
    (bundle,) = History(ledger.events()).complete("shop")
    record = ledger.record(bundle)
    assert record is not None
    contents = state_of(there.content)
    platform = contents.pop("platform")["tags"]
    assert isinstance(platform, dict)
    return (
        contents,
        {tag: digest for tag, digest in platform.items() if not tag.startswith("sha256-")},
        sorted(platform),
        record.model_dump_json().replace(there.host, "HOST"),
    )


@pytest.fixture(scope="module")
def whole(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an uninterrupted load leaves."""
    with disconnected_side(tmp_path_factory.mktemp("whole"), made.petra.outcome) as there:
        assert there.load(made.file, *_NAMED).status == 0
        return end_state(there)


@pytest.mark.parametrize(("step", "when"), STEPS, ids=lambda value: value.strip("^$"))
def test_a_load_that_is_killed_goes_on(
    made: Made,
    whole: Any,
    petra: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    step: str,
    when: Literal["before", "after"],
) -> None:
    monkeypatch.chdir(made.petra.folder)
    with disconnected_side(tmp_path, petra) as there, held(there.host) as front:
        there.host = front.host
        options = (*there.options(), *there.places(), *_NAMED)
        command = [sys.executable, "-m", "petra", "bundle", "load", "-f", str(made.file)]
        command += [str(one) for one in options]
        environment = made.petra.environment
        front.kill_at(step, when, command, made.petra.folder, environment)
        assert ("stable" in there.tags().get("platform", {})) == (
            "stable" in step and when == "after"
        )

        outcome = there.load(made.file, *_NAMED)
        assert outcome.status == 0, outcome.err
        assert end_state(there) == whole
        assert there.load(made.file, *_NAMED).out.startswith("already loaded")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_load_that_is_killed_while_it_tells_the_cluster_tells_it_again(
    made: Made,
    whole: Any,
    petra: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    when: Literal["before", "after"],
) -> None:
    monkeypatch.chdir(made.petra.folder)
    monkeypatch.setenv("PETRA_FLUX_RECEIVER_TOKEN", "a token")
    with (
        disconnected_side(tmp_path, petra) as there,
        scripted_server() as hook,
        held(hook.host) as front,
    ):
        hook.otherwise = Reply(200)
        more = (*_NAMED, "--flux-receiver", f"http://{front.host}/flux-system/petra")
        command = [sys.executable, "-m", "petra", "bundle", "load", "-f", str(made.file)]
        command += [str(one) for one in (*there.options(), *there.places(), *more)]
        environment = {**made.petra.environment, "PETRA_FLUX_RECEIVER_TOKEN": "a token"}
        front.kill_at("^POST /hook/", when, command, made.petra.folder, environment)
        assert [one.event for one in FolderLedger(there.ledger).events()] == ["begun"]

        outcome = there.load(made.file, *more)
        assert outcome.status == 0, outcome.err
        assert len(hook.requests) == (2 if when == "after" else 1)
        assert end_state(there) == whole
