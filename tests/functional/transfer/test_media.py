"""A bundle on a medium: written, read back, checked without petra, received on the other side."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import DigestMismatchError
from petra.transfer.arrival import find_arrivals, publish, taken_in
from petra.transfer.media import file_limit, read_back
from tests.support.command import Run, assert_refused, names
from tests.support.world import WORKER, World

if TYPE_CHECKING:
    from pathlib import Path

NAME = "shop-1.4.0.tar.zst"
MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 21 8:1 / /media/usb\\040stick rw,relatime shared:5 - vfat /dev/sda1 rw
42 21 8:3 / /media/Datenträger rw,relatime - vfat /dev/sdb1 rw
41 40 8:2 / /media/usb\\040stick/big rw - exfat /dev/sda2 rw
"""


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    return tmp_path / "medium"


def _media(run: Run, file: Path, medium: Path, *more: str) -> Any:
    arguments = ("-f", file, "--key", "ours.pub", "--to", medium, *more)
    return run("transfer", "media", *arguments, "--output", "json")


def _receive(run: Run, medium: Path, *more: str | Path) -> Any:
    return run("receive", medium, "--key", "ours.pub", *more, "--output", "json")


def test_a_medium_has_the_bundle_its_signatures_and_papers(
    run: Run, bundle: Path, medium: Path
) -> None:
    value = _media(run, bundle, medium).json
    folder = medium / "shop-1.4.0"
    beside = [path.name for path in bundle.parent.glob(f"{NAME}*")]
    assert names(folder) == sorted([*beside, "README.txt", "RELEASE.txt", "SHA256SUMS"])
    assert (folder / NAME).read_bytes() == bundle.read_bytes()
    assert value["digest"] == Digest.of(bundle.read_bytes())


def test_the_checkpoint_needs_sha256sum_alone(run: Run, bundle: Path, medium: Path) -> None:
    _media(run, bundle, medium)
    folder = medium / "shop-1.4.0"
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == len(names(folder)) - 1
    assert Digest.of(bundle.read_bytes()).hex in (folder / "README.txt").read_text()


def test_the_release_is_told_in_plain_text(run: Run, bundle: Path, medium: Path) -> None:
    _media(run, bundle, medium)
    lines = (medium / "shop-1.4.0" / "RELEASE.txt").read_text("ascii").splitlines()
    assert "release shop 1.4.0" in lines
    assert f"bundle {NAME} {Digest.of(bundle.read_bytes())}" in lines
    assert any(line.startswith("image ") and "team/worker" in line for line in lines)
    assert any(line.startswith("skipped scan: ") for line in lines)


def test_a_received_bundle_is_the_one_that_was_sent(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    _media(run, bundle, medium)
    value = _receive(run, medium, "--to", tmp_path / "inbox").json["received"][0]
    assert value["path"] == str(tmp_path / "inbox" / "shop-1.4.0" / NAME)
    assert (tmp_path / "inbox" / "shop-1.4.0" / NAME).read_bytes() == bundle.read_bytes()
    assert names(tmp_path / "inbox") == ["shop-1.4.0"]


def test_the_same_bundle_may_arrive_twice(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    for was_there in (False, True):
        assert _media(run, bundle, medium).json["wasThere"] is was_there
        value = _receive(run, medium, "--to", tmp_path / "inbox").json["received"][0]
        assert value["wasThere"] is was_there


def test_a_medium_that_is_too_small_for_a_file_gets_chunks(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    more = ("--max-size", "20KiB", "--parity", "1", "--sign-key", "ours.key")
    _media(run, bundle, medium, *more)
    folder = medium / "shop-1.4.0"
    chunks = [name for name in names(folder) if "-of-" in name]
    assert len(chunks) > 1
    assert NAME not in names(folder)
    readme = (folder / "README.txt").read_text()
    command = next(line.strip() for line in readme.splitlines() if "cat " in line)
    printed = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    )
    assert printed.stdout.split()[0] == Digest.of(bundle.read_bytes()).hex
    (folder / chunks[1]).unlink()
    value = _receive(run, medium, "--to", tmp_path / "inbox").json["received"][0]
    assert value["rebuilt"] == [chunks[1]]
    assert not (folder / chunks[1]).exists()  # the medium stays as it is


def test_chunks_need_a_key_that_signs_their_manifest(
    run: Run, bundle: Path, medium: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PETRA_KEY", raising=False)
    arguments = ("-f", bundle, "--key", "ours.pub", "--to", medium, "--max-size", "20KiB")
    assert_refused(run("transfer", "media", *arguments, "-q"), 2, "--sign-key", "PETRA_KEY")
    assert names(medium) == []


def test_a_damaged_bundle_does_not_get_into_the_inbox(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    _media(run, bundle, medium)
    file = medium / "shop-1.4.0" / NAME
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    outcome = _receive(run, medium, "--to", tmp_path / "inbox")
    assert (outcome.status, outcome.json["error"]["code"]) == (3, "SIGNATURE")
    assert names(tmp_path / "inbox") == []


def test_something_else_under_the_name_is_not_touched(run: Run, bundle: Path, medium: Path) -> None:
    (medium / "shop-1.4.0").mkdir(parents=True)
    (medium / "shop-1.4.0" / "mine.txt").write_text("mine")
    outcome = _media(run, bundle, medium)
    assert (outcome.status, outcome.json["error"]["code"]) == (1, "STORAGE")
    assert names(medium / "shop-1.4.0") == ["mine.txt"]


def test_another_bundle_of_the_name_in_the_inbox_stays(
    run: Run, world: World, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    _media(run, bundle, medium)
    _receive(run, medium, "--to", tmp_path / "inbox")
    spec = world.spec(WORKER, serial=77)
    arguments = ("--key", "ours.key", "--output-dir", tmp_path / "second", "-q")
    assert run("bundle", "create", "-f", spec, *arguments).status == 0
    _media(run, tmp_path / "second" / NAME, tmp_path / "other")
    outcome = _receive(run, tmp_path / "other", "--to", tmp_path / "inbox")
    assert (outcome.status, outcome.json["error"]["code"]) == (3, "DIGEST_MISMATCH")
    assert (tmp_path / "inbox" / "shop-1.4.0" / NAME).read_bytes() == bundle.read_bytes()


def test_a_folder_without_a_bundle_says_what_was_expected(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(run("receive", tmp_path / "empty", "--key", "k"), 1, "manifest.json")


def test_what_the_medium_gives_back_is_compared(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"what is there")
    with pytest.raises(DigestMismatchError, match="gave back something else"):
        read_back(tmp_path, {"a": Digest.of(b"what was written")}, NoProgress())


@pytest.mark.parametrize(
    ("folder", "limit"),
    [
        ("/media/usb stick/x", 2**32 - 1),
        ("/media/usb stick/big", None),
        ("/home", None),
        ("/media/usb stick", 2**32 - 1),
        ("/media/Datenträger", 2**32 - 1),
    ],
)
def test_a_file_systems_limit_is_known_by_its_mount(folder: str, limit: int | None) -> None:
    from pathlib import Path

    assert file_limit(Path(folder), MOUNTS) == limit


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads files without permission to")
def test_a_chunk_that_cannot_be_read_is_rebuilt(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    more = ("--max-size", "20KiB", "--parity", "1", "--sign-key", "ours.key")
    _media(run, bundle, medium, *more)
    chunk = next((medium / "shop-1.4.0").glob("*.0002-of-*"))
    chunk.chmod(0)
    value = _receive(run, medium, "--to", tmp_path / "inbox").json["received"][0]
    assert (value["unread"], value["rebuilt"]) == ([chunk.name],) * 2


def test_a_link_on_a_medium_hands_out_nothing_of_this_side(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    more = ("--max-size", "20KiB", "--sign-key", "ours.key")
    _media(run, bundle, medium, *more)
    (tmp_path / "secret").write_text("of this side")
    (medium / "shop-1.4.0" / "notes.txt").symlink_to(tmp_path / "secret")
    (medium / "linked").symlink_to(medium / "shop-1.4.0", target_is_directory=True)
    assert len(_receive(run, medium, "--to", tmp_path / "inbox").json["received"]) == 1
    assert "notes.txt" not in names(tmp_path / "inbox" / "shop-1.4.0")
    assert "README.txt" in names(tmp_path / "inbox" / "shop-1.4.0")


def test_two_that_take_in_one_bundle_do_not_share_its_copy(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    _media(run, bundle, medium)
    (arrival,) = find_arrivals(medium)
    inbox = tmp_path / "inbox"
    with taken_in(arrival, inbox, NoProgress()) as (first, _):
        with taken_in(arrival, inbox, NoProgress()) as (second, _):
            second.write_bytes(b"not whole, and verified by nobody")
        there = publish(first, inbox, "shop-1.4.0")
    assert there.read_bytes() == bundle.read_bytes()
    assert names(inbox) == ["shop-1.4.0"]


def test_what_a_killed_run_left_in_the_inbox_goes(
    run: Run, bundle: Path, medium: Path, tmp_path: Path
) -> None:
    _media(run, bundle, medium)
    left = tmp_path / "inbox" / f".{NAME}.abc.partial"
    left.mkdir(parents=True)
    (left / NAME).write_bytes(b"half")
    assert _receive(run, medium, "--to", tmp_path / "inbox").status == 0
    assert names(tmp_path / "inbox") == ["shop-1.4.0"]
