"""Keyless verification, by cases that are right in every respect but one."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.errors import PolicyError, SettingError, SignatureError
from petra.trust.bundled import leaf_of, verify_bundle
from petra.trust.certificate import load_leaf
from petra.trust.dsse import Envelope
from petra.trust.keyless import (
    CERTIFICATE_ANNOTATION,
    CHAINGUARD,
    Identity,
    KeylessPolicy,
    catalogue,
)
from petra.trust.policy import AllOf, AnyOf, KeyPolicy, key_policy
from petra.trust.sigstore import parse_sigstore_bundle
from tests.support import signing
from tests.support.fake_sigstore import (
    DAY,
    IDENTITY,
    ISSUER,
    LOG,
    TIME,
    leaf,
    profiled,
    trusted_root,
)
from tests.support.keyless import FORMS, SUBJECT, Form, make
from tests.support.keyless_case import BY_MAIL, SIGNER, Case
from tests.support.keyless_cases import CASES
from tests.support.signing import key, public

if TYPE_CHECKING:
    from petra.trust.documents import SignatureDocument
    from petra.trust.policy import SignaturePolicy

WHERE = "registry.example/app:1"
POLICY = KeylessPolicy((SIGNER,), trusted_root(), None, TIME + DAY)


def vouched(policy: SignaturePolicy, form: Form, *documents: SignatureDocument) -> list[Any]:
    """Return the verified signatures of an image, or of its attestations."""
    if form in ("tag", "bundle"):
        return list(policy.evaluate(SUBJECT, documents, where=WHERE).signatures)
    found = policy.attested([SUBJECT.digest], documents, where=WHERE)
    return [one.signature for one in found.require("https://spdx.dev/Document", where=WHERE)]


def refuse(policy: SignaturePolicy, form: Form, document: SignatureDocument, why: str) -> None:
    with pytest.raises(SignatureError) as caught:
        vouched(policy, form, document)
    assert why in str(caught.value.found)
    assert document.manifest.descriptor.digest in str(caught.value.found)


def cases(*, good: bool) -> list[Any]:
    return [
        pytest.param(case, form, id=f"{form}: {case.name}")
        for case in CASES
        for form in case.forms
        if (case.why is None) == good
    ]


@pytest.mark.parametrize(("case", "form"), cases(good=True))
def test_what_is_right_verifies(case: Case, form: Form) -> None:
    policy = replace(POLICY, identities=(case.signer,), root=case.root())
    (signature,) = vouched(policy, form, case.document(form))
    assert signature.method == "keyless"


@pytest.mark.parametrize(("case", "form"), cases(good=False))
def test_one_thing_wrong_is_refused_for_that_reason(case: Case, form: Form) -> None:
    why = case.reason(form)
    assert why is not None
    policy = replace(POLICY, identities=(case.signer,), root=case.root())
    refuse(policy, form, case.document(form), why)


# What a verdict says.


@pytest.mark.parametrize("form", FORMS)
def test_the_verdict_says_who_signed_and_when(form: Form) -> None:
    document = make(form)
    (signature,) = vouched(POLICY, form, document)
    annotations = {} if form.startswith("attestation") else {"annotations": {"by": "test"}}
    assert signature.to_json() == annotations | {
        "method": "keyless",
        "identity": IDENTITY,
        "issuer": ISSUER,
        "certificate": Digest.of(leaf().der),
        "log": {"id": LOG.id.hex(), "index": 4242},
        "time": "2026-01-15T12:00:00Z",
        "root": trusted_root().digest,
        "scheme": document.scheme,
        "manifest": document.manifest.descriptor.digest,
    }
    assert signature.key == public(leaf().key).fingerprint


# Policies.


@pytest.mark.parametrize("form", FORMS)
def test_any_of_several_identities_may_sign(form: Form) -> None:
    several = replace(POLICY, identities=(BY_MAIL, SIGNER))
    assert vouched(several, form, make(form))[0].certified.identity == IDENTITY
    refuse(replace(POLICY, identities=(BY_MAIL,)), form, make(form), "signed by another")


@pytest.mark.parametrize("form", FORMS)
def test_identity_and_issuer_count_only_together(form: Form) -> None:
    mixed = (Identity(ISSUER, "https://ci.example/x"), Identity("https://x.example", IDENTITY))
    refuse(replace(POLICY, identities=mixed), form, make(form), "signed by another identity")


@pytest.mark.parametrize("form", ["tag", "bundle"])
def test_a_signature_must_be_as_old_as_policy_asks(form: Form) -> None:
    day_old = replace(POLICY, min_age=DAY)
    assert vouched(day_old, form, make(form))
    younger = replace(day_old, now=TIME + DAY - timedelta(seconds=1))
    with pytest.raises(PolicyError, match="no signature of the image verifies") as caught:
        vouched(younger, form, make(form))
    assert "signature is too young" in str(caught.value.found)
    assert "minimum age" in str(caught.value.hint)


@pytest.mark.parametrize("form", ["attestation tag", "attestation bundle"])
def test_an_attestation_must_be_as_old_as_policy_asks(form: Form) -> None:
    day_old = replace(POLICY, min_age=DAY)
    assert vouched(day_old, form, make(form))
    younger = replace(day_old, now=TIME + DAY - timedelta(seconds=1))
    refuse(younger, form, make(form), "signature is too young")


def test_one_old_enough_among_younger_is_enough() -> None:
    policy = replace(POLICY, min_age=DAY)
    young = make("tag", entry={"time": TIME + timedelta(seconds=1)})
    assert vouched(policy, "tag", young, make("bundle"))[0].scheme == "referrer"


def test_no_age_can_be_asked_of_a_bare_key() -> None:
    keys = (public(key()),)
    assert key_policy(keys, where="policy.yaml") == KeyPolicy(keys)
    with pytest.raises(SettingError, match="say nothing of their time") as caught:
        key_policy(keys, min_age=DAY, where="policy.yaml")
    assert caught.value.where == "policy.yaml"
    with pytest.raises(SettingError, match="no public key"):
        key_policy((), where="policy.yaml")


def test_a_policy_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(SettingError, match="without an identity"):
        replace(POLICY, identities=())
    with pytest.raises(SettingError, match="negative"):
        replace(POLICY, min_age=-DAY)
    with pytest.raises(ValueError, match="no zone"):
        replace(POLICY, now=datetime(2026, 1, 1))  # noqa: DTZ001  # what the test is about


@pytest.mark.parametrize("text", ["", " ", "https://ci.example/.*", "^https://ci.example$", " x"])
@pytest.mark.parametrize("half", ["issuer", "identity"])
def test_patterns_are_no_identities(half: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"{half} is not an exact one"):
        replace(POLICY, identities=(replace(SIGNER, **{half: text}),))


def test_the_public_images_of_chainguard_have_one_signer() -> None:
    (signer,) = CHAINGUARD
    assert signer.issuer == "https://token.actions.githubusercontent.com"
    repository, _, workflow = signer.identity.partition("/.github/")
    assert repository == "https://github.com/chainguard-images/images"
    assert workflow == "workflows/release.yaml@refs/heads/main"
    assert replace(POLICY, identities=CHAINGUARD).identities == CHAINGUARD


def test_a_catalogue_has_two_signers_with_or_without_the_issuer_before_them() -> None:
    syncer, builder = catalogue("0a1b/2c3d", "https://issuer.enforce.dev/0a1b/4e5f")
    assert syncer == Identity("https://issuer.enforce.dev", "https://issuer.enforce.dev/0a1b/2c3d")
    assert builder == Identity("https://issuer.enforce.dev", "https://issuer.enforce.dev/0a1b/4e5f")
    for wrong in ("", "(a|b)"):
        with pytest.raises(SettingError, match="identity is not an exact one"):
            catalogue("0a1b/2c3d", wrong)


@pytest.mark.parametrize("form", FORMS)
def test_a_key_vouches_for_a_keyless_signature_by_tag_only_if_it_is_the_certificates(
    form: Form,
) -> None:
    """The certificate beside it says nothing to who trusts a key; a bundle claims one kind."""
    ours = KeyPolicy((public(leaf().key),))
    if form in ("tag", "attestation tag"):
        assert vouched(ours, form, make(form))[0].method == "key"
    else:
        refuse(ours, form, make(form), "signed with a certificate (keyless)")
    refuse(KeyPolicy((public(key("x")),)), form, make(form), "sig")


def test_a_signature_by_a_key_is_not_keyless() -> None:
    by_tag = signing.tag_document(SUBJECT, key())
    refuse(POLICY, "tag", by_tag, "signature without a certificate")
    bundled = signing.referrer_document(SUBJECT, key())
    refuse(POLICY, "bundle", bundled, "signed with a bare key")


def test_a_keyless_message_signature_is_refused() -> None:
    message = {
        "messageDigest": {"algorithm": "SHA2_256", "digest": signing.text(SUBJECT.digest.raw)},
        "signature": signing.text(leaf().sign(b"")),
    }
    material = {"certificate": {"rawBytes": signing.text(leaf().der)}}
    value = signing.bundle(key(), verificationMaterial=material, messageSignature=message)
    document = signing.referrer_document(SUBJECT, key(), value=value)
    refuse(POLICY, "bundle", document, "keyless signature over the manifest itself")


@pytest.mark.parametrize("kind", ["dsse", "intoto 0.0.2"])
def test_a_bundle_with_two_log_entries_is_refused(kind: str) -> None:
    document = make("bundle", kind=kind)
    (content,) = document.payloads.values()
    value = json.loads(content)
    value["verificationMaterial"]["tlogEntries"] *= 2
    refuse(POLICY, "bundle", _stored(document, json.dumps(value)), "exactly one log entry")


def test_keys_and_identities_can_be_asked_for_together() -> None:
    by_key = KeyPolicy((public(key()),))
    documents = [make("tag"), signing.referrer_document(SUBJECT, key())]
    both = AllOf((by_key, POLICY)).evaluate(SUBJECT, documents, where=WHERE)
    assert [one.method for one in both.signatures] == ["key", "keyless"]
    assert AnyOf((by_key, POLICY)).evaluate(SUBJECT, documents[:1], where=WHERE).verified
    with pytest.raises(SignatureError):
        AllOf((by_key, POLICY)).evaluate(SUBJECT, documents[:1], where=WHERE)


def test_an_image_without_signatures_is_refused() -> None:
    with pytest.raises(SignatureError, match="no signature found"):
        POLICY.evaluate(SUBJECT, [], where=WHERE)


def test_the_error_names_the_identities_that_may_sign() -> None:
    with pytest.raises(SignatureError) as caught:
        vouched(POLICY, "tag", make("tag", key=key("stranger")))
    assert caught.value.expected == f"a keyless signature by {IDENTITY} (issuer {ISSUER})"
    assert "trusted root" in str(caught.value.hint)


# Bytes flipped.


def _stored(document: SignatureDocument, text: str) -> SignatureDocument:
    """Return the document with another bundle in it."""
    data = text.encode()
    layer = document.manifest.layers[0].to_json()
    layer |= {"size": len(data), "digest": str(Digest.of(data))}
    manifest = signing.manifest([layer], SUBJECT)
    return replace(document, manifest=manifest, payloads={Digest.of(data): data})


def _annotated(document: SignatureDocument, name: str, text: str) -> SignatureDocument:
    (layer,) = (one.to_json() for one in document.manifest.layers)
    layer["annotations"] |= {name: text}
    return replace(document, manifest=signing.manifest([layer], None))


def _flipped(text: str) -> list[str]:
    places = range(0, len(text), 23)
    return [text[:at] + chr(ord(text[at]) ^ 0x04) + text[at + 1 :] for at in places]


@pytest.mark.parametrize("name", ["dev.sigstore.cosign/certificate", "dev.sigstore.cosign/bundle"])
@pytest.mark.parametrize("form", ["tag", "attestation tag"])
def test_no_flip_in_an_annotation_changes_what_is_proven(form: Form, name: str) -> None:
    """Whatever a registry changes: the same is proven, or nothing."""
    document = make(form)
    (right,) = vouched(POLICY, form, document)
    text = document.manifest.layers[0].annotations[name]
    for flipped in _flipped(text):
        try:
            (found,) = vouched(POLICY, form, _annotated(document, name, flipped))
        except SignatureError:
            continue
        assert found.certified == right.certified


def test_no_flip_in_a_bundle_changes_what_is_proven() -> None:
    document = make("bundle")
    (right,) = vouched(POLICY, "bundle", document)
    (content,) = document.payloads.values()
    for flipped in _flipped(content.decode()):
        spoiled = _stored(document, flipped)
        try:
            (found,) = vouched(POLICY, "bundle", spoiled)
        except SignatureError:
            continue
        assert found.certified == right.certified


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x55"),  # a version that there is not
        (b"\x55\x1d\x0f", b"\x55\x1d\x11"),  # two subject alternative names
        (b"\x0c\x10sigstore", b"\x0c\x10\xffigstore"),  # an issuer that is no UTF-8
        (b"\x0c\x10sigstore", b"\x03\x10sigstore"),  # an issuer that is no text
    ],
)
@pytest.mark.parametrize("form", ["tag", "bundle"])
def test_a_damaged_certificate_does_not_hide_a_good_signature(
    form: Form, good: bytes, bad: bytes
) -> None:
    der = leaf().der
    assert good in der
    raw = b64encode(der.replace(good, bad, 1)).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{raw}\n-----END CERTIFICATE-----\n"
    damaged = (
        make(form, annotations={CERTIFICATE_ANNOTATION: pem})
        if form == "tag"
        else make(form, material={"certificate": {"rawBytes": raw}})
    )
    refuse(POLICY, form, damaged, "certificate is unusable")
    assert vouched(POLICY, form, damaged, make(form))[0].certified.identity == IDENTITY


@pytest.mark.parametrize("part", ["certificate", "payload", "payload type"])
def test_what_sigstore_read_is_what_is_used(part: str) -> None:
    (data,) = make("bundle").payloads.values()
    bundle = parse_sigstore_bundle(data, where=WHERE)
    envelope, ours = bundle.content, leaf_of(bundle, where=WHERE)
    assert isinstance(envelope, Envelope)
    assert verify_bundle(data, ours, envelope, POLICY).identity == IDENTITY
    if part == "certificate":
        ours = load_leaf(profiled(stamped=TIME).der, where=WHERE)
    elif part == "payload":
        envelope = replace(envelope, payload=b"{}")
    else:
        envelope = replace(envelope, payload_type="text/plain")
    with pytest.raises(SignatureError, match="two readers"):
        verify_bundle(data, ours, envelope, POLICY)
