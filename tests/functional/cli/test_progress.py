from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
import threading

import pytest

from petra.cli.output import Console
from petra.cli.progress import LineProgress, progress_on
from petra.content.progress import NoProgress, Progress

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _lines() -> tuple[LineProgress, Clock, io.StringIO]:
    clock, stream = Clock(), io.StringIO()
    return LineProgress(stream, clock), clock, stream


def test_a_phase_in_a_pipe_is_a_few_plain_lines() -> None:
    progress, clock, stream = _lines()
    progress.on_start("writing x", 100 * MIB)
    for _ in range(25):
        clock.now += 0.5
        progress.on_progress(4 * MIB)
    progress.on_done()
    assert stream.getvalue().splitlines() == [
        "writing x (100.0 MiB) …",
        "writing x: 16 %, 16.0 MiB of 100.0 MiB, 8.0 MiB/s, 10 s left",
        "writing x: 32 %, 32.0 MiB of 100.0 MiB, 8.0 MiB/s, 8 s left",
        "writing x: 48 %, 48.0 MiB of 100.0 MiB, 8.0 MiB/s, 6 s left",
        "writing x: 64 %, 64.0 MiB of 100.0 MiB, 8.0 MiB/s, 4 s left",
        "writing x: 80 %, 80.0 MiB of 100.0 MiB, 8.0 MiB/s, 2 s left",
        "writing x: 96 %, 96.0 MiB of 100.0 MiB, 8.0 MiB/s, 0 s left",
        "writing x: 100.0 MiB in 12.5 s, 8.0 MiB/s",
    ]


def test_a_slow_job_says_every_half_minute_that_it_lives() -> None:
    progress, clock, stream = _lines()
    progress.on_start("fetching")
    for _ in range(70):
        clock.now += 1
        progress.on_progress(MIB)
    assert stream.getvalue().splitlines() == [
        "fetching …",
        "fetching: 30.0 MiB, 1.0 MiB/s",
        "fetching: 60.0 MiB, 1.0 MiB/s",
    ]


def test_a_retry_may_count_backwards() -> None:
    progress, clock, stream = _lines()
    progress.on_start("fetching", 10 * MIB)
    clock.now += 3
    progress.on_progress(5 * MIB)
    progress.on_progress(-5 * MIB)
    clock.now += 30
    progress.on_progress(0)
    clock.now += 1
    progress.on_progress(10 * MIB)
    progress.on_done()
    assert stream.getvalue().splitlines()[-2:] == [
        "fetching: 0 %, 0 B of 10.0 MiB, 0 B/s",
        "fetching: 10.0 MiB in 34.0 s, 301.2 KiB/s",
    ]


def test_a_phase_without_bytes_is_one_line() -> None:
    progress, _, stream = _lines()
    progress.on_start("resolving")
    progress.on_note("3 images\x1b")
    progress.on_done()
    assert stream.getvalue() == "resolving …\n3 images\\x1b\n"


def test_many_threads_may_count() -> None:
    progress, clock, stream = _lines()
    progress.on_start("fetching", 4000)

    def count() -> None:
        for _ in range(1000):
            progress.on_progress(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now += 1
    progress.on_done()
    assert stream.getvalue().splitlines()[-1] == "fetching: 3.9 KiB in 1.0 s, 3.9 KiB/s"


def _on_terminal(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLUMNS", raising=False)
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    pieces: list[bytes] = []

    def drain() -> None:
        try:
            while piece := os.read(leader, 65536):
                pieces.append(piece)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(follower, "w") as terminal, progress_on(terminal) as progress:
        progress.on_start("resolving")
        progress.on_note("3 [bold]images[/bold]")
        progress.on_done()
        progress.on_start("writing web-1.0.tar.zst", 100 * MIB)
        progress.on_progress(100 * MIB)
        progress.on_done()
    reader.join()
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(pieces).decode())


def test_a_terminal_gets_a_bar_with_bytes_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _on_terminal(monkeypatch)
    assert "writing web-1.0.tar.zst" in text
    assert "━━━━" in text
    assert re.search(r"writing web-1.0.tar.zst: 100\.0 MiB in \d+\.\d s, .* [MGT]iB/s\r\n", text)
    assert "resolving: done\r\n" in text
    assert "3 [bold]images[/bold]" in text


@pytest.mark.parametrize("quiet", [False, True])
def test_the_console_gives_who_listens(
    quiet: bool,  # noqa: FBT001
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console(quiet=quiet, json=True).progress() as progress:
        progress.on_start("working")
        progress.on_progress(1)
        progress.on_done()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("working" in captured.err) is not quiet


def test_nobody_needs_to_listen() -> None:
    nobody: Progress = NoProgress()
    nobody.on_start("a", 1)
    nobody.on_progress(1)
    nobody.on_note("b")
    nobody.on_done()
    assert not vars(nobody)
