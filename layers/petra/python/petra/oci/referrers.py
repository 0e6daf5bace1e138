"""What travels with an image: its signatures, attestations, SBOMs and other referrers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from petra.content.protocols import Fetcher, ReferrerLister, Resolver
from petra.content.stream import fetch_document
from petra.errors import FormatError, NotFoundError
from petra.oci import media_types
from petra.oci.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest

Kind: TypeAlias = Literal["signature", "attestation", "sbom", "referrer"]
Scheme: TypeAlias = Literal["tag", "referrer"]

#: More than this many attachments of one thing are a mistake or an attack.
ATTACHMENT_LIMIT: Final = 1024

_BUNDLE_CONTENT: Final = "dev.sigstore.bundle.content"
_BUNDLE_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
_SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
_TAG_KINDS: Final[dict[str, Kind]] = {".sig": "signature", ".att": "attestation", ".sbom": "sbom"}
_TYPE_KINDS: Final[dict[str, Kind]] = {
    media_types.COSIGN_SIMPLE_SIGNING: "signature",
    media_types.COSIGN_SIGNATURE: "signature",
    media_types.COSIGN_ATTESTATION: "attestation",
    media_types.DSSE_ENVELOPE: "attestation",
    media_types.IN_TOTO: "attestation",
    media_types.COSIGN_SBOM: "sbom",
    "application/spdx+json": "sbom",
    "text/spdx": "sbom",
    "text/spdx+json": "sbom",
    "application/vnd.cyclonedx": "sbom",
    "application/vnd.cyclonedx+json": "sbom",
    "application/vnd.cyclonedx+xml": "sbom",
    "application/vnd.syft+json": "sbom",
}


class Source(Fetcher, Resolver, Protocol):
    """Where attachments are looked for; it may be a ReferrerLister as well."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something that refers to an image, or to an attachment of it.

    Attributes:
        kind: what it is, by its tag's ending, artifact type and media types. Not verified.
        scheme: how it was found: by a cosign tag or as an OCI referrer.
        subject: the manifest that it refers to.
        manifest: its own manifest.
        tag: the cosign tag that leads to it.
    """

    kind: Kind
    scheme: Scheme
    subject: Digest
    manifest: Manifest
    tag: str | None = None


def attachments(source: Source, subject: Descriptor) -> list[Attachment]:
    """Return what refers to `subject`, and what refers to that (a signature of an attestation).

    Looks for cosign's tags (``sha256-HEX.sig``, ``.att``, ``.sbom``) and for OCI referrers. Ask
    for an index's children one by one: their attachments are their own.

    Args:
        source: the repository. Where it lists no referrers, the tag ``sha256-HEX`` is read.
        subject: the manifest or index.

    Returns:
        Each attachment once, cosign's tags first.

    Raises:
        VerificationError: an attachment is not what its descriptor says.
        TransportError: the source failed. (Nothing is left out in silence because of that.)
    """
    found: dict[Digest, Attachment] = {}
    for attachment in _direct(source, subject, tuple(_TAG_KINDS)):
        found.setdefault(attachment.manifest.descriptor.digest, attachment)
    for first in list(found.values()):
        for second in _direct(source, first.manifest.descriptor, (".sig",)):
            if second.manifest.descriptor.digest != subject.digest:
                found.setdefault(second.manifest.descriptor.digest, second)
    return list(found.values())


def referrers_tag(digest: Digest) -> str:
    """Return the tag under which registries without the referrers API keep a subject's list.

    Source: distribution-spec v1.1, "Referrers Tag Schema".
    """
    return f"sha256-{digest.hex}"


def classify(manifest: Manifest) -> Kind:
    """Say what a referrer is, by its artifact type, annotations and layers."""
    artifact_type = manifest.effective_artifact_type or ""
    if _is_sigstore_bundle(artifact_type):
        return _bundle_kind(manifest)
    if kind := _TYPE_KINDS.get(artifact_type):
        return kind
    kinds = {_TYPE_KINDS.get(layer.media_type) for layer in manifest.layers}
    kind = kinds.pop() if len(kinds) == 1 else None
    return kind or "referrer"


def _is_sigstore_bundle(media_type: str) -> bool:
    return media_type.startswith("application/vnd.dev.sigstore.bundle") and "json" in media_type


def _bundle_kind(manifest: Manifest) -> Kind:
    """Tell a signature from an attestation: since cosign 3 both are DSSE envelopes.

    Source: cosign's BUNDLE_SPEC.md.
    """
    is_message = manifest.annotations.get(_BUNDLE_CONTENT) == "message-signature"
    predicate = manifest.annotations.get(_BUNDLE_PREDICATE)
    return "signature" if is_message or predicate == _SIGN_PREDICATE else "attestation"


def _direct(source: Source, subject: Descriptor, endings: tuple[str, ...]) -> Iterator[Attachment]:
    for ending in endings:
        tag = referrers_tag(subject.digest) + ending
        if (manifest := _tagged(source, tag)) is not None:
            yield Attachment(_TAG_KINDS[ending], "tag", subject.digest, manifest, tag)
    for descriptor in _referrers(source, subject):
        manifest = _listed(source, descriptor)
        if manifest is None or manifest.subject is None:
            continue
        # Only what the manifest itself says counts; the list is anyone's.
        if manifest.subject.digest == subject.digest:
            yield Attachment(classify(manifest), "referrer", subject.digest, manifest)


def _referrers(source: Source, subject: Descriptor) -> list[Descriptor]:
    if isinstance(source, ReferrerLister):
        listed = source.referrers(subject)
    else:
        index = _tagged(source, referrers_tag(subject.digest))
        listed = list(index.manifests) if index else []
    if len(listed) > ATTACHMENT_LIMIT:
        raise FormatError(
            "too many attachments of one image",
            where=subject.digest,
            expected=f"at most {ATTACHMENT_LIMIT}",
            found=len(listed),
        )
    return listed


def _tagged(source: Source, tag: str) -> Manifest | None:
    try:
        descriptor = source.resolve(tag)
    except NotFoundError:
        return None
    return parse_manifest(fetch_document(source, descriptor), descriptor.media_type, where=tag)


def _listed(source: Source, descriptor: Descriptor) -> Manifest | None:
    if not media_types.is_manifest(descriptor.media_type):
        return None
    try:
        raw = fetch_document(source, descriptor)
    except NotFoundError:
        return None  # lists kept under a tag outlive what they list
    return parse_manifest(raw, descriptor.media_type, where=descriptor.digest)
