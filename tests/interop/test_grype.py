"""The real grype and syft, offline, on a small database: what they find is what we read."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from demo import content
from petra.content.digest import Digest
from petra.errors import FormatError, ToolError
from petra.oci import media_types
from petra.oci.layout import LayoutTarget
from petra.oci.memory import MemoryTarget
from petra.scan.grype import GrypeScanner
from petra.scan.layouts import as_layout
from petra.scan.model import FixState, Severity, Subject
from petra.scan.report import Report, ReportScanner
from petra.scan.sbom import Sbom
from petra.scan.scanner import LayoutImage, RegistryImage, ScanJob, scan_job
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer
from tests.support.grype_db import WOLFI, Record
from tests.support.scans import DEBIAN_PURLS, NOW, cyclonedx, push_debian, small_database, spdx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.scan.model import Finding, ScanResult

    Tools = Callable[[str], Path]

#: What the small database says of the Debian image: id, package, severity, state of the fix.
EXPECTED = [
    ("CVE-2099-0001", "bash", Severity.HIGH, FixState.FIXED, ("5.1-2",)),
    ("CVE-2099-0002", "bash", Severity.MEDIUM, FixState.NOT_FIXED, ()),
    ("CVE-2099-0004", "zlib1g", Severity.LOW, FixState.WONT_FIX, ()),
]


def told(findings: tuple[Finding, ...]) -> list[object]:
    return [(f.id, f.package, f.severity, f.fix_state, f.fix_versions) for f in findings]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("grype"))


@pytest.fixture
def grype(tools: Tools, database: Path) -> GrypeScanner:
    return GrypeScanner(database, program=tools("grype"), now=NOW)


@pytest.fixture
def image(tmp_path: Path) -> tuple[Subject, LayoutImage]:
    """A Debian image in a layout of its own."""
    target = LayoutTarget(tmp_path / "layout")
    descriptor = push_debian(target)
    target.tag(descriptor, "web:1.4")
    subject = Subject("cgr.dev/team/web:1.4", descriptor.digest, "linux/amd64")
    return subject, LayoutImage(tmp_path / "layout")


def syft(tools: Tools, image: LayoutImage, form: str) -> Sbom:
    """Return the SBOM that syft makes of an image."""
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    command = [str(tools("syft")), "scan", f"oci-dir:{image.path}", "-q", "-o", form]
    made = subprocess.run(command, check=True, capture_output=True, env=environment, timeout=60)
    return Sbom(made.stdout, f"web.{form}")


@pytest.mark.parametrize("form", ["spdx-json", "cyclonedx-json@1.6", "syft-json"])
def test_syfts_sboms_give_exactly_what_the_database_says(
    tools: Tools, grype: GrypeScanner, image: tuple[Subject, LayoutImage], form: str
) -> None:
    subject, layout = image

    result = grype.scan_sbom(subject, syft(tools, layout, form))

    assert told(result.findings) == EXPECTED
    assert result.how == "sbom"
    assert result.findings[0].purl == DEBIAN_PURLS[0]
    assert result.findings[0].version == "5.1-1"
    assert result.findings[0].type == "deb"


def test_layers_give_the_same_and_say_where(
    grype: GrypeScanner, image: tuple[Subject, LayoutImage]
) -> None:
    result = grype.scan_image(*image)

    assert told(result.findings) == EXPECTED
    assert result.how == "image"
    assert result.findings[0].locations == ("/var/lib/dpkg/status",)


@pytest.mark.parametrize(
    "sbom", [spdx(*DEBIAN_PURLS), cyclonedx(*DEBIAN_PURLS)], ids=["spdx", "cyclonedx"]
)
def test_sboms_made_by_hand_give_the_same(grype: GrypeScanner, sbom: Sbom) -> None:
    result = grype.scan_sbom(Subject("web:1", Digest.of(b"")), sbom)

    assert told(result.findings) == EXPECTED
    assert result == grype.scan_sbom(Subject("web:1", Digest.of(b"")), sbom)


def test_wolfi_and_go_are_found_by_their_urls(tools: Tools, tmp_path: Path) -> None:
    records = (
        Record("CVE-2099-0010", "critical", "openssl", "3.5.0-r9", WOLFI),
        Record("GHSA-aaaa-bbbb-cccc", "high", "example.com/mod", "1.2.0", None),
    )
    scanner = GrypeScanner(small_database(tmp_path, *records), program=tools("grype"), now=NOW)
    purls = [WOLFI.purl("openssl", "3.5.0-r1"), "pkg:golang/example.com/mod@v1.1.0"]

    result = scanner.scan_sbom(Subject("web:1", Digest.of(b"")), spdx(*purls))

    assert [one.id for one in result.findings] == ["CVE-2099-0010", "GHSA-aaaa-bbbb-cccc"]
    assert [one.type for one in result.findings] == ["apk", "go-module"]


def test_the_scanner_and_its_database_are_named(grype: GrypeScanner) -> None:
    info = grype.describe()

    assert info.name == "grype"
    assert info.version.lstrip("v")[0].isdigit()
    assert info.database is not None
    assert info.database.built == datetime(2026, 11, 20, tzinfo=UTC)
    assert info.database.schema.startswith("v6.")


def test_dates_of_publication_come_on_request(tools: Tools, database: Path) -> None:
    scanner = GrypeScanner(database, program=tools("grype"), now=NOW, dates=True)

    result = scanner.scan_sbom(Subject("web:1", Digest.of(b"")), spdx(*DEBIAN_PURLS))

    dates = {one.id: one.published for one in result.findings}
    assert dates["CVE-2099-0001"] == datetime(2026, 11, 20, tzinfo=UTC)
    assert dates["CVE-2099-0002"] == datetime(2026, 10, 1, tzinfo=UTC)


def test_of_packages_without_a_distribution_grype_finds_nothing(
    tools: Tools, grype: GrypeScanner, database: Path, tmp_path: Path
) -> None:
    """Why we refuse such an SBOM: grype ends well, and has looked nothing up."""
    bare = spdx(*(purl.partition("&distro")[0] for purl in DEBIAN_PURLS))
    (tmp_path / "bare.json").write_bytes(bare.data)
    made = reported(tools, database, f"sbom:{tmp_path / 'bare.json'}", "json")

    assert made.startswith(b'{"matches":[],')
    with pytest.raises(FormatError, match="of which distribution"):
        grype.scan_sbom(Subject("web:1", Digest.of(b"")), bare)


def test_what_grype_cannot_read_falls_to_the_layers(
    tools: Tools, grype: GrypeScanner, image: tuple[Subject, LayoutImage]
) -> None:
    subject, layout = image
    newest = syft(tools, layout, "cyclonedx-json@1.7")
    with pytest.raises(ToolError, match="sbom format not recognized"):
        grype.scan_sbom(subject, newest)

    result = scan_job(grype, ScanJob(subject, (newest,), lambda: nullcontext(layout)))

    assert result.how == "image"
    assert told(result.findings) == EXPECTED
    assert result.notes == ("web.cyclonedx-json@1.7 was passed over: grype cannot scan it",)


def test_a_missing_database_is_told(tools: Tools, tmp_path: Path) -> None:
    scanner = GrypeScanner(tmp_path / "none", program=tools("grype"), now=NOW)

    with pytest.raises(ToolError, match="cannot be used") as caught:
        scanner.describe()

    assert "does not exist" in str(caught.value.found)
    assert not (tmp_path / "none").exists()


def test_a_damaged_database_is_told(tools: Tools, tmp_path: Path) -> None:
    path = small_database(tmp_path) / "6" / "vulnerability.db"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)

    with pytest.raises(ToolError, match="bad db checksum"):
        GrypeScanner(tmp_path, program=tools("grype"), now=NOW).describe()


def test_scans_leave_nothing_behind(
    tools: Tools,
    tmp_path: Path,
    image: tuple[Subject, LayoutImage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache, scratch, home = (tmp_path / name for name in ("cache", "scratch", "home"))
    small_database(cache)
    scratch.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = sorted(cache.rglob("*"))

    GrypeScanner(cache, program=tools("grype"), now=NOW, dates=True).scan_image(*image)

    assert sorted(cache.rglob("*")) == before
    assert [*scratch.iterdir(), *home.iterdir()] == []


def test_it_works_with_the_network_cut(tools: Tools, database: Path) -> None:
    """In a network namespace of its own, where there is not even loopback."""
    unshare = shutil.which("unshare")
    if not unshare or os.geteuid() != 0:
        pytest.skip("cutting the network needs root and unshare")
    program = database / "cut"
    program.write_text(f'#!/bin/sh\nexec {unshare} --net {tools("grype")} "$@"\n')
    program.chmod(0o755)
    scanner = GrypeScanner(database, program=program, now=NOW)

    result = scanner.scan_sbom(Subject("web:1", Digest.of(b"")), spdx(*DEBIAN_PURLS))

    assert told(result.findings) == EXPECTED


@pytest.mark.parametrize("docker", [False, True])
def test_an_image_elsewhere_is_read_from_a_layout_that_goes_again(
    grype: GrypeScanner,
    docker: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = MemoryTarget()
    found = push_debian(source)
    if docker:
        found = as_docker(source, found)
    subject = Subject("cgr.dev/team/web:1.4", found.digest, "linux/amd64")

    result = scan_job(grype, ScanJob(subject, image=lambda: as_layout(source, found)))

    assert told(result.findings) == EXPECTED
    assert [*tmp_path.iterdir()] == []


def as_docker(target: MemoryTarget, image: Descriptor) -> Descriptor:
    """Push the same image in Docker's media types."""
    text = target.fetch(image).read().decode()
    for old, new in (
        (media_types.OCI_MANIFEST, media_types.DOCKER_MANIFEST),
        (media_types.OCI_CONFIG, media_types.DOCKER_CONFIG),
        (media_types.OCI_LAYER_GZIP, media_types.DOCKER_LAYER_GZIP),
    ):
        text = text.replace(old, new)
    return content.push(target, media_types.DOCKER_MANIFEST, text.encode())


@pytest.fixture
def served() -> Iterator[tuple[str, Descriptor, dict[str, Descriptor]]]:
    """A registry on loopback with an index of two platforms."""
    repositories = MemoryRepositories()
    target = repositories.create("team/web")
    platforms = {one: push_debian(target, one) for one in (content.AMD64, content.ARM64)}
    index = content.push_index(target, platforms)
    with BundleServer("127.0.0.1", 0, repositories) as server:
        yield server.host, index, {str(one): found for one, found in platforms.items()}


def test_an_image_is_read_from_a_registry_on_loopback(
    grype: GrypeScanner, served: tuple[str, Descriptor, dict[str, Descriptor]]
) -> None:
    host, _, platforms = served
    for platform, found in platforms.items():
        subject = Subject("cgr.dev/team/web:1.4", found.digest, platform)
        result = grype.scan_image(subject, RegistryImage(host, "team/web", found.digest))
        assert told(result.findings) == EXPECTED


def reported(tools: Tools, database: Path, target: str, form: str) -> bytes:
    """Return the report that grype writes of a target."""
    environment = {
        **os.environ,
        "GRYPE_DB_CACHE_DIR": str(database),
        "GRYPE_DB_AUTO_UPDATE": "false",
        "GRYPE_DB_VALIDATE_AGE": "false",
        "GRYPE_CHECK_FOR_APP_UPDATE": "false",
        "GRYPE_REGISTRY_INSECURE_USE_HTTP": "true",
    }
    command = [str(tools("grype")), target, "-q", "-o", form]
    made = subprocess.run(command, check=True, capture_output=True, env=environment, timeout=60)
    return made.stdout


FORMS = ["sarif", "cyclonedx-json"]


def same(report: ScanResult, scan: ScanResult) -> None:
    """Check that a report says what a scan found, as far as its format goes."""
    assert [(f.id, f.package, f.version, f.purl, f.severity) for f in report.findings] == [
        (f.id, f.package, f.version, f.purl, f.severity) for f in scan.findings
    ]


@pytest.mark.parametrize("form", FORMS)
def test_grypes_own_reports_are_read(
    tools: Tools,
    grype: GrypeScanner,
    database: Path,
    served: tuple[str, Descriptor, dict[str, Descriptor]],
    form: str,
) -> None:
    host, _, platforms = served
    digest = platforms["linux/arm64"].digest
    subject = Subject("cgr.dev/team/web:1.4", digest, "linux/arm64")
    data = reported(tools, database, f"registry:{host}/team/web@{digest}", form)

    result = ReportScanner([Report(data, f"web.{form}")], now=NOW).result(subject)

    same(result, grype.scan_image(subject, RegistryImage(host, "team/web", digest)))
    assert result.scanner.name == "grype"
    if form == "sarif":
        assert told(result.findings)[0] == EXPECTED[0]
        assert result.findings[0].type == "deb"


@pytest.mark.parametrize("form", FORMS)
def test_a_report_by_the_index_is_about_one_platform_only(
    tools: Tools,
    database: Path,
    served: tuple[str, Descriptor, dict[str, Descriptor]],
    form: str,
) -> None:
    """Grype calls it by the index's digest, though it read one platform: which, it does not say."""
    host, index, platforms = served
    data = reported(tools, database, f"registry:{host}/team/web@{index.digest}", form)
    digest = platforms["linux/arm64"].digest
    subject = Subject("cgr.dev/team/web:1.4", digest, "linux/arm64", index.digest)
    scanner = ReportScanner([Report(data, f"web.{form}")], now=NOW)

    with pytest.raises(Exception, match="no scan report is about this image"):
        scanner.result(subject)
    assert told(scanner.result(replace(subject, sole=True)).findings)


@pytest.mark.parametrize("form", FORMS)
def test_reports_of_layouts_and_sboms_are_taken_on_the_users_word(
    tools: Tools, database: Path, image: tuple[Subject, LayoutImage], form: str
) -> None:
    subject, layout = image
    data = reported(tools, database, f"oci-dir:{layout.path}", form)
    given = Report(data, f"web.{form}", image=subject.reference)

    result = ReportScanner([given], now=NOW).result(subject)

    assert [one.id for one in result.findings] == [name for name, *_ in EXPECTED]


@pytest.mark.parametrize("form", FORMS)
def test_a_clean_report_is_read_as_clean(tools: Tools, database: Path, form: str) -> None:
    sbom = database / "clean.json"
    sbom.write_bytes(spdx("pkg:deb/debian/zsh@5.9?distro=debian-12").data)
    subject = Subject("cgr.dev/team/web:1.4", Digest.of(b""))
    data = reported(tools, database, f"sbom:{sbom}", form)

    result = ReportScanner([Report(data, "clean", image=subject.reference)], now=NOW)

    assert result.result(subject).findings == ()
