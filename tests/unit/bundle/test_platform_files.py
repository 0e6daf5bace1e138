"""Manifests are found, read within bounds, and put under the bundle's names."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from petra.bundle import platform_files
from petra.bundle.platform import (
    SUBSTITUTION,
    PlatformFiles,
    load_platform,
    shipped_manifests,
    substitute_charts,
)
from petra.errors import (
    ContentRefusedError,
    DocumentError,
    FormatError,
    NotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n"


def folder(tmp_path: Path, **files: bytes) -> Path:
    root = tmp_path / "platform"
    for name, data in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def test_only_the_parts_that_are_asked_for_are_read(tmp_path: Path) -> None:
    root = folder(
        tmp_path, base__b_yaml=CONFIG, base__a__x_yml=CONFIG, observability__c_yaml=CONFIG
    )

    base = load_platform(base=True, observability=False, path=root)
    both = load_platform(base=True, observability=True, path=root)

    assert list(base.files) == ["platform/base/a/x.yml", "platform/base/b.yaml"]
    assert list(both.files) == [*base.files, "platform/observability/c.yaml"]
    assert both.files["platform/base/b.yaml"] == CONFIG
    assert both.part("observability") == {"c.yaml": CONFIG}
    assert load_platform(base=False, observability=False, path=root).files == {}


def test_a_folder_without_parts_is_the_base(tmp_path: Path) -> None:
    root = folder(tmp_path, kustomization_yaml=CONFIG, app__release_yaml=CONFIG)

    files = load_platform(base=True, observability=False, path=root)

    assert list(files.files) == [
        "platform/base/app/release.yaml",
        "platform/base/kustomization.yaml",
    ]
    with pytest.raises(NotFoundError, match="observability"):
        load_platform(base=True, observability=True, path=root)


def test_what_keeps_manifests_company_stays_behind(tmp_path: Path) -> None:
    root = folder(tmp_path, base__a_yaml=CONFIG, base__README_md=b"# hello", base___git__x=b"")

    assert list(load_platform(base=True, observability=False, path=root).files) == [
        "platform/base/a.yaml"
    ]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_platform(base=True, observability=False, path=tmp_path / "nowhere")

    assert str(tmp_path / "nowhere") in str(caught.value)
    assert "spec.platform.path" in str(caught.value)


def test_an_empty_part_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, observability__c_yaml=CONFIG)

    with pytest.raises(NotFoundError, match="base"):
        load_platform(base=True, observability=False, path=root)


@pytest.mark.parametrize("target", ["outside.yaml", "."])
def test_links_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.yaml").write_bytes(CONFIG)
    root = folder(tmp_path, base__a_yaml=CONFIG)
    (root / "base" / "link.yaml").symlink_to(tmp_path / target)

    with pytest.raises(UsageError, match="links") as caught:
        load_platform(base=True, observability=False, path=root)

    assert "link.yaml" in str(caught.value)


def test_files_that_are_no_manifests_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, base__a_yaml=CONFIG, base__tool_sh=b"echo")

    with pytest.raises(UsageError, match="not a manifest") as caught:
        load_platform(base=True, observability=False, path=root)

    assert "tool.sh" in str(caught.value)


def test_programs_are_refused_by_content(tmp_path: Path) -> None:
    root = folder(tmp_path, base__a_yaml=b"#!/bin/sh\n")

    with pytest.raises(ContentRefusedError, match="program"):
        load_platform(base=True, observability=False, path=root)


def test_names_that_no_bundle_may_have_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, base__a_yaml=CONFIG)
    (root / "base" / "two words.yaml").write_bytes(CONFIG)

    with pytest.raises(FormatError, match="member name"):
        load_platform(base=True, observability=False, path=root)


def test_deep_folders_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, base__1__2__3__4__5__6__a_yaml=CONFIG)

    with pytest.raises(UsageError, match="too deep"):
        load_platform(base=True, observability=False, path=root)


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, base__a_yaml=b"#" * (platform_files.FILE_LIMIT + 1))

    with pytest.raises(UsageError, match="too large"):
        load_platform(base=True, observability=False, path=root)


def test_many_files_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, base__a_yaml=CONFIG)
    for number in range(platform_files.COUNT_LIMIT):
        (root / "base" / f"{number}.yaml").touch()

    with pytest.raises(UsageError, match="too many"):
        load_platform(base=True, observability=False, path=root)


def test_objects_know_their_file_and_place() -> None:
    files = PlatformFiles({"platform/base/two.yaml": CONFIG + b"---\n" + CONFIG})

    first, second = files.manifests

    assert (first.number, second.number) == (0, 1)
    assert str(second) == "ConfigMap default/one"
    assert (first.group, first.kind, first.spec) == ("", "ConfigMap", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"- a\n", "not a Kubernetes object"),
        (b"kind: List\nitems: []\n", "lists of objects"),
        (b"a: &x 1\nb: *x\n", "anchors"),
    ],
)
def test_what_cannot_be_read_as_objects_names_file_and_line(text: bytes, message: str) -> None:
    files = PlatformFiles({"platform/base/bad.yaml": text})

    with pytest.raises(DocumentError, match=message) as caught:
        _ = files.manifests

    assert "platform/base/bad.yaml:1" in str(caught.value)


def test_replacing_one_object_leaves_other_files_alone() -> None:
    spaced = b"# a comment\nkind:   ConfigMap\nmetadata: {name: other}\n"
    files = PlatformFiles(
        {"platform/base/a.yaml": CONFIG + b"---\n" + CONFIG, "platform/base/b.yaml": spaced}
    )

    changed = files.replaced({("platform/base/a.yaml", 1): {"kind": "Secret"}})

    assert changed.files["platform/base/b.yaml"] == spaced
    assert [item.kind for item in changed.manifests] == ["ConfigMap", "Secret", "ConfigMap"]


def test_load_fills_in_the_local_registry() -> None:
    files = PlatformFiles({"platform/base/a.yaml": f"url: oci://{SUBSTITUTION}/app\n".encode()})

    local = substitute_charts(files, "registry.local:5000/charts/")

    assert local.files["platform/base/a.yaml"] == b"url: oci://registry.local:5000/charts/app\n"


@pytest.mark.parametrize("location", ["", "oci://host/charts", "host/../x", "a b", "user@host/x"])
def test_a_place_that_is_none_is_refused(location: str) -> None:
    with pytest.raises(UsageError, match="not a place for charts"):
        substitute_charts(PlatformFiles({}), location)


def test_a_password_before_the_host_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        substitute_charts(PlatformFiles({}), "user:pa55@registry.local:5000/charts")
    assert "pa55" not in str(caught.value)


def test_the_shipped_manifests_are_found_and_read_as_a_folder_of_ones_own(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(str(shipped_manifests()), copy)

    assert (
        load_platform(base=True, observability=True).files
        == load_platform(base=True, observability=True, path=copy).files
    )
