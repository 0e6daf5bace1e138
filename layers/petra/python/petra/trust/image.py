"""cosign's signatures of images, verified with public keys. No input or output.

cosign has two forms. The older keeps *simple signing* payloads in a manifest under the tag
``sha256-HEX.sig``, or in one that refers to the image; the newer keeps a Sigstore bundle in a
manifest that refers to the image. Each layer of such a manifest is a candidate. A candidate must
pass every step, each owned by the function named; one candidate that passes is enough.

For both forms:

1. a manifest that says what it refers to refers to this image (:func:`_check_referrer`);
2. the layer is of one of the two kinds (:func:`_verify_layer`);
3. the layer's bytes are here, and have its digest and size (:func:`_payload`).

Simple signing:

4. the signature stands in the layer's annotation as base64 (:func:`_annotated_signature`);
5. a key verifies it over the payload (:func:`_signing_key`);
6. the payload's ``critical.type`` is cosign's (:func:`_check_critical_type`);
7. ``critical.image.docker-manifest-digest`` is the image's (:func:`_check_critical_digest`).

Sigstore bundle:

4. it is of v0.3 (``parse_sigstore_bundle``) and claims a bare public key (``require_public_key``);
5. for a statement: the payload's type is in-toto's (:func:`_check_payload_type`);
6. a key verifies the signature over type and payload (:func:`_signing_key`);
7. it is an in-toto statement (:func:`_check_statement_type`) with cosign's predicate
   (:func:`_check_predicate_type`);
8. one of its subjects is the image (:func:`_check_subjects`);
9. for a message signature instead of 5 to 8: the digest in it is the image's, and a key verifies
   the signature over it (:func:`_verify_message`).

Payloads are interpreted only after their signature has been verified. ``docker-reference`` says
under which name an image was signed; it is not compared, since mirrors change names.

Source: cosign's specs/SIGNATURE_SPEC.md and specs/BUNDLE_SPEC.md; in-toto's Statement v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.content.descriptor import Descriptor
from petra.errors import SettingError, SignatureError
from petra.oci.media_types import COSIGN_SIMPLE_SIGNING, IN_TOTO, SIGSTORE_BUNDLE
from petra.trust.documents import SignatureDocument, signature_documents
from petra.trust.sigstore import (
    SHA256_NAME,
    MessageSignature,
    load_signed_json,
    parse_sigstore_bundle,
    require_public_key,
)
from petra.trust.text import decode_base64
from petra.trust.verdict import SignatureVerdict, VerifiedSignature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.content.digest import Digest
    from petra.trust.keys import PublicKey

__all__ = [
    "SignatureDocument",
    "SignatureVerdict",
    "VerifiedSignature",
    "signature_documents",
    "verify_image",
]

SIGNATURE_ANNOTATION: Final = "dev.cosignproject.cosign/signature"
CRITICAL_TYPE: Final = "cosign container image signature"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
#: How many failed candidates an error describes.
_SHOWN: Final = 10


def verify_image(
    subject: Descriptor,
    documents: Sequence[SignatureDocument],
    keys: Sequence[PublicKey],
    *,
    where: str,
) -> SignatureVerdict:
    """Verify that one of `keys` signed an image.

    Args:
        subject: the image: its digest is what must be signed. For a multi-platform image, the
            index; its children follow from it by digest.
        documents: the signatures that were found.
        keys: whose signature counts.
        where: the image's reference, for errors.

    Returns:
        Which signature and which key verified it.

    Raises:
        SettingError: there is no key.
        SignatureError: there is no signature, or none that verifies; says of each why not.
    """
    if not keys:
        raise SettingError(
            "no public key to verify the image with",
            where=where,
            hint="name one with spec.images[].verify or --image-key",
        )
    failures = []
    for document in documents:
        for layer in document.manifest.layers:
            candidate = _Candidate(subject, document, layer, keys)
            try:
                return SignatureVerdict(subject.digest, (_verify(candidate),))
            except SignatureError as error:
                failures.append(_failure(candidate, error))
    if not failures:
        raise no_signature(where)
    raise _none_verifies(failures, keys, where)


def no_signature(where: str) -> SignatureError:
    """Return the error for an image without any signature."""
    return SignatureError(
        "image is not signed: no signature found",
        where=where,
        expected="a cosign signature, by the tag sha256-….sig or as a referrer",
        hint="sign it with cosign; or name what else vouches for it in spec.images[].verify or "
        "with --image-key; output.verify: false verifies nothing, and the metadata says so",
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A layer of a signature manifest, and what it is to be checked against."""

    subject: Descriptor
    document: SignatureDocument
    layer: Descriptor
    keys: Sequence[PublicKey]

    @property
    def where(self) -> str:
        return self.document.manifest.descriptor.digest


def _verify(check: _Candidate) -> VerifiedSignature:
    """Return the candidate as a verified signature if it passes every step."""
    _check_referrer(check)
    key, annotations = _verify_layer(check)
    manifest = check.document.manifest.descriptor.digest
    return VerifiedSignature(check.document.scheme, manifest, key.fingerprint, annotations)


def _check_referrer(check: _Candidate) -> None:
    """Step 1: a manifest that says what it refers to refers to this image."""
    referred = check.document.manifest.subject
    if referred is None and check.document.scheme == "tag":
        return
    if referred is None or referred.digest != check.subject.digest:
        raise SignatureError(
            "manifest refers to another image",
            where=check.where,
            expected=check.subject.digest,
            found=referred.digest if referred else "no subject",
        )


def _verify_layer(check: _Candidate) -> tuple[PublicKey, Mapping[str, str]]:
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


def _payload(check: _Candidate) -> bytes:
    """Step 3: the layer's bytes are here, and have its digest and size."""
    payload = check.document.payloads.get(check.layer.digest)
    if payload is None:
        raise SignatureError("payload is missing", where=check.where, expected=check.layer.digest)
    found = Descriptor.of(check.layer.media_type, payload)
    if found != check.layer:
        raise SignatureError(
            "payload has another digest or size than its layer says",
            where=check.where,
            expected=f"{check.layer.digest}, {check.layer.size} bytes",
            found=f"{found.digest}, {found.size} bytes",
        )
    return payload


def _signing_key(check: _Candidate, signature: bytes, message: bytes) -> PublicKey:
    """Return the key that verifies `signature` over `message`."""
    for key in check.keys:
        if key.verifies(signature, message):
            return key
    raise SignatureError("signature is by none of the given keys, or over other bytes")


def _verify_simple_signing(check: _Candidate) -> tuple[PublicKey, Mapping[str, str]]:
    payload = _payload(check)
    key = _signing_key(check, _annotated_signature(check), payload)
    value = load_signed_json(payload, what="payload", where=check.where)
    critical = _object(value.get("critical"), "critical")
    _check_critical_type(critical)
    _check_critical_digest(critical, check.subject.digest)
    return key, _texts(value.get("optional"))


def _annotated_signature(check: _Candidate) -> bytes:
    """Simple signing, step 4: the signature stands in the layer's annotation as base64."""
    text = check.layer.annotations.get(SIGNATURE_ANNOTATION)
    if text is None:
        raise SignatureError(f"layer without the annotation {SIGNATURE_ANNOTATION}")
    return decode_base64(text, what="signature in the annotation", where=check.where)


def _check_critical_type(critical: dict[str, Any]) -> None:
    """Simple signing, step 6: the payload is cosign's."""
    _expect(critical.get("type"), CRITICAL_TYPE, "payload is of another type")


def _check_critical_digest(critical: dict[str, Any], digest: Digest) -> None:
    """Simple signing, step 7: the payload is about this image."""
    image = _object(critical.get("image"), "critical.image")
    _expect(image.get("docker-manifest-digest"), digest, "signature is for another image")


def _verify_bundle(check: _Candidate) -> tuple[PublicKey, Mapping[str, str]]:
    bundle = parse_sigstore_bundle(_payload(check), where=check.where)
    require_public_key(bundle, where=check.where)
    envelope = bundle.content
    if isinstance(envelope, MessageSignature):
        return _verify_message(check, envelope), {}
    _check_payload_type(envelope.payload_type)
    if len(envelope.signatures) != 1:
        raise SignatureError("DSSE envelope with several signatures where a bundle has one")
    key = _signing_key(check, envelope.signatures[0], envelope.signed)
    statement = load_signed_json(envelope.payload, what="statement", where=check.where)
    _check_statement_type(statement)
    _check_predicate_type(statement)
    return key, _check_subjects(statement, check.subject.digest)


def _check_payload_type(payload_type: str) -> None:
    """Bundle, step 5: what was signed is an in-toto document."""
    _expect(payload_type, IN_TOTO, "envelope holds something else than an in-toto statement")


def _check_statement_type(statement: dict[str, Any]) -> None:
    """Bundle, step 7: it is an in-toto statement."""
    _expect(statement.get("_type"), STATEMENT_TYPE, "statement of another type")


def _check_predicate_type(statement: dict[str, Any]) -> None:
    """Bundle, step 7: it says that the image is signed, and nothing else about it."""
    _expect(statement.get("predicateType"), SIGN_PREDICATE, "statement is no image signature")


def _check_subjects(statement: dict[str, Any], digest: Digest) -> Mapping[str, str]:
    """Bundle, step 8: the statement is about this image. Returns the subject's annotations."""
    subjects = statement.get("subject")
    for subject in subjects if isinstance(subjects, list) else []:
        digests = subject.get("digest") if isinstance(subject, dict) else None
        if isinstance(digests, dict) and digests.get("sha256") == digest.hex:
            return _texts(subject.get("annotations"))
    raise SignatureError("signature is for another image", expected=digest)


def _verify_message(check: _Candidate, message: MessageSignature) -> PublicKey:
    """Bundle, step 9: a signature over the image's manifest itself."""
    _expect(message.algorithm, SHA256_NAME, "message digest of another kind")
    digest = check.subject.digest
    _expect(message.digest.hex(), digest.hex, "signature is for another image")
    for key in check.keys:
        if key.verifies_digest(message.signature, digest):
            return key
    raise SignatureError("signature is by none of the given keys, or over other bytes")


def _expect(found: object, expected: str, message: str) -> None:
    if found != expected:
        raise SignatureError(message, expected=expected, found=repr(found)[:120])


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SignatureError(f"payload without {name}")
    return value


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _failure(check: _Candidate, error: SignatureError) -> str:
    found = f" (found {error.found}, expected {error.expected})" if error.found else ""
    return f"{check.document.scheme} {check.where}: {error.message}{found}"


def _none_verifies(
    failures: Sequence[str], keys: Sequence[PublicKey], where: str
) -> SignatureError:
    shown = [*failures[:_SHOWN], *([f"{len(failures) - _SHOWN} more"] * (len(failures) > _SHOWN))]
    return SignatureError(
        "no signature of the image verifies",
        where=where,
        expected="a signature by " + " or ".join(map(str, keys)),
        found="; ".join(shown),
        hint="check that the key is the signer's (spec.images[].verify or --image-key); if it is, "
        "do not use this image",
    )
