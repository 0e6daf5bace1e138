import pytest

from petra.content.descriptor import Descriptor
from petra.content.protocols import ByteStream
from petra.errors import FormatError, NotFoundError, TransportError
from petra.oci import media_types
from petra.oci.manifest import parse_manifest
from petra.oci.memory import MemoryTarget
from petra.oci.referrers import ATTACHMENT_LIMIT, Attachment, attachments, classify, referrers_tag
from tests.support.graphs import push_document, push_image, push_referrer, push_tagged

BUNDLE = media_types.SIGSTORE_BUNDLE
SIGN = {"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"}
SLSA = {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}
SIMPLE = media_types.COSIGN_SIMPLE_SIGNING


class WithoutReferrers:
    """A repository of a registry that knows no referrers API."""

    def __init__(self, inner: MemoryTarget) -> None:
        self._inner = inner

    def fetch(self, descriptor: Descriptor, /) -> ByteStream:
        return self._inner.fetch(descriptor)

    def resolve(self, reference: str, /) -> Descriptor:
        return self._inner.resolve(reference)


def shape(found: list[Attachment]) -> set[tuple[str, str]]:
    return {(item.kind, item.scheme) for item in found}


def test_an_image_without_attachments_has_none() -> None:
    target = MemoryTarget()

    assert attachments(target, push_image(target)) == []


def test_cosigns_tags() -> None:
    target = MemoryTarget()
    image, other = push_image(target, "one"), push_image(target, "two")
    signature = push_tagged(target, image, ".sig", SIMPLE, b"s")
    push_tagged(target, image, ".att", media_types.DSSE_ENVELOPE, b"a")
    push_tagged(target, image, ".sbom", "text/spdx", b"b")
    push_tagged(target, other, ".sig", SIMPLE, b"o")

    found = attachments(target, image)

    assert shape(found) == {("signature", "tag"), ("attestation", "tag"), ("sbom", "tag")}
    assert found[0].manifest.descriptor == signature
    assert found[0].tag == f"sha256-{image.digest.hex}.sig"
    assert {item.subject for item in found} == {image.digest}


def test_referrers_through_the_api_and_through_its_tag() -> None:
    target = MemoryTarget()
    image = push_image(target)
    signature = push_referrer(target, image, artifact_type=BUNDLE, annotations=SIGN)
    sbom = push_referrer(target, image)
    listed = {"manifests": [signature.to_json(), sbom.to_json()]}
    index = push_document(target, media_types.OCI_INDEX, listed)
    target.tag(index, referrers_tag(image.digest))
    expected = {("signature", "referrer"), ("sbom", "referrer")}

    assert shape(attachments(target, image)) == expected
    assert shape(attachments(WithoutReferrers(target), image)) == expected


def test_a_list_under_a_tag_is_not_believed() -> None:
    target = MemoryTarget()
    image, other = push_image(target, "one"), push_image(target, "two")
    foreign = push_referrer(target, other)
    absent = Descriptor.of(media_types.OCI_MANIFEST, b"absent")
    blob = Descriptor.of(media_types.OCI_LAYER, b"blob")
    listed = {"manifests": [item.to_json() for item in (foreign, absent, blob, other)]}
    target.tag(push_document(target, media_types.OCI_INDEX, listed), referrers_tag(image.digest))

    assert attachments(WithoutReferrers(target), image) == []


def test_the_same_manifest_under_a_tag_and_as_a_referrer_counts_once() -> None:
    target = MemoryTarget()
    image = push_image(target)
    signature = push_referrer(target, image, artifact_type=BUNDLE, annotations=SIGN)
    target.tag(signature, referrers_tag(image.digest) + ".sig")

    (found,) = attachments(target, image)

    assert found.scheme == "tag"


def test_signatures_of_attestations_are_found_too() -> None:
    target = MemoryTarget()
    image = push_image(target)
    attestation = push_referrer(target, image, artifact_type=BUNDLE, annotations=SLSA)
    tagged = push_tagged(target, attestation, ".sig", SIMPLE, b"s")
    referrer = push_referrer(target, attestation, artifact_type=BUNDLE, annotations=SIGN)
    push_referrer(target, referrer, content=b"beyond one level")

    found = attachments(target, image)

    assert [item.manifest.descriptor for item in found] == [attestation, tagged, referrer]
    assert [item.subject for item in found] == [image.digest, *[attestation.digest] * 2]


@pytest.mark.parametrize(
    ("artifact_type", "annotations", "layer_type", "kind"),
    [
        (BUNDLE, SIGN, BUNDLE, "signature"),
        (BUNDLE, {"dev.sigstore.bundle.content": "message-signature"}, BUNDLE, "signature"),
        (BUNDLE, SLSA, BUNDLE, "attestation"),
        (BUNDLE, {}, BUNDLE, "attestation"),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", SIGN, BUNDLE, "signature"),
        (media_types.COSIGN_SIGNATURE, {}, SIMPLE, "signature"),
        (None, {}, SIMPLE, "signature"),
        (None, {}, media_types.DSSE_ENVELOPE, "attestation"),
        (media_types.IN_TOTO, {}, media_types.IN_TOTO, "attestation"),
        ("application/vnd.cyclonedx+json", {}, "a/b", "sbom"),
        ("application/vnd.cncf.notary.signature", {}, "application/jose+json", "referrer"),
        ("example/anything", SIGN, "a/b", "referrer"),
    ],
)
def test_kinds(
    artifact_type: str | None, annotations: dict[str, str], layer_type: str, kind: str
) -> None:
    target = MemoryTarget()
    referrer = push_referrer(
        target,
        push_image(target),
        artifact_type=artifact_type,
        annotations=annotations,
        layer_type=layer_type,
    )

    assert classify(parse_manifest(target.fetch(referrer).read(), where="x")) == kind


class Flooding(MemoryTarget):
    def referrers(self, subject: Descriptor) -> list[Descriptor]:
        return [subject] * (ATTACHMENT_LIMIT + 1)


def test_too_many_referrers_are_refused() -> None:
    target = Flooding()

    with pytest.raises(FormatError, match="too many"):
        attachments(target, push_image(target))


class Failing(MemoryTarget):
    def resolve(self, reference: str) -> Descriptor:
        if reference.endswith(".att"):
            raise TransportError("unreachable")
        raise NotFoundError("absent")


def test_a_source_that_fails_is_not_taken_for_one_that_has_nothing() -> None:
    target = Failing()

    with pytest.raises(TransportError):
        attachments(target, push_image(target))
