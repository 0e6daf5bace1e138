from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from petra.errors import DocumentError
from petra.scan.openvex import load_openvex
from petra.scan.waivers import Waivers
from tests.support.scans import (
    BASH,
    DIGEST,
    INDEX,
    NOW,
    STRANGE,
    SUBJECT,
    finding,
    statement,
    vex,
)

if TYPE_CHECKING:
    from petra.scan.model import Finding, Subject
    from petra.scan.waivers import Waived


def waived(
    *documents: bytes, one: Finding | None = None, subject: Subject = SUBJECT
) -> Waived | None:
    loaded = [load_openvex(data, where=f"{n}.json") for n, data in enumerate(documents)]
    return Waivers(documents=loaded).decide(one or finding(), subject, NOW).waived


def oci(tail: str) -> dict[str, str]:
    return {"@id": f"pkg:oci/web{tail}"}


PRODUCTS: list[tuple[dict[str, Any], bool]] = [
    ({"hashes": {"sha-256": DIGEST.hex}}, True),
    ({"hashes": {"sha-256": DIGEST.hex.upper()}}, True),
    ({"hashes": {"sha-256": INDEX.hex}}, True),
    ({"hashes": {"sha-256": STRANGE.hex}}, False),
    ({"hashes": {"sha-512": DIGEST.hex}, "@id": "https://example.com/web"}, False),
    ({"@id": f"cgr.dev/team/web@{DIGEST}"}, True),
    ({"@id": f"cgr.dev/team/worker@{DIGEST}"}, False),
    ({"@id": "cgr.dev/team/web:1.4"}, False),  # a tag is no identity
    (oci(""), True),
    (oci(f"@{DIGEST}"), True),
    (oci(f"@sha256%3A{INDEX.hex}"), True),
    (oci(f"@{STRANGE}"), False),
    (oci("@1.4"), False),
    ({"@id": f"pkg:oci/worker@{DIGEST}"}, False),
    ({"@id": f"pkg:docker/web@{DIGEST}"}, False),
    ({"@id": f"pkg:oci/team/web@{DIGEST}"}, False),
    (oci("?repository_url=cgr.dev/team/web"), True),
    (oci("?repository_url=https:%2F%2Fcgr.dev%2Fteam%2Fweb"), True),
    (oci("?repository_url=cgr.dev/team"), True),
    (oci("?repository_url=cgr.dev/other/web"), False),
    (oci("?arch=amd64&os=linux&tag=1.4"), True),
    (oci("?arch=arm64"), False),
    (oci("?os=windows"), False),
    (oci("?tag=1.5"), False),
    (oci("?mediaType=x"), False),
    ({"@id": "https://example.com/web", "identifiers": {"purl": f"pkg:oci/web@{DIGEST}"}}, True),
    ({"@id": BASH}, True),
    ({"@id": "pkg:deb/debian/bash@5.1-1"}, True),
    ({"@id": "pkg:deb/debian/bash"}, True),
    ({"@id": "pkg:deb/debian/bash@5.1-0"}, False),
    ({"@id": "pkg:deb/debian/bash@5.1-1?arch=arm64"}, False),
    ({"identifiers": {"cpe23": "cpe:2.3:a:gnu:bash:5.1:*:*:*:*:*:*:*"}}, False),
    ({"@id": BASH, "subcomponents": [{"@id": BASH}]}, False),  # a part of bash, not bash
    ({**oci(""), "subcomponents": [{"@id": BASH}]}, True),
    ({**oci(""), "subcomponents": [{"@id": "pkg:deb/debian/dash"}]}, False),
    ({**oci(""), "subcomponents": [{"@id": "pkg:deb/debian/dash"}, {"@id": BASH}]}, True),
    ({**oci(f"@{STRANGE}"), "subcomponents": [{"@id": BASH}]}, False),
]


@pytest.mark.parametrize(("product", "covers"), PRODUCTS)
def test_a_statement_covers_the_products_that_it_names(
    product: dict[str, Any],
    covers: bool,  # noqa: FBT001
) -> None:
    assert (waived(vex(statement(product))) is not None) is covers


def test_dockers_registry_has_two_names() -> None:
    subject = replace(SUBJECT, reference="docker.io/library/web:1.4")
    product = oci("?repository_url=index.docker.io/library/web")

    assert waived(vex(statement(product)), subject=subject)
    assert not waived(vex(statement(product)))


def test_a_finding_without_a_package_url_is_covered_by_its_image_alone() -> None:
    one = finding(purl="")

    assert waived(vex(statement()), one=one)
    assert not waived(vex(statement({"@id": BASH})), one=one)
    assert not waived(vex(statement({**oci(""), "subcomponents": [{"@id": BASH}]})), one=one)


@pytest.mark.parametrize(
    ("vulnerability", "covers"),
    [
        ({"name": "cve-2099-0001"}, True),
        ({"name": "GHSA-AAAA"}, True),
        ({"name": "other", "aliases": ["CVE-2099-0001"]}, True),
        ({"name": "CVE-2099-00010"}, False),
        ({"name": "other", "@id": "https://nvd.example.com/CVE-2099-0001"}, False),
    ],
)
def test_vulnerabilities_go_by_all_their_names(
    vulnerability: dict[str, Any],
    covers: bool,  # noqa: FBT001
) -> None:
    data = vex(statement(vulnerability=vulnerability))

    assert (waived(data, one=finding(aliases=("GHSA-aaaa",))) is not None) is covers


@pytest.mark.parametrize(
    ("status", "more", "waives"),
    [
        ("not_affected", {}, True),
        ("not_affected", {"justification": None, "impact_statement": "never called"}, False),
        ("fixed", {"justification": None}, True),
        ("affected", {"justification": None}, False),
        ("under_investigation", {"justification": None}, False),
    ],
)
def test_only_fixed_and_justified_statements_waive(
    status: str,
    more: dict[str, Any],
    waives: bool,  # noqa: FBT001
) -> None:
    assert (waived(vex(statement(status=status, **more))) is not None) is waives


OPEN: dict[str, Any] = {"status": "under_investigation", "justification": None}
EARLY, LATE = "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"


@pytest.mark.parametrize(
    ("statements", "waives"),
    [
        ([statement(timestamp=EARLY), statement(**OPEN, timestamp=LATE)], False),
        ([statement(**OPEN, timestamp=LATE), statement(timestamp=EARLY)], False),
        ([statement(**OPEN, timestamp=EARLY), statement(timestamp=LATE)], True),
        ([statement(), statement(**OPEN, timestamp=EARLY)], False),  # the document's time is older
        ([statement(**OPEN), statement(timestamp=EARLY)], True),
        ([statement(), statement(**OPEN)], False),  # at once: the cautious one
        ([statement(**OPEN), statement()], False),
        ([statement(), statement(oci(f"@{STRANGE}"), **OPEN, timestamp=LATE)], True),  # of another
    ],
)
def test_the_latest_statement_decides(
    statements: list[dict[str, Any]],
    waives: bool,  # noqa: FBT001
) -> None:
    assert (waived(vex(*statements)) is not None) is waives


def test_the_latest_decides_across_documents() -> None:
    old = vex(statement(), timestamp=EARLY)
    new = vex(statement(**OPEN), timestamp=LATE, **{"@id": "https://example.com/2"})

    assert waived(old) is not None
    assert waived(old, new) is None
    assert waived(new, old) is None


def test_a_waiver_says_who_says_why() -> None:
    found = waived(vex(statement(impact_statement="never\ncalled", status_notes="checked")))

    assert found is not None
    assert found.to_json() == {
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        "reason": "never called checked",
        "source": "OpenVEX by security@example.com, 0.json",
    }


def test_products_come_from_the_attestation_where_a_statement_has_none() -> None:
    data = vex(statement(products=None))

    for subject, waives in ((DIGEST, True), (STRANGE, False)):
        document = load_openvex(data, where="x", product=subject)
        decision = Waivers(documents=[document]).decide(finding(), SUBJECT, NOW)
        assert (decision.waived is not None) is waives
    with pytest.raises(DocumentError, match="without products"):
        load_openvex(data, where="x")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"@context": "https://openvex.dev/ns"}, "known version"),
        ({"@context": "https://openvex.dev/ns/v0.3.0"}, "known version"),
        ({"@context": None}, "known version"),
        ({"@id": ""}, "@id"),
        ({"author": None}, "author"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": "2026-11-01"}, "timestamp"),
        ({"timestamp": "2026-13-01T00:00:00Z"}, "timestamp"),
        ({"version": None}, "version"),
        ({"version": True}, "version"),
        ({"version": "one"}, "version"),
        ({"statements": []}, "without statements"),
        ({"statements": [statement(vulnerability={})]}, "name"),
        ({"statements": [statement(vulnerability="CVE-2099-0001")]}, "vulnerability"),
        ({"statements": [statement(products=["pkg:oci/web"])]}, "products"),
        ({"statements": [statement(products=[{"supplier": "x"}])]}, "without a name"),
        ({"statements": [statement(status="fine")]}, "unknown status"),
        ({"statements": [statement(status=None)]}, "status"),
        ({"statements": [statement(justification="because")]}, "unknown justification"),
        ({"statements": [statement(justification=None)]}, "without a justification"),
    ],
)
def test_what_breaks_the_specification_is_refused(change: dict[str, Any], says: str) -> None:
    value = {**json.loads(vex(statement())), **change}

    with pytest.raises(DocumentError) as caught:
        load_openvex(json.dumps(value).encode(), where="web.vex.json")

    assert says in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.startswith("web.vex.json")
    assert caught.value.exit_status == 2


def test_a_version_written_as_text_is_read() -> None:
    assert load_openvex(vex(statement(), version="2"), where="x").version == 2


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"a": 1, "a": 2}'])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"."):
        load_openvex(data, where="x")
