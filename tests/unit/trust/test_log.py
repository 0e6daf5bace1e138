"""Log entries: what is read from annotations and bundles, and what a promise covers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from petra.errors import SignatureError
from petra.trust.certificate import load_leaf
from petra.trust.log import (
    LogEntry,
    Logged,
    annotated_entry,
    bundled_entry,
    check_body,
    check_promise,
)
from tests.support.fake_sigstore import LOG, TIME, Entry, leaf, trusted_root

ENTRY = Entry(LOG, b'{"kind":"dsse","apiVersion":"0.0.1","spec":{}}')


def annotation(**replaced: Any) -> str:
    payload = ENTRY.payload | replaced
    return json.dumps({"SignedEntryTimestamp": ENTRY.promise, "Payload": payload})


def bundled(**replaced: Any) -> dict[str, Any]:
    return ENTRY.bundled() | replaced


def test_both_forms_hold_the_same_entry() -> None:
    entry = annotated_entry(ENTRY.annotation(), where="here")
    assert entry == bundled_entry(ENTRY.bundled(), where="here")
    assert (entry.log_id, entry.index, entry.body) == (LOG.id, 4242, ENTRY.body)


def test_a_promise_gives_the_time() -> None:
    entry = annotated_entry(ENTRY.annotation(), where="here")
    assert check_promise(entry, trusted_root()) == TIME


def test_a_promise_is_over_four_members_in_canonical_form() -> None:
    entry = LogEntry(body=b"{}", time=1, log_id=b"\xab", index=2, promise=b"")
    assert entry.signed == b'{"body":"e30=","integratedTime":1,"logID":"ab","logIndex":2}'


@pytest.mark.parametrize(
    ("replaced", "why"),
    [
        ({"body": "?"}, "body is not base64"),
        ({"body": None}, "body is not base64"),
        ({"integratedTime": "1"}, "usable integratedTime"),
        ({"integratedTime": True}, "usable integratedTime"),
        ({"integratedTime": -1}, "usable integratedTime"),
        ({"integratedTime": 2**40}, "usable integratedTime"),
        ({"integratedTime": 1.5}, "usable integratedTime"),
        ({"logIndex": None}, "usable logIndex"),
        ({"logIndex": 2**60}, "usable logIndex"),
    ],
)
def test_an_annotation_with_something_else_in_it_is_refused(
    replaced: dict[str, Any], why: str
) -> None:
    with pytest.raises(SignatureError, match=why):
        annotated_entry(annotation(**replaced), where="here")


@pytest.mark.parametrize("log_id", [None, "", "zz", "ab"])
def test_an_annotation_without_a_log_that_is_known_is_refused(log_id: Any) -> None:
    entry = annotated_entry(annotation(logID=log_id), where="here")
    with pytest.raises(SignatureError, match="logged where the trusted root does not say"):
        check_promise(entry, trusted_root())


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"Payload":{}}', "\ud800"])
def test_an_annotation_that_holds_no_entry_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        annotated_entry(text, where="here")


@pytest.mark.parametrize(
    ("replaced", "why"),
    [
        ({"canonicalizedBody": None}, "body is not base64"),
        ({"integratedTime": 1}, "usable integratedTime"),
        ({"integratedTime": "-1"}, "usable integratedTime"),
        ({"integratedTime": "٣"}, "usable integratedTime"),
        ({"integratedTime": "9" * 5000}, "usable integratedTime"),
        ({"logIndex": ""}, "usable logIndex"),
        ({"logId": {}}, "logId is not base64"),
        ({"logId": None}, "without logId"),
        ({"inclusionPromise": {}}, "timestamp is not base64"),
        ({"inclusionPromise": None}, "without inclusionPromise"),
    ],
)
def test_a_bundled_entry_with_something_else_in_it_is_refused(
    replaced: dict[str, Any], why: str
) -> None:
    with pytest.raises(SignatureError, match=why):
        bundled_entry(bundled(**replaced), where="here")


@pytest.mark.parametrize("is_envelope", [True, False])
@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("dsse", "0.0.1"),
        ("intoto", "0.0.1"),
        ("intoto", "0.0.2"),
        ("hashedrekord", "0.0.1"),
        ("rekord", "0.0.1"),
        (None, None),
        ([], {}),
    ],
)
@pytest.mark.parametrize("spec", [None, [], {}, {"signatures": []}, {"content": {"envelope": {}}}])
def test_a_body_without_its_members_is_refused(
    spec: Any,
    kind: Any,
    version: Any,
    is_envelope: bool,  # noqa: FBT001  # a parameter
) -> None:
    body = json.dumps({"kind": kind, "apiVersion": version, "spec": spec}).encode()
    entry = LogEntry(body, 1, LOG.id, 1, b"")
    logged = Logged(
        load_leaf(leaf().der, where="leaf"), b"s", b"payload", is_envelope, document=b"document"
    )
    with pytest.raises(SignatureError, match="log entry"):
        check_body(entry, logged, where="here")
