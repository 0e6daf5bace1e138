"""The archive for a closed region: whole in itself, nothing of CDK's bootstrap."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.conftest import run, settings

if TYPE_CHECKING:
    from pathlib import Path

#: Synthesis takes a minute where others work too.
pytestmark = pytest.mark.timeout(600)

NAME = "petra-classified"
STACKS = ("PetraClassified", "PetraClassifiedData")


@pytest.fixture(scope="module")
def archive(_cdk: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("closed")
    done = run(folder, {"closed": settings("us-isob-east-1")})
    assert done.status == 0, done.output[-4000:]
    with tarfile.open(folder / "closed" / f"{NAME}.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    return folder / NAME


def template(archive: Path, stack: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((archive / f"{stack}.template.json").read_text())
    return value


def test_every_asset_that_a_template_names_is_in_it(archive: Path) -> None:
    text = (archive / "PetraClassified.template.json").read_text()
    keys = set(re.findall(r'"(?:S3Key|s3Key)": "petra/([^"]+)"', text))
    assert keys
    assert keys == {path.name for path in (archive / "assets").iterdir()}


def test_it_asks_for_the_bucket_of_the_assets_and_for_no_bootstrap(archive: Path) -> None:
    pipeline = template(archive, "PetraClassified")
    assert list(pipeline["Parameters"]) == ["AssetsBucket"]
    assert "Parameters" not in template(archive, "PetraClassifiedData")
    for stack in STACKS:
        text = (archive / f"{stack}.template.json").read_text()
        assert "bootstrap" not in text.lower()
        assert "cdk-hnb659fds" not in text


def test_its_sums_are_those_of_its_files(archive: Path) -> None:
    lines = (archive / "SHA256SUMS").read_text().splitlines()
    named = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = [path for path in archive.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    assert set(named) == {str(path.relative_to(archive)) for path in files}
    for path in files:
        assert (
            named[str(path.relative_to(archive))] == hashlib.sha256(path.read_bytes()).hexdigest()
        )


def test_the_connected_side_is_not_in_it(archive: Path) -> None:
    assert sorted(path.name for path in archive.glob("*.template.json")) == sorted(
        f"{stack}.template.json" for stack in STACKS
    )
