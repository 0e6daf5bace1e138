"""cosign's signatures of images. No input or output.

cosign has two forms. The older keeps *simple signing* payloads in a manifest under the tag
``sha256-HEX.sig``, or in one that refers to the image; the newer keeps a Sigstore bundle in a
manifest that refers to the image. Each layer of such a manifest is a candidate. A candidate must
pass every step, each owned by the function named; one candidate that passes is enough.

For both forms:

1. a manifest that says what it refers to refers to this image (``check_referrer``);
2. the layer is of one of the two kinds (:func:`_verify_layer`);
3. the layer's bytes are here, and have its digest and size (``payload_of``).

Simple signing:

4. the signature stands in the layer's annotation as base64 (:func:`annotated_signature`);
5. one of the signers made it over the payload (``Signers.layer``);
6. the payload's ``critical.type`` is cosign's (:func:`_check_critical_type`);
7. ``critical.image.docker-manifest-digest`` is the image's (:func:`_check_critical_digest`).

Sigstore bundle:

4. it is of v0.3 (``parse_sigstore_bundle``) and claims what the signers have, a bare public key or
   a certificate (``Signers.check_material``);
5. for a statement: the payload's type is in-toto's (``check_payload_type``);
6. one of the signers made the signature over type and payload (``Signers.envelope``);
7. it is an in-toto statement (``parse_statement``) with cosign's predicate
   (:func:`_check_predicate_type`);
8. one of its subjects is the image (``Statement.about``);
9. for a message signature instead of 5 to 8: the digest in it is the image's, and one of the
   signers made the signature over it (:func:`_verify_message`).

What signers of either kind must prove is in :mod:`petra.trust.signers` and
:mod:`petra.trust.keyless`. Payloads are interpreted only after their signature has been verified.
``docker-reference`` says under which name an image was signed; it is not compared, since mirrors
change names.

Source: cosign's specs/SIGNATURE_SPEC.md and specs/BUNDLE_SPEC.md; in-toto's Statement v1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.errors import PolicyError, SignatureError
from petra.oci.media_types import COSIGN_SIMPLE_SIGNING, SIGSTORE_BUNDLE
from petra.trust.candidate import (
    Candidate,
    Failure,
    check_referrer,
    expect,
    none_passes,
    part,
    payload_of,
    texts,
)
from petra.trust.documents import SignatureDocument, signature_documents
from petra.trust.signers import LayerSignature
from petra.trust.sigstore import (
    SHA256_NAME,
    MessageSignature,
    load_signed_json,
    parse_sigstore_bundle,
)
from petra.trust.statement import (
    SIGN_PREDICATE,
    STATEMENT_TYPE,
    check_payload_type,
    parse_statement,
)
from petra.trust.text import decode_base64
from petra.trust.verdict import SignatureVerdict, VerifiedSignature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.trust.dsse import Envelope
    from petra.trust.signers import Proof, Signers

__all__ = [
    "SIGN_PREDICATE",
    "STATEMENT_TYPE",
    "SignatureDocument",
    "SignatureVerdict",
    "VerifiedSignature",
    "signature_documents",
    "verify_image",
]

SIGNATURE_ANNOTATION: Final = "dev.cosignproject.cosign/signature"
CRITICAL_TYPE: Final = "cosign container image signature"


def verify_image(
    subject: Descriptor,
    documents: Sequence[SignatureDocument],
    signers: Signers,
    *,
    where: str,
) -> SignatureVerdict:
    """Verify that one of `signers` signed an image.

    Args:
        subject: the image: its digest is what must be signed. For a multi-platform image, the
            index; its children follow from it by digest.
        documents: the signatures that were found.
        signers: whose signature counts.
        where: the image's reference, for errors.

    Returns:
        Which signature verified, and what vouches for it.

    Raises:
        SignatureError: there is no signature, or none that verifies; says of each why not.
        PolicyError: the same, where one is genuine, yet not what policy asks for.
    """
    failures = []
    for document in documents:
        for layer in document.manifest.layers:
            candidate = Candidate((subject.digest,), document, layer, signers)
            try:
                return SignatureVerdict(subject.digest, (_verify(candidate),))
            except (SignatureError, PolicyError) as error:
                failures.append(Failure(candidate, error))
    if not failures:
        raise no_signature(where)
    raise none_passes("no signature of the image verifies", failures, signers, where)


def no_signature(where: str) -> SignatureError:
    """Return the error for an image without any signature."""
    return SignatureError(
        "image is not signed: no signature found",
        where=where,
        expected="a cosign signature, by the tag sha256-….sig or as a referrer",
        hint="sign it with cosign; or name what else vouches for it in spec.images[].verify or "
        "with --image-key; output.verify: false verifies nothing, and the metadata says so",
    )


def only_signature(envelope: Envelope) -> bytes:
    """Return the one signature of an envelope.

    Raises:
        SignatureError: it has several.
    """
    if len(envelope.signatures) != 1:
        raise SignatureError("DSSE envelope with several signatures where a bundle has one")
    return envelope.signatures[0]


def annotated_signature(check: Candidate) -> bytes:
    """Simple signing, step 4: the signature stands in the layer's annotation as base64."""
    text = check.layer.annotations.get(SIGNATURE_ANNOTATION)
    if text is None:
        raise SignatureError(f"layer without the annotation {SIGNATURE_ANNOTATION}")
    return decode_base64(text, what="signature in the annotation", where=check.where)


def _verify(check: Candidate) -> VerifiedSignature:
    """Return the candidate as a verified signature if it passes every step."""
    check_referrer(check)
    proof, annotations = _verify_layer(check)
    manifest = check.document.manifest.descriptor.digest
    return VerifiedSignature(
        check.document.scheme, manifest, proof.key, annotations, proof.certified
    )


def _verify_layer(check: Candidate) -> tuple[Proof, Mapping[str, str]]:
    """Step 2: the layer is of one of the two kinds."""
    if check.layer.media_type == COSIGN_SIMPLE_SIGNING:
        return _verify_simple_signing(check)
    if check.layer.media_type == SIGSTORE_BUNDLE:
        return _verify_bundle(check)
    raise SignatureError(
        "layer is no signature",
        where=check.where,
        expected=f"{COSIGN_SIMPLE_SIGNING} or {SIGSTORE_BUNDLE}",
        found=check.layer.media_type,
    )


def _verify_simple_signing(check: Candidate) -> tuple[Proof, Mapping[str, str]]:
    payload, signature = payload_of(check), annotated_signature(check)
    signed = LayerSignature(check.layer, payload, signature, payload, payload, is_envelope=False)
    proof = check.signers.layer(signed, where=check.where)
    value = load_signed_json(payload, what="payload", where=check.where)
    critical = part(value.get("critical"), "critical")
    _check_critical_type(critical)
    _check_critical_digest(critical, check.subjects)
    return proof, texts(value.get("optional"))


def _check_critical_type(critical: dict[str, Any]) -> None:
    """Simple signing, step 6: the payload is cosign's."""
    expect(critical.get("type"), CRITICAL_TYPE, "payload is of another type")


def _check_critical_digest(critical: dict[str, Any], digests: Sequence[Digest]) -> None:
    """Simple signing, step 7: the payload is about this image."""
    image = part(critical.get("image"), "critical.image")
    expect(image.get("docker-manifest-digest"), digests[0], "signature is for another image")


def _verify_bundle(check: Candidate) -> tuple[Proof, Mapping[str, str]]:
    data = payload_of(check)
    bundle = parse_sigstore_bundle(data, where=check.where)
    check.signers.check_material(bundle, where=check.where)
    envelope = bundle.content
    if isinstance(envelope, MessageSignature):
        return _verify_message(check, envelope), {}
    check_payload_type(envelope.payload_type)
    only_signature(envelope)
    proof = check.signers.envelope(bundle, envelope, data, where=check.where)
    statement = parse_statement(envelope.payload, (STATEMENT_TYPE,), where=check.where)
    _check_predicate_type(statement.predicate_type)
    return proof, statement.about(check.subjects)[0].annotations


def _check_predicate_type(predicate_type: str) -> None:
    """Bundle, step 7: it says that the image is signed, and nothing else about it."""
    expect(predicate_type, SIGN_PREDICATE, "statement is no image signature")


def _verify_message(check: Candidate, message: MessageSignature) -> Proof:
    """Bundle, step 9: a signature over the image's manifest itself."""
    expect(message.algorithm, SHA256_NAME, "message digest of another kind")
    digest = check.subjects[0]
    expect(message.digest.hex(), digest.hex, "signature is for another image")
    return check.signers.message(message, digest)
