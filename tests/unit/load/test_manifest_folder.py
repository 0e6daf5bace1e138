"""Platform manifests into a folder: whole or not there, and switched by one link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra.content.progress import NoProgress
from petra.errors import NotFoundError, PetraError, PolicyError, StorageError
from petra.load.manifest_folder import ManifestFolder, current, move_current
from petra.load.rendering import LocalRegistry
from tests.support.command import names
from tests.support.load_bundles import open_bundle

if TYPE_CHECKING:
    from pathlib import Path

OLD = {"platform/base/a.yaml": b"kind: A\n", "platform/base/deep/b.yaml": b"kind: B\n"}
NEW = {**OLD, "platform/base/c.yaml": b"kind: C\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


def folder(
    tmp_path: Path, root: Path, files: dict[str, bytes] | None = None, version: str = "1.4.0"
) -> ManifestFolder:
    bundle = open_bundle(tmp_path, platform=files or OLD, version=version)
    return ManifestFolder(bundle, root, local=LocalRegistry())


def tree(path: Path) -> dict[str, bytes]:
    found = path.rglob("*")
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in found if p.is_file()}


def test_published_manifests_stand_in_a_folder_of_their_own_and_nothing_points_to_them(
    tmp_path: Path, root: Path
) -> None:
    one = folder(tmp_path, root)

    placed = one.publish(NoProgress()).placed[0]

    assert names(root) == [f"shop-1.4.0-{one.digest.hex[:12]}"]
    assert tree(one.folder) == {"base/a.yaml": b"kind: A\n", "base/deep/b.yaml": b"kind: B\n"}
    assert (placed.reference, placed.digest, placed.sent) == (str(one.folder), one.digest, True)


def test_the_switch_lets_the_link_point_there(tmp_path: Path, root: Path) -> None:
    one = folder(tmp_path, root)
    one.publish(NoProgress())

    assert one.switch().sent

    assert current(root) == one.folder.name
    assert tree(root / "current") == tree(one.folder)
    assert not one.switch().sent


def test_the_next_bundle_gets_a_new_folder_and_the_old_one_stays(
    tmp_path: Path, root: Path
) -> None:
    old, new = folder(tmp_path, root), folder(tmp_path, root, NEW, "1.5.0")
    old.load(NoProgress())
    new.publish(NoProgress())
    assert current(root) == old.folder.name

    new.switch()

    assert current(root) == new.folder.name
    assert names(root) == sorted(["current", new.folder.name, old.folder.name])


def test_a_second_load_writes_nothing(tmp_path: Path, root: Path) -> None:
    one = folder(tmp_path, root)
    one.load(NoProgress())
    before = {path: path.stat().st_ino for path in root.rglob("*")}

    assert [placed.sent for placed in one.load(NoProgress()).placed] == [False]

    assert {path: path.lstat().st_ino for path in root.rglob("*")}.keys() == before.keys()
    assert one.folder.stat().st_ino == before[one.folder]


def test_a_survey_changes_nothing(tmp_path: Path, root: Path) -> None:
    one = folder(tmp_path, root)

    survey = one.survey()

    assert (survey.items, survey.present, survey.bytes_to_send) == (2, 0, survey.bytes_total)
    assert survey.notes == (f"current moves to {one.folder.name}",)
    assert not root.exists()
    one.load(NoProgress())
    assert (one.survey().present, one.survey().notes) == (2, ())


@pytest.mark.parametrize("change", ["changed", "added", "removed", "linked"])
def test_a_folder_that_somebody_changed_is_refused_and_the_link_stays(
    tmp_path: Path, root: Path, change: str
) -> None:
    one = folder(tmp_path, root)
    one.publish(NoProgress())
    file = one.folder / "base" / "a.yaml"
    if change == "changed":
        file.write_bytes(b"kind: Evil\n")
    elif change == "added":
        file.with_name("evil.yaml").write_bytes(b"kind: Evil\n")
    elif change == "linked":
        file.with_name("evil.yaml").symlink_to("/etc/hostname")
    else:
        file.unlink()

    for step in (one.survey, lambda: one.publish(NoProgress()), one.switch):
        with pytest.raises(PolicyError, match="changed by somebody"):
            step()
    assert not (root / "current").exists()


def test_nothing_is_switched_to_that_was_not_published(tmp_path: Path, root: Path) -> None:
    with pytest.raises(NotFoundError):
        folder(tmp_path, root).switch()

    assert not root.exists()


def test_what_a_killed_load_left_aside_is_cleaned_away(tmp_path: Path, root: Path) -> None:
    one = folder(tmp_path, root)
    aside = root / f".{one.folder.name}.partial"
    (aside / "base").mkdir(parents=True)
    (aside / "base" / "half.yaml").write_bytes(b"kind")
    (root / ".current.partial").symlink_to("nowhere")

    one.load(NoProgress())

    assert names(root) == sorted(["current", one.folder.name])
    assert "base/half.yaml" not in tree(one.folder)


def test_a_load_that_fails_leaves_nothing_aside(tmp_path: Path, root: Path) -> None:
    root.mkdir()
    one = folder(tmp_path, root)
    one.folder.write_bytes(b"a file in the way")

    with pytest.raises(PetraError):
        one.publish(NoProgress())

    assert names(root) == [one.folder.name]


def test_the_link_moves_back(tmp_path: Path, root: Path) -> None:
    old, new = folder(tmp_path, root), folder(tmp_path, root, NEW, "1.5.0")
    old.load(NoProgress())
    new.load(NoProgress())

    assert move_current(root, old.folder.name)

    assert current(root) == old.folder.name
    assert not move_current(root, old.folder.name)


@pytest.mark.parametrize("name", ["missing", "..", ".", "../elsewhere", ".hidden"])
def test_the_link_moves_to_nothing_but_published_folders(root: Path, name: str) -> None:
    (root / ".hidden").mkdir(parents=True)
    (root.parent / "elsewhere").mkdir()

    with pytest.raises(NotFoundError):
        move_current(root, name)


def test_a_folder_in_the_link_s_place_is_not_replaced(tmp_path: Path, root: Path) -> None:
    one = folder(tmp_path, root)
    one.publish(NoProgress())
    (root / "current").mkdir()

    with pytest.raises(StorageError, match="none"):
        one.switch()

    assert (root / "current").is_dir()
