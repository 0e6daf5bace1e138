"""Cases of what a transparency log says: that a signature is there, since when, and which one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from petra.content.digest import Digest
from tests.support.fake_sigstore import (
    AUTHORITY,
    LOG,
    MINUTE,
    TIME,
    Log,
    leaf,
    trusted_root,
)
from tests.support.fake_tsa import TimestampAuthority
from tests.support.keyless_case import (
    AFTER,
    BEFORE,
    BUNDLES,
    ENVELOPES,
    Case,
    either,
    entry,
)
from tests.support.signing import key, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from petra.trust.root import TrustedRoot

_OTHER_REKOR = Log("another-rekor")


def _signature_path(body: Any) -> tuple[Any, str, str]:
    """Return where a log entry's body has its signature: the object, and two members of it."""
    spec = body["spec"]
    if "hashedRekordV002" in spec:
        return spec["hashedRekordV002"]["signature"], "content", "verifier"
    if body["kind"] == "hashedrekord":
        return spec["signature"], "content", "publicKey"
    if body["kind"] == "dsse":
        return spec["signatures"][0], "signature", "verifier"
    if body["apiVersion"] == "0.0.2":
        return spec["content"]["envelope"]["signatures"][0], "sig", "publicKey"
    return spec, "", "publicKey"


def _other_signature(body: Any) -> None:
    where, name, _ = _signature_path(body)
    signature = text(leaf().sign(b"another message"))
    where[name] = text(signature.encode()) if body["kind"] == "intoto" else signature


def _other_certificate(body: Any) -> None:
    """The same key's, with the same names: only its number differs."""
    where, _, name = _signature_path(body)
    pem = text(AUTHORITY.issue().pem)
    where[name] = {"content": pem} if body["kind"] == "hashedrekord" else pem


def _other_content(body: Any) -> None:
    spec = body["spec"]
    if body["kind"] == "hashedrekord":
        spec["data"]["hash"] = _OTHER_HASH
    else:
        (spec if body["kind"] == "dsse" else spec["content"])["payloadHash"] = _OTHER_HASH


def _other_envelope(body: Any) -> None:
    spec = body["spec"]
    if body["kind"] == "dsse":
        spec["envelopeHash"] = _OTHER_HASH
    else:
        spec["content"]["hash"] = _OTHER_HASH


def _other_kind(body: Any) -> None:
    """An entry about the very same, of a kind that goes with the other sort of signature."""
    where, name, certificate = _signature_path(body)
    spec, signature, verifier = body["spec"], where[name], where[certificate]
    if body["kind"] == "hashedrekord":
        hashed = spec["data"]["hash"]
        signatures = [{"signature": signature, "verifier": verifier["content"]}]
        other = {"envelopeHash": hashed, "payloadHash": hashed, "signatures": signatures}
        body.update(kind="dsse", spec=other)
    else:
        signed = {"content": signature, "publicKey": {"content": verifier}}
        other = {"data": {"hash": spec["payloadHash"]}, "signature": signed}
        body.update(kind="hashedrekord", spec=other)


def _body(change: Callable[[Any], None], **more: Any) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"body": change, **more}


_OTHER_HASH: Final = {"algorithm": "sha256", "value": Digest.of(b"other content").hex}
_AS_INTOTO_2: Final[Mapping[str, Any]] = {"kind": "intoto 0.0.2"}
_AS_INTOTO_1: Final[Mapping[str, Any]] = {"kind": "intoto 0.0.1"}

_NO_PROMISE: Final = either(
    "signed entry timestamp is not by the transparency log", "SET: invalid inclusion promise"
)

LOGS: Final = (
    Case("promise by a stranger", _NO_PROMISE, entry(promise_by=_OTHER_REKOR)),
    Case("promise of another time", _NO_PROMISE, entry(promised={"integratedTime": 1})),
    Case("promise of another index", _NO_PROMISE, entry(promised={"logIndex": 1})),
    Case("promise of another log", _NO_PROMISE, entry(promised={"logID": "00" * 32})),
    Case("promise of another body", _NO_PROMISE, entry(promised={"body": text(b"{}")})),
    Case(
        "signature logged by a stranger",
        either("logged where the trusted root does not say", "checkpoint: invalid signature"),
        entry(log=_OTHER_REKOR),
    ),
    Case(
        "signature logged under a stranger's name",
        "logged where the trusted root does not say",
        entry(log=replace(LOG, claimed=_OTHER_REKOR.id)),
    ),
    Case(
        "logged after the log's period",
        "logged where the trusted root does not say",
        root=lambda: trusted_root(logs=[replace(LOG, period=BEFORE)]),
    ),
    Case(
        "logged before the log's period",
        "logged where the trusted root does not say",
        root=lambda: trusted_root(logs=[replace(LOG, period=AFTER)]),
    ),
    Case(
        "checkpoint by a stranger",
        "checkpoint: invalid signature",
        entry(checkpoint_by=_OTHER_REKOR),
        forms=BUNDLES,
    ),
    Case(
        "inclusion proof of another tree",
        "inclusion proof contains invalid root hash",
        entry(proof={"rootHash": text(bytes(32))}),
        forms=BUNDLES,
    ),
    Case(
        "no checkpoint",
        "entry must contain inclusion proof, with checkpoint",
        entry(proof={"checkpoint": None}),
        forms=BUNDLES,
    ),
    Case(
        "no log entry",
        either("signature without a log entry", "without exactly one log entry"),
        lambda: {
            "annotations": {"dev.sigstore.cosign/bundle": None},
            "material": {"tlogEntries": []},
        },
    ),
)

BODIES: Final = (
    Case(
        "log entry about other content",
        either(
            "log entry is about other content",
            "log entry payload hash does not match",
        ),
        _body(_other_content),
    ),
    Case(
        "log entry about another signature",
        either(
            "log entry is about another signature",
            "log entry signatures do not match",
        ),
        _body(_other_signature),
    ),
    Case(
        "log entry about another certificate",
        either(
            "log entry is about another certificate's signature",
            "log entry signatures do not match",
        ),
        _body(_other_certificate),
    ),
    Case(
        "log entry about another envelope",
        "log entry is about other content",
        _body(_other_envelope),
        forms=("attestation tag",),
    ),
    Case(
        "log entry of another kind",
        either(
            "log entry of another kind",
            "Unsupported DSSE log entry type",
        ),
        _body(_other_kind),
    ),
    Case(
        "intoto 0.0.2 entry about other content",
        "log entry is about other content",
        _body(_other_content, **_AS_INTOTO_2),
        forms=ENVELOPES,
    ),
    Case(
        "intoto 0.0.2 entry about another signature",
        "log entry is about another signature",
        _body(_other_signature, **_AS_INTOTO_2),
        forms=ENVELOPES,
    ),
    Case(
        "intoto 0.0.2 entry about another certificate",
        "log entry is about another certificate's signature",
        _body(_other_certificate, **_AS_INTOTO_2),
        forms=ENVELOPES,
    ),
    Case(
        "intoto 0.0.2 entry about another envelope",
        "log entry is about other content",
        _body(_other_envelope, **_AS_INTOTO_2),
        forms=("attestation tag",),
    ),
    Case(
        "intoto 0.0.2 entry without a promise",
        "log entry without inclusionPromise",
        lambda: {"kind": "intoto 0.0.2", "bundled": {"inclusionPromise": None}},
        forms=BUNDLES,
    ),
    Case(
        "intoto 0.0.2 entry with a stranger's promise",
        "signed entry timestamp is not by the transparency log",
        lambda: {"kind": "intoto 0.0.2", "entry": {"promise_by": _OTHER_REKOR}},
        forms=BUNDLES,
    ),
    Case(
        "intoto 0.0.2 entry, signed with another key",
        "signature is not by the certificate's key",
        lambda: {"kind": "intoto 0.0.2", "key": key("stranger")},
        forms=BUNDLES,
    ),
    Case(
        "intoto 0.0.1 entry in a bundle, which does not show the signature",
        "log entry does not say which signature it is about",
        lambda: dict(_AS_INTOTO_1),
        forms=BUNDLES,
    ),
    Case(
        "intoto 0.0.1 entry about another envelope",
        "log entry is about other content",
        _body(_other_envelope, **_AS_INTOTO_1),
        forms=("attestation tag",),
    ),
    Case(
        "intoto 0.0.1 entry about another payload",
        "log entry is about other content",
        _body(_other_content, **_AS_INTOTO_1),
        forms=("attestation tag",),
    ),
    Case(
        "intoto 0.0.1 entry about another certificate",
        "log entry is about another certificate's signature",
        _body(_other_certificate, **_AS_INTOTO_1),
        forms=("attestation tag",),
    ),
)

_TSA: Final = TimestampAuthority()
_OTHER_TSA: Final = TimestampAuthority("another-tsa")
_UNPROMISED: Final = {"inclusionPromise": None, "integratedTime": None}


def _stamped(*stamps: tuple[TimestampAuthority, datetime], **more: Any) -> Any:
    """An entry of Rekor v2, which promises nothing, and timestamps."""
    return lambda: {"kind": "rekor 2", "bundled": _UNPROMISED, "stamps": stamps} | more


def _with_tsa() -> TrustedRoot:
    return trusted_root(timestamp_authorities=[_TSA])


TIMESTAMPS: Final = (
    Case("stamped", None, _stamped((_TSA, TIME)), BUNDLES, _with_tsa),
    Case(
        "stamped and promised",
        None,
        lambda: {"stamps": [(_TSA, TIME + MINUTE)]},
        BUNDLES,
        _with_tsa,
    ),
    Case(
        "neither stamped nor promised",
        "bundle must contain an inclusion promise or signed timestamp",
        _stamped(),
        BUNDLES,
        _with_tsa,
    ),
    Case(
        "stamped by a stranger",
        "not enough sources of verified time",
        _stamped((_OTHER_TSA, TIME)),
        BUNDLES,
        _with_tsa,
    ),
    Case(
        "stamped by one that is not in the root",
        "no Timestamp Authorities",
        _stamped((_TSA, TIME)),
        BUNDLES,
    ),
    Case(
        "stamped twice, once by a stranger",
        "without exactly one source of time",
        _stamped((_OTHER_TSA, TIME), (_TSA, TIME)),
        BUNDLES,
        _with_tsa,
    ),
    Case(
        "stamped after the certificate expired",
        "cert is not valid at validation time",
        _stamped((_TSA, TIME + 20 * MINUTE)),
        BUNDLES,
        _with_tsa,
    ),
    Case(
        "stamped outside the authority's period",
        "not enough sources of verified time",
        _stamped((_TSA, TIME)),
        BUNDLES,
        lambda: trusted_root(timestamp_authorities=[replace(_TSA, period=BEFORE)]),
    ),
    Case(
        "stamped, logged outside the log's period",
        "logged where the trusted root does not say",
        _stamped((_TSA, TIME)),
        BUNDLES,
        lambda: trusted_root(timestamp_authorities=[_TSA], logs=[replace(LOG, period=BEFORE)]),
    ),
    Case(
        "stamped, log entry about another signature",
        "transparency log entry is inconsistent",
        _stamped((_TSA, TIME), body=_other_signature),
        BUNDLES,
        _with_tsa,
    ),
    Case(
        "stamped, checkpoint by a stranger",
        "checkpoint: invalid signature",
        _stamped((_TSA, TIME), entry={"checkpoint_by": _OTHER_REKOR}),
        BUNDLES,
        _with_tsa,
    ),
)
