"""Ctrl-C and SIGTERM, at whatever moment: no half bundle, no leftovers, and the right status."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.command import names
from tests.support.front import Front, late, slow
from tests.support.petra_process import Petra
from tests.support.world import NAME, WEB, WORKER, World, layers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.command import Run

FILES = [f"{NAME}.tar.zst{end}" for end in ("", ".intoto.json", ".sig", ".sigstore.json")]
#: Seconds from the signal to the end of the process.
PATIENCE = 7.0
SIGNALS = [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "terminated\n")]


@contextmanager
def running(world: World, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run petra until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "petra", *arguments],
        cwd=world.folder,
        env=Petra(world.folder).environment | {"PETRA_HELM": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(holds: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status", "said"), SIGNALS)
def test_while_blobs_come_slowly(
    world: World, front: Front, number: signal.Signals, status: int, said: str
) -> None:
    digest = layers_of(world, WORKER)[-1].digest
    front.fault(f"GET .*{digest}", slow(0.2))
    world.spec(WEB, WORKER, host=front.host)
    arguments = ("bundle", "create", "-f", "bundle.yaml", "--key", "ours.key")

    with running(world, *arguments) as process:
        until(lambda: front.asked(digest))
        started = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    took = time.monotonic() - started

    assert process.returncode == status
    assert err.endswith(said)
    assert "Traceback" not in err
    assert out == ""
    assert names(world.dist) == []
    assert took < PATIENCE


def test_an_older_bundle_stays_as_it_is(world: World, front: Front, create: Run) -> None:
    world.spec(WEB, WORKER)
    assert create().status == 0
    before = {path.name: path.read_bytes() for path in world.dist.iterdir()}
    digest = layers_of(world, WORKER)[-1].digest
    front.fault(f"GET .*{digest}", slow(0.2))
    world.spec(WORKER, host=front.host)

    with running(world, "bundle", "create", "-f", "bundle.yaml", "--key", "ours.key") as process:
        until(lambda: front.asked(digest))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == 130
    assert {path.name: path.read_bytes() for path in world.dist.iterdir()} == before


@pytest.mark.parametrize("command", ["create", "lock"])
def test_while_a_registry_does_not_answer(world: World, front: Front, command: str) -> None:
    front.fault("manifests/1.4", late(9))
    world.spec(WEB, WORKER, host=front.host)
    key = ("--key", "ours.key") if command == "create" else ()

    with running(world, "bundle", command, "-f", "bundle.yaml", *key) as process:
        until(lambda: len(front.asked("manifests/1.4")) == 2)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    took = time.monotonic() - started

    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted")
    assert names(world.dist) == []
    assert not (world.folder / "bundle.lock.yaml").exists()
    assert took < PATIENCE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_when_it_is_told_to_and_that_is_no_failure(
    world: World, create: Run, number: signal.Signals
) -> None:
    world.spec(WEB)
    create()
    key = ("--key", "ours.pub", "--listen", "127.0.0.1:0", "--quiet")

    with running(world, "bundle", "serve", "-f", str(world.bundle), *key) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("serving")
        process.send_signal(number)
        _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
