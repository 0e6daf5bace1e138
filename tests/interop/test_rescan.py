"""`petra bundle scan` with the real grype: what is known of a bundle by now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import content
from petra.archive.plan import Stored, Text
from petra.archive.sums import checksums
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.scan.model import Severity, Subject
from tests.support import archives
from tests.support.command import Run, assert_refused, names, runner
from tests.support.grype_db import Record, write_database
from tests.support.opened import opened
from tests.support.scans import (
    DEBIAN_PURLS,
    RECORDS,
    debian_layer,
    finding,
    push_debian,
    result,
    spdx,
    statement,
    vex,
)
from tests.support.world import OURS, VENDOR, World, connected_side, signer

if TYPE_CHECKING:
    from collections.abc import Callable

    Tools = Callable[[str], Path]

WEB, WORKER = "debian/web:1.4", "debian/worker:1.4"
NEW = Record("CVE-2099-0099", "critical", "bash", "5.1-9")


@dataclass
class Landing:
    """The other side: a bundle with two Debian images, keys, and databases to scan it with.

    Attributes:
        folder: where all lies.
        bundle: made by create: web for two platforms, worker for one.
        images: the digests, web's by platform.
        run: the command.
    """

    folder: Path
    bundle: Path
    images: dict[str, Digest]
    run: Run

    def scan(self, *arguments: str | Path, bundle: Path | None = None) -> Any:
        """Run ``bundle scan`` on a day on which nothing is too old, unless told otherwise."""
        database = ("--db", self.folder / "db", "--max-db-age", "100000")
        return self.run("bundle", "scan", "-f", bundle or self.bundle, *database, *arguments)

    def database(self, *records: Record, built: datetime | None = None) -> None:
        write_database(self.folder / "db", records, built or datetime.now(UTC))


@pytest.fixture
def landing(
    tools: Tools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Landing:
    for name in ("PETRA_KEY", "PETRA_VERIFY_KEY", "PETRA_CONFIG", "GRYPE_DB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PETRA_GRYPE", str(tools("grype")))
    monkeypatch.setenv("PETRA_HELM", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    run = runner(capsys)
    with connected_side(tmp_path) as world:
        images = _push(world)
        world.spec(WEB, WORKER)
        made = run("bundle", "create", "-f", "bundle.yaml", "--key", f"{OURS}.key")
        assert made.status == 0, made.err
        bundle = world.bundle
    # From here on the registry is gone.
    landing = Landing(tmp_path, bundle, images, run)
    landing.database(*RECORDS)
    return landing


def _push(world: World) -> dict[str, Digest]:
    """Push two signed images: one for two platforms, of which one has a package less; and one."""
    web, worker = world.repository(WEB), world.repository(WORKER)
    less = [debian_layer({"zlib1g": "1.2-1"})]
    platforms = {
        content.AMD64: push_debian(web),
        content.ARM64: push_debian(web, content.ARM64, less),
    }
    index = content.push_index(web, platforms)
    image = push_debian(worker, layers=[debian_layer({"bash": "5.1-1"})])
    for name, target, found in ((WEB, web, index), (WORKER, worker, image)):
        target.tag(found, "1.4")
        content.sign_by_tag(target, found, world.reference(name.partition(":")[0]), signer(VENDOR))
    return {
        "web": index.digest,
        "worker": image.digest,
        **{str(one): found.digest for one, found in platforms.items()},
    }


def findings(image: dict[str, Any]) -> list[str]:
    return sorted(one["id"] for one in image["findings"])


def test_each_platform_is_scanned_out_of_the_bundle(landing: Landing) -> None:
    outcome = landing.scan("--key", "ours.pub", "--fail-on", "none", "--output", "json")

    assert outcome.status == 0, outcome.err
    amd64, arm64, worker = outcome.json["images"]
    assert findings(amd64) == ["CVE-2099-0001", "CVE-2099-0002", "CVE-2099-0004"]
    assert findings(arm64) == ["CVE-2099-0004"]
    assert findings(worker) == ["CVE-2099-0001", "CVE-2099-0002"]
    assert [one["digest"] for one in (amd64, arm64, worker)] == [
        landing.images["linux/amd64"],
        landing.images["linux/arm64"],
        landing.images["worker"],
    ]
    assert [one["platform"] for one in (amd64, arm64)] == ["linux/amd64", "linux/arm64"]
    assert amd64["index"] == landing.images["web"]
    assert {one["how"] for one in (amd64, arm64, worker)} == {"image"}
    assert outcome.json["verified"] is True
    assert outcome.json["allowed"] is None
    assert outcome.json["scanner"]["name"] == "grype"
    assert amd64["new"] is None


def test_findings_to_stop_at_are_refused_one_by_one(landing: Landing) -> None:
    before = names(landing.folder)

    outcome = landing.scan("--key", "ours.pub")

    assert outcome.status == 3
    assert "2 vulnerabilities that the scan gate does not let pass" in outcome.err
    assert "CVE-2099-0001 bash 5.1-1 (high; fixed in 5.1-2)" in outcome.err
    assert "CVE-2099-0002" not in outcome.err
    assert "CVE-2099-0002 bash 5.1-1 (medium; no fix yet)" in outcome.out
    assert "UNVERIFIED" not in outcome.out
    assert names(landing.folder) == before


def test_programs_get_the_findings_and_the_error_in_one_document(landing: Landing) -> None:
    outcome = landing.scan("--output", "json")

    assert outcome.status == 3
    assert outcome.json["verified"] is False
    assert outcome.json["allowed"] is False
    assert outcome.json["error"]["code"] == "POLICY"
    verdicts = [image["verdict"] for image in outcome.json["images"]]
    assert [verdict["status"] for verdict in verdicts] == ["refused", "allowed", "refused"]
    assert [one["id"] for one in verdicts[0]["refused"]] == ["CVE-2099-0001"]


def test_a_bundle_in_gzip_is_read_in_place_too(landing: Landing) -> None:
    plain = opened(landing.bundle)
    head = [one for one in plain.names if not one.startswith("blobs/")]
    texts = [Text(name, plain.files[name]) for name in head]
    blobs = [
        Stored(name, Descriptor.of("application/octet-stream", data), archives.Fixed(data), "image")
        for name, data in plain.files.items()
        if name.startswith("blobs/")
    ]
    path = landing.bundle.with_name("shop-1.4.0.tar.gz")
    archives.write(path, [*texts, *blobs], form="tar.gz")

    outcome = landing.scan("--fail-on", "none", "--output", "json", bundle=path)

    assert outcome.status == 0, outcome.err
    assert findings(outcome.json["images"][2]) == ["CVE-2099-0001", "CVE-2099-0002"]


def test_without_a_key_it_says_so_first(landing: Landing) -> None:
    outcome = landing.scan("--fail-on", "critical")

    assert outcome.status == 0
    assert outcome.out.startswith("UNVERIFIED")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--fail-on", "medium", "--fixable-only"), 3),
        (("--fail-on", "critical"), 0),
        (("--fail-on", "high", "--grace", "3650"), 0),
        (("--fail-on", "high", "--grace", "0"), 3),
    ],
)
def test_the_gate_is_the_callers(landing: Landing, options: tuple[str, ...], status: int) -> None:
    assert landing.scan(*options).status == status


def test_openvex_documents_waive(landing: Landing) -> None:
    web = statement({"hashes": {"sha-256": landing.images["web"].hex}})
    worker = statement(
        {"@id": f"pkg:oci/worker@{landing.images['worker']}", "subcomponents": [bash()]}
    )
    stale = statement(vulnerability={"name": "CVE-2000-0001"})
    Path("web.vex.json").write_bytes(vex(web))
    Path("worker.vex.json").write_bytes(vex(worker, stale, **{"@id": "https://example.com/2"}))

    assert landing.scan("--vex", "web.vex.json").status == 3
    outcome = landing.scan("--vex", "web.vex.json", "--vex", "worker.vex.json")

    assert outcome.status == 0, outcome.err
    assert "waived: vulnerable_code_not_in_execute_path (OpenVEX by security@" in outcome.out
    assert "a waiver is about nothing here: worker.vex.json: CVE-2000-0001" in outcome.err


def bash() -> dict[str, str]:
    return {"@id": "pkg:deb/debian/bash@5.1-1"}


def test_a_bad_openvex_document_is_refused(landing: Landing) -> None:
    Path("bad.json").write_bytes(vex(statement(justification=None)))

    assert_refused(landing.scan("--vex", "bad.json"), 2, "bad.json", "without a justification")


def test_a_database_that_is_too_old_is_refused(landing: Landing) -> None:
    landing.database(*RECORDS, built=datetime.now(UTC) - timedelta(days=6))
    scan = ("bundle", "scan", "-f", landing.bundle, "--db", landing.folder / "db")

    assert_refused(landing.run(*scan), 3, "too old", "at most 5 days", "6 days ago")
    assert landing.run(*scan, "--max-db-age", "7", "--fail-on", "none").status == 0


def test_no_database_and_no_scanner_are_told(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = landing.run("bundle", "scan", "-f", landing.bundle, "--db", "none")
    assert_refused(missing, 1, "database does not exist", "grype db update")

    monkeypatch.setenv("PETRA_GRYPE", "")
    assert_refused(landing.scan(), 1, "there is no scanner", "install grype")


def test_a_bundle_of_another_sender_is_not_scanned(landing: Landing) -> None:
    assert_refused(landing.scan("--key", "stranger.pub"), 3, landing.bundle.name)


def with_evidence(
    bundle: Path, texts: dict[str, bytes], sboms: dict[str, list[dict[str, object]]]
) -> Path:
    """Write the bundle anew, unsigned, with further members that its metadata name."""
    old = opened(bundle)
    content: list[Text | Stored] = []
    for name, data in {**old.files, **texts}.items():
        if name.startswith("blobs/"):
            descriptor = Descriptor.of("application/octet-stream", data)
            content.append(Stored(name, descriptor, archives.Fixed(data), "image"))
        elif name not in ("metadata.json", "SHA256SUMS"):
            content.append(Text(name, data))
    content.sort(key=lambda one: one.name.startswith("blobs/"))
    content.sort(key=lambda one: _place(one.name))
    metadata = {**old.metadata, "members": [_listed(one) for one in content]}
    for image in metadata["images"]:
        image["sboms"] = sboms.get(image["name"], [])
    head = Text("metadata.json", json.dumps(metadata).encode())
    whole = [*content[:2], head, *content[2:]]
    sums = checksums((one.name, one.digest) for one in whole)
    path = bundle.with_name("evidence-1.0.tar.zst")
    archives.write(path, [*whole[:5], Text("SHA256SUMS", sums), *whole[5:]])
    return path


def _place(name: str) -> int:
    head = ("oci-layout", "index.json", "bundle.yaml", "bundle.lock.yaml")
    folders = ("charts/", "platform/", "sbom/", "scan/", "attestations/", "blobs/")
    if name in head:
        return head.index(name)
    return next(10 + place for place, one in enumerate(folders) if name.startswith(one))


def _listed(one: Text | Stored) -> dict[str, object]:
    return {"name": one.name, "size": one.size, "digest": one.digest}


def evidence(member: str, data: bytes, subject: Digest | None = None) -> dict[str, object]:
    found: dict[str, object] = {"format": "spdx", "member": member, "digest": str(Digest.of(data))}
    found["generated"] = {"name": "syft", "version": "1.0.0"}
    return found | ({"subject": str(subject)} if subject else {})


def test_sboms_in_the_bundle_spare_the_layers(landing: Landing) -> None:
    amd64, arm64, worker = (
        spdx(*DEBIAN_PURLS).data,
        spdx(DEBIAN_PURLS[1]).data,
        spdx(DEBIAN_PURLS[0]).data,
    )
    members = {"sbom/a.json": amd64, "sbom/b.json": arm64, "sbom/c.json": worker}
    sboms = {
        "web": [
            evidence("sbom/a.json", amd64, landing.images["linux/amd64"]),
            evidence("sbom/b.json", arm64, landing.images["linux/arm64"]),
        ],
        "worker": [evidence("sbom/c.json", worker)],
    }
    bundle = with_evidence(landing.bundle, members, sboms)

    outcome = landing.scan("--sbom-only", "--fail-on", "none", "--output", "json", bundle=bundle)

    assert outcome.status == 0, outcome.err
    images = outcome.json["images"]
    assert [findings(image) for image in images] == [
        ["CVE-2099-0001", "CVE-2099-0002", "CVE-2099-0004"],
        ["CVE-2099-0004"],
        ["CVE-2099-0001", "CVE-2099-0002"],
    ]
    assert {image["how"] for image in images} == {"sbom"}


def test_an_sbom_of_the_index_is_not_one_of_its_platforms(landing: Landing) -> None:
    """It may list the packages of one of them only; the layers say more."""
    data = spdx(DEBIAN_PURLS[1]).data
    sboms = {"web": [evidence("sbom/a.json", data)]}
    bundle = with_evidence(landing.bundle, {"sbom/a.json": data}, sboms)

    outcome = landing.scan("--fail-on", "none", "--output", "json", bundle=bundle)

    assert [image["how"] for image in outcome.json["images"]] == ["image"] * 3
    assert_refused(
        landing.scan("--sbom-only", bundle=bundle), 1, "nothing to scan", "debian/web:1.4"
    )


def test_an_sbom_that_is_unfit_is_passed_over(landing: Landing) -> None:
    data = spdx("pkg:deb/debian/bash@5.1-1").data
    sboms = {"worker": [evidence("sbom/c.json", data)]}
    bundle = with_evidence(landing.bundle, {"sbom/c.json": data}, sboms)

    outcome = landing.scan("--fail-on", "none", bundle=bundle)

    assert outcome.status == 0
    assert "note: sbom/c.json was passed over: an SBOM does not say" in outcome.out


def test_what_was_not_known_when_the_bundle_was_made_is_new(landing: Landing) -> None:
    known = finding("CVE-2099-0001", severity=Severity.HIGH, type="deb", purl=DEBIAN_PURLS[0])
    recorded = result(known, subject=Subject("x", landing.images["worker"]))
    members = {"scan/worker.json": recorded.dump(), "scan/worker.raw.json": b'{"matches": []}'}
    bundle = with_evidence(landing.bundle, members, {})
    landing.database(RECORDS[0], NEW)

    outcome = landing.scan("--fail-on", "none", "--output", "json", bundle=bundle)
    text = landing.scan("--fail-on", "none", bundle=bundle).out

    worker = outcome.json["images"][2]
    assert findings(worker) == ["CVE-2099-0001", "CVE-2099-0099"]
    assert [one["id"] for one in worker["new"]] == ["CVE-2099-0099"]
    assert outcome.json["images"][0]["new"] is None
    assert "new CVE-2099-0099 bash 5.1-1 (critical; fixed in 5.1-9)" in text
    assert "new CVE-2099-0001" not in text
    assert "1 critical, 1 high; 1 new" in text
