"""The documents agree with the program."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from petra.aws.call_template import load_template
from petra.bundle.spec import load_spec
from tests.support.cli_reference import PAGE, cli_reference
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == cli_reference(), "docs/cli.md is old: run `make docs`"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_transfer_call_is_a_valid_one() -> None:
    page = (REPOSITORY / "docs" / "transfer.md").read_text()
    texts = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (text,) = (each for each in texts if "kind: TransferCall" in each)
    template = load_template(text.encode(), where="docs/transfer.md")
    assert template.spec.start.id == "Voyage.Number"


def test_the_readme_spec_is_a_valid_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    whole = text.replace("sha256:…", "sha256:" + "0" * 64)
    spec = load_spec(whole.encode(), where="README.md")
    assert spec.stem == "shop-1.4.0"
    assert yaml.safe_load(whole)["kind"] == "Bundle"
