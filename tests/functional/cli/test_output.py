from __future__ import annotations

import errno
import os

import click
import pytest

from petra.cli.output import (
    Console,
    Terminated,
    counted,
    describe,
    human_size,
    human_time,
    printable,
)
from petra.errors import DigestMismatchError, NotFoundError, PetraError, SettingError

Capture = pytest.CaptureFixture[str]


def test_a_result_is_text_or_one_object(capsys: Capture) -> None:
    Console().result({"a": 1}, "a is 1\n\n")
    assert capsys.readouterr().out == "a is 1\n"
    Console(json=True).result({"a": 1}, "a is 1")
    assert capsys.readouterr().out == '{\n  "a": 1\n}\n'


def test_notes_go_to_stderr_and_can_be_silenced(capsys: Capture) -> None:
    Console().note("hello")
    Console(quiet=True).note("not this")
    Console(quiet=True).warn("but this")
    captured = capsys.readouterr()
    assert captured.err == "hello\nwarning: but this\n"
    assert captured.out == ""


def test_an_error_tells_what_where_expected_found_and_next(capsys: Capture) -> None:
    error = DigestMismatchError("other bytes", where="X", expected="a", found="b", hint="again")
    assert Console().fail(error) == 3
    assert capsys.readouterr().err == (
        "error: other bytes\n  where: X\n  expected: a\n  found: b\n  next: again\n"
    )
    assert Console(json=True).fail(error) == 3
    captured = capsys.readouterr()
    assert '"code": "DIGEST_MISMATCH"' in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PetraError("x"), 1, "PETRA_ERROR"),
        (NotFoundError("x"), 1, "NOT_FOUND"),
        (SettingError("x"), 2, "SETTING"),
        (click.UsageError("x"), 2, "USAGE"),
        (click.ClickException("x"), 2, "USAGE"),
        (KeyboardInterrupt(), 130, "INTERRUPTED"),
        (click.Abort(), 130, "INTERRUPTED"),
        (Terminated(), 143, "TERMINATED"),
        (ValueError("x"), 1, "BUG"),
        (OSError(errno.ENOSPC, "full", "/x"), 1, "NO_SPACE"),
        (OSError(errno.EDQUOT, "full", "/x"), 1, "NO_SPACE"),
        (FileNotFoundError(errno.ENOENT, "none", "/x"), 1, "NOT_FOUND"),
        (PermissionError(errno.EACCES, "denied", b"/x"), 1, "STORAGE"),
        (IsADirectoryError(errno.EISDIR, "folder", "/x"), 2, "USAGE"),
        (OSError(errno.EADDRINUSE, "taken"), 2, "USAGE"),
        (OSError(errno.EIO, "broken", 3), 1, "STORAGE"),
    ],
)
def test_each_kind_of_error_has_its_status(error: BaseException, status: int, code: str) -> None:
    found, value = describe(error)
    assert (found, value["code"]) == (status, code)


def test_the_file_of_a_system_error_is_named() -> None:
    for name, said in (("/x", "/x"), (b"/x", "/x"), (3, "file descriptor 3")):
        _, value = describe(OSError(errno.EACCES, "denied", name))
        assert value["where"] == said


def test_a_bug_shows_its_trace_only_when_asked(capsys: Capture) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    assert Console().fail(caught.value) == 1
    short = capsys.readouterr().err
    assert Console(debug=True).fail(caught.value) == 1
    long = capsys.readouterr().err
    assert short.startswith("error: this is a bug in petra: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in short
    assert "Traceback" in long
    assert long.endswith(short)


def test_names_cannot_drive_the_terminal(capsys: Capture) -> None:
    Console().fail(PetraError("bad\x1b[2Jname\u202e", where="a\rb"))
    assert capsys.readouterr().err == "error: bad\\x1b[2Jname\\x202e\n  where: a\\x0db\n"
    assert printable("plain\ttext\nü") == "plain\ttext\nü"


def test_a_terminal_gets_colour_unless_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {}
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        leader, follower = os.openpty()
        with os.fdopen(follower, "w") as terminal:
            monkeypatch.setattr("sys.stderr", terminal)
            Console().fail(PetraError("x"))
            said[no_color] = os.read(leader, 1000)
        os.close(leader)
    assert said["1"] == b"error: x\r\n"
    assert b"\x1b[31m" in said[""]


def test_sizes_and_times_are_for_people() -> None:
    sizes = [human_size(count) for count in (0, 1023, 1024, 1_181_116_006, 5 * 2**40, -2048)]
    assert sizes == ["0 B", "1023 B", "1.0 KiB", "1.1 GiB", "5.0 TiB", "-2.0 KiB"]
    assert [human_time(seconds) for seconds in (0, 59.4, 61, 3723)] == [
        "0 s",
        "59 s",
        "1:01",
        "1:02:03",
    ]


@pytest.mark.parametrize(("count", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_one_and_many_are_told_apart(count: int, text: str) -> None:
    assert counted(count, "image") == text
