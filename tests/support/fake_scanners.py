"""Programs that answer as grype and syft do, where a test needs exact answers.

They are called through the same public interface: arguments, standard input, JSON on standard
output. Each writes a line into a log for every call.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.support.scans import DEBIAN_PURLS, spdx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def match(name: str = "CVE-2099-0001", severity: str = "High", **artifact: str) -> dict[str, Any]:
    """Return an entry of grype's ``matches``."""
    package = {"name": "bash", "version": "5.1-1", "type": "deb", "purl": DEBIAN_PURLS[0]}
    return {
        "vulnerability": {
            "id": name,
            "severity": severity,
            "namespace": "debian:distro:debian:12",
            "fix": {"state": "fixed", "versions": ["5.1-2"]},
        },
        "artifact": {**package, **artifact},
    }


@dataclass(frozen=True)
class FakeTool:
    """A program, and the log of its calls.

    Attributes:
        program: its path, for ``PETRA_GRYPE`` or ``PETRA_SYFT``.
        log: one line a call: its first argument.
    """

    program: Path
    log: Path

    @property
    def calls(self) -> list[str]:
        """The first argument of each call so far, paths left out."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.partition(":")[0] for line in lines]


def fake_grype(
    folder: Path,
    by_sbom: Sequence[dict[str, Any]] = (),
    by_image: Sequence[dict[str, Any]] = (),
    *,
    age: timedelta = timedelta(days=1),
) -> FakeTool:
    """Write a grype that finds the same in every SBOM, and the same in every image."""
    built = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"schemaVersion": "v6.1.4", "built": built, "valid": True}
    answers = {
        "version": {"version": "0.110.0"},
        "db": status,
        "sbom:*": {"matches": list(by_sbom)},
        "oci-dir:*": {"matches": list(by_image)},
    }
    cases = "\n".join(f"{one}) printf '%s' '{json.dumps(a)}';;" for one, a in answers.items())
    return _written(folder / "grype", f'case "$1" in\n{cases}\n*) exit 9;;\nesac')


def fake_syft(folder: Path, *purls: str) -> FakeTool:
    """Write a syft that finds these packages, and calls each of its documents something new."""
    value = json.loads(spdx(*(purls or DEBIAN_PURLS)).data)
    value |= {"documentNamespace": "NEW", "files": [{"SPDXID": "SPDXRef-File-1"}]}
    value["creationInfo"]["created"] = "TIME"
    value["relationships"] = [
        {"spdxElementId": "SPDXRef-0", "relatedSpdxElement": "SPDXRef-File-1"},
        {"spdxElementId": "SPDXRef-DOCUMENT", "relatedSpdxElement": "SPDXRef-0"},
    ]
    text = json.dumps(value)
    fill = "s|NEW|'\"$(cat /proc/sys/kernel/random/uuid)\"'|; s|TIME|'\"$(date +%s.%N)\"'|"
    return _written(folder / "syft", f"printf '%s' '{text}' | sed '{fill}'")


def _written(program: Path, text: str) -> FakeTool:
    log = program.with_name(f"{program.name}.log")
    program.write_text(f'#!/bin/sh\necho "$1" >> {log}\n{text}\n')
    program.chmod(0o755)
    return FakeTool(program, log)
