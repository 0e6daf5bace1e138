"""Each step of image verification, by a signature that is right in every other respect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes

from petra.errors import SettingError, SignatureError
from petra.trust.image import SignatureDocument, SignatureVerdict, verify_image
from petra.trust.signers import KeySigners
from tests.support import signing
from tests.support.signing import bundle, envelope, image, key, payload, public, statement, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.digest import Digest

SUBJECT = image()
OTHER = image("another image")
SIGNER = key()
STRANGER = key("stranger")


def verify(*documents: SignatureDocument, keys: Sequence[Any] = (SIGNER,)) -> SignatureVerdict:
    signers = KeySigners(tuple(public(one) for one in keys))
    return verify_image(SUBJECT, documents, signers, where="registry.example/app:1")


def refuse(*documents: SignatureDocument, why: str) -> None:
    """The image is refused, and the reason given is this one alone."""
    with pytest.raises(SignatureError, match="no signature of the image verifies") as caught:
        verify(*documents)
    assert caught.value.where == "registry.example/app:1"
    assert caught.value.found is not None
    assert why in caught.value.found
    assert documents[0].manifest.descriptor.digest in caught.value.found
    assert caught.value.found.count("sha256:") <= 3


def referrer(**content: Any) -> SignatureDocument:
    return signing.referrer_document(SUBJECT, SIGNER, value=bundle(SIGNER, **content))


def message_signature(signed: Digest, **replaced: Any) -> dict[str, Any]:
    """A message signature over what has `signed`, right unless replaced."""
    value = {
        "messageDigest": {"algorithm": "SHA2_256", "digest": text(signed.raw)},
        "signature": text(signing.petra_key().sign_digest(signed)),
    }
    return value | replaced


# What is right passes.


def test_a_signature_by_tag_verifies() -> None:
    document = signing.tag_document(SUBJECT, SIGNER)
    verdict = verify(document)
    assert verdict.verified
    assert verdict.scheme == "tag"
    assert verdict.key == public(SIGNER).fingerprint
    assert verdict.manifest == document.manifest.descriptor.digest
    assert verdict.signatures[0].annotations == {"by": "test"}


def test_a_bundle_that_refers_to_the_image_verifies() -> None:
    document = signing.referrer_document(SUBJECT, SIGNER)
    verdict = verify(document)
    assert verdict.scheme == "referrer"
    assert verdict.manifest == document.manifest.descriptor.digest
    assert verdict.to_json() == {
        "status": "verified",
        "signatures": [
            {
                "method": "key",
                "key": public(SIGNER).fingerprint,
                "scheme": "referrer",
                "manifest": document.manifest.descriptor.digest,
                "annotations": {"by": "test"},
            }
        ],
    }


def test_a_message_signature_over_the_manifest_verifies() -> None:
    assert verify(referrer(messageSignature=message_signature(SUBJECT.digest))).verified


def test_simple_signing_in_a_referrer_verifies() -> None:
    tagged = signing.tag_document(SUBJECT, SIGNER)
    layers = [layer.to_json() for layer in tagged.manifest.layers]
    document = SignatureDocument("referrer", signing.manifest(layers, SUBJECT), tagged.payloads)
    assert verify(document).scheme == "referrer"


def test_the_verdict_names_the_key_among_several() -> None:
    document = signing.tag_document(SUBJECT, STRANGER)
    assert verify(document, keys=(SIGNER, STRANGER)).key == public(STRANGER).fingerprint


def test_one_good_signature_among_bad_ones_is_enough() -> None:
    documents = (
        signing.tag_document(OTHER, SIGNER),
        signing.referrer_document(SUBJECT, STRANGER),
        signing.tag_document(SUBJECT, STRANGER, SIGNER),
    )
    assert verify(*documents).manifest == documents[2].manifest.descriptor.digest


def test_a_statement_with_several_subjects_counts_for_each() -> None:
    subjects = [{"digest": {"sha256": one.digest.hex}} for one in (OTHER, SUBJECT)]
    signed = envelope(SIGNER, statement(SUBJECT, subject=subjects))
    assert verify(referrer(dsseEnvelope=signed)).verified


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "ed25519", "rsa2048"])
def test_keys_of_each_kind_verify_both_forms(kind: str) -> None:
    signer = key("kinds", kind)
    for document in (
        signing.tag_document(SUBJECT, signer),
        signing.referrer_document(SUBJECT, signer),
    ):
        assert verify(document, keys=(signer,)).key == public(signer).fingerprint


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("p384", hashes.SHA384()), ("p521", hashes.SHA512())]
)
def test_a_larger_curve_may_come_with_its_own_hash(
    kind: str, algorithm: hashes.HashAlgorithm
) -> None:
    signer, content = key("kinds", kind), payload(SUBJECT)
    signature = text(signing.sign(signer, content, algorithm))
    annotations = {"dev.cosignproject.cosign/signature": signature}
    document = signing.tag_document(SUBJECT, signer, layer={"annotations": annotations})
    assert verify(document, keys=(signer,)).verified


# No signature, no key.


def test_an_image_without_signatures_says_what_to_do() -> None:
    with pytest.raises(SignatureError, match="no signature found") as caught:
        verify()
    assert caught.value.where == "registry.example/app:1"
    hint = str(caught.value.hint)
    assert "spec.images[].verify" in hint
    assert "--image-key" in hint
    assert "output.verify: false" in hint


def test_a_signature_manifest_without_layers_is_no_signature() -> None:
    empty = SignatureDocument("tag", signing.manifest([], None), {})
    with pytest.raises(SignatureError, match="no signature found"):
        verify(empty)


def test_no_key_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(SettingError, match="no public key"):
        verify(signing.tag_document(SUBJECT, SIGNER), keys=())


def test_the_error_names_every_candidate_up_to_ten() -> None:
    documents = [signing.tag_document(image(f"other {n}"), SIGNER) for n in range(12)]
    with pytest.raises(SignatureError) as caught:
        verify(*documents)
    found = str(caught.value.found)
    assert all(one.manifest.descriptor.digest in found for one in documents[:10])
    assert documents[10].manifest.descriptor.digest not in found
    assert found.endswith("; 2 more")


# Both forms, steps 1 to 3.


def test_step_1_a_referrer_of_another_image() -> None:
    document = signing.referrer_document(SUBJECT, SIGNER, refers_to=OTHER)
    refuse(document, why="manifest refers to another image")


def test_step_1_a_referrer_without_a_subject() -> None:
    document = signing.referrer_document(SUBJECT, SIGNER, refers_to=None)
    refuse(document, why="manifest refers to another image (found no subject")


def test_step_1_a_tag_whose_manifest_refers_to_another_image() -> None:
    tagged = signing.tag_document(SUBJECT, SIGNER)
    layers = [layer.to_json() for layer in tagged.manifest.layers]
    document = SignatureDocument("tag", signing.manifest(layers, OTHER), tagged.payloads)
    refuse(document, why="manifest refers to another image")


@pytest.mark.parametrize(
    "document",
    [
        signing.tag_document(SUBJECT, SIGNER, layer={"mediaType": "application/json"}),
        signing.referrer_document(SUBJECT, SIGNER, media_type="application/json"),
    ],
    ids=["tag", "referrer"],
)
def test_step_2_a_layer_of_another_kind(document: SignatureDocument) -> None:
    refuse(document, why="layer is no signature (found application/json")


@pytest.mark.parametrize("make", [signing.tag_document, signing.referrer_document])
def test_step_3_a_payload_that_was_not_fetched(make: Any) -> None:
    document = make(SUBJECT, SIGNER)
    refuse(SignatureDocument(document.scheme, document.manifest, {}), why="payload is missing")


@pytest.mark.parametrize("make", [signing.tag_document, signing.referrer_document])
def test_step_3_a_payload_with_another_digest(make: Any) -> None:
    # The bytes are those that were signed but for a blank; for the tag form, sign them as found.
    content = payload(SUBJECT) + b" "
    signature = {"dev.cosignproject.cosign/signature": text(signing.sign(SIGNER, content))}
    if make is signing.tag_document:
        document = make(SUBJECT, SIGNER, stored=content, layer={"annotations": signature})
    else:
        value = bundle(SIGNER, dsseEnvelope=envelope(SIGNER, statement(SUBJECT)))
        document = make(SUBJECT, SIGNER, value=value, stored=json.dumps(value).encode() + b" ")
    refuse(document, why="payload has another digest or size")


def test_step_3_a_layer_that_announces_another_size() -> None:
    document = signing.tag_document(SUBJECT, SIGNER, layer={"size": 1})
    refuse(document, why="payload has another digest or size")


# Simple signing, steps 4 to 7.


def test_tag_step_4_a_layer_without_the_annotation() -> None:
    document = signing.tag_document(SUBJECT, SIGNER, layer={"annotations": None})
    refuse(document, why="layer without the annotation dev.cosignproject.cosign/signature")


@pytest.mark.parametrize("spoil", [lambda b: b + "\n", lambda b: "!" + b, lambda _: ""])
def test_tag_step_4_an_annotation_that_is_not_base64(spoil: Any) -> None:
    right = text(signing.sign(SIGNER, payload(SUBJECT)))
    annotations = {"dev.cosignproject.cosign/signature": spoil(right)}
    document = signing.tag_document(SUBJECT, SIGNER, layer={"annotations": annotations})
    refuse(document, why="signature in the annotation is not base64")


def test_tag_step_5_a_signature_by_another_key() -> None:
    refuse(signing.tag_document(SUBJECT, STRANGER), why="signature is by none of the given keys")


def test_tag_step_5_a_signature_over_another_payload() -> None:
    signature = text(signing.sign(SIGNER, payload(SUBJECT) + b" "))
    annotations = {"dev.cosignproject.cosign/signature": signature}
    document = signing.tag_document(SUBJECT, SIGNER, layer={"annotations": annotations})
    refuse(document, why="signature is by none of the given keys, or over other bytes")


@pytest.mark.parametrize("kind", ["atomic container signature", None, 1])
def test_tag_step_6_a_payload_of_another_type(kind: Any) -> None:
    document = signing.tag_document(SUBJECT, SIGNER, data=payload(SUBJECT, type=kind))
    refuse(document, why="payload is of another type")


def test_tag_step_7_a_signature_of_another_image() -> None:
    document = signing.tag_document(SUBJECT, SIGNER, data=payload(OTHER))
    refuse(document, why=f"signature is for another image (found '{OTHER.digest}'")


@pytest.mark.parametrize(
    "part", [None, {}, {"Docker-manifest-digest": SUBJECT.digest}, [SUBJECT.digest]]
)
def test_tag_step_7_a_payload_without_a_digest(part: Any) -> None:
    document = signing.tag_document(SUBJECT, SIGNER, data=payload(SUBJECT, image=part))
    with pytest.raises(SignatureError, match="no signature of the image verifies"):
        verify(document)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"not JSON",
        b'{"critical": 1}',
        payload(SUBJECT)[:-1] + b', "critical": {}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_signed_payload_that_is_no_payload(data: bytes) -> None:
    document = signing.tag_document(SUBJECT, SIGNER, data=data)
    with pytest.raises(SignatureError, match="no signature of the image verifies"):
        verify(document)


def test_the_optional_part_need_not_be_there() -> None:
    value = json.loads(payload(SUBJECT)) | {"optional": None}
    verdict = verify(signing.tag_document(SUBJECT, SIGNER, data=json.dumps(value).encode()))
    assert verdict.signatures[0].annotations == {}


# Bundle, steps 4 to 9.


def test_bundle_step_4_another_version() -> None:
    value = bundle(
        SIGNER,
        mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2",
        dsseEnvelope=envelope(SIGNER, statement(SUBJECT)),
    )
    document = signing.referrer_document(SUBJECT, SIGNER, value=value)
    refuse(document, why="not a Sigstore bundle of a version that Petra reads")


@pytest.mark.parametrize("material", ["certificate", "x509CertificateChain"])
def test_bundle_step_4_a_keyless_bundle_is_not_the_keys(material: str) -> None:
    value = bundle(
        SIGNER,
        verificationMaterial={material: {"rawBytes": "AA=="}},
        dsseEnvelope=envelope(SIGNER, statement(SUBJECT)),
    )
    document = signing.referrer_document(SUBJECT, SIGNER, value=value)
    refuse(document, why="signed with a certificate (keyless)")


def test_bundle_step_5_an_envelope_of_another_type() -> None:
    signed = envelope(SIGNER, statement(SUBJECT), "application/json")
    refuse(referrer(dsseEnvelope=signed), why="envelope holds something else")


def test_bundle_step_6_a_signature_by_another_key() -> None:
    document = signing.referrer_document(SUBJECT, STRANGER)
    refuse(document, why="signature is by none of the given keys")


def test_bundle_step_6_a_signature_over_the_payload_alone() -> None:
    # What DSSE's encoding is for: the type is signed too.
    data = statement(SUBJECT)
    signed = envelope(SIGNER, data) | {"signatures": [{"sig": text(signing.sign(SIGNER, data))}]}
    refuse(referrer(dsseEnvelope=signed), why="signature is by none of the given keys")


def test_bundle_step_6_a_payload_changed_after_signing() -> None:
    signed = envelope(SIGNER, statement(SUBJECT)) | {"payload": text(statement(SUBJECT) + b" ")}
    refuse(referrer(dsseEnvelope=signed), why="signature is by none of the given keys")


def test_bundle_step_6_several_signatures() -> None:
    signed = envelope(SIGNER, statement(SUBJECT))
    refuse(
        referrer(dsseEnvelope=signed | {"signatures": signed["signatures"] * 2}),
        why="DSSE envelope with several signatures",
    )


def test_bundle_step_7_a_statement_of_another_type() -> None:
    data = statement(SUBJECT, _type="https://in-toto.io/Statement/v0.1")
    refuse(referrer(dsseEnvelope=envelope(SIGNER, data)), why="statement of another type")


def test_bundle_step_7_an_attestation_is_no_signature() -> None:
    data = statement(SUBJECT, predicateType="https://slsa.dev/provenance/v1")
    refuse(referrer(dsseEnvelope=envelope(SIGNER, data)), why="statement is no image signature")


@pytest.mark.parametrize(
    "subject",
    [
        [{"digest": {"sha256": OTHER.digest.hex}}],
        [{"digest": {"sha512": SUBJECT.digest.hex}}],
        [{"digest": {"sha256": SUBJECT.digest}}],
        [{"digest": SUBJECT.digest.hex}],
        [SUBJECT.digest.hex],
        {"digest": {"sha256": SUBJECT.digest.hex}},
        [],
        None,
    ],
)
def test_bundle_step_8_a_statement_about_something_else(subject: Any) -> None:
    data = statement(SUBJECT, subject=subject)
    refuse(referrer(dsseEnvelope=envelope(SIGNER, data)), why="signature is for another image")


def test_bundle_step_9_a_message_signature_of_another_kind() -> None:
    digest = {"algorithm": "SHA2_512", "digest": text(SUBJECT.digest.raw)}
    message = message_signature(SUBJECT.digest, messageDigest=digest)
    refuse(referrer(messageSignature=message), why="message digest of another kind")


def test_bundle_step_9_a_message_signature_that_names_another_image() -> None:
    digest = {"algorithm": "SHA2_256", "digest": text(OTHER.digest.raw)}
    message = message_signature(SUBJECT.digest, messageDigest=digest)
    refuse(referrer(messageSignature=message), why="signature is for another image")


def test_bundle_step_9_a_message_signature_over_another_image() -> None:
    signature = text(signing.petra_key().sign_digest(OTHER.digest))
    message = message_signature(SUBJECT.digest, signature=signature)
    refuse(referrer(messageSignature=message), why="signature is by none of the given keys")
