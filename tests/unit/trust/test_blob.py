"""Each step of verifying a file's signature, by one that is right in every other respect."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petra.content.digest import Digest
from petra.errors import SettingError, SignatureError
from petra.trust.blob import (
    SIGNATURE_FILE_LIMIT,
    signature_file,
    sigstore_bundle,
    verify_blob_by_any,
    verify_blob_digest,
)
from petra.trust.signer import LocalSigner
from petra.trust.sigstore import BUNDLE_LIMIT
from tests.support import signing
from tests.support.signing import key, public, text

FILE = Digest.of(b"the file")
OTHER = Digest.of(b"another file")
SIGNER = LocalSigner(signing.petra_key())
STRANGER = LocalSigner(signing.petra_key("stranger"))
DER = SIGNER.sign_digest(FILE)
SIG = signature_file(DER)
BUNDLE = sigstore_bundle(FILE, DER, SIGNER.public_key)


def verify(signature: bytes | None = None, bundle: bytes | None = None) -> None:
    verify_blob_digest(FILE, SIGNER.public_key, signature=signature, bundle=bundle, where="x.zst")


def changed(**replaced: Any) -> bytes:
    """The bundle with parts replaced by path, ``…`` removed."""
    value = json.loads(BUNDLE)
    for path, part in replaced.items():
        *above, last = path.split("__")
        target = value
        for name in above:
            target = target[name]
        if part is ...:
            del target[last]
        else:
            target[last] = part
    return json.dumps(value).encode()


def test_both_forms_verify_alone_and_together() -> None:
    verify(signature=SIG)
    verify(bundle=BUNDLE)
    verify(signature=SIG, bundle=BUNDLE)
    assert b64decode(SIG) == DER
    assert not SIG.endswith(b"\n")


def test_the_bundle_has_cosigns_layout() -> None:
    assert json.loads(BUNDLE) == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": SIGNER.public_key.hint}},
        "messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": text(FILE.raw)},
            "signature": text(DER),
        },
    }


def test_step_1_nothing_to_verify() -> None:
    with pytest.raises(SignatureError, match="file is not signed") as caught:
        verify()
    assert "x.zst.sig" in str(caught.value.expected)
    assert "--signature" in str(caught.value.hint)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\n",
        b" " + SIG,
        SIG + b"\n\n",
        SIG + b" \n",
        SIG[:-1],
        SIG + b"=",
        SIG[:20] + b"\n" + SIG[20:],
        SIG.replace(b"/", b"_").replace(b"+", b"-") + b"-_",
        DER,
        b"\xff\xfe",
        "µ".encode(),
    ],
)
def test_step_2_a_signature_that_is_not_base64(signature: bytes) -> None:
    with pytest.raises(SignatureError, match="signature is not base64") as caught:
        verify(signature=signature)
    assert caught.value.where == "x.zst.sig"


def test_step_2_base64_with_stray_bits_is_another_spelling_and_refused() -> None:
    der = next(
        der
        for der in (SIGNER.sign_digest(FILE) for _ in range(100))
        if signature_file(der).endswith(b"=")
    )
    right = signature_file(der).decode()
    at = len(right.rstrip("=")) - 1
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = right[:at] + alphabet[alphabet.index(right[at]) + 1] + right[at + 1 :]
    assert b64decode(stray) == b64decode(right)
    with pytest.raises(SignatureError, match="not base64"):
        verify(signature=stray.encode())


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_step_2_a_newline_at_the_end_is_let_pass(end: bytes) -> None:
    verify(signature=SIG + end)


def test_step_2_a_file_too_large_for_a_signature() -> None:
    with pytest.raises(SignatureError, match="signature file too large"):
        verify(signature=b"A" * (SIGNATURE_FILE_LIMIT + 1))


@pytest.mark.parametrize(
    "der",
    [STRANGER.sign_digest(FILE), SIGNER.sign_digest(OTHER), DER[:-1], DER + b"\0", b"junk"],
    ids=["another key", "another file", "cut", "longer", "junk"],
)
def test_steps_3_and_7_a_signature_that_does_not_verify(der: bytes) -> None:
    for arguments in (
        {"signature": signature_file(der)},
        {"bundle": sigstore_bundle(FILE, der, SIGNER.public_key)},
    ):
        with pytest.raises(SignatureError, match="signature does not verify") as caught:
            verify(**arguments)
        assert SIGNER.public_key.fingerprint in str(caught.value.expected)


@pytest.mark.parametrize(
    ("bundle", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "no JSON object"),
        (b"\xff", "not UTF-8"),
        (BUNDLE[:-1], "not JSON"),
        (BUNDLE + b"{}", "not JSON"),
        (BUNDLE[:-1] + b',"mediaType":"x"}', "stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * BUNDLE_LIMIT + BUNDLE, "too large"),
        (changed(mediaType="application/json"), "version that Petra reads"),
        (changed(mediaType=...), "version that Petra reads"),
        (changed(mediaType=BUNDLE.decode()), "version that Petra reads"),
        (changed(verificationMaterial=...), "without verificationMaterial"),
        (changed(verificationMaterial={}), "does not say exactly one thing"),
        (changed(messageSignature=...), "does not say exactly one thing"),
        (changed(dsseEnvelope={}), "does not say exactly one thing"),
        (changed(messageSignature=[]), "without messageSignature"),
        (changed(messageSignature__messageDigest=...), "without messageDigest"),
        (changed(messageSignature__messageDigest__digest=...), "messageDigest is not base64"),
        (changed(messageSignature__signature=None), "signature is not base64"),
        (changed(messageSignature__signature=""), "signature is not base64"),
    ],
)
def test_step_4_what_is_no_bundle(bundle: bytes, why: str) -> None:
    with pytest.raises(SignatureError, match=why) as caught:
        verify(bundle=bundle)
    assert str(caught.value.where).startswith("x.zst.sigstore.json")


def test_step_4_a_bundle_of_a_statement() -> None:
    envelope = signing.envelope(key(), signing.statement(signing.image()))
    bundle = json.dumps(signing.bundle(key(), dsseEnvelope=envelope)).encode()
    with pytest.raises(SignatureError, match="signs a statement, not a file"):
        verify(bundle=bundle)


@pytest.mark.parametrize(
    "material",
    [
        {"certificate": {"rawBytes": "AA=="}},
        {"x509CertificateChain": {"certificates": []}},
    ],
)
def test_step_5_a_certificate_is_not_a_key(material: Any) -> None:
    with pytest.raises(SignatureError, match="signed with a certificate"):
        verify(bundle=changed(verificationMaterial=material))
    both = material | {"publicKey": {}}
    with pytest.raises(SignatureError, match="exactly one thing"):
        verify(bundle=changed(verificationMaterial=both))


def test_a_hint_is_only_a_hint() -> None:
    for key_ in ({}, {"hint": "someone"}, {"hint": 5}):
        verify(bundle=changed(verificationMaterial__publicKey=key_))


def test_step_6_a_digest_of_another_kind() -> None:
    with pytest.raises(SignatureError, match="digest of another kind") as caught:
        verify(bundle=changed(messageSignature__messageDigest__algorithm="SHA2_384"))
    assert caught.value.found == "SHA2_384"


def test_step_6_a_digest_of_another_file() -> None:
    digest = text(OTHER.raw)
    with pytest.raises(SignatureError, match="for another file") as caught:
        verify(bundle=changed(messageSignature__messageDigest__digest=digest))
    assert caught.value.expected == FILE
    assert caught.value.found == OTHER


def test_both_given_both_must_verify() -> None:
    other = STRANGER.sign_digest(FILE)
    with pytest.raises(SignatureError, match="does not verify") as caught:
        verify(signature=SIG, bundle=sigstore_bundle(FILE, other, SIGNER.public_key))
    assert caught.value.where == "x.zst.sigstore.json"
    with pytest.raises(SignatureError, match="does not verify") as caught:
        verify(signature=signature_file(other), bundle=BUNDLE)
    assert caught.value.where == "x.zst.sig"


def test_a_key_that_signs_no_digests_says_so() -> None:
    edwards = key("kinds", "ed25519")
    signature = signature_file(signing.sign(edwards, b"the file"))
    with pytest.raises(SignatureError, match="does not verify") as caught:
        verify_blob_digest(FILE, public(edwards), signature=signature, bundle=None, where="x")
    assert "ecdsa-p256" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["p384", "rsa2048"])
def test_other_keys_verify_what_they_signed_over_sha256(kind: str) -> None:
    signer = key("kinds", kind)
    signature = signature_file(signing.sign(signer, b"the file"))
    verify_blob_digest(FILE, public(signer), signature=signature, bundle=None, where="x")
    with pytest.raises(SignatureError):
        verify_blob_digest(OTHER, public(signer), signature=signature, bundle=None, where="x")


def test_one_of_several_keys_verifies() -> None:
    keys = [STRANGER.public_key, SIGNER.public_key]
    assert (
        verify_blob_by_any(FILE, keys, signature=SIG, bundle=BUNDLE, where="x") == SIGNER.public_key
    )
    with pytest.raises(SignatureError, match="does not verify"):
        verify_blob_by_any(OTHER, keys, signature=SIG, bundle=None, where="x")
    with pytest.raises(SettingError, match="no public key"):
        verify_blob_by_any(FILE, [], signature=SIG, bundle=None, where="x")


@given(st.binary(max_size=200))
def test_no_signature_file_does_anything_but_fail(data: bytes) -> None:
    with pytest.raises(SignatureError):
        verify(signature=data)


@given(st.integers(0, len(BUNDLE) - 1), st.integers(1, 255))
def test_a_bundle_with_one_byte_changed_fails_or_changed_only_its_hint(at: int, by: int) -> None:
    spoiled = bytearray(BUNDLE)
    spoiled[at] ^= by
    try:
        verify(bundle=bytes(spoiled))
    except SignatureError:
        return
    before, after = json.loads(BUNDLE), json.loads(spoiled)
    for value in (before, after):
        value["verificationMaterial"]["publicKey"] = {}
    assert before == after
