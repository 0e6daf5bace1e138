from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from petra.bundle.metadata import (
    NO_SCAN,
    Check,
    Checks,
    ImageRecord,
    Member,
    Metadata,
    SignatureCheck,
    Tool,
    Totals,
    VerifiedSignature,
    dump_metadata,
    load_metadata,
)
from petra.content.descriptor import Platform
from petra.content.digest import Digest
from petra.errors import FormatError


def _image(name: str, signatures: SignatureCheck) -> ImageRecord:
    return ImageRecord(
        name=name,
        reference=f"cgr.dev/x/{name}:1",
        digest=Digest.of(name.encode()),
        media_type="application/vnd.oci.image.index.v1+json",
        size=10,
        platforms=(Platform("linux", "amd64"),),
        signatures=signatures,
        scan=Check.skipped(NO_SCAN),
    )


def _metadata() -> Metadata:
    verified = VerifiedSignature(key="ab" * 32, scheme="referrer", digest=Digest.of(b"sig"))
    return Metadata(
        name="web",
        version="1.0",
        serial=3,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        tool=Tool(name="petra", version="0.1.0"),
        checks=Checks(sign=Check.done(), verify=Check.done(), scan=Check.skipped(NO_SCAN)),
        totals=Totals(members=1, bytes=2, images=2, charts=0),
        images=(
            _image("a", SignatureCheck(status="done", verified=(verified,))),
            _image("b", SignatureCheck(status="skipped", reason="built here")),
        ),
        members=(Member(name="oci-layout", size=2, digest=Digest.of(b"{}")),),
    )


def _broken(**changes: Any) -> FormatError:
    value = json.loads(dump_metadata(_metadata())) | changes
    with pytest.raises(FormatError) as caught:
        load_metadata(json.dumps(value).encode())
    return caught.value


def test_metadata_comes_back_as_it_was_and_with_the_same_bytes() -> None:
    data = dump_metadata(_metadata())
    assert load_metadata(data) == _metadata()
    assert dump_metadata(load_metadata(data)) == data


def test_a_whole_bundle_says_that_it_has_no_base() -> None:
    value = json.loads(dump_metadata(_metadata()))
    assert value["base"] is None
    assert list(value)[:7] == [
        "apiVersion",
        "kind",
        "name",
        "version",
        "serial",
        "created",
        "base",
    ]


def test_what_was_skipped_is_told_with_every_reason() -> None:
    assert _metadata().skipped() == {"verify": ["built here"], "scan": [NO_SCAN]}


def test_a_newer_format_is_refused_by_name() -> None:
    error = _broken(apiVersion="petra.sh/v2", unheard="of")
    assert "format that this petra does not know" in error.message
    assert error.found == "petra.sh/v2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": None}, "members: wrong type"),
        ({"extra": 1}, "extra: no such field"),
        ({"kind": "Bundle"}, "kind: not a value of this field"),
        ({"serial": "3"}, "serial: wrong type"),
        ({"created": "yesterday"}, "created: not a moment"),
        (
            {"members": [{"name": "a", "size": -1, "digest": Digest.of(b"")}]},
            "members[0].size: input should be greater than or equal to 0",
        ),
        (
            {"checks": {"sign": {"status": "done"}, "verify": {"status": "skipped"}}},
            "checks.verify: a skipped step, and only one, has a reason",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(changes: dict[str, Any], message: str) -> None:
    error = _broken(**changes)
    assert error.message == message
    assert error.where == "metadata.json"


def test_a_success_without_a_signature_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="only if, they were verified"):
        SignatureCheck(status="done")
    with pytest.raises(ValueError, match="has a reason"):
        SignatureCheck(status="skipped")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"kind": 1, "kind": 1}', b"\xff"])
def test_other_documents_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        load_metadata(data)
