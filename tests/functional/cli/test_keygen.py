from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from petra.cli.keys import public_keys, signer_from
from petra.content.digest import Digest
from petra.errors import NotFoundError, SettingError

if TYPE_CHECKING:
    from tests.support.command import Run


def test_a_pair_is_made_that_signs_and_verifies(
    petra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "correct horse")
    outcome = petra("keygen", "--output-dir", tmp_path, "--output", "json")
    assert outcome.status == 0
    private, public = tmp_path / "cosign.key", tmp_path / "cosign.pub"
    assert outcome.json["privateKey"] == str(private)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"ENCRYPTED SIGSTORE PRIVATE KEY" in private.read_bytes()
    (key,) = public_keys(str(public))
    assert key.fingerprint == outcome.json["fingerprint"]
    digest = Digest.of(b"data")
    assert key.verifies_digest(signer_from(str(private)).sign_digest(digest), digest)


def test_nothing_is_ever_overwritten(
    petra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    (tmp_path / "a.pub").write_text("mine")
    outcome = petra("keygen", "--output-dir", tmp_path, "--prefix", "a")
    assert outcome.status == 2
    assert "there is such a file already" in outcome.err
    assert (tmp_path / "a.pub").read_text() == "mine"
    assert not (tmp_path / "a.key").exists()


def test_without_a_password_and_a_terminal_it_says_what_to_set(
    petra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        outcome = petra("keygen", "--output-dir", tmp_path)
    assert outcome.status == 2
    assert "set COSIGN_PASSWORD" in outcome.err
    assert list(tmp_path.iterdir()) == []


def _on_terminal(command: str, answers: list[bytes]) -> tuple[int, str]:
    """Run `command` on a terminal of its own, answering each question in turn."""
    leader, follower = os.openpty()
    # The first terminal that the leader of a session opens is the one that controls it.
    script = f"exec {sys.executable} -m petra {command} <>{os.ttyname(follower)} >&0 2>&0"
    process = subprocess.Popen(["bash", "-c", script], start_new_session=True)
    said = b""
    for answer in answers:
        while not said.rstrip().endswith(b":"):
            said += os.read(leader, 1000)
        said += b" (answered)"
        os.write(leader, answer + b"\n")
    status = process.wait(timeout=60)
    os.set_blocking(leader, False)
    said += os.read(leader, 65536)
    os.close(leader)
    os.close(follower)
    return status, said.decode()


def test_a_terminal_is_asked_twice_and_nothing_is_shown(tmp_path: Path) -> None:
    status, said = _on_terminal(f"keygen --output-dir {tmp_path}", [b"hunter2", b"hunter2"])
    assert status == 0
    assert f"Password for {tmp_path}/cosign.key: " in said
    assert "hunter2" not in said
    private = tmp_path / "cosign.key"
    assert len(signer_from(str(private), lambda _: b"hunter2").public_key.fingerprint) == 64
    with pytest.raises(SettingError):
        signer_from(str(private), lambda _: b"hunter3")


def test_two_different_passwords_make_no_key(tmp_path: Path) -> None:
    status, said = _on_terminal(f"keygen --output-dir {tmp_path}", [b"hunter2", b"hunter3"])
    assert status == 2
    assert "the two passwords differ" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(
    petra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    outcome = petra("keygen", "--output-dir", tmp_path / "none")
    assert outcome.status == 1
    assert str(tmp_path / "none/cosign.key") in outcome.err


def test_keys_are_files_or_in_kms(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        signer_from("gcpkms://projects/secret")
    assert caught.value.where == "gcpkms://…"
    with pytest.raises(SettingError):
        public_keys("https://example/cosign.pub")
    with pytest.raises(NotFoundError):
        public_keys(str(tmp_path / "cosign.pub"))
