"""The repairs of the embedded cloud are for the version that is installed."""

from __future__ import annotations

import json
import re

from demo.cloud.fidelity import VERSION
from tests.support.tools import REPOSITORY


def test_the_lock_file_has_the_version_that_the_repairs_are_for() -> None:
    locked = (REPOSITORY / "requirements" / "cloud.txt").read_text()
    assert re.findall(r"^ministack==(\S+)", locked, re.MULTILINE) == [VERSION]


def test_the_cdk_cli_is_locked_by_digest() -> None:
    lock = REPOSITORY / "demo" / "cloud" / "cdk" / "package-lock.json"
    packages = json.loads(lock.read_text())["packages"]
    del packages[""]
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert packages["node_modules/aws-cdk"]["version"] == "2.1148.1"
