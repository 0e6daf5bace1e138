"""What the commands say: results on stdout, all else on stderr, as text or as JSON."""

from __future__ import annotations

import os
import re
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from petra.content.progress import NoProgress
from petra.errors import PetraError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.content.progress import Progress

EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143
EXIT_BROKEN_PIPE: Final = 141

# Everything that moves a cursor or hides text: names may come from an untrusted archive.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_KIB: Final = 1024
# What click raises for a group without a command: its message is the whole help.
_HELP: Final = getattr(click.exceptions, "NoArgsIsHelpError", ())


class Terminated(KeyboardInterrupt):
    """SIGTERM came: clean up as after Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Console:
    """Where a command speaks.

    Attributes:
        json: results and errors are JSON objects.
        quiet: no progress and no notes.
        debug: tracebacks for what should not happen.
    """

    json: bool = False
    quiet: bool = False
    debug: bool = False

    def result(self, value: Mapping[str, Any], text: str) -> None:
        """Print what the command was asked for: `value` as JSON, or else `text`."""
        if self.json:
            self.document(value)
        else:
            _write(sys.stdout, printable(text).rstrip("\n") + "\n")

    def judged(self, value: Mapping[str, Any], text: str, refusal: PetraError | None) -> None:
        """Print what was found, and end as refused if it was: as JSON in one object with the error.

        Raises:
            PetraError: `refusal`, for text.
            click.exceptions.Exit: with its status, for JSON.
        """
        if refusal is None or not self.json:
            self.result(value, text)
        if refusal is None:
            return
        if not self.json:
            raise refusal
        self.document({**value, "error": refusal.to_json()})
        raise click.exceptions.Exit(refusal.exit_status)

    def document(self, value: Mapping[str, Any]) -> None:
        """Print `value` as the one JSON object on stdout."""
        from petra.encoding.json import dump_json  # noqa: PLC0415  # text is the usual form

        _write(sys.stdout, dump_json(value).decode("utf-8"))

    def event(self, kind: str, value: Mapping[str, Any], text: str) -> None:
        """Print what happened in a job that goes on: as one line of JSON, or else `text`."""
        if self.json:
            from petra.encoding.json import canonical_json  # noqa: PLC0415  # as above

            _write(sys.stdout, canonical_json({"event": kind, **value}).decode("utf-8") + "\n")
        else:
            _write(sys.stdout, printable(text).rstrip("\n") + "\n")

    def note(self, text: str) -> None:
        """Say something in passing."""
        if not self.quiet:
            _write(sys.stderr, printable(text) + "\n")

    def warn(self, text: str) -> None:
        """Say what must not be missed; ``--quiet`` does not silence it."""
        _write(sys.stderr, f"{_styled('warning:', 'yellow')} {printable(text)}\n")

    def progress(self) -> AbstractContextManager[Progress]:
        """Return who listens to a long job: a bar on a terminal, lines in a pipe, or nobody."""
        if self.quiet:
            return nullcontext(NoProgress())
        from petra.cli.progress import progress_on  # noqa: PLC0415  # only long jobs need it

        return progress_on(sys.stderr)

    def fail(self, error: BaseException) -> int:
        """Tell `error` in the form asked for, and return the exit status."""
        if self.debug and not isinstance(error, click.ClickException | KeyboardInterrupt):
            traceback.print_exception(error, file=sys.stderr)
        status, value = describe(error)
        if self.json:
            self.document({"error": value})
        elif status in (EXIT_INTERRUPTED, EXIT_TERMINATED):
            _write(sys.stderr, f"{value['message']}\n")
        elif isinstance(error, _HELP):
            _write(sys.stderr, error.format_message() + "\n")
        else:
            _write(sys.stderr, _error_text(value))
        return status


def describe(error: BaseException) -> tuple[int, dict[str, object]]:
    """Return the exit status of `error`, and the error as ``--output json`` has it."""
    if isinstance(error, OSError) and not isinstance(error, PetraError):
        from petra.cli.files import from_os_error  # noqa: PLC0415  # errors are rare

        error = from_os_error(error)
    if isinstance(error, PetraError):
        return error.exit_status, error.to_json()
    if isinstance(error, _HELP):
        return 2, {"code": "USAGE", "message": "no command", **_usage_next(error)}
    if isinstance(error, click.ClickException):
        return 2, {"code": "USAGE", "message": _usage_text(error), **_usage_next(error)}
    if isinstance(error, Terminated):
        return EXIT_TERMINATED, {"code": "TERMINATED", "message": "terminated"}
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return EXIT_INTERRUPTED, {"code": "INTERRUPTED", "message": "interrupted"}
    return 1, {
        "code": "BUG",
        "message": f"this is a bug in petra: {type(error).__name__}: {error}",
        "next": "report it with what --debug prints",
    }


def _usage_text(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    return text[:1].lower() + text[1:]


def _usage_next(error: click.ClickException) -> dict[str, object]:
    context = getattr(error, "ctx", None)
    return {"next": f"see {context.command_path} --help"} if context else {}


def _error_text(value: Mapping[str, object]) -> str:
    label = _styled("error:", "red")
    lines = [f"{label} {printable(str(value['message']))}"]
    parts = (
        (name, value[name]) for name in ("where", "expected", "found", "next") if name in value
    )
    lines += [f"  {name}: {printable(str(text))}" for name, text in parts]
    return "\n".join(lines) + "\n"


def _styled(text: str, colour: str) -> str:
    plain = not sys.stderr.isatty() or os.environ.get("NO_COLOR")
    return text if plain else click.style(text, fg=colour, bold=True)


def _write(stream: TextIO, text: str) -> None:
    """Write `text`, as far as the stream's encoding can say it."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def printable(text: str) -> str:
    """Return `text` with control characters written out, so that no terminal obeys them."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def human_size(count: float) -> str:
    """Return a number of bytes as people read it, ``1.1 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < _KIB:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KIB
    return f"{count:.1f} TiB"


def counted(count: int, noun: str) -> str:
    """Return how many there are, ``1 image`` or ``3 images``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def human_time(seconds: float) -> str:
    """Return a time as people read it, ``1:02:03``, ``2:03`` or ``3 s``."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{whole} s"
