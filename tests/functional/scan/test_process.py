"""Programs that misbehave: each is stopped within its limits, and told in a few words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from petra.errors import PetraError, PolicyError, SettingError, ToolError
from petra.scan.grype import GrypeScanner, default_database, find_grype
from petra.scan.process import Limits, run_tool
from tests.support.scans import BASH, DAY, NOW, SUBJECT, spdx

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Write a shell script; return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return write


def test_it_sees_nothing_of_ours(
    script: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "made up")

    output = run_tool([script("cat; env; pwd")], what="x", stdin=b"given\n", environment={"A": "b"})

    text = output.data.decode()
    assert text.startswith("given\n")
    assert "A=b" in text.splitlines()
    assert "HTTPS_PROXY=http://127.0.0.1:1" in text.splitlines()
    assert "SECRET" not in text
    assert f"HOME={os.environ['HOME']}\n" not in text
    folder = text.splitlines()[-1]
    assert not Path(folder).exists()


def test_one_that_does_not_end_is_ended_with_its_children(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    mark = tmp_path / "child"
    program = script(f"(sleep 1.5; touch {mark}) & sleep 60")
    started = time.monotonic()

    with pytest.raises(ToolError, match="x was stopped") as caught:
        run_tool([program], what="x", limits=Limits(seconds=0.3))

    assert time.monotonic() - started < 5
    assert caught.value.found == "no end after 0.3 s"
    time.sleep(1.6)
    assert not mark.exists()


@pytest.mark.parametrize("stream", ["1", "2"])
def test_one_that_says_too_much_is_ended(script: Callable[[str], Path], stream: str) -> None:
    program = script(f"yes >&{stream}")

    with pytest.raises(ToolError, match="more than 100000 bytes"):
        run_tool([program], what="x", limits=Limits(output=100_000))


def test_the_end_of_its_words_is_kept_without_colours(script: Callable[[str], Path]) -> None:
    program = script("yes x | head -c 9000 >&2; printf '\\033[31mbad\\033[0m\\n' >&2; exit 3")

    output = run_tool([program], what="x")

    assert output.status == 3
    assert output.errors.endswith("x\nbad")
    assert len(output.errors) <= 2000


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="x cannot be run") as caught:
        run_tool([tmp_path / "absent"], what="x")

    assert caught.value.found == "No such file or directory"


def test_it_ends_with_us(script: Callable[[str], Path], tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    program = script(f"sleep 1.5; touch {mark}")
    code = (
        "import threading, time\n"
        "from petra.scan.process import run_tool\n"
        f"work = lambda: run_tool([{str(program)!r}], what='x')\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.4)\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=20)

    time.sleep(1.6)
    assert not mark.exists()


STATUS = {"schemaVersion": "v6.1.4", "built": "2026-11-23T12:00:00Z", "valid": True}
REPORT: dict[str, object] = {"matches": []}


def fake(
    script: Callable[[str], Path],
    *,
    status: object = STATUS,
    report: object = REPORT,
    version: object = None,
    failing: str = "",
) -> GrypeScanner:
    """Return a scanner whose grype answers with these documents."""
    answers = {
        "db": json.dumps(status),
        "version": json.dumps(version or {"version": "0.110.0"}),
        "sbom:/dev/stdin": json.dumps(report),
    }
    cases = "\n".join(
        f"{name}) printf '%s' '{text}'; exit {1 if name == failing else 0};;"
        for name, text in answers.items()
    )
    program = script(f'echo "words of grype" >&2\ncase "$1" in\n{cases}\nesac\nexit 9')
    return GrypeScanner(Path("db"), program=program, now=NOW)


def test_grype_is_described_with_its_database(script: Callable[[str], Path]) -> None:
    info = fake(script).describe()

    assert (info.name, info.version) == ("grype", "0.110.0")
    assert info.database is not None
    assert (info.database.built, info.database.schema) == (NOW - DAY, "v6.1.4")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({**STATUS, "valid": False, "error": "bad db checksum"}, "bad db checksum"),
        ({**STATUS, "valid": "true"}, "words of grype"),
        ({**STATUS, "built": ""}, "words of grype"),
        ([], "does not tell the status"),
        ("", "does not tell the status"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(
    script: Callable[[str], Path], status: object, says: str
) -> None:
    with pytest.raises(ToolError) as caught:
        fake(script, status=status).describe()

    assert says in str(caught.value)


def test_a_database_that_is_too_old_is_told(script: Callable[[str], Path]) -> None:
    scanner = fake(script, status={**STATUS, "built": "2026-11-01T00:00:00Z"})

    with pytest.raises(PolicyError, match="too old"):
        scanner.scan_sbom(SUBJECT, spdx(BASH))


@pytest.mark.parametrize("failing", ["version", "db", "sbom:/dev/stdin"])
def test_grypes_own_words_are_told_when_it_fails(
    script: Callable[[str], Path], failing: str
) -> None:
    scanner = fake(script, failing=failing)

    with pytest.raises(ToolError, match="words of grype"):
        scanner.scan_sbom(SUBJECT, spdx(BASH))


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"matches": None},
        {"matches": [{}]},
        {"matches": [{"vulnerability": {"id": "CVE-1"}, "artifact": {}}]},
        {"matches": [{"vulnerability": {"id": 1}, "artifact": {"name": "bash"}}]},
    ],
)
def test_a_report_of_another_shape_is_refused(
    script: Callable[[str], Path], report: object
) -> None:
    with pytest.raises(PetraError, match=r"not a usable|no matches"):
        fake(script, report=report).scan_sbom(SUBJECT, spdx(BASH))


def test_no_grype_says_what_can_be_done(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="there is no scanner") as caught:
        find_grype({"PATH": str(tmp_path)})
    assert "install grype" in str(caught.value.hint)
    assert "spec.scan.skip" in str(caught.value.hint)
    with pytest.raises(ToolError, match="there is no scanner"):
        find_grype({"PATH": os.environ["PATH"], "PETRA_GRYPE": ""})
    with pytest.raises(SettingError, match="PETRA_GRYPE names no program"):
        find_grype({"PATH": "", "PETRA_GRYPE": str(tmp_path / "absent")})


def test_grype_is_found_where_it_is_named_or_in_path(script: Callable[[str], Path]) -> None:
    program = script("exit 0")
    grype = program.rename(program.with_name("grype"))

    assert find_grype({"PATH": "", "PETRA_GRYPE": str(grype)}) == grype
    assert find_grype({"PATH": str(grype.parent)}) == grype


def test_the_users_own_database_is_the_default() -> None:
    assert default_database({"HOME": "/h"}) == Path("/h/.cache/grype/db")
    assert default_database({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/grype/db")
    assert default_database({"GRYPE_DB_CACHE_DIR": "/db", "HOME": "/h"}) == Path("/db")
