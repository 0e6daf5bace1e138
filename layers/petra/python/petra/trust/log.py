"""Entries of a transparency log (Rekor v1): that they were logged, when, and what they are about.

:func:`check_promise` shows that a log of the trusted root has an entry, and since when: by the
signed entry timestamp, its promise. :func:`check_body` shows that the entry is about one signature
and no other: a promise for anything else must not lend its time to a signature made later, with a
certificate that had expired (CVE-2022-36056).

Source: sigstore/rekor, types hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.1 and 0.0.2; RFC 8785.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from petra.content.digest import Digest
from petra.encoding.json import canonical_json
from petra.errors import SignatureError
from petra.trust.sigstore import load_signed_json
from petra.trust.text import decode_base64, encode_base64

if TYPE_CHECKING:
    from petra.trust.certificate import Leaf
    from petra.trust.root import Log, TrustedRoot

#: Years beyond what dates can hold make no time.
_LATEST: Final = 2**33
_INDEXES: Final = 2**53


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of a transparency log, with the log's promise of it. Nothing is verified yet.

    Attributes:
        body: what was logged, a JSON document.
        time: when, in seconds since 1970.
        log_id: of the log.
        index: the entry's number.
        promise: the signed entry timestamp.
    """

    body: bytes = field(repr=False)
    time: int
    log_id: bytes
    index: int
    promise: bytes = field(repr=False)

    @property
    def signed(self) -> bytes:
        """What the promise is a signature of: exactly four members in canonical JSON."""
        return canonical_json(
            {
                "body": encode_base64(self.body),
                "integratedTime": self.time,
                "logID": self.log_id.hex(),
                "logIndex": self.index,
            }
        )


@dataclass(frozen=True, slots=True)
class Logged:
    """A signature that an entry must be about.

    Attributes:
        leaf: whose it is.
        signature: its bytes.
        payload: what it is over: a payload, or the one in a DSSE envelope.
        is_envelope: whether it is one of a DSSE envelope.
        document: the whole envelope as it was logged, where that is kept.
    """

    leaf: Leaf
    signature: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    is_envelope: bool
    document: bytes | None = field(default=None, repr=False)


def annotated_entry(text: str, *, where: str) -> LogEntry:
    """Return the entry in a ``dev.sigstore.cosign/bundle`` annotation.

    Raises:
        SignatureError: there is none in it.

    Source: cosign's specs/SIGNATURE_SPEC.md, "Bundle".
    """
    value = load_signed_json(text.encode("utf-8", "replace"), what="log entry", where=where)
    payload = _object(value, "Payload")
    log_id = payload.get("logID")
    try:
        raw_id = bytes.fromhex(log_id) if isinstance(log_id, str) else b""
    except ValueError:
        raw_id = b""
    return LogEntry(
        body=decode_base64(payload.get("body"), what="log entry's body", where=where),
        time=_number(payload.get("integratedTime"), "integratedTime", _LATEST),
        log_id=raw_id,
        index=_number(payload.get("logIndex"), "logIndex", _INDEXES),
        promise=decode_base64(
            value.get("SignedEntryTimestamp"), what="signed entry timestamp", where=where
        ),
    )


def bundled_entry(value: dict[str, Any], *, where: str) -> LogEntry:
    """Return the entry in a Sigstore bundle's ``tlogEntries``, which must hold a promise.

    Raises:
        SignatureError: there is none in it.
    """
    promise = _object(value, "inclusionPromise").get("signedEntryTimestamp")
    return LogEntry(
        body=decode_base64(value.get("canonicalizedBody"), what="log entry's body", where=where),
        time=_text_number(value.get("integratedTime"), "integratedTime", _LATEST),
        log_id=decode_base64(_object(value, "logId").get("keyId"), what="logId", where=where),
        index=_text_number(value.get("logIndex"), "logIndex", _INDEXES),
        promise=decode_base64(promise, what="signed entry timestamp", where=where),
    )


def check_promise(entry: LogEntry, root: TrustedRoot) -> datetime:
    """Check that a log of `root`, while its key counted, promised this entry.

    Returns:
        When it was logged, in UTC.

    Raises:
        SignatureError: the log is none of the root's, its key did not count at that time, or the
            promise is not its.
    """
    time = datetime.fromtimestamp(entry.time, UTC)
    log = pinned_log(root, entry.log_id, time)
    if not log.key.verifies(entry.promise, entry.signed):
        raise SignatureError("signed entry timestamp is not by the transparency log")
    return time


def pinned_log(root: TrustedRoot, log_id: bytes, time: datetime) -> Log:
    """Return the log of `root` that has this id and whose key counted at `time`.

    Raises:
        SignatureError: there is none.
    """
    log = next((one for one in root.logs if one.id == log_id), None)
    if log is None or not log.period.covers(time):
        raise SignatureError(
            "logged where the trusted root does not say, or not at that time",
            found=f"log {log_id.hex()[:64] or 'without an id'} at {time.isoformat()}",
            expected=str(log.period) if log else "a transparency log of the trusted root",
        )
    return log


def check_body(entry: LogEntry, logged: Logged, *, where: str) -> None:
    """Check that an entry is about one signature: these bytes, this signature, this certificate.

    Raises:
        SignatureError: it is about something else, or of a kind that does not say.
    """
    body = load_signed_json(entry.body, what="log entry's body", where=where)
    kind = f"{body.get('kind')} {body.get('apiVersion')}"
    parts = {
        ("hashedrekord 0.0.1", False): _hashedrekord,
        ("dsse 0.0.1", True): _dsse,
        ("intoto 0.0.1", True): _intoto_1,
        ("intoto 0.0.2", True): _intoto_2,
    }.get((kind, logged.is_envelope))
    if parts is None:
        raise SignatureError(
            "log entry of another kind",
            expected="dsse 0.0.1, intoto 0.0.1 or 0.0.2"
            if logged.is_envelope
            else "hashedrekord 0.0.1",
            found=kind[:100],
        )
    parts(_object(body, "spec"), logged)


def _hashedrekord(spec: dict[str, Any], logged: Logged) -> None:
    signature = _object(spec, "signature")
    _check_hash(_object(_object(spec, "data"), "hash"), logged.payload)
    _check_signature(signature.get("content"), logged.signature)
    _check_certificate(_object(signature, "publicKey").get("content"), logged.leaf)


def _dsse(spec: dict[str, Any], logged: Logged) -> None:
    signature = _only(spec.get("signatures"))
    _check_hash(_object(spec, "payloadHash"), logged.payload)
    if logged.document is not None:
        _check_hash(_object(spec, "envelopeHash"), logged.document)
    _check_signature(signature.get("signature"), logged.signature)
    _check_certificate(signature.get("verifier"), logged.leaf)


def _intoto_1(spec: dict[str, Any], logged: Logged) -> None:
    """An entry that holds no signature: only the envelope as a whole shows which it is about."""
    if logged.document is None:
        raise SignatureError(
            "log entry does not say which signature it is about",
            found="intoto 0.0.1",
            expected="dsse 0.0.1 or intoto 0.0.2 in a Sigstore bundle",
        )
    content = _object(spec, "content")
    _check_hash(_object(content, "hash"), logged.document)
    if "payloadHash" in content:
        _check_hash(_object(content, "payloadHash"), logged.payload)
    _check_certificate(spec.get("publicKey"), logged.leaf)


def _intoto_2(spec: dict[str, Any], logged: Logged) -> None:
    content = _object(spec, "content")
    signature = _only(_object(content, "envelope").get("signatures"))
    _check_hash(_object(content, "payloadHash"), logged.payload)
    if logged.document is not None:
        _check_hash(_object(content, "hash"), logged.document)
    # This kind keeps the signature's base64 in base64 once more.
    _check_signature(signature.get("sig"), encode_base64(logged.signature).encode("ascii"))
    _check_certificate(signature.get("publicKey"), logged.leaf)


def _check_hash(value: dict[str, Any], data: bytes) -> None:
    if value.get("algorithm") != "sha256" or value.get("value") != Digest.of(data).hex:
        raise SignatureError(
            "log entry is about other content",
            expected=Digest.of(data),
            found=f"{value.get('algorithm')}:{value.get('value')}"[:100],
        )


def _check_signature(text: object, signature: bytes) -> None:
    if text != encode_base64(signature):
        raise SignatureError("log entry is about another signature")


def _check_certificate(text: object, leaf: Leaf) -> None:
    from petra.trust.certificate import load_leaf  # noqa: PLC0415  # loads cryptography

    logged = load_leaf(decode_base64(text, what="certificate", where="log"), where="log entry")
    if logged.der != leaf.der:
        raise SignatureError(
            "log entry is about another certificate's signature",
            expected=leaf.digest,
            found=logged.digest,
        )


def _only(value: object) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        raise SignatureError("log entry without exactly one signature")
    return value[0]


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise SignatureError(f"log entry without {key}")
    return part


def _text_number(value: object, name: str, limit: int) -> int:
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20  # noqa: PLR2004  # of 64 bits
    return _number(int(str(value)) if is_number else None, name, limit)


def _number(value: object, name: str, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise SignatureError(f"log entry without a usable {name}", found=repr(value)[:40])
    return value
