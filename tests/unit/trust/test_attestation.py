"""Attestations about images: signed with a key or keyless, in both forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.errors import SignatureError
from petra.trust.attestation import verify_attestations
from petra.trust.documents import ATTESTATION_LIMIT, SignatureDocument
from petra.trust.keyless import KeylessPolicy
from petra.trust.policy import AllOf, AnyOf, KeyPolicy, SkipPolicy
from petra.trust.signers import KeySigners
from tests.support import signing
from tests.support.fake_sigstore import DAY, TIME, trusted_root
from tests.support.keyless import DSSE, OTHER, SPDX, SUBJECT, attested, make
from tests.support.keyless_case import SIGNER
from tests.support.signing import bundle, envelope, key, manifest, public

if TYPE_CHECKING:
    from petra.trust.attestation import AttestationVerdict
    from petra.trust.policy import SignaturePolicy

WHERE = "registry.example/app:1"
OURS = KeyPolicy((public(key()),))
THEIRS = KeyPolicy((public(key("theirs")),))
KEYLESS = KeylessPolicy((SIGNER,), trusted_root(), None, TIME + DAY)
CYCLONEDX = "https://cyclonedx.org/bom"


def layered(*envelopes: dict[str, Any], media_type: str = DSSE) -> SignatureDocument:
    """Return attestations in the older form, one layer each."""
    contents = [json.dumps(one).encode() for one in envelopes]
    layers = [
        {"mediaType": media_type, "size": len(one), "digest": str(Digest.of(one))}
        for one in contents
    ]
    return SignatureDocument(
        "tag", manifest(layers, None), {Digest.of(one): one for one in contents}
    )


def by_tag(content: bytes, private: signing.Key | None = None, **more: Any) -> SignatureDocument:
    """Return an attestation in the older form, signed with a key."""
    return layered(envelope(private or key(), content) | more)


def by_referrer(
    content: bytes, private: signing.Key | None = None, **more: Any
) -> SignatureDocument:
    """Return an attestation in the newer form, signed with a key."""
    private = private or key()
    value = bundle(private, dsseEnvelope=envelope(private, content) | more)
    return signing.referrer_document(SUBJECT, private, value=value)


BOTH = pytest.mark.parametrize("form", [by_tag, by_referrer])


def verdict(
    policy: SignaturePolicy, *documents: SignatureDocument, subjects: Any = (SUBJECT.digest,)
) -> AttestationVerdict:
    return policy.attested(subjects, documents, where=WHERE)


def refuse(document: SignatureDocument, why: str, policy: SignaturePolicy = OURS) -> None:
    found = verdict(policy, document)
    assert found.statements == ()
    (reason,) = found.refused
    assert why in reason
    assert document.manifest.descriptor.digest in reason


@BOTH
def test_an_attestation_by_a_key_is_handed_on_byte_for_byte(form: Any) -> None:
    content = attested(SUBJECT) + b"\n"
    document = form(content)
    (statement,) = verdict(OURS, document).statements
    assert statement.statement == content
    assert statement.predicate_type == SPDX
    assert statement.subjects == (SUBJECT.digest,)
    assert statement.signature.method == "key"
    assert statement.signature.key == public(key()).fingerprint
    assert statement.signature.manifest == document.manifest.descriptor.digest


@BOTH
def test_a_statement_of_now_is_taken_as_well_as_one_of_old(form: Any) -> None:
    content = attested(SUBJECT, _type="https://in-toto.io/Statement/v1")
    assert verdict(OURS, form(content)).statements


@BOTH
def test_an_attestation_of_another_image_is_refused(form: Any) -> None:
    refuse(form(attested(OTHER)), "signature is for another image")


@BOTH
def test_an_attestation_by_another_key_is_refused(form: Any) -> None:
    refuse(form(attested(SUBJECT), key("stranger")), "signature is by none of the given keys")


@BOTH
def test_an_attestation_changed_after_signing_is_refused(form: Any) -> None:
    changed = form(attested(SUBJECT), payload=signing.text(attested(SUBJECT) + b" "))
    refuse(changed, "signature is by none of the given keys, or over other bytes")


@BOTH
def test_a_signature_over_the_payload_without_its_type_is_refused(form: Any) -> None:
    bare = signing.text(signing.sign(key(), attested(SUBJECT)))
    refuse(form(attested(SUBJECT), signatures=[{"sig": bare}]), "signature is by none")


@BOTH
def test_several_signatures_are_refused(form: Any) -> None:
    signed = envelope(key(), attested(SUBJECT))["signatures"]
    refuse(form(attested(SUBJECT), signatures=signed * 2), "several signatures")


@BOTH
def test_an_envelope_of_another_type_is_refused(form: Any) -> None:
    whole = envelope(key(), attested(SUBJECT), "application/json")
    refuse(form(attested(SUBJECT), **whole), "envelope holds something else")


@BOTH
@pytest.mark.parametrize(
    ("replaced", "why"),
    [
        ({"_type": "https://in-toto.io/Statement/v2"}, "statement of another type"),
        ({"predicateType": None}, "statement without a predicateType"),
        ({"predicateType": ""}, "statement without a predicateType"),
        ({"predicateType": "https://sigstore.dev/cosign/sign/v1"}, "is an image signature"),
        ({"subject": []}, "signature is for another image"),
        ({"subject": [{"digest": {"sha512": SUBJECT.digest.hex}}]}, "for another image"),
        ({"subject": [{}] * 1025}, "too many subjects"),
    ],
)
def test_a_signed_statement_that_is_no_attestation_of_the_image(
    form: Any, replaced: dict[str, Any], why: str
) -> None:
    refuse(form(attested(SUBJECT, **replaced)), why)


@BOTH
@pytest.mark.parametrize("content", [b"{}", b"[]", b"not JSON", b"[" * 100_000, b"\xff"])
def test_a_signed_payload_that_is_no_statement(form: Any, content: bytes) -> None:
    refuse(form(content), "statement")


def test_a_layer_that_is_no_envelope_is_refused() -> None:
    refuse(layered({}), "DSSE envelope without a payloadType")
    refuse(layered({}, media_type="application/json"), "layer is no attestation")


def test_a_message_signature_states_nothing() -> None:
    digest = {"algorithm": "SHA2_256", "digest": signing.text(SUBJECT.digest.raw)}
    signature = signing.text(signing.petra_key().sign_digest(SUBJECT.digest))
    message = {"messageDigest": digest, "signature": signature}
    value = bundle(key(), messageSignature=message)
    document = signing.referrer_document(SUBJECT, key(), value=value)
    refuse(document, "signs a message, and states nothing")


def test_an_attestation_that_was_not_fetched_is_refused() -> None:
    document = by_tag(attested(SUBJECT))
    refuse(SignatureDocument("tag", document.manifest, {}), "payload is missing")


def test_an_attestation_with_other_bytes_than_announced_is_refused() -> None:
    document = by_tag(attested(SUBJECT))
    (digest,) = document.payloads
    other = {digest: document.payloads[digest] + b" "}
    refuse(SignatureDocument("tag", document.manifest, other), "another digest or size")


def test_an_attestation_beyond_all_measure_is_refused() -> None:
    layer = {"mediaType": DSSE, "size": ATTESTATION_LIMIT + 1, "digest": str(Digest.of(b""))}
    refuse(SignatureDocument("tag", manifest([layer], None), {}), "attestation too large")


def test_an_attestation_larger_than_any_signature_verifies() -> None:
    content = attested(SUBJECT, predicate={"packages": "x" * 3_000_000})
    for document in (by_tag(content), by_referrer(content)):
        assert verdict(OURS, document).statements
    assert verdict(KEYLESS, make("attestation tag", content=content)).statements
    assert verdict(KEYLESS, make("attestation bundle", content=content)).statements


@BOTH
def test_a_referrer_of_another_image_is_refused_whatever_it_states(form: Any) -> None:
    document = form(attested(SUBJECT))
    layers = [layer.to_json() for layer in document.manifest.layers]
    moved = SignatureDocument("referrer", manifest(layers, OTHER), document.payloads)
    refuse(moved, "manifest refers to another image")


# Of platforms.


def test_an_attestation_of_a_platform_counts_if_that_platform_is_named() -> None:
    document = by_tag(attested(OTHER))
    (statement,) = verdict(OURS, document, subjects=(SUBJECT.digest, OTHER.digest)).statements
    assert statement.subjects == (OTHER.digest,)
    refuse(document, "signature is for another image")


def test_an_attestation_of_several_says_of_which_of_those_asked_for() -> None:
    third = signing.image("third")
    subjects = [{"digest": {"sha256": one.digest.hex}} for one in (third, OTHER, SUBJECT, OTHER)]
    document = by_tag(attested(SUBJECT, subject=subjects))
    (statement,) = verdict(OURS, document, subjects=(SUBJECT.digest, OTHER.digest)).statements
    assert statement.subjects == (OTHER.digest, SUBJECT.digest)


def test_attestations_of_nothing_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="attestations of nothing"):
        verify_attestations([], [], KeySigners(OURS.keys), where=WHERE)


# Verdicts.


def test_each_attestation_stands_by_itself() -> None:
    good, other = envelope(key(), attested(SUBJECT)), envelope(key(), attested(OTHER))
    bom = envelope(key(), attested(SUBJECT, predicateType=CYCLONEDX))
    found = verdict(OURS, layered(good, other, bom))
    assert [one.predicate_type for one in found.statements] == [SPDX, CYCLONEDX]
    assert len(found.refused) == 1


def test_what_is_required_is_there_or_the_error_says_why_not() -> None:
    found = verdict(OURS, by_tag(attested(SUBJECT)), by_tag(attested(OTHER)))
    assert found.require(CYCLONEDX, SPDX, where=WHERE) == found.statements
    with pytest.raises(SignatureError, match="no attestation of that kind") as caught:
        found.require(CYCLONEDX, where=WHERE)
    assert caught.value.where == WHERE
    assert caught.value.expected == CYCLONEDX
    assert SPDX in str(caught.value.found)
    assert "signature is for another image" in str(caught.value.found)
    with pytest.raises(SignatureError) as nothing:
        verdict(OURS).require(SPDX, where=WHERE)
    assert nothing.value.found == "no attestation"


# Policies.


def test_any_of_several_policies_may_vouch() -> None:
    documents = (by_tag(attested(SUBJECT)), by_referrer(attested(SUBJECT), key("theirs")))
    found = verdict(AnyOf((OURS, THEIRS, OURS)), *documents)
    assert [one.signature.key for one in found.statements] == [
        OURS.keys[0].fingerprint,
        THEIRS.keys[0].fingerprint,
    ]
    refuse(by_tag(attested(SUBJECT), key("x")), "signature is by none", AnyOf((OURS, THEIRS)))


def test_every_one_of_several_policies_must_vouch_for_the_same_statement() -> None:
    both = AllOf((OURS, THEIRS))
    content = attested(SUBJECT)
    signed = (by_tag(content), by_referrer(content, key("theirs")))
    assert len(verdict(both, *signed).statements) == 2
    different = (by_tag(content), by_referrer(content + b" ", key("theirs")))
    assert verdict(both, *different).statements == ()


def test_a_key_and_an_identity_can_be_asked_for_together() -> None:
    content = attested(SUBJECT)
    documents = (by_tag(content), make("attestation bundle", content=content))
    found = verdict(AllOf((OURS, KEYLESS)), *documents)
    assert {one.signature.method for one in found.statements} == {"key", "keyless"}


def test_who_verifies_nothing_vouches_for_nothing() -> None:
    refuse(by_tag(attested(SUBJECT)), "not verified: built here", SkipPolicy("built here"))


# Bytes flipped.


@pytest.mark.parametrize("form", ["attestation tag", "attestation bundle"])
def test_no_flip_of_a_byte_makes_another_statement(form: Any) -> None:
    """Whatever a carrier changes: the same statement comes out, or none."""
    document = make(form)
    ((_, content),) = document.payloads.items()
    right = verdict(KEYLESS, document).statements[0].statement
    for place in range(0, len(content), 61):
        spoiled = bytearray(content)
        spoiled[place] ^= 0x04
        for one in verdict(KEYLESS, _stored(document, bytes(spoiled))).statements:
            assert one.statement == right


def _stored(document: SignatureDocument, content: bytes) -> SignatureDocument:
    """Return the document with another layer under the right digest."""
    layer = document.manifest.layers[0].to_json()
    layer |= {"size": len(content), "digest": str(Digest.of(content))}
    subject = document.manifest.subject
    payloads = {Digest.of(content): content}
    return SignatureDocument(document.scheme, manifest([layer], subject), payloads)
