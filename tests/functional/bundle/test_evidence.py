"""Evidence in `petra bundle create`: scans, SBOMs, the gate and its waivers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import content
from petra.content.digest import Digest
from petra.scan.model import load_result
from tests.support.command import Outcome, Run, assert_refused, names
from tests.support.fake_scanners import FakeTool, fake_grype, fake_syft, match
from tests.support.opened import opened
from tests.support.scans import DEBIAN_PURLS, spdx, statement, vex
from tests.support.world import LEGACY, OURS, STRANGER, VENDOR, WORKER, World, layers_of, signer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from petra.content.descriptor import Descriptor
    from tests.support.front import Front

    Grype = Callable[..., FakeTool]

LATER = "2099-01-01T00:00:00Z"
BORNE = {"vulnerability": "CVE-2099-0001", "reason": "we never run it", "expires": LATER}


@pytest.fixture
def grype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grype:
    """Put a grype at hand that finds what the test says."""

    def put(*found: dict[str, Any], image: Sequence[dict[str, Any]] = (), **more: Any) -> FakeTool:
        tool = fake_grype(tmp_path, found, image, **more)
        monkeypatch.setenv("PETRA_GRYPE", str(tool.program))
        return tool

    return put


@pytest.fixture
def syft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """Put a syft at hand."""
    tool = fake_syft(tmp_path)
    monkeypatch.setenv("PETRA_SYFT", str(tool.program))
    return tool


def attach_sbom(world: World, image: str, data: bytes, *by: str) -> Descriptor:
    """Attach an SBOM to an image, signed by `by`; return its manifest."""
    target = world.repository(image)
    manifest = content.attach(target, world.images[image], "application/spdx+json", data)
    for name in by:
        content.sign_by_tag(target, manifest, world.reference(image), signer(name))
    return manifest


def made(world: World, outcome: Outcome) -> Any:
    """Return the metadata of the bundle that was made."""
    assert outcome.status == 0, outcome.err
    return opened(world.bundle).metadata


def test_without_being_asked_nothing_is_scanned_and_all_say_so(
    world: World, create: Run, petra: Run
) -> None:
    world.spec(WORKER)
    reason = "neither the spec nor a policy asks for a scan"

    outcome = create()

    metadata = made(world, outcome)
    assert f"images are not scanned: {reason}" in outcome.err
    assert metadata["checks"]["scan"] == {"status": "skipped", "reason": reason}
    assert metadata["images"][0]["scan"] == {"status": "skipped", "reason": reason}
    assert "scans" not in metadata["images"][0] or metadata["images"][0]["scans"] == []
    assert f"skipped: scan ({reason})" in petra("bundle", "inspect", "-f", world.bundle).out


def test_a_scan_that_is_skipped_is_recorded_with_its_reason(world: World, create: Run) -> None:
    world.spec(WORKER, scan={"skip": "no scanner on this host yet"})

    metadata = made(world, create())

    skipped = {"status": "skipped", "reason": "no scanner on this host yet"}
    assert metadata["checks"]["scan"] == metadata["images"][0]["scan"] == skipped


@pytest.mark.parametrize(
    ("scan", "check"),
    [
        ({}, {"status": "done"}),
        ({"skip": "charts alone"}, {"status": "skipped", "reason": "charts alone"}),
    ],
)
def test_a_bundle_without_images_says_what_was_asked(
    world: World, create: Run, scan: dict[str, Any], check: dict[str, str]
) -> None:
    world.spec(scan=scan, charts=[world.chart()])

    assert made(world, create())["checks"]["scan"] == check


def test_a_clean_image_is_scanned_and_the_result_travels(
    world: World, create: Run, grype: Grype
) -> None:
    tool = grype()
    world.spec(WORKER, scan={})

    metadata = made(world, create())

    assert tool.calls.count("oci-dir") == 1
    assert metadata["checks"]["scan"] == {"status": "done"}
    image = metadata["images"][0]
    assert image["scan"] == {"status": "done"}
    (scan,) = image["scans"]
    assert scan["subject"] == world.images[WORKER].digest
    assert (scan["platform"], scan["how"], scan["counts"]) == ("linux/amd64", "image", {})
    assert scan["member"] == "scan/worker/linux-amd64.json"
    assert scan["scanner"]["name"] == "grype"
    assert scan["scanner"]["version"] == "0.110.0"
    assert scan["scanner"]["database"]["ageHours"] == 24
    assert scan["gate"] == {"severities": ["critical", "high", "unknown"], "fixableOnly": False}
    data = opened(world.bundle).files[scan["member"]]
    assert scan["digest"] == Digest.of(data)
    assert load_result(data, where="x").subject.digest == world.images[WORKER].digest


def test_each_platform_that_travels_is_scanned_by_itself(
    world: World, create: Run, grype: Grype
) -> None:
    tool = grype()
    world.spec("team/web:1.4", scan={}, platforms=["linux/amd64", "linux/arm/v7"])

    metadata = made(world, create())

    assert tool.calls.count("oci-dir") == 2
    scans = metadata["images"][0]["scans"]
    assert [one["platform"] for one in scans] == ["linux/amd64", "linux/arm/v7"]
    assert [one["member"] for one in scans] == [
        "scan/web/linux-amd64.json",
        "scan/web/linux-arm-v7.json",
    ]


def test_findings_stop_the_bundle_and_each_is_named(
    world: World, create: Run, grype: Grype
) -> None:
    grype(image=[match(), match("CVE-2099-0002", "Critical"), match("CVE-2099-0003", "Low")])
    world.spec(WORKER, LEGACY, scan={})

    outcome = create()

    assert_refused(
        outcome,
        3,
        "4 vulnerabilities that the scan gate does not let pass",
        f"{world.reference(WORKER)} (linux/amd64): CVE-2099-0001 bash 5.1-1 (high",
        f"{world.reference(LEGACY)} (linux/amd64): CVE-2099-0002 bash 5.1-1 (critical",
    )
    assert "CVE-2099-0003" not in outcome.err
    assert names(world.dist) == []


def test_a_refused_bundle_costs_no_packing_and_leaves_the_one_before(
    world: World, create: Run, grype: Grype
) -> None:
    world.spec(WORKER)
    create()
    before = world.bundle.read_bytes()
    grype(image=[match()])
    world.spec(WORKER, scan={})

    assert create().status == 3
    assert world.bundle.read_bytes() == before


def test_a_waiver_lets_it_pass_and_is_recorded(world: World, create: Run, grype: Grype) -> None:
    grype(image=[match(), match("CVE-2099-0003", "Low")])
    world.spec(WORKER, scan={"waivers": [BORNE]})

    metadata = made(world, create())

    (scan,) = metadata["images"][0]["scans"]
    assert scan["counts"] == {"high": 1, "low": 1}
    high, low = scan["findings"]
    assert high["waiver"] == {
        "status": "accepted",
        "reason": "we never run it",
        "source": "spec",
        "expires": LATER,
    }
    assert (high["id"], high["severity"], high["fixedIn"]) == ("CVE-2099-0001", "high", ["5.1-2"])
    assert low["passes"] == "severity"
    document = json.loads(opened(world.bundle).files[scan["member"]])
    assert document["verdict"]["waived"][0]["reason"] == "we never run it"


def test_a_waiver_that_has_ended_is_named_in_the_refusal(
    world: World, create: Run, grype: Grype
) -> None:
    grype(image=[match()])
    world.spec(WORKER, scan={"waivers": [{**BORNE, "expires": "2020-01-01T00:00:00Z"}]})

    assert_refused(create(), 3, "CVE-2099-0001", "these waivers have ended", "2020-01-01")


def test_a_waiver_about_nothing_is_told(world: World, create: Run, grype: Grype) -> None:
    grype()
    world.spec(WORKER, scan={"waivers": [BORNE]})

    assert "a waiver is about nothing here: CVE-2099-0001" in create().err


def test_an_openvex_statement_lets_it_pass_and_is_recorded(
    world: World, create: Run, grype: Grype
) -> None:
    grype(image=[match()])
    product = {"hashes": {"sha-256": world.images[WORKER].digest.hex}}
    Path("vendor.vex.json").write_bytes(vex(statement(product)))
    world.spec(WORKER, scan={"vex": ["vendor.vex.json"]})

    metadata = made(world, create())

    waiver = metadata["images"][0]["scans"][0]["findings"][0]["waiver"]
    assert waiver["status"] == "not_affected"
    assert waiver["justification"] == "vulnerable_code_not_in_execute_path"
    assert "security@example.com" in waiver["source"]


@pytest.mark.parametrize(
    ("gate", "status"),
    [
        ({"failOn": "critical"}, 0),
        ({"failOn": "high"}, 3),
        ({"failOn": "none"}, 0),
        ({"severities": ["high"]}, 3),
        ({"severities": ["low"]}, 0),
        ({"failOn": "high", "fixableOnly": True}, 3),
    ],
)
def test_the_gate_is_the_specs(
    world: World, create: Run, grype: Grype, gate: dict[str, Any], status: int
) -> None:
    grype(image=[match()])
    world.spec(WORKER, scan={"gate": gate})

    assert create().status == status


def test_a_database_that_is_too_old_is_refused(world: World, create: Run, grype: Grype) -> None:
    grype(age=timedelta(days=6))
    world.spec(WORKER, scan={})
    assert_refused(create(), 3, "too old", "at most 5 days", "6 days ago")

    world.spec(WORKER, scan={"maxDatabaseAge": "7d"})
    assert create().status == 0


def test_no_scanner_fails_before_a_registry_is_asked(
    world: World, create: Run, front: Front
) -> None:
    world.spec(WORKER, host=front.host, scan={})

    assert_refused(create(), 1, "there is no scanner", "install grype", "spec.scan.skip")
    assert front.asked("") == []


def test_a_scanner_that_fails_fails_the_bundle(
    world: World, create: Run, grype: Grype, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = grype()
    text = tool.program.read_text().replace("oci-dir:*)", "nothing)")
    tool.program.write_text(text)
    world.spec(WORKER, scan={})

    assert_refused(create(), 1, "grype cannot scan it", world.reference(WORKER))
    assert names(world.dist) == []


def blobs(front: Front, found: Sequence[Descriptor]) -> int:
    """Return how often any of these blobs was asked for."""
    return sum(len(front.asked(f"GET .*/blobs/{one.digest}")) for one in found)


def test_a_signed_sbom_spares_the_layers(
    world: World, create: Run, grype: Grype, front: Front
) -> None:
    tool = grype(match(severity="Medium"), image=[match()])
    attach_sbom(world, LEGACY, spdx(*DEBIAN_PURLS).data, VENDOR)
    layers = layers_of(world, LEGACY)
    world.spec(LEGACY, host=front.host)
    assert create().status == 0
    without = blobs(front, layers)
    world.spec(LEGACY, host=front.host, scan={})

    metadata = made(world, create())

    assert blobs(front, layers) == 2 * without == 2 * len(layers)
    assert tool.calls.count("oci-dir") == 0
    (scan,) = metadata["images"][0]["scans"]
    assert (scan["how"], scan["counts"]) == ("sbom", {"medium": 1})


def test_a_signed_sbom_is_kept_and_says_who_vouches_for_it(world: World, create: Run) -> None:
    data = spdx(*DEBIAN_PURLS).data
    manifest = attach_sbom(world, LEGACY, data, VENDOR)
    world.spec(LEGACY)

    metadata = made(world, create())

    (sbom,) = metadata["images"][0]["sboms"]
    assert sbom["member"] == "sbom/legacy/linux-amd64.spdx.json"
    assert opened(world.bundle).files[sbom["member"]] == data
    assert sbom["subject"] == world.images[LEGACY].digest
    assert sbom["manifest"] == manifest.digest
    assert sbom["verified"]["key"] == signer(VENDOR).public_key.fingerprint
    assert "generated" not in sbom


@pytest.mark.parametrize("by", [[], [STRANGER]])
def test_an_sbom_that_nobody_trusted_signed_does_not_count(
    world: World, create: Run, grype: Grype, by: list[str]
) -> None:
    tool = grype(image=[match(severity="Low")])
    manifest = attach_sbom(world, LEGACY, spdx().data, *by)
    world.spec(LEGACY, scan={})

    metadata = made(world, create())

    image = metadata["images"][0]
    assert image["scans"][0]["how"] == "image"
    assert tool.calls.count("sbom") == 0
    assert image["sboms"] == []
    (left,) = image["uncounted"]
    assert (left["manifest"], left["kind"]) == (manifest.digest, "sbom")
    assert "no signature" in left["reason"]
    assert [one for one in opened(world.bundle).names if one.startswith("sbom/")] == []


def test_an_sbom_of_an_image_that_is_not_verified_does_not_count(
    world: World, create: Run, grype: Grype
) -> None:
    grype()
    attach_sbom(world, LEGACY, spdx(*DEBIAN_PURLS).data, VENDOR)
    world.spec(LEGACY, scan={}, verify={"skip": "built here"})

    image = made(world, create())["images"][0]

    assert image["scans"][0]["how"] == "image"
    assert "not verified" in image["uncounted"][0]["reason"]


def test_an_image_without_an_sbom_gets_one_from_syft_marked_as_made_here(
    world: World, create: Run, grype: Grype, syft: FakeTool
) -> None:
    tool = grype(match(severity="Medium"))
    world.spec(LEGACY, scan={})

    metadata = made(world, create())

    image = metadata["images"][0]
    (sbom,) = image["sboms"]
    assert sbom["generated"] == {"name": "syft", "version": "unknown"}
    assert "verified" not in sbom
    assert sbom["subject"] == world.images[LEGACY].digest
    document = json.loads(opened(world.bundle).files[sbom["member"]])
    assert document["creationInfo"]["created"] == metadata["created"]
    assert "files" not in document
    assert len(document["relationships"]) == 1
    assert image["scans"][0]["how"] == "sbom"
    assert tool.calls.count("oci-dir") == 0
    assert syft.calls == ["scan"]


def test_without_syft_it_is_recorded_why_there_is_no_sbom(
    world: World, create: Run, grype: Grype
) -> None:
    grype()
    world.spec(LEGACY, scan={})

    assert "syft is not at hand" in made(world, create())["images"][0]["noSbom"]


def test_nobody_asks_syft_where_nothing_is_asked_for(
    world: World, create: Run, syft: FakeTool
) -> None:
    world.spec(LEGACY)

    assert made(world, create())["images"][0]["noSbom"] == (
        "the image has none, and nobody asks for one"
    )
    assert syft.calls == []


def test_the_same_lock_and_database_give_the_same_bytes(
    world: World, create: Run, petra: Run, grype: Grype, syft: FakeTool
) -> None:
    grype(match(severity="Low"))
    world.spec("team/web:1.4", WORKER, LEGACY, scan={})
    petra("bundle", "lock", "-f", "bundle.yaml")

    outcome = create("--locked")
    first = world.bundle.read_bytes()
    assert create("--locked").status == 0

    assert world.bundle.read_bytes() == first
    metadata = made(world, outcome)
    assert {s["scanned"] for i in metadata["images"] for s in i["scans"]} == {metadata["created"]}
    assert len(syft.calls) == 2 * 5


def test_a_database_newer_than_the_lock_dates_the_scan(
    world: World, create: Run, petra: Run, grype: Grype, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.spec(WORKER, scan={})
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    petra("bundle", "lock", "-f", "bundle.yaml")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    grype()

    (scan,) = made(world, create("--locked"))["images"][0]["scans"]

    assert scan["scanned"] == scan["scanner"]["database"]["built"]
    assert scan["scanner"]["database"]["ageHours"] == 0
    age = datetime.now(UTC) - datetime.fromisoformat(scan["scanned"])
    assert age < timedelta(days=2)


def report(digest: str) -> bytes:
    """Return a CycloneDX report of a scan that found one thing, made just now."""
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "metadata": {
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "tools": {"components": [{"name": "other", "version": "9"}]},
                "component": {"type": "container", "name": "x", "version": digest},
            },
            "components": [
                {"bom-ref": "a", "name": "bash", "version": "5.1-1", "purl": DEBIAN_PURLS[0]}
            ],
            "vulnerabilities": [
                {
                    "id": "CVE-2099-0001",
                    "ratings": [{"severity": "high"}],
                    "affects": [{"ref": "a"}],
                }
            ],
        }
    ).encode()


def test_a_finished_report_counts_instead_of_a_scan(
    world: World, create: Run, front: Front
) -> None:
    Path("report.json").write_bytes(report(str(world.images[LEGACY].digest)))
    rules = {"reports": [{"file": "report.json"}]}
    world.spec(LEGACY, scan=rules, host=front.host)
    assert_refused(create(), 3, "CVE-2099-0001 bash 5.1-1 (high")
    assert blobs(front, layers_of(world, LEGACY)) == 0

    world.spec(LEGACY, scan={**rules, "waivers": [BORNE]})
    (scan,) = made(world, create())["images"][0]["scans"]

    assert (scan["how"], scan["scanner"]["name"]) == ("report", "other")


def test_a_report_about_another_image_does_not_count(world: World, create: Run) -> None:
    Path("report.json").write_bytes(report(str(world.images[WORKER].digest)))
    world.spec(LEGACY, scan={"reports": [{"file": "report.json"}]})

    assert_refused(create(), 1, "no scan report is about this image", "report.json")


@pytest.mark.parametrize("rules", [{"vex": ["none.json"]}, {"reports": [{"file": "none.json"}]}])
def test_a_missing_file_is_told_before_a_registry_is_asked(
    world: World, create: Run, front: Front, grype: Grype, rules: dict[str, Any]
) -> None:
    grype()
    world.spec(LEGACY, host=front.host, scan=rules)

    assert_refused(create(), 1, "no such file", "none.json")
    assert front.asked("") == []


def test_a_receiver_sees_the_evidence_and_what_is_new_since(
    world: World, create: Run, petra: Run, grype: Grype
) -> None:
    grype(match(severity="Low"))
    attach_sbom(world, LEGACY, spdx(*DEBIAN_PURLS).data, VENDOR)
    world.spec(LEGACY, scan={})
    create()

    inspected = petra("bundle", "inspect", "-f", world.bundle, "--key", f"{OURS}.pub")
    grype(match(severity="Low"), match("CVE-2099-0009", "Critical"))
    scanned = petra("bundle", "scan", "-f", world.bundle, "--key", f"{OURS}.pub", "--fail-on=none")

    assert "scanned by grype 0.110.0, database of" in inspected.out
    assert "1 low" in inspected.out
    key = signer(VENDOR).public_key.fingerprint[:16]
    assert f"SBOM: spdx, signed by key {key}" in inspected.out
    assert scanned.status == 0, scanned.err
    assert "by sbom: 1 critical, 1 low; 1 new" in scanned.out
    assert "new CVE-2099-0009" in scanned.out


def test_members_of_evidence_are_named_by_platform_and_digest_where_two_are_alike(
    world: World, create: Run, grype: Grype
) -> None:
    grype()
    target = world.repository("team/twins:1")
    twins = [
        content.push_image(target, [content.Layer.of({"srv/x": text})]) for text in (b"a", b"b")
    ]
    children = [
        {**one.to_json(), "platform": {"os": "linux", "architecture": "amd64"}} for one in twins
    ]
    index = content.push_document(
        target, "application/vnd.oci.image.index.v1+json", manifests=children
    )
    target.tag(index, "1")
    content.sign_by_tag(target, index, world.reference("team/twins"), signer(VENDOR))
    world.spec("team/twins:1", scan={})

    scans = made(world, create())["images"][0]["scans"]

    assert [one["member"] for one in scans] == [
        f"scan/twins/linux-amd64-{one.digest.hex[:12]}.json" for one in twins
    ]
