"""Signs what is in a registry, as ``cosign sign --key`` does, and checks such signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from petra.content.digest import Digest
from petra.content.stream import fetch_document
from petra.encoding.json import canonical_json
from petra.errors import NotFoundError, SignatureError
from petra.oci.artifact import Artifact, Part
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import COSIGN_SIMPLE_SIGNING, OCI_CONFIG
from petra.oci.referrers import attachments, referrers_tag
from petra.trust.documents import signature_documents
from petra.trust.image import CRITICAL_TYPE, SIGNATURE_ANNOTATION, verify_image
from petra.trust.signers import KeySigners
from petra.trust.text import encode_base64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.descriptor import Descriptor
    from petra.oci.repository import Repository
    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer


def is_signed(repository: Repository, subject: Descriptor, keys: Sequence[PublicKey]) -> bool:
    """Say whether one of `keys` signed `subject`, in either of cosign's forms."""
    try:
        require_signed(repository, subject, keys)
    except SignatureError:
        return False
    return True


def require_signed(repository: Repository, subject: Descriptor, keys: Sequence[PublicKey]) -> None:
    """Refuse what none of `keys` signed.

    Raises:
        SignatureError: it is not signed, or by somebody else.
        SettingError: there is no key.
    """
    where = f"{repository.name}@{subject.digest}"
    documents = signature_documents(
        attachments(repository, subject),
        lambda layer: fetch_document(repository, layer, where=where),
        subject=subject.digest,
    )
    try:
        verify_image(subject, documents, KeySigners(tuple(keys)), where=where)
    except SignatureError as error:
        error.hint = "load the bundle again, with the key that the cluster verifies with"
        raise


def sign(repository: Repository, subject: Descriptor, signer: Signer) -> int:
    """Sign `subject` under the tag ``sha256-HEX.sig``; return how many bytes were sent.

    Does nothing where the signer's signature is there already. Other signatures under the tag
    stay, as with cosign.

    Args:
        repository: where `subject` is.
        subject: the manifest to be signed.
        signer: the local domain's key.

    Raises:
        AccessError: the signer or the registry refuses.
        TransportError: one of them cannot be reached.

    Source: cosign's specs/SIGNATURE_SPEC.md.
    """
    if is_signed(repository, subject, [signer.public_key]):
        return 0
    tag = f"{referrers_tag(subject.digest)}.sig"
    layers = [*_present(repository, tag), _signature(repository.name, subject, signer)]
    config = {
        "architecture": "",
        "config": {},
        "os": "",
        "rootfs": {"diff_ids": [Digest.of(layer.data) for layer in layers], "type": "layers"},
    }
    artifact = Artifact.of(Part(OCI_CONFIG, canonical_json(config)), layers)
    sent = artifact.push(repository)
    repository.tag(artifact.descriptor, tag)
    return sent


def signing_payload(subject: Descriptor, name: str) -> bytes:
    """Return what cosign signs of an image: its digest, and the name that it has here.

    Args:
        subject: the manifest.
        name: ``registry/repository``.

    Source: cosign's specs/SIGNATURE_SPEC.md, "Simple Signing".
    """
    critical: dict[str, Any] = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": subject.digest},
        "type": CRITICAL_TYPE,
    }
    return canonical_json({"critical": critical, "optional": None})


def _signature(name: str, subject: Descriptor, signer: Signer) -> Part:
    payload = signing_payload(subject, name)
    der = signer.sign_digest(Digest.of(payload))
    return Part(COSIGN_SIMPLE_SIGNING, payload, {SIGNATURE_ANNOTATION: encode_base64(der)})


def _present(repository: Repository, tag: str) -> list[Part]:
    """Return the signatures that are under the tag."""
    try:
        descriptor = repository.resolve(tag)
    except NotFoundError:
        return []
    raw = fetch_document(repository, descriptor, where=f"{repository.name}:{tag}")
    manifest = parse_manifest(raw, descriptor.media_type, where=f"{repository.name}:{tag}")
    return [
        Part(layer.media_type, fetch_document(repository, layer), layer.annotations)
        for layer in manifest.layers
    ]
