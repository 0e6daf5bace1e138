"""A registry on loopback that passes on to another one, and misbehaves where a test says so."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, TypeAlias

from tests.support.scripted_server import Received, Reply, ScriptedServer, scripted_server

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Gets the request and the good answer, and returns the one to give.
Fault: TypeAlias = Callable[[Received, Reply], Reply]

_PASSED = ("accept", "content-range", "content-type", "range")
_DROPPED = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


@dataclass
class _Rule:
    pattern: re.Pattern[str]
    fault: Fault
    times: int | None


class Front:
    """Stands before a registry.

    Args:
        server: what clients speak to.
        upstream: the registry's HOST:PORT.
    """

    def __init__(self, server: ScriptedServer, upstream: str) -> None:
        self.server = server
        self.host = server.host
        self._upstream = upstream
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        server.otherwise = self._answer

    def fault(self, pattern: str, fault: Fault, *, times: int | None = None) -> None:
        """Let `fault` change the answers to requests that match; the first that does decides.

        Args:
            pattern: a regular expression, searched in ``METHOD PATH``.
            fault: what to do.
            times: how often; None for always.
        """
        self._rules.append(_Rule(re.compile(pattern), fault, times))

    def asked(self, pattern: str) -> list[Received]:
        """Return the requests so far that match."""
        return [one for one in self.server.requests if re.search(pattern, _line(one))]

    def _answer(self, received: Received) -> Reply:
        reply = self.good(received)
        with self._lock:
            rules = [rule for rule in self._rules if rule.pattern.search(_line(received))]
            rule = next((rule for rule in rules if rule.times != 0), None)
            if rule and rule.times:
                rule.times -= 1
        return rule.fault(received, reply) if rule else reply

    def good(self, received: Received) -> Reply:
        """Return what the registry itself answers."""
        connection = HTTPConnection(self._upstream, timeout=20)
        try:
            headers = {n: v for n, v in received.headers.items() if n in _PASSED}
            connection.request(received.method, received.target, received.body or None, headers)
            answer = connection.getresponse()
            length = int(answer.headers.get("Content-Length", 0))
            kept = {n: v for n, v in answer.getheaders() if n.lower() not in _DROPPED}
            return Reply(answer.status, answer.read(), kept, length)
        finally:
            connection.close()


def _line(received: Received) -> str:
    return f"{received.method} {received.path}"


@contextmanager
def front_of(upstream: str) -> Iterator[Front]:
    """Run a front before the registry at `upstream` until the block ends."""
    with scripted_server() as server:
        yield Front(server, upstream)


# Faults.


def status(number: int, body: bytes = b"", **headers: str) -> Fault:
    """Return the fault that answers with that status; headers with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _received, _good: Reply(number, body, named)


def lost(_: Received, good: Reply) -> Reply:
    """Let the registry do what was asked, and lose its answer."""
    return Reply(good.status, lost=True)


def cut(count: int, *, reset: bool = False) -> Fault:
    """Return the fault that ends the connection after `count` bytes of the body."""

    def fault(_: Received, good: Reply) -> Reply:
        good.cut, good.reset = count, reset
        return good

    return fault


def slow(pace: float) -> Fault:
    """Return the fault that waits `pace` seconds after each kilobyte."""

    def fault(_: Received, good: Reply) -> Reply:
        good.pace = pace
        return good

    return fault


def late(seconds: float) -> Fault:
    """Return the fault that answers only after so many seconds."""

    def fault(_: Received, good: Reply) -> Reply:
        good.delay = seconds
        return good

    return fault


def shorter(by: int) -> Fault:
    """Return the fault that leaves out the last bytes, and announces no more than it sends."""

    def fault(_: Received, good: Reply) -> Reply:
        return Reply(good.status, good.body[:-by], good.headers)

    return fault


def flipped(_: Received, good: Reply) -> Reply:
    """Change one bit in the middle of a body."""
    body = bytearray(good.body)
    if body:
        body[len(body) // 2] ^= 1
    return Reply(good.status, bytes(body), good.headers, good.length)
