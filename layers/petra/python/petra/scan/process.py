"""Runs a program that reads what strangers wrote: cut off, bounded in time and output."""

from __future__ import annotations

import atexit
import mmap
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from petra.errors import SettingError, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Nobody listens there: what is meant to work offline is not to try otherwise.
_NOWHERE: Final = "http://127.0.0.1:1"
_POLL_SECONDS: Final = 0.01
_ERROR_LIMIT: Final = 2_000
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
#: The main module's line in what Go puts into a program.
_BUILD_INFO: Final = re.compile(rb"\nmod\t\S+/[a-z]+\t(v\S+)\t")

#: Programs that run, to be ended with us: the threads that wait for them are daemons.
_running: Final[set[subprocess.Popen[bytes]]] = set()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may take.

    Attributes:
        seconds: its time.
        output: bytes on its standard output, and as many on the other one.
    """

    seconds: float = 300.0
    output: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Output:
    """What came of a program that ended.

    Attributes:
        status: its exit status.
        data: its standard output.
        errors: the end of its other output, without colours.
    """

    status: int
    data: bytes
    errors: str


def run_tool(
    command: Sequence[str | Path],
    *,
    what: str,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Output:
    """Run a program with an empty home, no settings of the user's and no way to the network.

    Its proxies lead nowhere; loopback addresses know none. Its temporary files go with it.

    Args:
        command: the program's path and its arguments.
        what: what it does, for errors, ``grype``.
        stdin: what it reads.
        environment: further variables.
        limits: what it may take.

    Raises:
        ToolError: it cannot be run, or took more than `limits`.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="petra-tool-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (
            tempfile.TemporaryFile(dir=folder) as given,
            (folder / "stdout").open("w+b") as out,
            (folder / "stderr").open("w+b") as err,
        ):
            given.write(stdin or b"")
            given.seek(0)
            variables = _environment(folder) | dict(environment or {})
            process = _start(command, folder, variables, (given, out, err), what)
            try:
                reason = _wait(process, (out, err), limits)
            finally:
                _end(process)
            errors = _tail(err).replace(f"{folder}/", "")
            if reason:
                raise ToolError(f"{what} was stopped", where=str(command[0]), found=reason)
            out.seek(0)
            return Output(process.returncode, out.read(limits.output), errors)


def find_tool(
    variable: str, name: str, environment: Mapping[str, str] | None = None
) -> Path | None:
    """Return a program that a variable names, else the one called `name` in ``PATH``.

    Args:
        variable: such as ``PETRA_GRYPE``; set and empty it says that there is none.
        name: the program's usual name.
        environment: ours by default.

    Returns:
        None where there is none.

    Raises:
        SettingError: the variable names no program.
    """
    environment = os.environ if environment is None else environment
    named = environment.get(variable)
    found = None if named == "" else shutil.which(named or name, path=environment.get("PATH", ""))
    if found is None and named:
        raise SettingError(
            f"{variable} names no program",
            where=variable,
            found=named,
            hint=f"set {variable} to the path of {name}, or unset it to look in PATH",
        )
    return Path(found) if found else None


def built_in_version(program: Path) -> str:
    """Return the version that Go wrote into a program when it was built as a module; else nothing.

    A program that was built by hand does not know its own version, but Go does.
    """
    try:
        with (
            program.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            match = _BUILD_INFO.search(data)
            return match[1].decode("ascii", "replace") if match else ""
    except (OSError, ValueError):
        return ""


def _start(
    command: Sequence[str | Path],
    folder: Path,
    environment: dict[str, str],
    files: tuple[IO[bytes], IO[bytes], IO[bytes]],
    what: str,
) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(  # noqa: S603  # the program that the user chose
            [str(part) for part in command],
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(
            f"{what} cannot be run", where=str(command[0]), found=error.strerror
        ) from None
    _running.add(process)
    return process


def _wait(process: subprocess.Popen[bytes], outputs: tuple[IO[bytes], ...], limits: Limits) -> str:
    """Wait for the end; return why it must not go on, or an empty text."""
    deadline = time.monotonic() + limits.seconds
    while process.poll() is None and not _excess(outputs, limits):
        if time.monotonic() > deadline:
            return f"no end after {limits.seconds:g} s"
        time.sleep(_POLL_SECONDS)
    return f"more than {limits.output} bytes of output" if _excess(outputs, limits) else ""


def _excess(outputs: tuple[IO[bytes], ...], limits: Limits) -> bool:
    return any(os.fstat(file.fileno()).st_size > limits.output for file in outputs)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started."""
    _running.discard(process)
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@atexit.register
def _end_all() -> None:
    for process in [*_running]:
        _end(process)


def _tail(errors: IO[bytes]) -> str:
    errors.seek(max(0, os.fstat(errors.fileno()).st_size - _ERROR_LIMIT))
    return _COLOUR.sub("", errors.read(_ERROR_LIMIT).decode("utf-8", "replace")).strip()


def _environment(folder: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir()
    return {
        "HOME": str(home),
        "PATH": os.defpath,
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_DIRS": str(home / "config"),
        "DOCKER_CONFIG": str(home / "docker"),
        "HTTP_PROXY": _NOWHERE,
        "HTTPS_PROXY": _NOWHERE,
        "NO_PROXY": "",
        "NO_COLOR": "1",
    }
