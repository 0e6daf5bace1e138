"""Streams through a one-way link by an open tool, pydiode, run as a process of its own.

pydiode sends UDP datagrams of up to 64 KiB in runs, and each run several times. It repairs nothing
else: if a datagram is lost in every copy of its run, that run, the next one and a part of the one
after come out mixed or not at all. So runs are short here, and what comes out is read as blocks
(:mod:`petra.transfer.framing`). Source: pydiode 1.0.0, ``send.py`` and ``receive.py``.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Protocol

from petra.errors import SettingError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

PORT: Final = 1234
#: Datagrams in a run, each with 65500 bytes of the stream.
_RUN: Final = 16
#: What one lost datagram can cost, in bytes.
_REACH: Final = 3 * _RUN * 65500
_PIECE: Final = 1024 * 1024
_BITS: Final = 8
_PORT_LIMIT: Final = 65535
_MODULE: Final = "pydiode"
#: How pydiode says that a stream came with losses, which is no failure here.
_LOSSES: Final = "Received data's digest"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the receiving side listens.

    Attributes:
        host: its IPv4 address.
        port: its UDP port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, where: str) -> Endpoint:
        """Return the endpoint that ``HOST[:PORT]`` names.

        Raises:
            SettingError: it is malformed.
        """
        host, colon, port = text.partition(":")
        number = int(port) if port.isascii() and port.isdigit() else 0 if colon else PORT
        if not host or not 0 < number <= _PORT_LIMIT:
            raise SettingError("not an endpoint", where=where, expected="HOST[:PORT]", found=text)
        return cls(host, number)


class OneWay(Protocol):
    """A one-way link: takes a stream, and gives out what came of one.

    Attributes:
        reach: the bytes of the stream, one after the other, that one loss can cost.
    """

    reach: int

    def sending(self) -> AbstractContextManager[Callable[[bytes], None]]:
        """Send one stream: what is entered takes its pieces; it ends with the block.

        Raises:
            ToolError: the link's tool failed.
        """
        ...

    def receive(self, take: Callable[[bytes], None]) -> None:
        """Hand on the pieces of all streams that come, until :meth:`stop`.

        Raises:
            ToolError: the link's tool failed.
        """
        ...

    def stop(self) -> None:
        """End :meth:`receive`, from another thread."""
        ...


class PyDiode:
    """The link by pydiode.

    Args:
        endpoint: where the receiving side listens.
        rate: bytes a second on the wire, at most; None for no limit.
        copies: how often each run of datagrams is sent.

    Raises:
        ToolError: pydiode is not installed.
    """

    reach = _REACH

    def __init__(self, endpoint: Endpoint, rate: int | None = None, copies: int = 2) -> None:
        if importlib.util.find_spec(_MODULE) is None:
            raise ToolError(
                "streams need pydiode, and it is not installed",
                hint="install petra with its extra `diode`: pip install 'petra[diode]'",
            )
        self._endpoint = endpoint
        self._rate = rate
        self._copies = copies
        self._lock = threading.Lock()
        self._receiver: subprocess.Popen[bytes] | None = None
        self._stopped = False

    @contextmanager
    def sending(self) -> Iterator[Callable[[bytes], None]]:
        """Send one stream; see :class:`OneWay`."""
        options = (
            *("--port", str(self._endpoint.port), "--redundancy", str(self._copies)),
            *("--max-bitrate", str((self._rate or 0) * _BITS), "--chunk-max-packets", str(_RUN)),
        )
        command = _pydiode("send", self._endpoint.host, _own_address(self._endpoint), *options)
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
            )
            try:
                with _told(process, errors), _input(process) as stream:
                    yield lambda data: _write(stream, data)
                    stream.write(bytes(self.reach))  # a loss in here costs nothing
            finally:
                _end(process)

    def receive(self, take: Callable[[bytes], None]) -> None:
        """Hand on what comes; see :class:`OneWay`. pydiode ends with each stream."""
        while True:
            with tempfile.TemporaryFile() as errors:
                process = self._listen(errors)
                if process is None:
                    return
                try:
                    assert process.stdout is not None  # noqa: S101  # for the type checker
                    while data := os.read(process.stdout.fileno(), _PIECE):
                        take(data)
                    status, text = process.wait(), _text(errors)
                finally:
                    _end(process)
                if status and text and _LOSSES not in text and not self._stopped:
                    raise _failed(self._endpoint, text)

    def stop(self) -> None:
        """End :meth:`receive`; see :class:`OneWay`."""
        with self._lock:
            self._stopped = True
            if self._receiver:
                self._receiver.kill()  # it waits for a datagram, and for no signal's handler

    def _listen(self, errors: IO[bytes]) -> subprocess.Popen[bytes] | None:
        """Start the receiver; None after :meth:`stop`."""
        with self._lock:
            if self._stopped:
                return None
            command = _pydiode("receive", self._endpoint.host, "--port", str(self._endpoint.port))
            self._receiver = subprocess.Popen(  # noqa: S603  # as above
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
            return self._receiver


def _pydiode(*arguments: str) -> list[str]:
    """Return the call of pydiode, such that its receiver ends when we do; see that module."""
    module = "petra.transfer.pydiode_process" if arguments[0] == "receive" else "pydiode.pydiode"
    return [sys.executable, "-m", module, *arguments]


def _own_address(endpoint: Endpoint) -> str:
    """Return the address that this machine sends from; nothing is sent to find out.

    Raises:
        SettingError: there is no way to the endpoint.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((endpoint.host, endpoint.port))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise SettingError(
            "no network leads to the other side",
            where=f"--stream {endpoint.host}",
            found=error.strerror or str(error),
            hint="the diode's receiving side has an address and a neighbour entry of its own here",
        ) from None


@contextmanager
def _told(process: subprocess.Popen[bytes], errors: IO[bytes]) -> Iterator[None]:
    """Wait for the process after the block; tell what it said if it failed, before or then.

    Raises:
        ToolError: it failed.
    """
    try:
        yield
    except BrokenPipeError:
        process.wait()
        raise _failed(None, _text(errors)) from None
    if process.wait():
        raise _failed(None, _text(errors))


@contextmanager
def _input(process: subprocess.Popen[bytes]) -> Iterator[IO[bytes]]:
    assert process.stdin is not None  # noqa: S101  # for the type checker
    yield process.stdin
    process.stdin.close()


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with suppress(BrokenPipeError):
                stream.close()


def _text(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read(64 * 1024).decode("utf-8", "replace").strip()


def _failed(endpoint: Endpoint | None, text: str) -> ToolError:
    last = text.splitlines()[-1] if text else "it ended early"
    return ToolError(
        "pydiode failed",
        where=f"{endpoint.host}:{endpoint.port}" if endpoint else None,
        found=last[:400],
        hint="check addresses and port, and that no other program listens there",
    )
