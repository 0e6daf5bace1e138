"""A scanner in the settings is a layer of the function that scans, and of no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.conftest import run, settings

if TYPE_CHECKING:
    from pathlib import Path

#: Synthesis takes a minute where others work too.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.usefixtures("_cdk")
def test_the_scanner_is_a_layer_with_room_for_its_database(tmp_path: Path) -> None:
    program = tmp_path / "tools" / "bin" / "grype"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"\x7fELF")
    side = settings("us-gov-west-1")["connected"] | {"scanner": str(tmp_path / "tools")}
    done = run(tmp_path, {"scanner": {"connected": side}})
    assert done.status == 0, done.output[-4000:]
    (pipeline,) = (each for each in done.templates("scanner") if each.name == "PetraConnected")
    functions = [each["Properties"] for each in pipeline.of("AWS::Lambda::Function").values()]
    with_scanner = [each for each in functions if len(each["Layers"]) > 3]
    (scan,) = with_scanner
    assert "scan image" in scan["Description"]
    assert scan["EphemeralStorage"]["Size"] == 6144
    assert scan["Environment"]["Variables"]["PETRA_SCANNER_DISK"].endswith("/petra-scanner")
