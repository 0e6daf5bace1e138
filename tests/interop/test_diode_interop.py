"""A bundle across two network namespaces that are joined one way, with 2 % of datagrams lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from tests.support.one_way import (
    RECEIVER,
    SENDER,
    NotAllowedError,
    OneWayNetwork,
    one_way_network,
)
from tests.support.petra_process import Petra
from tests.support.sent import Sent, make_sent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.interop

LOSS, SEED = "0.02", "4"
PORT, RELAY_PORT = "4001", "4002"  # nobody else is in these namespaces
#: 24 MB of chunks: some 370 datagrams a copy, so that 2 % are a few.
LAYER = 24_000_000


@pytest.fixture(scope="module")
def network() -> Iterator[OneWayNetwork]:
    try:
        with one_way_network() as made:
            yield made
    except NotAllowedError as error:
        pytest.skip(f"no network namespaces here: {error}")


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return make_sent(tmp_path_factory.mktemp("sent"), more=LAYER, count=24, parity=6)


@contextmanager
def running(
    sent: Sent, network: OneWayNetwork, side: str, *command: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        network.inside(side, sys.executable, *command),
        cwd=sent.folder,
        env=Petra(sent.folder).environment | {"PYTHONPATH": ":".join(sys.path)},
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


def test_nothing_comes_back(network: OneWayNetwork) -> None:
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.sendto(b'x', ('{SENDER}', 9))"
    )
    result = subprocess.run(
        network.inside(network.receiver, sys.executable, "-c", code),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Network is unreachable" in result.stderr


def test_a_bundle_arrives_whole_though_two_percent_of_datagrams_are_lost(
    network: OneWayNetwork, sent: Sent
) -> None:
    key, petra = str(sent.key), ("-m", "petra")
    listen = ("--stream", f"{RECEIVER}:{PORT}", "--once", "--give-up", "90s")
    receive = ("receive", "landing", "--to", "inbox", "--key", key, *listen, "--output", "json")
    relay = ("-m", "tests.support.relay", RELAY_PORT, RECEIVER, PORT, LOSS, SEED)
    send = ("transfer", "diode", "-f", "chunks", "--key", key, "--rate", "8MiB/s")
    to = ("--stream", f"127.0.0.1:{RELAY_PORT}", "--copies", "2", "--repeat", "2")

    with (
        running(sent, network, network.receiver, *petra, *receive) as receiver,
        running(sent, network, network.sender, *relay) as lossy,
    ):
        assert lossy.stdout is not None
        assert lossy.stdout.readline() == "relaying\n"
        _until_listening(network)
        with running(sent, network, network.sender, *petra, *send, *to) as sender:
            _, said = sender.communicate(timeout=100)
            assert sender.returncode == 0, said
        out, err = receiver.communicate(timeout=100)
        lossy.terminate()
        counts, _ = lossy.communicate(timeout=10)

    dropped, passed = map(int, counts.split()[1::2])
    assert 0.01 < dropped / (dropped + passed) < 0.03
    assert receiver.returncode == 0, err
    received = json.loads(out.splitlines()[-1])
    assert received["digest"] == sent.digest
    inbox = sent.folder / "inbox" / "shop-1.4.0"
    assert _joined(sent, inbox) == sent.digest


def _joined(sent: Sent, folder: Path) -> Digest:
    return Digest.of(b"".join((folder / path.name).read_bytes() for path in sent.chunked.chunks))


def _until_listening(network: OneWayNetwork) -> None:
    """Wait until the receiver listens, by the kernel's list of that namespace's sockets."""
    port, deadline = f":{int(PORT):04X} ", time.monotonic() + 60
    while port not in _sockets(network):
        assert time.monotonic() < deadline, "the receiver does not listen"
        time.sleep(0.1)


def _sockets(network: OneWayNetwork) -> str:
    command = network.inside(network.receiver, "cat", "/proc/net/udp")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
