"""Evidence in `petra bundle create`, made by the real cosign, syft and grype, offline."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import content
from tests.support.command import Outcome, Run, assert_refused, names, runner
from tests.support.front import Front, front_of
from tests.support.grype_db import write_database
from tests.support.opened import Opened, opened
from tests.support.scans import DEBIAN_PURLS, RECORDS, cyclonedx, push_debian, spdx, statement, vex
from tests.support.site import FORMS, PASSWORD, UNLOGGED
from tests.support.world import OURS, VENDOR, World, connected_side, layers_of, signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Tools = Callable[[str], Path]

IMAGE = "debian/web:1.4"
FOUND = ["CVE-2099-0001", "CVE-2099-0002", "CVE-2099-0004"]
WAIVER = {
    "vulnerability": "CVE-2099-0001",
    "reason": "nobody logs in",
    "expires": "2099-01-01T00:00:00Z",
}


@dataclass
class Maker:
    """A connected side with a vulnerable Debian image, and the programs to look at it."""

    world: World
    front: Front
    run: Run
    tools: Tools

    def create(self, scan: Any, *more: str, **spec: Any) -> Outcome:
        """Make a bundle of the image through the front, which counts."""
        self.world.spec(IMAGE, host=self.front.host, scan=scan, **spec)
        return self.run("bundle", "create", "-f", "bundle.yaml", "--key", f"{OURS}.key", *more)

    def made(self, outcome: Outcome) -> Opened:
        assert outcome.status == 0, outcome.err
        return opened(self.world.bundle)

    def layers_read(self) -> int:
        """Return how often a layer of the image was asked for."""
        layers = layers_of(self.world, IMAGE)
        return sum(len(self.front.asked(f"GET .*/blobs/{one.digest}")) for one in layers)

    def cosign(self, *arguments: str | Path) -> None:
        nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1"}
        environment = {**os.environ, "COSIGN_PASSWORD": PASSWORD, **nowhere}
        made = subprocess.run(
            [self.tools("cosign"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert made.returncode == 0, made.stderr

    def attest(self, form: str, kind: str, predicate: bytes) -> None:
        """Let cosign attest, with the vendor's key."""
        Path("predicate.json").write_bytes(predicate)
        if not Path("vendor-cosign.key").exists():
            prefix = ("--output-key-prefix", "vendor-cosign")
            self.cosign("import-key-pair", "--yes", "--key", f"{VENDOR}.key", *prefix)
        name = self.world.reference(IMAGE.partition(":")[0])
        reference = f"{name}@{self.world.images[IMAGE].digest}"
        self.cosign(
            *("attest", "--key", "vendor-cosign.key", "--type", kind),
            *("--predicate", "predicate.json", *UNLOGGED, *FORMS[form], reference),
        )


@pytest.fixture
def maker(
    tools: Tools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Maker]:
    for name in os.environ:
        if name.startswith("PETRA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PETRA_GRYPE", str(tools("grype")))
    monkeypatch.setenv("PETRA_SYFT", "")
    monkeypatch.setenv("PETRA_HELM", "")
    monkeypatch.setenv("GRYPE_DB_CACHE_DIR", str(tmp_path / "db"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    write_database(tmp_path / "db", RECORDS, datetime.now(UTC))
    with connected_side(tmp_path) as world, front_of(world.host) as front:
        target = world.repository(IMAGE)
        world.images[IMAGE] = image = push_debian(target)
        target.tag(image, "1.4")
        content.sign_by_tag(target, image, world.reference("debian/web"), signer(VENDOR))
        yield Maker(world, front, runner(capsys), tools)


def findings(bundle: Opened) -> list[str]:
    (scan,) = bundle.image("web")["scans"]
    return sorted(one["id"] for one in scan["findings"])


def test_a_vulnerable_image_is_refused_with_what_and_why(maker: Maker) -> None:
    outcome = maker.create({})

    assert_refused(
        outcome,
        3,
        "1 vulnerability that the scan gate does not let pass",
        "CVE-2099-0001 bash 5.1-1 (high; fixed in 5.1-2)",
        "in a waiver with an end",
    )
    assert names(maker.world.dist) == []


def test_it_passes_with_a_waiver_which_the_bundle_records(maker: Maker) -> None:
    bundle = maker.made(maker.create({"waivers": [WAIVER]}))

    (scan,) = bundle.image("web")["scans"]
    assert (scan["how"], findings(bundle)) == ("image", FOUND)
    assert scan["counts"] == {"high": 1, "medium": 1, "low": 1}
    waived = [one for one in scan["findings"] if "waiver" in one]
    assert [one["id"] for one in waived] == ["CVE-2099-0001"]
    assert waived[0]["waiver"]["reason"] == "nobody logs in"
    assert scan["scanner"]["name"] == "grype"
    assert scan["scanner"]["database"]["ageHours"] == 0


def test_it_passes_with_an_openvex_statement_which_the_bundle_records(maker: Maker) -> None:
    product = {"hashes": {"sha-256": maker.world.images[IMAGE].digest.hex}}
    Path("vendor.vex.json").write_bytes(vex(statement(product)))

    bundle = maker.made(maker.create({"vex": ["vendor.vex.json"]}))

    (scan,) = bundle.image("web")["scans"]
    (waived,) = [one for one in scan["findings"] if "waiver" in one]
    assert waived["waiver"]["status"] == "not_affected"


@pytest.mark.parametrize("form", [*FORMS])
@pytest.mark.parametrize("kind", ["spdxjson", "cyclonedx"])
def test_an_sbom_that_cosign_attested_is_scanned_and_no_layer_is_read_for_it(
    maker: Maker, form: str, kind: str
) -> None:
    sbom = spdx(*DEBIAN_PURLS) if kind == "spdxjson" else cyclonedx(*DEBIAN_PURLS)
    maker.attest(form, kind, sbom.data)
    assert maker.create({}).status == 3
    assert maker.layers_read() == 0

    bundle = maker.made(maker.create({"waivers": [WAIVER]}))

    assert maker.layers_read() == 1  # to pack it
    (scan,) = bundle.image("web")["scans"]
    assert (scan["how"], findings(bundle)) == ("sbom", FOUND)
    (kept,) = bundle.image("web")["sboms"]
    assert kept["verified"]["key"] == signer(VENDOR).public_key.fingerprint
    assert kept["verified"]["scheme"] == form
    assert json.loads(bundle.files[kept["member"]]) == json.loads(sbom.data)


@pytest.mark.parametrize("form", [*FORMS])
def test_provenance_that_cosign_attested_is_kept(maker: Maker, form: str) -> None:
    predicate = {
        "buildDefinition": {
            "buildType": "https://example.com/build",
            "externalParameters": {},
            "internalParameters": {},
            "resolvedDependencies": [],
        },
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    }
    maker.attest(form, "slsaprovenance1", json.dumps(predicate).encode())

    bundle = maker.made(maker.create(None))

    (kept,) = bundle.image("web")["provenance"]
    said = json.loads(bundle.files[kept["member"]])
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert said["predicate"]["runDetails"]["builder"]["id"] == "https://example.com/builder"


def test_syft_makes_the_sbom_that_is_missing_and_the_same_bytes_each_time(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETRA_SYFT", str(maker.tools("syft")))
    scan = {"waivers": [WAIVER]}
    maker.world.spec(IMAGE, host=maker.front.host, scan=scan)
    maker.run("bundle", "lock", "-f", "bundle.yaml")

    bundle = maker.made(maker.create(scan, "--locked"))
    first = maker.world.bundle.read_bytes()
    maker.made(maker.create(scan, "--locked"))

    assert maker.world.bundle.read_bytes() == first
    (kept,) = bundle.image("web")["sboms"]
    assert kept["generated"]["name"] == "syft"
    assert kept["generated"]["version"].startswith("v1.")
    (result,) = bundle.image("web")["scans"]
    assert (result["how"], findings(bundle)) == ("sbom", FOUND)


def test_the_other_side_sees_what_was_recorded_and_what_is_new(maker: Maker) -> None:
    maker.attest("referrer", "spdxjson", spdx(*DEBIAN_PURLS).data)
    maker.made(maker.create({"waivers": [WAIVER]}))
    bundle = ("-f", maker.world.bundle, "--key", f"{OURS}.pub")

    inspected = maker.run("bundle", "inspect", *bundle)
    scanned = maker.run("bundle", "scan", *bundle, "--fail-on", "none", "--sbom-only")

    assert "by sbom: 1 high, 1 medium, 1 low" in inspected.out
    assert "CVE-2099-0001 bash waived: nobody logs in (spec)" in inspected.out
    assert scanned.status == 0, scanned.err
    assert "by sbom: 1 high, 1 medium, 1 low; 0 new" in scanned.out
