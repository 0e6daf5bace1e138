"""One case for each check of keyless verification: all is right in it but what the check is for.

The same cases are put to Petra (``tests/unit/trust/test_keyless.py``) and to the real cosign
(``tests/interop/test_keyless_interop.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from petra.content.digest import Digest
from petra.trust.identity import Identity
from tests.support.fake_sigstore import (
    AUTHORITY,
    CERTIFICATE_LOG,
    DAY,
    IDENTITY,
    ISSUER,
    LOG,
    MINUTE,
    TIME,
    Authority,
    Log,
    leaf,
    profiled,
    trusted_root,
)
from tests.support.fake_tsa import TimestampAuthority
from tests.support.keyless import FORMS, OTHER, SPDX, SUBJECT, Form, attested, make
from tests.support.signing import key, payload, statement, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from petra.trust.documents import SignatureDocument
    from petra.trust.root import TrustedRoot

SIGNER: Final = Identity(ISSUER, IDENTITY)
BY_MAIL: Final = Identity(ISSUER, "ci@example.com")
TAGS: Final[tuple[Form, ...]] = ("tag", "attestation tag")
BUNDLES: Final[tuple[Form, ...]] = ("bundle", "attestation bundle")

_STRANGER = Authority("stranger")
_OTHER_LOG = Log("another-ctfe")
_OTHER_REKOR = Log("another-rekor")
_BEFORE = (TIME - 300 * DAY, TIME - DAY)
_AFTER = (TIME + DAY, None)


@dataclass(frozen=True)
class Case:
    """Something signed with one thing wrong, or nothing.

    Attributes:
        name: what is wrong.
        why: what Petra says; None if it is content. By form where that differs.
        signing: what is not as usual in the signature.
        forms: in which the case can be.
        root: what is not as usual in the trusted root.
        signer: who may sign.
    """

    name: str
    why: str | Mapping[Form, str] | None
    signing: Callable[[], Mapping[str, Any]] = dict
    forms: tuple[Form, ...] = FORMS
    root: Callable[[], TrustedRoot] = trusted_root
    signer: Identity = SIGNER

    def document(self, form: Form) -> SignatureDocument:
        """Return it in this form."""
        return make(form, **self.signing())

    def reason(self, form: Form) -> str | None:
        """Return what Petra says of it in this form."""
        return self.why if self.why is None or isinstance(self.why, str) else self.why[form]


def _either(tags: str, bundles: str) -> Mapping[Form, str]:
    """What is said by Petra's own steps, and what by sigstore-python."""
    return dict.fromkeys(TAGS, tags) | dict.fromkeys(BUNDLES, bundles)


def _names(*names: x509.GeneralName) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"leaf": profiled(names=names)}


def _named(text_: str) -> Callable[[], Mapping[str, Any]]:
    return _names(x509.UniformResourceIdentifier(text_))


def _profile(**replaced: Any) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"leaf": profiled(**replaced)}


def _entry(**replaced: Any) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"entry": replaced}


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

GOOD: Final = (
    Case("right", None),
    Case("issuer of old only", None, _profile(issuer=None)),
    Case("issuer of now only", None, _profile(issuer_raw=None)),
    Case("e-mail address", None, _names(x509.RFC822Name(BY_MAIL.identity)), signer=BY_MAIL),
    Case(
        "logged as intoto 0.0.2",
        None,
        lambda: {"kind": "intoto 0.0.2"},
        forms=("attestation tag", *BUNDLES),
    ),
    Case(
        "logged as intoto 0.0.1", None, lambda: {"kind": "intoto 0.0.1"}, forms=("attestation tag",)
    ),
    Case(
        "chain that came with it is a stranger's",
        None,
        lambda: {"annotations": {"dev.sigstore.cosign/chain": _STRANGER.chain.decode()}},
        forms=TAGS,
    ),
    Case(
        "chain did not come with it",
        None,
        lambda: {"annotations": {"dev.sigstore.cosign/chain": None}},
        forms=TAGS,
    ),
)

CERTIFICATE: Final = (
    Case(
        "issued by a stranger with the same name",
        _either("issued by no authority", "signature does not match"),
        lambda: {
            "leaf": _STRANGER.issue(),
            "annotations": {"dev.sigstore.cosign/chain": _STRANGER.chain.decode()},
        },
    ),
    Case(
        "issued after the authority's period",
        "issued by no authority",
        root=lambda: trusted_root(authorities=[replace(AUTHORITY, period=_BEFORE)]),
    ),
    Case(
        "issued before the authority's period",
        "issued by no authority",
        root=lambda: trusted_root(authorities=[replace(AUTHORITY, period=_AFTER)]),
    ),
    Case(
        "intermediate had expired",
        _either("issued by no authority", "cert is not valid at validation time"),
        root=lambda: trusted_root(authorities=[replace(AUTHORITY, between=_BEFORE)]),
    ),
    Case(
        "not for signing code",
        _either(
            "certificate is not for signing code",
            "Extended usage does not contain `code signing`",
        ),
        _profile(extended=ExtendedKeyUsageOID.SERVER_AUTH),
    ),
    Case(
        "without extended key usage",
        _either("not for signing code", "ExtendedKeyUsage'> extension was found"),
        _profile(extended=None),
    ),
    Case(
        "not for signatures",
        _either("certificate is not for signatures", "Key usage is not of type"),
        _profile(for_signatures=False),
    ),
    Case(
        "logged after the certificate expired",
        _either("not made while its certificate was valid", "cert is not valid at validation"),
        _entry(time=TIME + 20 * MINUTE),
    ),
    Case(
        "logged before the certificate was issued",
        _either("not made while its certificate was valid", "cert is not valid at validation"),
        _entry(time=TIME - 20 * MINUTE),
    ),
)

_NOT_BY_LOG: Final = _either(
    "embedded timestamp is not by the certificate log", "SCT verify failed: keyring: invalid"
)

CERTIFICATE_LOGS: Final = (
    Case(
        "not logged",
        _either(
            "exactly one embedded timestamp", "does not contain a signed certificate timestamp"
        ),
        _profile(timestamps=()),
    ),
    Case(
        "logged twice",
        _either("exactly one embedded timestamp", "Expected one certificate timestamp, found 2"),
        _profile(timestamps=(CERTIFICATE_LOG, CERTIFICATE_LOG)),
    ),
    Case(
        "certificate logged by a stranger",
        _either("certificate was logged where", "SCT verify failed"),
        _profile(timestamps=(_OTHER_LOG,)),
    ),
    Case(
        "certificate logged by a stranger under the log's name",
        _NOT_BY_LOG,
        lambda: {"leaf": profiled(timestamps=(replace(_OTHER_LOG, claimed=CERTIFICATE_LOG.id),))},
    ),
    Case(
        "certificate logged under a stranger's name",
        "certificate was logged where",
        lambda: {"leaf": profiled(timestamps=(replace(CERTIFICATE_LOG, claimed=_OTHER_LOG.id),))},
    ),
    Case(
        "timestamp of another certificate",
        _NOT_BY_LOG,
        lambda: {"leaf": profiled(stamped_over=AUTHORITY.issue(key="another leaf"))},
    ),
    Case(
        "logged after the certificate log's period",
        "certificate was logged where",
        root=lambda: trusted_root(certificate_logs=[replace(CERTIFICATE_LOG, period=_BEFORE)]),
    ),
    Case(
        "logged before the certificate log's period",
        "certificate was logged where",
        root=lambda: trusted_root(certificate_logs=[replace(CERTIFICATE_LOG, period=_AFTER)]),
    ),
)

IDENTITIES: Final = (
    Case("another identity", "signed by another identity", _named("https://ci.example/other")),
    Case("identity that goes on", "signed by another identity", _named(IDENTITY + "-fork")),
    Case(
        "identity that starts before", "another identity", _named("https://x.example/" + IDENTITY)
    ),
    Case(
        "two identities",
        "exactly one identity",
        _names(
            x509.UniformResourceIdentifier("https://ci.example/other"),
            x509.UniformResourceIdentifier(IDENTITY),
        ),
    ),
    Case(
        "identity of another kind",
        "exactly one identity",
        _names(x509.DNSName("ci.example")),
    ),
    Case(
        "another issuer",
        "signed by another identity",
        _profile(issuer="https://issuer.evil", issuer_raw="https://issuer.evil"),
    ),
    Case(
        "issuers of now and of old differ",
        "exactly one issuer",
        _profile(issuer_raw="https://issuer.evil"),
    ),
    Case(
        "issuers of old and of now differ",
        "exactly one issuer",
        _profile(issuer="https://issuer.evil"),
    ),
    Case("no issuer", "exactly one issuer", _profile(issuer=None, issuer_raw=None)),
    Case(
        "issuer that is no DER",
        "no DER UTF8String",
        _profile(issuer=ISSUER.encode(), issuer_raw=None),
    ),
)

_NO_PROMISE: Final = _either(
    "signed entry timestamp is not by the transparency log", "SET: invalid inclusion promise"
)

LOGS: Final = (
    Case("promise by a stranger", _NO_PROMISE, _entry(promise_by=_OTHER_REKOR)),
    Case("promise of another time", _NO_PROMISE, _entry(promised={"integratedTime": 1})),
    Case("promise of another index", _NO_PROMISE, _entry(promised={"logIndex": 1})),
    Case("promise of another log", _NO_PROMISE, _entry(promised={"logID": "00" * 32})),
    Case("promise of another body", _NO_PROMISE, _entry(promised={"body": text(b"{}")})),
    Case(
        "signature logged by a stranger",
        _either("logged where the trusted root does not say", "checkpoint: invalid signature"),
        _entry(log=_OTHER_REKOR),
    ),
    Case(
        "signature logged under a stranger's name",
        "logged where the trusted root does not say",
        _entry(log=replace(LOG, claimed=_OTHER_REKOR.id)),
    ),
    Case(
        "logged after the log's period",
        "logged where the trusted root does not say",
        root=lambda: trusted_root(logs=[replace(LOG, period=_BEFORE)]),
    ),
    Case(
        "logged before the log's period",
        "logged where the trusted root does not say",
        root=lambda: trusted_root(logs=[replace(LOG, period=_AFTER)]),
    ),
    Case(
        "checkpoint by a stranger",
        "checkpoint: invalid signature",
        _entry(checkpoint_by=_OTHER_REKOR),
        forms=BUNDLES,
    ),
    Case(
        "inclusion proof of another tree",
        "inclusion proof contains invalid root hash",
        _entry(proof={"rootHash": text(bytes(32))}),
        forms=BUNDLES,
    ),
    Case(
        "no checkpoint",
        "entry must contain inclusion proof, with checkpoint",
        _entry(proof={"checkpoint": None}),
        forms=BUNDLES,
    ),
    Case(
        "no log entry",
        _either("signature without a log entry", "without exactly one log entry"),
        lambda: {
            "annotations": {"dev.sigstore.cosign/bundle": None},
            "material": {"tlogEntries": []},
        },
    ),
)

ENVELOPES: Final[tuple[Form, ...]] = ("attestation tag", *BUNDLES)

BODIES: Final = (
    Case(
        "log entry about other content",
        _either(
            "log entry is about other content",
            "log entry payload hash does not match",
        ),
        _body(_other_content),
    ),
    Case(
        "log entry about another signature",
        _either(
            "log entry is about another signature",
            "log entry signatures do not match",
        ),
        _body(_other_signature),
    ),
    Case(
        "log entry about another certificate",
        _either(
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
        _either(
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

SIGNATURES: Final = (
    Case(
        "signed with another key",
        _either(
            "signature is not by the certificate's key",
            "DSSE: invalid signature",
        ),
        lambda: {"key": key("stranger")},
    ),
    Case(
        "no certificate",
        _either(
            "signature without a certificate",
            "signed with a bare key",
        ),
        lambda: {
            "annotations": {"dev.sigstore.cosign/certificate": None},
            "material": {"certificate": None, "publicKey": {"hint": "aGludA=="}},
        },
    ),
    Case(
        "certificate and others in its place",
        "certificate is unusable",
        lambda: {
            "annotations": {
                "dev.sigstore.cosign/certificate": (leaf().pem + AUTHORITY.chain).decode()
            }
        },
        forms=TAGS,
    ),
    Case(
        "certificate that is none",
        "certificate is unusable",
        lambda: {
            "annotations": {"dev.sigstore.cosign/certificate": "certificate"},
            "material": {"certificate": {"rawBytes": "AAAA"}},
        },
    ),
)

CONTENTS: Final = (
    Case("about another image", "signature is for another image", lambda: {"subject": OTHER}),
    Case(
        "payload of another type",
        "payload is of another type",
        lambda: {"content": payload(SUBJECT, type="atomic container signature")},
        forms=("tag",),
    ),
    Case(
        "envelope of another type",
        "envelope holds something else than an in-toto statement",
        lambda: {"payload_type": "application/json"},
        forms=ENVELOPES,
    ),
    Case(
        "statement of an unknown version",
        "statement of another type",
        lambda: {"content": attested(SUBJECT, _type="https://in-toto.io/Statement/v9")},
        forms=("attestation tag", "attestation bundle"),
    ),
    Case(
        "signature as a statement of old",
        "statement of another type",
        lambda: {"content": statement(SUBJECT, _type="https://in-toto.io/Statement/v0.1")},
        forms=("bundle",),
    ),
    Case(
        "attestation in place of a signature",
        "statement is no image signature",
        lambda: {"content": statement(SUBJECT, predicateType=SPDX)},
        forms=("bundle",),
    ),
    Case(
        "signature in place of an attestation",
        "statement is an image signature, and no attestation",
        lambda: {"content": statement(SUBJECT)},
        forms=("attestation tag", "attestation bundle"),
    ),
    Case(
        "manifest that refers to another image",
        "manifest refers to another image",
        lambda: {"refers_to": OTHER},
        forms=BUNDLES,
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
        lambda: trusted_root(timestamp_authorities=[replace(_TSA, period=_BEFORE)]),
    ),
    Case(
        "stamped, logged outside the log's period",
        "logged where the trusted root does not say",
        _stamped((_TSA, TIME)),
        BUNDLES,
        lambda: trusted_root(timestamp_authorities=[_TSA], logs=[replace(LOG, period=_BEFORE)]),
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

CASES: Final = (
    *TIMESTAMPS,
    *GOOD,
    *CERTIFICATE,
    *CERTIFICATE_LOGS,
    *IDENTITIES,
    *LOGS,
    *BODIES,
    *SIGNATURES,
    *CONTENTS,
)
