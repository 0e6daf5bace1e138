"""What scan tests are made of: findings, SBOMs, OpenVEX documents, images with packages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from demo import content
from petra.content.digest import Digest
from petra.scan.model import Database, Finding, FixState, ScannerInfo, ScanResult, Severity, Subject
from petra.scan.sbom import Sbom
from tests.support.grype_db import DEBIAN, Record, write_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from petra.content.descriptor import Descriptor, Platform
    from petra.content.protocols import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DIGEST = Digest.of(b"the platform's manifest")
INDEX = Digest.of(b"the index")
STRANGE = Digest.of(b"something else")
REFERENCE = f"cgr.dev/team/web:1.4@{INDEX}"
SUBJECT = Subject(REFERENCE, DIGEST, "linux/amd64", INDEX)
BASH = "pkg:deb/debian/bash@5.1-1?arch=amd64&distro=debian-12"
SCANNER = ScannerInfo("grype", "v0.110.0", Database(NOW - DAY, "v6.1.4"))


def finding(name: str = "CVE-2099-0001", **more: Any) -> Finding:
    """Return a finding: high, of bash, with a fix, unless `more` says otherwise."""
    values = {
        "package": "bash",
        "version": "5.1-1",
        "type": "deb",
        "purl": BASH,
        "severity": Severity.HIGH,
        "fix_state": FixState.FIXED,
        "fix_versions": ("5.1-2",),
        "source": "debian:distro:debian:12",
    }
    return Finding(name, **{**values, **more})


def result(*findings: Finding, subject: Subject = SUBJECT) -> ScanResult:
    """Return the result of a scan by SBOM."""
    return ScanResult(subject, SCANNER, "sbom", NOW, findings)


def vex(*statements: Mapping[str, Any], **more: Any) -> bytes:
    """Return an OpenVEX document of `statements`."""
    document = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://openvex.dev/docs/example/vex-1",
        "author": "security@example.com",
        "timestamp": "2026-11-01T00:00:00Z",
        "version": 1,
        "statements": statements,
    }
    return json.dumps({**document, **more}).encode()


def statement(product: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a statement: CVE-2099-0001 does not affect the subject, unless told otherwise."""
    values: dict[str, Any] = {
        "vulnerability": {"name": "CVE-2099-0001"},
        "products": [product or {"hashes": {"sha-256": DIGEST.hex}}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
    }
    return {key: value for key, value in {**values, **more}.items() if value is not None}


def spdx(*purls: str, **more: Any) -> Sbom:
    """Return an SPDX SBOM of packages by their package URLs."""
    packages = [
        {
            "SPDXID": f"SPDXRef-{number}",
            "name": _name(purl),
            "versionInfo": _version(purl),
            "downloadLocation": "NONE",
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": purl,
                }
            ],
        }
        for number, purl in enumerate(purls)
    ]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "made up",
        "documentNamespace": "https://example.com/made-up",
        "creationInfo": {"created": "2026-11-01T00:00:00Z", "creators": ["Tool: tests"]},
        "packages": packages,
    }
    return Sbom(json.dumps({**document, **more}).encode(), "web.spdx.json")


def cyclonedx(*purls: str, version: str = "1.6", system: str = "", **more: Any) -> Sbom:
    """Return a CycloneDX SBOM of packages, of a `system` such as ``debian 12`` if given."""
    components: list[dict[str, Any]] = [
        {
            "type": "library",
            "bom-ref": f"part-{number}",
            "name": _name(purl),
            "version": _version(purl),
            "purl": purl,
        }
        for number, purl in enumerate(purls)
    ]
    if system:
        name, _, number = system.partition(" ")
        components.append({"type": "operating-system", "name": name, "version": number})
    document = {"bomFormat": "CycloneDX", "specVersion": version, "version": 1}
    whole = {**document, "components": components, **more}
    return Sbom(json.dumps(whole).encode(), "web.cdx.json")


def _name(purl: str) -> str:
    path = purl.partition("@")[0]
    return path.removeprefix("pkg:golang/") if "golang" in path else path.rpartition("/")[2]


def _version(purl: str) -> str:
    return purl.partition("@")[2].partition("?")[0]


#: Findings that the database of :func:`small_database` gives for a Debian image with these.
PACKAGES = {"bash": "5.1-1", "zlib1g": "1.2-1"}
RECORDS = (
    Record("CVE-2099-0001", "high", "bash", "5.1-2", published=datetime(2026, 11, 20, tzinfo=UTC)),
    Record("CVE-2099-0002", "medium", "bash", published=datetime(2026, 10, 1, tzinfo=UTC)),
    Record("CVE-2099-0003", "critical", "bash", "5.0-9"),  # fixed before ours
    Record("CVE-2099-0004", "low", "zlib1g", state="wont-fix"),
)
DEBIAN_PURLS = tuple(DEBIAN.purl(*pair, "amd64") for pair in PACKAGES.items())


def small_database(
    cache: Path, *more: Record, built: datetime = datetime(2026, 11, 20, tzinfo=UTC)
) -> Path:
    """Write a database of RECORDS and `more`; return its folder."""
    return write_database(cache, [*RECORDS, *more], built)


def debian_layer(packages: Mapping[str, str] | None = None) -> content.Layer:
    """Return a layer that says which Debian packages are installed."""
    release = {"ID": "debian", "VERSION_ID": "12", "NAME": "Debian", "PRETTY_NAME": "Debian 12"}
    status = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n"
        f"Maintainer: Nobody <nobody@example.com>\nVersion: {version}\nDescription: made up\n"
        for name, version in (PACKAGES if packages is None else packages).items()
    )
    lines = "".join(f'{key}="{value}"\n' for key, value in release.items())
    return content.Layer.of(
        {"etc/os-release": lines.encode(), "var/lib/dpkg/status": status.encode()}
    )


def push_debian(
    target: Target, platform: Platform = content.AMD64, layers: Sequence[content.Layer] = ()
) -> Descriptor:
    """Push an image with Debian packages; return its manifest's descriptor."""
    return content.push_image(target, layers or [debian_layer()], platform)
