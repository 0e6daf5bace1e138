"""Disks that are full, and folders that cannot be written: told, and nothing is left behind."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import assert_refused, names
from tests.support.petra_process import Petra
from tests.support.world import NAME, WEB, WORKER, World, layers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.command import Run
    from tests.support.front import Front
    from tests.support.scripted_server import Received, Reply

FILES = [f"{NAME}.tar.zst{end}" for end in ("", ".intoto.json", ".sig", ".sigstore.json")]
PAGE = resource.getpagesize()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Give a file system of so many bytes."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "petra-test", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount program")
        if done.returncode:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def pages(size: int) -> int:
    """Return `size` bytes rounded up to what a tmpfs gives."""
    return -(-size // PAGE) * PAGE


def test_a_disk_that_is_too_small_is_told_before_a_layer_is_fetched(
    world: World, front: Front, create: Run, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(8 * PAGE)
    world.spec(WEB, WORKER, host=front.host)

    outcome = create("--output-dir", disk)

    assert_refused(outcome, 1, str(disk), "no room", "bytes free", "--output-dir")
    assert names(disk) == []
    assert not front.asked(f"GET .*{layers_of(world, WORKER)[-1].digest}")


def test_a_disk_that_fills_up_on_the_way(
    world: World, front: Front, create: Run, small_disk: Callable[[int], Path]
) -> None:
    """Others write too: there was room when it began."""
    disk = small_disk(64 * PAGE)
    world.spec(WEB, WORKER, host=front.host)

    def fill(_: Received, good: Reply) -> Reply:
        with (disk / "others").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(PAGE))
                except OSError:
                    return good

    front.fault(f"GET .*{layers_of(world, WORKER)[-1].digest}", fill)

    outcome = create("--output-dir", disk)

    assert_refused(outcome, 1, str(disk / FILES[0]), "disk is full", "--output-dir")
    assert names(disk) == ["others"]


def test_a_disk_with_room_for_the_bundle_and_not_for_its_signatures(
    world: World, petra: Run, create: Run, small_disk: Callable[[int], Path]
) -> None:
    world.spec(WEB, WORKER)
    assert petra("bundle", "lock", "-f", "bundle.yaml").status == 0
    assert create("--locked").status == 0
    disk = small_disk(pages(world.bundle.stat().st_size))

    outcome = create("--locked", "--output-dir", disk)

    assert_refused(outcome, 1, str(disk), "--output-dir")
    assert names(disk) == []


def test_an_older_bundle_survives_a_full_disk(
    world: World, petra: Run, create: Run, small_disk: Callable[[int], Path]
) -> None:
    world.spec(WORKER)
    create()
    size = sum(pages(path.stat().st_size) for path in world.dist.iterdir())
    disk = small_disk(size + 4 * PAGE)
    for path in world.dist.iterdir():
        shutil.copy(path, disk)
    before = {path.name: path.read_bytes() for path in disk.iterdir()}

    assert_refused(create("--output-dir", disk), 1, str(disk))

    assert {path.name: path.read_bytes() for path in disk.iterdir()} == before
    older = petra("bundle", "verify", "-f", disk / FILES[0], "--key", "ours.pub")
    assert older.status == 0


def test_a_limit_on_the_size_of_files(world: World) -> None:
    """As `ulimit -f` sets it: no disk is full, and yet nothing can be written any more."""
    world.spec(WEB, WORKER)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "petra",
            "bundle",
            "create",
            "-f",
            "bundle.yaml",
            "--key",
            "ours.key",
        ],
        cwd=world.folder,
        env=Petra(world.folder).environment | {"PETRA_HELM": ""},
        preexec_fn=limit,  # this process has threads, but the child only execs
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"dist/{FILES[0]}" in done.stderr
    assert "\n  next: " in done.stderr
    assert names(world.dist) == []


def test_a_lock_on_a_full_disk_leaves_the_old_one(
    world: World, petra: Run, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(4 * PAGE)
    world.spec(WEB)
    shutil.copy(world.folder / "bundle.yaml", disk)
    (disk / "bundle.lock.yaml").write_text("the old one")
    (disk / "others").write_bytes(bytes(2 * PAGE))

    outcome = petra("bundle", "lock", "-f", disk / "bundle.yaml")

    assert_refused(outcome, 1, str(disk))
    assert names(disk) == ["bundle.lock.yaml", "bundle.yaml", "others"]
    assert (disk / "bundle.lock.yaml").read_text() == "the old one"


def test_a_store_on_a_full_disk(
    world: World, create: Run, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(8 * PAGE)
    world.spec(WEB, WORKER)

    outcome = create("--store", disk / "store")

    assert_refused(outcome, 1, str(disk))
    assert names(world.dist) == []


def test_a_folder_whose_name_is_taken_by_a_file(world: World, create: Run) -> None:
    world.spec(WEB)
    (world.folder / "dist").write_text("a file")

    assert_refused(create(), 1, "dist")
    assert (world.folder / "dist").read_text() == "a file"


def test_a_bundle_whose_name_is_taken_by_a_folder(world: World, create: Run) -> None:
    world.spec(WEB)
    world.bundle.mkdir(parents=True)

    outcome = create()

    assert_refused(outcome, 1, str(world.bundle.relative_to(world.folder)))
    assert names(world.dist) == [FILES[0]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(world: World, create: Run) -> None:
    world.spec(WEB)
    world.dist.mkdir(mode=0o555)

    assert_refused(create(), 1, "dist")
    assert names(world.dist) == []


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(
    world: World, create: Run
) -> None:
    """Whoever may write to the folder shall not make us write elsewhere."""
    world.spec(WEB)
    world.dist.mkdir()
    victim = world.folder / "victim"
    victim.write_text("untouched")
    (world.dist / f".{FILES[0]}.{os.getpid()}.partial").symlink_to(victim)

    create()

    assert victim.read_text() == "untouched"


def test_a_verified_file_is_never_written(world: World, petra: Run, create: Run) -> None:
    world.spec(WEB)
    create()
    before = {path.name: path.stat() for path in world.dist.iterdir()}

    for command in ("verify", "inspect"):
        assert petra("bundle", command, "-f", world.bundle, "--key", "ours.pub").status == 0

    for name, stat in before.items():
        now = (world.dist / name).stat()
        assert (now.st_ino, now.st_mtime_ns, now.st_size) == (
            stat.st_ino,
            stat.st_mtime_ns,
            stat.st_size,
        )
    assert names(world.dist) == FILES
