"""Bundles as a stream through pydiode, over a relay on loopback that loses datagrams."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import SettingError
from petra.transfer.framing import BLOCK
from petra.transfer.oneway import Endpoint, PyDiode
from petra.transfer.shipment import ShippedFile
from petra.transfer.streaming import StreamListener, send_stream
from tests.support.petra_process import Petra
from tests.support.relay import LossyRelay, free_udp_port
from tests.support.sent import Sent, make_sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from petra.transfer.oneway import OneWay

#: A socket's buffer holds a few datagrams alone on some machines: the reader needs time.
SLOWLY = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return make_sent(tmp_path_factory.mktemp("sent"))


@contextmanager
def receiver(sent: Sent, port: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Run a receiver that listens, as a process of its own."""
    where = ("landing", "--to", "inbox", "--key", sent.key, "--stream", f"127.0.0.1:{port}")
    command = ("receive", *where, "--settle", "0.5", "--output", "json", *more)
    process = subprocess.Popen(
        [sys.executable, "-m", "petra", *map(str, command)],
        cwd=sent.folder,
        env=Petra(sent.folder).environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: not udp_port_is_free(port))
        yield process
    finally:
        process.kill()
        process.communicate()


def udp_port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)


def send(sent: Sent, port: int, *more: str) -> Any:
    where = ("-f", sent.chunked.folder, "--key", sent.key, "--stream", f"127.0.0.1:{port}")
    return Petra(sent.folder).json("transfer", "diode", *where, "--rate", "8MiB/s", *more, "-q")


def test_a_bundle_arrives_though_datagrams_are_lost(sent: Sent, tmp_path: Path) -> None:
    mine, port = sent.copy(tmp_path / "mine"), free_udp_port()
    with (
        receiver(mine, port, "--once", "--give-up", "60s") as process,
        LossyRelay(0, ("127.0.0.1", port), 0.1, seed=3) as relay,
    ):
        value = send(mine, relay.port, "--copies", "2", "--repeat", "4")
        out, err = process.communicate(timeout=90)

    assert process.returncode == 0, err
    assert relay.dropped > 0
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "received"
    assert events[-1]["digest"] == value["digest"] == sent.digest
    joined = b"".join(
        (mine.folder / "inbox" / "shop-1.4.0" / path.name).read_bytes()
        for path in mine.chunked.chunks
    )
    assert Digest.of(joined) == sent.digest


def test_a_receiver_that_is_killed_lets_go_of_its_port_and_goes_on(
    sent: Sent, tmp_path: Path
) -> None:
    mine, port = sent.copy(tmp_path / "mine"), free_udp_port()
    with receiver(mine, port) as process:
        process.send_signal(signal.SIGKILL)
    until(lambda: udp_port_is_free(port))

    with receiver(mine, port, "--once", "--give-up", "60s") as process:
        send(mine, port, "--repeat", "2")
        out, err = process.communicate(timeout=90)

    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["digest"] == sent.digest


def test_a_port_that_is_taken_is_told(sent: Sent, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        where = (tmp_path, "--to", tmp_path / "inbox", "--key", sent.key)
        result = Petra(sent.folder).run(
            "receive", *where, "--stream", f"127.0.0.1:{port}", status=1
        )

    assert "error: pydiode failed" in result.stderr
    assert "already in use" in result.stderr


@pytest.fixture
def files(tmp_path: Path) -> list[ShippedFile]:
    """Six runs of datagrams and some."""
    made = []
    for number in range(22):
        path = tmp_path / f"file{number}"
        data = random.Random(number).randbytes(300_000)  # noqa: S311  # the same each time
        path.write_bytes(data)
        made.append(ShippedFile(path, len(data), Digest.of(data)))
    return made


def listen(link: OneWay, folder: Path, whole: Callable[[], bool]) -> None:
    with StreamListener(link, folder) as listener:
        while not whole():
            listener.check()
            time.sleep(0.05)


def test_a_lost_datagram_damages_files_and_not_the_stream(
    files: list[ShippedFile], tmp_path: Path
) -> None:
    port, landing = free_udp_port(), tmp_path / "landing"
    link = PyDiode(Endpoint("127.0.0.1", port))
    ended = threading.Event()
    thread = threading.Thread(target=listen, args=(link, landing, ended.is_set))
    thread.start()
    until(lambda: not udp_port_is_free(port))
    with LossyRelay(0, ("127.0.0.1", port), drop=(20,)) as relay:
        out = PyDiode(Endpoint("127.0.0.1", relay.port), SLOWLY, copies=1)
        send_stream(out, "x", [files], NoProgress())
        until((landing / files[-1].name).exists)
    ended.set()
    thread.join()

    there = {one.name for one in files if (landing / one.name).exists()}
    assert relay.dropped == 1
    assert files[0].name in there
    assert len(there) < len(files)
    for one in files:
        if one.name in there:
            assert (landing / one.name).read_bytes() == one.path.read_bytes()


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:x", "host:0", "host:65536", "a:1:2"])
def test_an_endpoint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="not an endpoint"):
        Endpoint.parse(text, where="--stream")


def test_an_endpoint_has_a_port_by_default() -> None:
    assert Endpoint.parse("10.0.0.2", where="x") == Endpoint("10.0.0.2", 1234)


def test_a_side_to_which_no_network_leads_is_told(files: list[ShippedFile]) -> None:
    link = PyDiode(Endpoint("255.255.255.255", 9))

    with pytest.raises(SettingError, match="no network leads"):
        send_stream(link, "x", [files], NoProgress())


class Recorder:
    """A link that keeps the stream."""

    reach = 5 * BLOCK

    def __init__(self) -> None:
        self.stream = bytearray()

    @contextmanager
    def sending(self) -> Iterator[Callable[[bytes], None]]:
        yield self.stream.extend

    def receive(self, take: Callable[[bytes], None]) -> None:
        take(bytes(self.stream))

    def stop(self) -> None:
        """Nothing is left to stop."""


@pytest.mark.parametrize("copy", [0, 1, 2])
def test_small_files_outlive_a_loss_of_all_that_one_can_reach(
    files: list[ShippedFile], tmp_path: Path, copy: int
) -> None:
    path = tmp_path / "manifest.json.sig"
    path.write_bytes(b"signature")
    small = ShippedFile(path, 9, Digest.of(b"signature"))
    link = Recorder()
    send_stream(link, "x", [[files[0], small]], NoProgress())
    places = [found.start() for found in re.finditer(b"x.manifest.json.sig", link.stream)]
    assert len(places) == 3
    start = max(places[copy] - link.reach // 2, 0)
    del link.stream[start : start + link.reach]

    listen(link, tmp_path / "landing", (tmp_path / "landing" / "x.manifest.json.sig").exists)
