"""Files appear whole, under their final name, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from petra.archive import sink as sink_module
from petra.archive.sink import FileSink, write_file

KILLED = """
import os, signal, sys
from pathlib import Path
from petra.archive.sink import FileSink
sink = FileSink(Path(sys.argv[1]), 4)
sink.write_at(0, b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["unnamed", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "named":  # as on file systems that keep no file without a name
        monkeypatch.setattr(sink_module, "_FILES", Path("/nowhere"))
    return str(request.param)


def test_pieces_may_come_in_any_order(tmp_path: Path, kind: str) -> None:
    sink = FileSink(tmp_path / "b", 6)
    sink.write_at(3, b"def")
    sink.write_at(0, memoryview(b"abc"))
    assert not (tmp_path / "b").exists()
    sink.commit()
    sink.abort()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("b", b"abcdef")]
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644 & ~_umask()


def test_an_aborted_file_leaves_nothing_and_spares_the_old_one(tmp_path: Path, kind: str) -> None:
    write_file(tmp_path / "b", b"old")
    sink = FileSink(tmp_path / "b", 3)
    sink.write_at(0, b"new")
    sink.abort()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("b", b"old")]


def test_an_old_file_is_replaced(tmp_path: Path, kind: str) -> None:
    write_file(tmp_path / "b", b"old")
    write_file(tmp_path / "b", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("b", b"new")]


def test_a_name_left_by_a_killed_process_is_no_hindrance(tmp_path: Path, kind: str) -> None:
    (tmp_path / f".b.{os.getpid()}.partial").write_bytes(b"rest")
    write_file(tmp_path / "b", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("b", b"new")]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="only Linux has files without a name")
def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "b"], check=False)
    assert ended.returncode == -9
    assert list(tmp_path.iterdir()) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
