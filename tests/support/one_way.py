"""Two network namespaces, joined such that packets go from one to the other and never back."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Addresses inside the namespaces alone.
SENDER, RECEIVER = "10.77.0.1", "10.77.0.2"


class NotAllowedError(Exception):
    """This machine makes no namespaces for us."""


@dataclass(frozen=True)
class OneWayNetwork:
    """The two sides.

    Attributes:
        sender: the name of the namespace that can send.
        receiver: the name of the one that cannot.
    """

    sender: str
    receiver: str

    @staticmethod
    def inside(namespace: str, *command: str) -> list[str]:
        """Return the call that runs a command in a namespace."""
        return ["ip", "netns", "exec", namespace, *command]


@contextmanager
def one_way_network() -> Iterator[OneWayNetwork]:
    """Make the namespaces, and remove them at the end.

    Raises:
        NotAllowedError: that is not allowed here; says why.
    """
    network = OneWayNetwork(f"petra-tx-{os.getpid()}", f"petra-rx-{os.getpid()}")
    with ExitStack() as stack:
        for name in (network.sender, network.receiver):
            _ip("netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        _join(network)
        yield network


def _join(network: OneWayNetwork) -> None:
    out, into = f"ptx{os.getpid() % 10**8}", f"prx{os.getpid() % 10**8}"
    _ip(
        *("link", "add", out, "netns", network.sender, "mtu", "65535"),
        *("type", "veth", "peer", "name", into, "netns", network.receiver, "mtu", "65535"),
    )
    for namespace, link, own in (
        (network.sender, out, SENDER),
        (network.receiver, into, RECEIVER),
    ):
        _ip("-n", namespace, "address", "add", f"{own}/32", "dev", link)
        # Nobody asks who has an address: nobody could answer.
        _ip("-n", namespace, "link", "set", link, "arp", "off", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
    _ip("-n", network.sender, "route", "add", RECEIVER, "dev", out)
    for each in ("all", into):  # what comes from where no route leads back to
        setting = f"net.ipv4.conf.{each}.rp_filter=0"
        _run(OneWayNetwork.inside(network.receiver, "sysctl", "-qw", setting))
    mac = _run(["ip", "-n", network.receiver, "-br", "link", "show", into]).split()[2]
    _ip("-n", network.sender, "neigh", "replace", RECEIVER, "lladdr", mac, "dev", out)


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments])


def _run(command: list[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NotAllowedError(f"{command[0]} is not there") from None
    if result.returncode:
        raise NotAllowedError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout
