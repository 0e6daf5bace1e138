"""One case for each check of keyless verification: all is right in it but what the check is for.

The same cases are put to Petra (``tests/unit/trust/test_keyless.py``) and to the real cosign
(``tests/interop/test_keyless_interop.py``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.fake_sigstore import (
    AUTHORITY,
    CERTIFICATE_LOG,
    IDENTITY,
    ISSUER,
    MINUTE,
    TIME,
    Log,
    leaf,
    profiled,
    trusted_root,
)
from tests.support.keyless import OTHER, SPDX, SUBJECT, attested
from tests.support.keyless_case import (
    AFTER,
    BEFORE,
    BUNDLES,
    BY_MAIL,
    ENVELOPES,
    STRANGER,
    TAGS,
    Case,
    either,
    entry,
    named,
    names,
    profile,
)
from tests.support.keyless_log_cases import BODIES, LOGS, TIMESTAMPS
from tests.support.signing import key, payload, statement

_OTHER_LOG = Log("another-ctfe")
GOOD: Final = (
    Case("right", None),
    Case("issuer of old only", None, profile(issuer=None)),
    Case("issuer of now only", None, profile(issuer_raw=None)),
    Case("e-mail address", None, names(x509.RFC822Name(BY_MAIL.identity)), signer=BY_MAIL),
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
        lambda: {"annotations": {"dev.sigstore.cosign/chain": STRANGER.chain.decode()}},
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
        either("issued by no authority", "signature does not match"),
        lambda: {
            "leaf": STRANGER.issue(),
            "annotations": {"dev.sigstore.cosign/chain": STRANGER.chain.decode()},
        },
    ),
    Case(
        "issued after the authority's period",
        "issued by no authority",
        root=lambda: trusted_root(authorities=[replace(AUTHORITY, period=BEFORE)]),
    ),
    Case(
        "issued before the authority's period",
        "issued by no authority",
        root=lambda: trusted_root(authorities=[replace(AUTHORITY, period=AFTER)]),
    ),
    Case(
        "intermediate had expired",
        either("issued by no authority", "cert is not valid at validation time"),
        root=lambda: trusted_root(authorities=[replace(AUTHORITY, between=BEFORE)]),
    ),
    Case(
        "not for signing code",
        either(
            "certificate is not for signing code",
            "Extended usage does not contain `code signing`",
        ),
        profile(extended=ExtendedKeyUsageOID.SERVER_AUTH),
    ),
    Case(
        "without extended key usage",
        either("not for signing code", "ExtendedKeyUsage'> extension was found"),
        profile(extended=None),
    ),
    Case(
        "not for signatures",
        either("certificate is not for signatures", "Key usage is not of type"),
        profile(for_signatures=False),
    ),
    Case(
        "logged after the certificate expired",
        either("not made while its certificate was valid", "cert is not valid at validation"),
        entry(time=TIME + 20 * MINUTE),
    ),
    Case(
        "logged before the certificate was issued",
        either("not made while its certificate was valid", "cert is not valid at validation"),
        entry(time=TIME - 20 * MINUTE),
    ),
)

_NOT_BY_LOG: Final = either(
    "embedded timestamp is not by the certificate log", "SCT verify failed: keyring: invalid"
)

CERTIFICATE_LOGS: Final = (
    Case(
        "not logged",
        either("exactly one embedded timestamp", "does not contain a signed certificate timestamp"),
        profile(timestamps=()),
    ),
    Case(
        "logged twice",
        either("exactly one embedded timestamp", "Expected one certificate timestamp, found 2"),
        profile(timestamps=(CERTIFICATE_LOG, CERTIFICATE_LOG)),
    ),
    Case(
        "certificate logged by a stranger",
        either("certificate was logged where", "SCT verify failed"),
        profile(timestamps=(_OTHER_LOG,)),
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
        root=lambda: trusted_root(certificate_logs=[replace(CERTIFICATE_LOG, period=BEFORE)]),
    ),
    Case(
        "logged before the certificate log's period",
        "certificate was logged where",
        root=lambda: trusted_root(certificate_logs=[replace(CERTIFICATE_LOG, period=AFTER)]),
    ),
)

IDENTITIES: Final = (
    Case("another identity", "signed by another identity", named("https://ci.example/other")),
    Case("identity that goes on", "signed by another identity", named(IDENTITY + "-fork")),
    Case("identity that starts before", "another identity", named("https://x.example/" + IDENTITY)),
    Case(
        "two identities",
        "exactly one identity",
        names(
            x509.UniformResourceIdentifier("https://ci.example/other"),
            x509.UniformResourceIdentifier(IDENTITY),
        ),
    ),
    Case(
        "identity of another kind",
        "exactly one identity",
        names(x509.DNSName("ci.example")),
    ),
    Case(
        "another issuer",
        "signed by another identity",
        profile(issuer="https://issuer.evil", issuer_raw="https://issuer.evil"),
    ),
    Case(
        "issuers of now and of old differ",
        "exactly one issuer",
        profile(issuer_raw="https://issuer.evil"),
    ),
    Case(
        "issuers of old and of now differ",
        "exactly one issuer",
        profile(issuer="https://issuer.evil"),
    ),
    Case("no issuer", "exactly one issuer", profile(issuer=None, issuer_raw=None)),
    Case(
        "issuer that is no DER",
        "no DER UTF8String",
        profile(issuer=ISSUER.encode(), issuer_raw=None),
    ),
)

SIGNATURES: Final = (
    Case(
        "signed with another key",
        either(
            "signature is not by the certificate's key",
            "DSSE: invalid signature",
        ),
        lambda: {"key": key("stranger")},
    ),
    Case(
        "no certificate",
        either(
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
