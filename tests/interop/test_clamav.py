"""The real ClamAV, on a signature of our own: what it finds is refused, and so are its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import Run, runner
from tests.support.guarded import One, good, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MARK = b"a-mark-that-only-this-test-knows"


@pytest.fixture
def lint(
    tools: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    database = tmp_path / "database"
    database.mkdir()
    # Type 0, any offset. Source: ClamAV, "Extended signature format".
    (database / "test.ndb").write_text(f"Petra.Test:0:*:{_MARK.hex()}\n")
    monkeypatch.setenv("PETRA_CLAMSCAN", str(tools("clamscan")))
    monkeypatch.setenv("PETRA_CLAMAV_DB", str(database))
    run: Run = runner(capsys)

    def lint(*members: One) -> Any:
        bundle = write(tmp_path / "app-1.0.tar.gz", good(*members))
        arguments = ("-f", bundle, "--profile", "clamav", "--output", "json")
        return run("bundle", "lint", *arguments).json

    return lint


def _verdict(value: Any) -> Any:
    return next(one for one in value["filters"] if one["filter"] == "clamav")


def test_a_clean_bundle_passes(lint: Callable[..., Any]) -> None:
    value = lint()
    assert value["passed"], value
    assert (_verdict(value)["verdict"], _verdict(value)["checked"]) == ("passed", 1)


def test_what_it_finds_inside_the_archive_is_refused_by_it_alone(lint: Callable[..., Any]) -> None:
    value = lint(One("platform/notes.txt", b"before " + _MARK + b" after\n"))
    refused = [one["filter"] for one in value["filters"] if one["verdict"] == "refused"]
    assert refused == ["clamav"]
    assert _verdict(value)["findings"] == [
        {
            "where": "app-1.0.tar.gz",
            "message": "found by ClamAV",
            "found": "Petra.Test.UNOFFICIAL",
        }
    ]


def test_without_a_database_it_fails_and_says_so(
    lint: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PETRA_CLAMAV_DB", str(tmp_path / "none"))
    error = lint()["error"]
    assert error["code"] == "TOOL"
    assert "PETRA_CLAMAV_DB" in error["next"]
