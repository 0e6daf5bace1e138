"""Signs what is in a registry, as ``cosign sign --key`` does, and checks such signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.content.digest import Digest
from petra.content.stream import fetch_document
from petra.encoding.json import canonical_json, load_json
from petra.errors import NotFoundError, SignatureError
from petra.oci.artifact import Artifact, Part
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import (
    COSIGN_SIMPLE_SIGNING,
    IN_TOTO,
    OCI_CONFIG,
    OCI_EMPTY,
    SIGSTORE_BUNDLE,
)
from petra.oci.referrers import attachments, referrers_tag
from petra.trust.documents import signature_documents
from petra.trust.dsse import sign_envelope
from petra.trust.image import (
    CRITICAL_TYPE,
    SIGN_PREDICATE,
    SIGNATURE_ANNOTATION,
    STATEMENT_TYPE,
    verify_image,
)
from petra.trust.signers import KeySigners
from petra.trust.text import encode_base64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.descriptor import Descriptor
    from petra.oci.repository import Repository
    from petra.trust.documents import Scheme, SignatureDocument
    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer


#: cosign's two forms. Flux reads the newer alone where it finds anything of its kind.
FORMS: Final[frozenset[Scheme]] = frozenset({"tag", "referrer"})


def require_signed(repository: Repository, subject: Descriptor, keys: Sequence[PublicKey]) -> None:
    """Refuse what none of `keys` signed, in either of cosign's forms.

    Raises:
        SignatureError: it is not signed, or by somebody else.
        SettingError: there is no key.
    """
    _verify(repository, subject, keys, _documents(repository, subject))


def signed_forms(repository: Repository, subject: Descriptor, key: PublicKey) -> frozenset[Scheme]:
    """Return the forms in which `key` signed `subject`; none where it did not."""
    documents = _documents(repository, subject)
    found: set[Scheme] = set()
    for form in FORMS:
        try:
            chosen = [one for one in documents if one.scheme == form]
            _verify(repository, subject, [key], chosen)
        except SignatureError:
            continue
        found.add(form)
    return frozenset(found)


def sign(repository: Repository, subject: Descriptor, signer: Signer) -> int:
    """Sign `subject` in both of cosign's forms; return how many bytes were sent.

    The older is a tag, ``sha256-HEX.sig``, which every Flux reads; the newer refers to `subject`,
    and Flux reads it alone as soon as anything of its kind does so (an SBOM that cosign attached).
    A form in which the signer's signature is there already is left as it is. Signatures of others
    stay, as with cosign.

    Args:
        repository: where `subject` is.
        subject: the manifest to be signed.
        signer: the local domain's key.

    Raises:
        AccessError: the signer or the registry refuses.
        TransportError: one of them cannot be reached.

    Source: cosign's specs/SIGNATURE_SPEC.md and specs/BUNDLE_SPEC.md; source-controller's
    internal/oci/cosign, ``Verify``.
    """
    there = signed_forms(repository, subject, signer.public_key)
    sent = 0
    if "referrer" not in there:
        sent += _bundle(subject, signer).push(repository)
    if "tag" not in there:
        tag = f"{referrers_tag(subject.digest)}.sig"
        layers = [*_present(repository, tag), _signature(repository.name, subject, signer)]
        artifact = Artifact.of(_config(layers), layers)
        sent += artifact.push(repository)
        repository.tag(artifact.descriptor, tag)
    return sent


def _documents(repository: Repository, subject: Descriptor) -> list[SignatureDocument]:
    return signature_documents(
        attachments(repository, subject),
        lambda layer: fetch_document(repository, layer, where=repository.name),
        subject=subject.digest,
    )


def _verify(
    repository: Repository,
    subject: Descriptor,
    keys: Sequence[PublicKey],
    documents: Sequence[SignatureDocument],
) -> None:
    where = f"{repository.name}@{subject.digest}"
    try:
        verify_image(subject, documents, KeySigners(tuple(keys)), where=where)
    except SignatureError as error:
        error.hint = "load the bundle again, with the key that the cluster verifies with"
        raise


def _config(layers: Sequence[Part]) -> Part:
    config = {
        "architecture": "",
        "config": {},
        "os": "",
        "rootfs": {"diff_ids": [Digest.of(layer.data) for layer in layers], "type": "layers"},
    }
    return Part(OCI_CONFIG, canonical_json(config))


def _bundle(subject: Descriptor, signer: Signer) -> Artifact:
    """Return the signature in the newer form: a Sigstore bundle that refers to `subject`."""
    statement = {
        "_type": STATEMENT_TYPE,
        "predicate": {},
        "predicateType": SIGN_PREDICATE,
        "subject": [{"digest": {"sha256": subject.digest.hex}}],
    }
    envelope = sign_envelope(IN_TOTO, canonical_json(statement), signer)
    bundle = {
        "dsseEnvelope": load_json(envelope, where="envelope"),
        "mediaType": SIGSTORE_BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": signer.public_key.hint}},
    }
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": SIGN_PREDICATE,
    }
    return Artifact.of(
        Part(OCI_EMPTY, b"{}"),
        [Part(SIGSTORE_BUNDLE, canonical_json(bundle))],
        annotations,
        artifact_type=SIGSTORE_BUNDLE,
        subject=subject,
    )


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
