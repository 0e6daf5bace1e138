from __future__ import annotations

import pytest

from petra.scan.purl import Purl, parse_purl


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12",
            Purl(
                "deb",
                "bash",
                "debian",
                "5.2.15-2+b2",
                {"arch": "amd64", "distro": "debian-12"},
            ),
        ),
        ("pkg:npm/%40angular/core@1.0", Purl("npm", "core", "@angular", "1.0")),
        ("pkg:npm/@angular/core", Purl("npm", "core", "@angular")),
        (
            "pkg:golang/example.com/A/b@v1.2#sub/dir",
            Purl("golang", "b", "example.com/A", "v1.2", {}, "sub/dir"),
        ),
        ("PKG:PyPI/Foo_Bar@1", Purl("pypi", "foo-bar", "", "1")),
        ("pkg:oci/Web@sha256%3Aab?tag=", Purl("oci", "web", "", "sha256:ab")),
        ("pkg://apk/wolfi/git", Purl("apk", "git", "wolfi")),
    ],
)
def test_package_urls_are_read(text: str, expected: Purl) -> None:
    assert parse_purl(text) == expected


@pytest.mark.parametrize(
    "text", ["", "bash", "https://example.com/x", "pkg:", "pkg:deb", "pkg:deb/"]
)
def test_what_is_no_package_url_is_none(text: str) -> None:
    assert parse_purl(text) is None


WHOLE = "pkg:deb/debian/bash@5.1?arch=amd64&distro=debian-12#doc"


@pytest.mark.parametrize(
    ("said", "covers"),
    [
        (WHOLE, True),
        ("pkg:deb/debian/bash", True),
        ("pkg:deb/debian/bash@5.1", True),
        ("pkg:deb/debian/bash?arch=amd64", True),
        ("pkg:apk/debian/bash@5.1", False),
        ("pkg:deb/ubuntu/bash@5.1", False),
        ("pkg:deb/debian/dash@5.1", False),
        ("pkg:deb/debian/bash@5.2", False),
        ("pkg:deb/debian/bash@5.1?arch=arm64", False),
        ("pkg:deb/debian/bash@5.1?epoch=1", False),
        ("pkg:deb/debian/bash@5.1#src", False),
    ],
)
def test_what_is_said_of_a_package_goes_as_far_as_its_url(said: str, covers: bool) -> None:  # noqa: FBT001
    one, other = parse_purl(said), parse_purl(WHOLE)
    assert one is not None
    assert other is not None

    assert one.covers(other) is covers


def test_a_version_is_not_covered_by_one_that_has_none() -> None:
    versioned, bare = parse_purl(WHOLE), parse_purl("pkg:deb/debian/bash")
    assert versioned is not None
    assert bare is not None

    assert not versioned.covers(bare)
