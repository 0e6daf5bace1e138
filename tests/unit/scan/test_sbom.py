from __future__ import annotations

import json

import pytest

from petra.errors import FormatError
from petra.scan.sbom import Sbom, check_sbom
from tests.support.scans import BASH, cyclonedx, spdx

GO = "pkg:golang/example.com/mod@v1.0.0"
HOMELESS = "pkg:deb/debian/bash@5.1-1?arch=amd64"
IMAGE = "pkg:oci/web@sha256%3Aab"


def syft(distribution: str, *purls: str) -> Sbom:
    artifacts = [{"name": "x", "purl": purl} for purl in purls]
    value = {"artifacts": artifacts, "distro": {"id": distribution}, "schema": {"version": "16"}}
    return Sbom(json.dumps(value).encode(), "web.syft.json")


@pytest.mark.parametrize(
    "sbom",
    [
        spdx(BASH, GO),
        cyclonedx(BASH, GO),
        cyclonedx(HOMELESS, GO, system="debian 12"),
        syft("debian", HOMELESS, GO),
        syft("", BASH, GO),
    ],
)
def test_fit_ones_are_counted(sbom: Sbom) -> None:
    assert check_sbom(sbom) == 2


def test_parts_of_parts_count() -> None:
    inner = {"type": "library", "name": "mod", "purl": GO}
    whole = {"bomFormat": "CycloneDX", "components": [{"type": "file", "components": [inner]}]}

    assert check_sbom(Sbom(json.dumps(whole).encode(), "x")) == 1


@pytest.mark.parametrize(
    "sbom",
    [
        spdx(HOMELESS),
        spdx(BASH, HOMELESS),  # one that has a home does not give the other one
        cyclonedx(HOMELESS),
        syft("", HOMELESS),
        spdx("pkg:rpm/redhat/bash@1?distro="),
    ],
)
def test_packages_without_their_distribution_would_be_passed_over(sbom: Sbom) -> None:
    with pytest.raises(FormatError, match="of which distribution") as caught:
        check_sbom(sbom)

    assert "package bash" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("sbom", [spdx(), spdx(IMAGE), cyclonedx(), syft("debian"), spdx("bash")])
def test_one_without_packages_is_unfit(sbom: Sbom) -> None:
    with pytest.raises(FormatError, match="without a package"):
        check_sbom(sbom)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{}", "not an SBOM"),
        (b"[]", "not a usable SBOM"),
        (b"<bom/>", "not JSON"),
        (b'{"bomFormat": "CycloneDX", "components": {}}', "not a usable components"),
        (b'{"spdxVersion": "SPDX-2.3", "spdxVersion": "SPDX-2.3"}', "stands twice"),
    ],
)
def test_what_is_none_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        check_sbom(Sbom(data, "web.json"))
