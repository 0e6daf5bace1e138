from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from petra import __version__
from petra.cli.main import petra as petra_group

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Run

PROGRAM = [sys.executable, "-m", "petra"]


def test_help_lists_every_command_in_one_line_each(petra: Run) -> None:
    outcome = petra("--help")
    assert outcome.status == 0
    for name in ("bundle", "keygen", "schema", "version"):
        assert f"\n  {name} " in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_no_command_shows_the_help_and_is_a_wrong_call(petra: Run) -> None:
    outcome = petra("bundle")
    assert outcome.status == 2
    assert outcome.out == ""
    assert "Commands:" in outcome.err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from petra.cli.main import main; main(['--help']); main(['bundle', '-h']);"
        "print([name for name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = ("pydantic", "rich", "yaml", "urllib3", "cryptography", "nacl", "boto3", "zstandard")
    assert [name for name in heavy if f"'{name}'" in done.stderr] == []
    assert "'click'" in done.stderr


def test_the_version_is_printed(petra: Run) -> None:
    assert petra("--version").out == f"petra {__version__}\n"
    assert petra("version").out.startswith(f"petra {__version__}\npython 3.")
    assert petra("version", "--output", "json").json["petra"] == __version__


@pytest.mark.parametrize("kind", ["bundle", "policy"])
def test_the_schema_is_the_one_that_ships(petra: Run, kind: str) -> None:
    shipped = files("petra.bundle").joinpath(f"schema/{kind}.schema.json").read_text()
    assert petra("schema", kind).out == shipped
    assert petra("schema", "--kind", kind, "--output", "json").out == shipped


def test_the_schema_is_the_specs_unless_another_is_asked_for(petra: Run) -> None:
    assert petra("schema").out == petra("schema", "bundle").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bundel",), "no such command 'bundel'; did you mean 'bundle'?"),
        (("bundle", "creat"), "no such command 'creat'; did you mean 'create'?"),
        (("xyz",), "no such command 'xyz'"),
        (("schema", "--kind", "bundel"), "'bundel' is not"),
        (("version", "--nope"), "no such option"),
        (("version", "extra"), "unexpected extra argument"),
    ],
)
def test_a_wrong_call_is_status_2_and_says_where_help_is(
    petra: Run, arguments: tuple[str, ...], message: str
) -> None:
    outcome = petra(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert message.lower() in outcome.err.lower()
    assert "--help" in outcome.err


@pytest.mark.parametrize("form", [("--output", "json"), ("--output=json",)])
def test_a_wrong_call_is_told_as_json_where_json_was_asked_for(
    petra: Run, form: tuple[str, ...]
) -> None:
    outcome = petra("version", "--nope", *form)
    assert outcome.status == 2
    assert outcome.json["error"]["code"] == "USAGE"
    assert outcome.err == ""


def test_the_form_can_come_from_the_environment(
    petra: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETRA_OUTPUT", "json")
    assert petra("version").json["petra"] == __version__
    assert petra("version", "--output", "text").out.startswith("petra ")
    assert petra("version", "--nope").json["error"]["code"] == "USAGE"


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m petra schema; echo status $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"({command}) | true"], capture_output=True, text=True, check=True
    )
    # Either the schema fitted into the pipe before `true` ended, or the writer was quiet.
    assert done.stderr in ("status 0\n", "status 141\n")


def test_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen([*PROGRAM, "schema"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, b"interrupted\n"), (signal.SIGTERM, 143, b"terminated\n")],
)
def test_an_interruption_is_told_in_one_word(
    tmp_path: Path, number: signal.Signals, status: int, said: bytes
) -> None:
    fifo = tmp_path / "config.yaml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [*PROGRAM, "version", "--config", str(fifo)], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # Opening succeeds when petra has opened the other end: it is waiting in there now.
    with fifo.open("wb"):
        time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.lstrip(b"\n")) == (status, b"", said)


def test_shells_can_complete() -> None:
    environ = os.environ | {
        "_PETRA_COMPLETE": "bash_complete",
        "COMP_WORDS": "petra bundle cr",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(PROGRAM, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,create\n"


def test_every_listed_command_is_there_and_has_the_shared_options(petra: Run) -> None:
    seen = []
    groups = petra_group.commands
    for group, prefix in ((petra_group, ()), *((groups[name], (name,)) for name in groups)):
        assert hasattr(group, "list_commands")
        for name in group.list_commands(None):
            outcome = petra(*prefix, name, "--help")
            assert outcome.status == 0
            assert max(map(len, outcome.out.splitlines())) <= 80
            if prefix or name not in groups:
                assert "--output [text|json]" in outcome.out
                assert "--config FILE" in outcome.out
                seen.append(name)
    assert len(seen) >= 9
