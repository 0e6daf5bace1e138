"""Attestations about images: what somebody states, signed. No input or output.

cosign has two forms, as for signatures. The older keeps DSSE envelopes in a manifest under the tag
``sha256-HEX.att``, with what verifies them in the layers' annotations; the newer keeps a Sigstore
bundle in a manifest that refers to the image. Each layer is a candidate. It must pass every step,
each owned by the function named:

1. a manifest that says what it refers to refers to the image, or to one of its platforms
   (``check_referrer``);
2. the layer is of one of the two kinds, and no larger than an attestation may be
   (:func:`_verify_layer`);
3. the layer's bytes are here, and have its digest and size (``payload_of``);
4. it is a DSSE envelope (``parse_envelope``), or a Sigstore bundle that claims what the signers
   have (``Signers.check_material``), with one signature (``only_signature``) over an in-toto
   document (``check_payload_type``);
5. one of the signers made the signature over type and payload (``Signers.layer`` or
   ``Signers.envelope``);
6. it is an in-toto statement (``parse_statement``), and more than that the image is signed
   (:func:`_check_predicate_type`);
7. it is about the image, or one of its platforms (``Statement.about``).

What a predicate says is its reader's to judge. Statements are parsed only after their signature has
been verified, and are handed on byte for byte.

Source: cosign's specs/ATTESTATION_SPEC.md and specs/BUNDLE_SPEC.md; in-toto's Statement v1, v0.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from petra.errors import PolicyError, SignatureError
from petra.oci.media_types import DSSE_ENVELOPE, SIGSTORE_BUNDLE
from petra.trust.candidate import Candidate, Failure, check_referrer, payload_of
from petra.trust.documents import ATTESTATION_LIMIT
from petra.trust.dsse import parse_envelope
from petra.trust.image import only_signature
from petra.trust.signers import LayerSignature
from petra.trust.sigstore import MessageSignature, load_signed_json, parse_sigstore_bundle
from petra.trust.statement import (
    SIGN_PREDICATE,
    STATEMENT_TYPE,
    STATEMENT_TYPE_OLD,
    check_payload_type,
    parse_statement,
)
from petra.trust.verdict import VerifiedSignature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.digest import Digest
    from petra.trust.documents import SignatureDocument
    from petra.trust.dsse import Envelope
    from petra.trust.signers import Proof, Signers

_TYPES: Final = (STATEMENT_TYPE, STATEMENT_TYPE_OLD)


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """An attestation that passed every step.

    Attributes:
        predicate_type: what kind of thing is stated, ``https://spdx.dev/Document``.
        subjects: about which of the digests that were asked for.
        statement: the whole statement, the very bytes that were signed.
        signature: what vouches for it.
    """

    predicate_type: str
    subjects: tuple[Digest, ...]
    statement: bytes = field(repr=False)
    signature: VerifiedSignature


@dataclass(frozen=True, slots=True)
class AttestationVerdict:
    """What was found out about an image's attestations.

    Attributes:
        statements: those that were verified.
        refused: of each other one, where it is and why not.
    """

    statements: tuple[VerifiedStatement, ...] = ()
    refused: tuple[str, ...] = ()

    def require(self, *predicate_types: str, where: str) -> tuple[VerifiedStatement, ...]:
        """Return the verified statements of these kinds.

        Args:
            predicate_types: any of these.
            where: the image's reference, for the error.

        Raises:
            SignatureError: there is none; says of each that was found why it does not count.
        """
        found = tuple(one for one in self.statements if one.predicate_type in predicate_types)
        if not found:
            raise SignatureError(
                "image has no attestation of that kind that verifies",
                where=where,
                expected=" or ".join(predicate_types),
                found="; ".join(
                    (*(one.predicate_type for one in self.statements), *self.refused[:10])
                )
                or "no attestation",
                hint="ask the image's publisher for one; it must be signed by whom the image's "
                "policy names",
            )
        return found


def verify_attestations(
    subjects: Sequence[Digest],
    documents: Sequence[SignatureDocument],
    signers: Signers,
    *,
    where: str,
) -> AttestationVerdict:
    """Verify an image's attestations, each by itself.

    Args:
        subjects: the image's digest, and those of its platform manifests of which an attestation
            may speak in its stead. At least one.
        documents: the attestations that were found, as ``attestation_documents`` returns them.
        signers: whose signature counts.
        where: the image's reference, for errors.

    Returns:
        Those that verified, and why each other one did not.
    """
    if not subjects:
        raise ValueError(f"attestations of nothing: {where}")
    statements, refused = [], []
    for document in documents:
        for layer in document.manifest.layers:
            candidate = Candidate(subjects, document, layer, signers)
            try:
                statements.append(_verify(candidate))
            except (SignatureError, PolicyError) as error:
                refused.append(str(Failure(candidate, error)))
    return AttestationVerdict(tuple(statements), tuple(refused))


def _verify(check: Candidate) -> VerifiedStatement:
    """Return the candidate as a verified statement if it passes every step."""
    check_referrer(check)
    proof, payload = _verify_layer(check)
    statement = parse_statement(payload, _TYPES, where=check.where, limit=ATTESTATION_LIMIT)
    _check_predicate_type(statement.predicate_type)
    about = statement.about(check.subjects)
    manifest = check.document.manifest.descriptor.digest
    return VerifiedStatement(
        statement.predicate_type,
        tuple(dict.fromkeys(one.digest for one in about)),
        payload,
        VerifiedSignature(
            check.document.scheme, manifest, proof.key, about[0].annotations, proof.certified
        ),
    )


def _verify_layer(check: Candidate) -> tuple[Proof, bytes]:
    """Step 2: the layer is of one of the two kinds. Returns proof and the statement's bytes."""
    if check.layer.size > ATTESTATION_LIMIT:
        raise SignatureError(
            "attestation too large",
            expected=f"at most {ATTESTATION_LIMIT} bytes",
            found=f"{check.layer.size} bytes",
        )
    if check.layer.media_type == DSSE_ENVELOPE:
        return _verify_envelope(check)
    if check.layer.media_type == SIGSTORE_BUNDLE:
        return _verify_bundle(check)
    raise SignatureError(
        "layer is no attestation",
        expected=f"{DSSE_ENVELOPE} or {SIGSTORE_BUNDLE}",
        found=check.layer.media_type,
    )


def _verify_envelope(check: Candidate) -> tuple[Proof, bytes]:
    data = payload_of(check)
    value = load_signed_json(data, what="DSSE envelope", where=check.where, limit=ATTESTATION_LIMIT)
    envelope = parse_envelope(value, where=check.where)
    check_payload_type(envelope.payload_type)
    signed = LayerSignature(
        layer=check.layer,
        document=data,
        signature=only_signature(envelope),
        signed=envelope.signed,
        payload=envelope.payload,
        is_envelope=True,
    )
    return check.signers.layer(signed, where=check.where), envelope.payload


def _verify_bundle(check: Candidate) -> tuple[Proof, bytes]:
    data = payload_of(check)
    bundle = parse_sigstore_bundle(data, where=check.where, limit=ATTESTATION_LIMIT)
    check.signers.check_material(bundle, where=check.where)
    envelope = _envelope(bundle.content)
    check_payload_type(envelope.payload_type)
    only_signature(envelope)
    return check.signers.envelope(bundle, envelope, data, where=check.where), envelope.payload


def _envelope(content: MessageSignature | Envelope) -> Envelope:
    if isinstance(content, MessageSignature):
        raise SignatureError(
            "Sigstore bundle signs a message, and states nothing",
            expected="dsseEnvelope",
            found="messageSignature",
        )
    return content


def _check_predicate_type(predicate_type: str) -> None:
    """Step 6: it states more than that the image is signed."""
    if predicate_type == SIGN_PREDICATE:
        raise SignatureError("statement is an image signature, and no attestation")
