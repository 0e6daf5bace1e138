"""Which of an image's attachments become signature documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.errors import SignatureError, TransportError
from petra.oci.referrers import Attachment
from petra.trust.documents import (
    ATTESTATION_LIMIT,
    attestation_documents,
    signature_documents,
)
from petra.trust.image import verify_image
from petra.trust.signers import KeySigners
from petra.trust.sigstore import BUNDLE_LIMIT
from tests.support import signing
from tests.support.keyless import make
from tests.support.signing import image, key, public

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.content.descriptor import Descriptor
    from petra.trust.documents import SignatureDocument

SUBJECT = image()


def attachment(document: SignatureDocument, subject: Digest = SUBJECT.digest) -> Attachment:
    return Attachment("signature", document.scheme, subject, document.manifest)


def store(*documents: SignatureDocument) -> Callable[[Descriptor], bytes]:
    blobs = {d: data for document in documents for d, data in document.payloads.items()}
    return lambda descriptor: blobs[descriptor.digest]


def test_signatures_of_both_forms_are_fetched_and_verify() -> None:
    made = [signing.tag_document(SUBJECT, key()), signing.referrer_document(SUBJECT, key())]
    documents = signature_documents([attachment(one) for one in made], store(*made))
    assert [one.scheme for one in documents] == ["tag", "referrer"]
    for document in documents:
        assert verify_image(SUBJECT, [document], KeySigners((public(key()),)), where="app").verified


def test_other_attachments_are_not_even_fetched() -> None:
    made = signing.referrer_document(SUBJECT, key())
    others = [replace(attachment(made), kind=kind) for kind in ("attestation", "sbom", "referrer")]
    assert signature_documents(others, store()) == []


def test_signatures_of_something_else_can_be_left_out() -> None:
    made = signing.tag_document(SUBJECT, key())
    of_attestation = attachment(made, Digest.of(b"attestation"))
    assert len(signature_documents([of_attestation], store(made))) == 1
    assert signature_documents([of_attestation], store(), subject=SUBJECT.digest) == []


@pytest.mark.parametrize(
    "layer", [{"mediaType": "application/vnd.oci.image.layer.v1.tar"}, {"size": BUNDLE_LIMIT + 1}]
)
def test_layers_that_hold_no_signature_are_not_fetched(layer: dict[str, object]) -> None:
    made = signing.tag_document(SUBJECT, key(), layer=layer)
    (document,) = signature_documents([attachment(made)], store())
    assert document.payloads == {}


def test_too_many_bytes_of_signatures_are_refused_before_they_are_fetched() -> None:
    made = signing.tag_document(SUBJECT, *[key()] * 40, layer={"size": BUNDLE_LIMIT})
    with pytest.raises(SignatureError, match="too large to be genuine"):
        signature_documents([attachment(made)], store())


def test_a_failing_source_is_not_a_missing_signature() -> None:
    def fail(descriptor: Descriptor) -> bytes:
        raise TransportError("the registry is gone")

    made = signing.tag_document(SUBJECT, key())
    with pytest.raises(TransportError):
        signature_documents([attachment(made)], fail)


# Attestations.


def test_attestations_of_both_forms_are_fetched() -> None:
    made = [make("attestation tag"), make("attestation bundle")]
    found = attestation_documents([attested(one) for one in made], store(*made))
    assert [one.scheme for one in found] == ["tag", "referrer"]
    assert [list(one.payloads) for one in found] == [list(one.payloads) for one in made]


def test_signatures_are_not_fetched_as_attestations() -> None:
    made = make("bundle")
    assert attestation_documents([attachment(made)], store()) == []


@pytest.mark.parametrize(
    "layer",
    [{"mediaType": "application/json"}, {"size": ATTESTATION_LIMIT + 1}],
)
def test_layers_that_hold_no_attestation_are_not_fetched(layer: dict[str, object]) -> None:
    (document,) = attestation_documents([attested(_with(make("attestation tag"), layer))], store())
    assert document.payloads == {}


def test_too_many_bytes_of_attestations_are_refused_before_they_are_fetched() -> None:
    made = _with(make("attestation tag"), {"size": ATTESTATION_LIMIT}, times=5)
    with pytest.raises(SignatureError, match="attestations too large to be genuine"):
        attestation_documents([attested(made)], store())


def attested(document: SignatureDocument) -> Attachment:
    return replace(attachment(document), kind="attestation")


def _with(
    document: SignatureDocument, layer: dict[str, object], times: int = 1
) -> SignatureDocument:
    layers = [document.manifest.layers[0].to_json() | layer] * times
    return replace(document, manifest=signing.manifest(layers, None))
