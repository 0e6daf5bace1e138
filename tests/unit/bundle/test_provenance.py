"""The bundle's own provenance: what it says, and each way in which it may be wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from petra.bundle.metadata import (
    ChartRecord,
    Check,
    Checks,
    ImageRecord,
    Member,
    Metadata,
    SignatureCheck,
    Tool,
    Totals,
)
from petra.bundle.provenance import Invocation, check_provenance, make_statement
from petra.content.digest import Digest
from petra.errors import PetraError, PolicyError, SettingError, SignatureError
from petra.oci.media_types import IN_TOTO
from petra.trust.dsse import sign_envelope
from tests.support.signing import key, public
from tests.support.world import OURS, STRANGER, signer

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "web-1.0.tar.zst"
BUNDLE = Digest.of(b"the bundle")
IMAGE = Digest.of(b"image")
HOW = Invocation(
    Digest.of(b"spec"), Digest.of(b"lock"), datetime(2026, 1, 2, tzinfo=UTC), {"locked": True}
)
KEYS = [public(key(OURS))]


def metadata(image: Digest = IMAGE) -> Metadata:
    return Metadata(
        name="web",
        version="1.0",
        serial=3,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        tool=Tool(name="petra", version="0.1.0"),
        checks=Checks(sign=Check.done(), verify=Check.done(), scan=Check.skipped("x")),
        totals=Totals(members=1, bytes=2, images=1, charts=1),
        images=(
            ImageRecord(
                name="web",
                reference="cgr.dev:5000/team/web:1.4",
                digest=image,
                media_type="application/vnd.oci.image.index.v1+json",
                size=10,
                signatures=SignatureCheck(status="skipped", reason="x"),
                scan=Check.skipped("x"),
            ),
        ),
        charts=(
            ChartRecord(
                name="app",
                version="1.2.3+b",
                repo="https://charts.example.com",
                member="charts/app-1.2.3+b.tgz",
                digest=Digest.of(b"chart"),
                size=5,
                provenance=Check.skipped("x"),
            ),
        ),
        members=(Member(name="oci-layout", size=2, digest=Digest.of(b"{}")),),
    )


def statement(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(make_statement(FILE, BUNDLE, metadata(), HOW))
    return value | changes


def envelope(value: dict[str, Any], kind: str = IN_TOTO, by: str = OURS) -> bytes:
    return sign_envelope(kind, json.dumps(value).encode(), signer(by))


def check(data: bytes | None, about: Metadata | None = None) -> None:
    check_provenance(data, BUNDLE, about or metadata(), KEYS, where=FILE)


def refusal(data: bytes | None, about: Metadata | None = None) -> PetraError:
    with pytest.raises(PetraError) as caught:
        check(data, about)
    assert caught.value.exit_status == 3
    return caught.value


def test_it_says_what_was_made_from_what_and_how() -> None:
    assert statement() == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": FILE, "digest": {"sha256": BUNDLE.hex}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://petra.sh/bundle/v1alpha1",
                "externalParameters": {
                    "spec": {"name": "bundle.yaml", "digest": {"sha256": HOW.spec.hex}},
                    "lock": {"name": "bundle.lock.yaml", "digest": {"sha256": HOW.lock.hex}},
                    "flags": {"locked": True},
                },
                "resolvedDependencies": [
                    {
                        "uri": f"pkg:oci/web@sha256%3A{IMAGE.hex}"
                        "?repository_url=cgr.dev:5000/team/web&tag=1.4",
                        "digest": {"sha256": IMAGE.hex},
                    },
                    {
                        "uri": "pkg:helm/app@1.2.3%2Bb?repository_url=https://charts.example.com",
                        "digest": {"sha256": Digest.of(b"chart").hex},
                    },
                ],
            },
            "runDetails": {
                "builder": {"id": "https://petra.sh/cli", "version": {"petra": "0.1.0"}},
                "metadata": {"startedOn": "2026-01-02T00:00:00Z"},
            },
        },
    }


def test_the_same_bundle_has_the_same_statement() -> None:
    first = make_statement(FILE, BUNDLE, metadata(), HOW)

    assert make_statement(FILE, BUNDLE, metadata(), HOW) == first


def test_what_was_made_verifies() -> None:
    key = check_provenance(envelope(statement()), BUNDLE, metadata(), KEYS, where=FILE)

    assert key == KEYS[0]


def test_none_is_refused() -> None:
    error = refusal(None)

    assert isinstance(error, SignatureError)
    assert error.message == "the bundle has no provenance"
    assert error.expected == f"{FILE}.intoto.json"


def test_another_signer_is_refused() -> None:
    assert refusal(envelope(statement(), by=STRANGER)).message == "signature does not verify"


def test_no_key_is_a_mistake_of_the_callers() -> None:
    with pytest.raises(SettingError):
        check_provenance(envelope(statement()), BUNDLE, metadata(), [], where=FILE)


def test_a_payload_of_another_type_is_refused() -> None:
    error = refusal(envelope(statement(), "application/json"))

    assert error.message.endswith("it holds no in-toto statement")


def test_one_changed_byte_of_the_payload_is_refused() -> None:
    value = json.loads(envelope(statement()))
    value["payload"] = value["payload"].replace("A", "B", 1)

    assert refusal(json.dumps(value).encode()).message == "signature does not verify"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "another _type"),
        ({"predicateType": "https://slsa.dev/provenance/v0.2"}, "another predicateType"),
        (
            {"predicate": {"buildDefinition": {"buildType": "https://example.com/x"}}},
            "another buildType",
        ),
        ({"predicate": []}, "another buildType"),
    ],
)
def test_another_kind_of_statement_is_refused(change: dict[str, Any], message: str) -> None:
    assert refusal(envelope(statement(**change))).message.endswith(message)


@pytest.mark.parametrize(
    "subject",
    [
        [],
        None,
        [{"name": FILE, "digest": {"sha256": IMAGE.hex}}],
        [{"name": FILE, "digest": {"sha512": BUNDLE.hex}}],
        [
            {"name": FILE, "digest": {"sha256": BUNDLE.hex}},
            {"name": "another", "digest": {"sha256": IMAGE.hex}},
        ],
    ],
)
def test_another_subject_is_refused(subject: Any) -> None:
    error = refusal(envelope(statement(subject=subject)))

    assert error.message == "the provenance is about another file"
    assert error.expected == BUNDLE


def _without_last(materials: list[Any]) -> list[Any]:
    return materials[:-1]


def _with_another(materials: list[Any]) -> list[Any]:
    return [*materials, {"uri": "pkg:oci/x", "digest": {"sha256": "00"}}]


def _renamed(materials: list[Any]) -> list[Any]:
    return [{**materials[0], "uri": "pkg:oci/other"}, *materials[1:]]


@pytest.mark.parametrize("change", [_without_last, _with_another, _renamed])
def test_other_materials_are_refused(change: Callable[[list[Any]], list[Any]]) -> None:
    value = statement()
    definition = value["predicate"]["buildDefinition"]
    definition["resolvedDependencies"] = change(definition["resolvedDependencies"])

    error = refusal(envelope(value))

    assert isinstance(error, PolicyError)
    assert "other images and charts" in error.message


def test_an_image_of_another_digest_is_named() -> None:
    other = Digest.of(b"another")

    error = refusal(envelope(statement()), metadata(other))

    assert f"only in the bundle: pkg:oci/web@sha256%3A{other.hex}" in str(error.found)
    assert f"only in the provenance: pkg:oci/web@sha256%3A{IMAGE.hex}" in str(error.found)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"payloadType": "x"}'])
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    assert isinstance(refusal(data), SignatureError)
