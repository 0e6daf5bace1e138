"""A chunk folder in the hands of those that have no Petra: cat, sha256sum, zstd and cosign."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.site import UNLOGGED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.site import Site


@pytest.fixture(scope="module")
def folder(site: Site, bundle: Path) -> Path:
    """The bundle in six chunks and two of parity."""
    target = site.folder / "chunks"
    size = -(-bundle.stat().st_size // 6)
    options = ("--max-size", str(size), "--parity", "2", "--key", "cosign.key", "--to", target)
    site.petra.run("bundle", "chunk", "-f", bundle, *options)
    return target


def test_cat_and_sha256sum_give_the_bundle(folder: Path, bundle: Path) -> None:
    made = subprocess.run(
        ["sh", "-c", "cat *.0???-of-0006 | sha256sum"], cwd=folder, check=True, capture_output=True
    )

    assert made.stdout.split()[0].decode() == hashlib.sha256(bundle.read_bytes()).hexdigest()


def test_sha256sum_finds_what_the_manifest_says(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (group,) = manifest["parity"]["groups"]
    files = [*manifest["chunks"], *group["parity"]]
    lines = "".join(f"{one['digest'].removeprefix('sha256:')}  {one['name']}\n" for one in files)

    done = subprocess.run(
        ["sha256sum", "-c", "-"],
        cwd=folder,
        input=lines,
        text=True,
        check=False,
        capture_output=True,
    )

    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": OK") == 8


@pytest.mark.parametrize(("form", "suffix"), [("signature", ".sig"), ("bundle", ".sigstore.json")])
def test_cosign_verifies_the_manifest_and_the_bundle_in_chunks(
    site: Site, folder: Path, bundle: Path, tmp_path: Path, form: str, suffix: str
) -> None:
    changed = tmp_path / "manifest.json"
    changed.write_bytes((folder / "manifest.json").read_bytes() + b" ")
    for file, signature, good in (
        (folder / "manifest.json", f"manifest.json{suffix}", True),
        (changed, f"manifest.json{suffix}", False),
        (bundle, f"{bundle.name}{suffix}", True),
    ):
        theirs = site.tool(
            *("cosign", "verify-blob", "--key", "cosign.pub", f"--{form}", folder / signature),
            *("--insecure-ignore-tlog", file),
            check=False,
        )
        assert (theirs.returncode == 0) is good, theirs.stderr


def test_petra_takes_a_manifest_that_cosign_signed(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    """An offline key elsewhere may sign: the manifest is a file like any other."""
    copy = tmp_path / "chunks"
    copy.mkdir()
    for path in folder.iterdir():
        if not path.name.startswith("manifest.json."):
            (copy / path.name).write_bytes(path.read_bytes())
    manifest, bundle = copy / "manifest.json", copy / "manifest.json.sigstore.json"
    site.tool(
        *("cosign", "sign-blob", "--key", "cosign.key", *UNLOGGED[:2], "--yes"),
        *("--bundle", bundle, manifest),
    )

    assert site.petra.run("bundle", "verify", "-f", copy, "--key", "cosign.pub").returncode == 0
