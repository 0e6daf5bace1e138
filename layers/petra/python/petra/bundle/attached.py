"""Evidence that others attached to an image: SBOMs and provenance, each with who vouches for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from petra.content.stream import DOCUMENT_LIMIT, fetch_document
from petra.encoding.json import dump_json, load_json
from petra.errors import FormatError, PolicyError, SignatureError
from petra.oci.media_types import is_manifest
from petra.trust.documents import attestation_documents, signature_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.bundle.policy import ProvenanceRules
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.protocols import Fetcher
    from petra.oci.reference import Reference
    from petra.oci.referrers import Attachment
    from petra.trust.attestation import VerifiedStatement
    from petra.trust.documents import SignatureDocument
    from petra.trust.policy import SignaturePolicy
    from petra.trust.verdict import VerifiedSignature

Form: TypeAlias = Literal["spdx", "cyclonedx", "slsa"]
Kind: TypeAlias = Literal["attestation", "sbom"]

#: How the types of predicates begin; versions follow.
_PREDICATES: Final[tuple[tuple[str, Form], ...]] = (
    ("https://spdx.dev/Document", "spdx"),
    ("https://cyclonedx.org/bom", "cyclonedx"),
    ("https://slsa.dev/provenance/", "slsa"),
)

_UNSIGNED: Final = "nothing vouches for it: the image's signatures are not verified"
_FORM: Final = "a form that is not read: neither SPDX nor CycloneDX as JSON"
_TWICE: Final = "another of its kind, about the same, came first"


class Image(Protocol):
    """An image with what is attached to it: in a registry, or in a bundle."""

    @property
    def reference(self) -> Reference:
        """What people call it."""
        ...

    @property
    def root(self) -> Descriptor:
        """The index or manifest that the reference stands for."""
        ...

    @property
    def documents(self) -> Sequence[Descriptor]:
        """Its small documents, the manifests of its platforms among them."""
        ...

    @property
    def attachments(self) -> Sequence[Attachment]:
        """What refers to it."""
        ...

    @property
    def source(self) -> Fetcher:
        """Where its content is."""
        ...


@dataclass(frozen=True, slots=True)
class Attested:
    """A document about an image, and who vouches for it.

    Attributes:
        form: what it is.
        subject: the manifest or index that it is about.
        data: the document.
        manifest: the attachment that holds it.
        verified: the signature.
    """

    form: Form
    subject: Digest
    data: bytes = field(repr=False)
    manifest: Digest
    verified: VerifiedSignature


@dataclass(frozen=True, slots=True)
class Rejected:
    """An attachment that does not count, and why.

    Attributes:
        manifest: its digest.
        kind: what it seems to be.
        reason: why it does not count.
    """

    manifest: Digest
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Attachments:
    """What was found: one document for each subject and form, and what does not count."""

    attested: tuple[Attested, ...] = ()
    rejected: tuple[Rejected, ...] = ()


def attached_evidence(image: Image, policy: SignaturePolicy) -> Attachments:
    """Return the evidence among an image's attachments that its own policy vouches for.

    Nothing that is not signed counts: whoever can write to a registry can attach to an image.

    Args:
        image: with its attachments.
        policy: what the image's signatures must satisfy.

    Raises:
        TransportError: the registry failed.
    """
    kept = _Kept()
    for document, attachment in _attestations(image):
        verdict = policy.attested(_subjects(image), [document], where=str(image.reference))
        for statement in verdict.statements:
            try:
                kept.add(*_documents(statement))
            except FormatError as error:
                kept.reject(attachment, error.message)
        for reason in verdict.refused:
            kept.reject(attachment, reason)
    for one in image.attachments:
        if one.kind == "sbom":
            try:
                kept.add(_bare_sbom(image, one, policy))
            except (SignatureError, PolicyError, FormatError) as error:
                kept.reject(one, error.message)
    return Attachments(tuple(kept.found.values()), tuple(kept.rejected))


class _Kept:
    """One document for each subject and form: the first."""

    def __init__(self) -> None:
        self.found: dict[tuple[Digest, Form], Attested] = {}
        self.rejected: list[Rejected] = []

    def add(self, *documents: Attested) -> None:
        """Keep what is the first of its kind about its subject."""
        for one in documents:
            first = self.found.setdefault((one.subject, one.form), one)
            if first is not one and first.manifest != one.manifest:
                self.rejected.append(Rejected(one.manifest, "attestation", _TWICE))

    def reject(self, attachment: Attachment, reason: str) -> None:
        """Remember what does not count."""
        kind: Kind = "sbom" if attachment.kind == "sbom" else "attestation"
        self.rejected.append(Rejected(attachment.manifest.descriptor.digest, kind, reason))


def _attestations(image: Image) -> Iterator[tuple[SignatureDocument, Attachment]]:
    """Yield each attestation of an image with its bytes."""
    found = [one for one in image.attachments if one.kind == "attestation"]
    documents = attestation_documents(found, lambda layer: fetch_document(image.source, layer))
    yield from zip(documents, found, strict=True)


def _subjects(image: Image) -> list[Digest]:
    """Return the digests of which an attestation may speak: the image's and its platforms'."""
    manifests = [one.digest for one in image.documents if is_manifest(one.media_type)]
    attached = {one.manifest.descriptor.digest for one in image.attachments}
    return [image.root.digest, *(one for one in manifests if one not in attached)]


def _documents(statement: VerifiedStatement) -> Iterator[Attested]:
    """Yield what a verified statement says, about each of its subjects; nothing of other kinds."""
    form = _form(statement.predicate_type)
    if form is None:
        return
    data = statement.statement
    if form != "slsa":
        predicate = load_json(data, where=str(statement.signature.manifest)).get("predicate")
        data = dump_json(predicate)
        form = sbom_form(predicate)
    if form is None:
        raise FormatError(_FORM)
    for subject in statement.subjects:
        yield Attested(form, subject, data, statement.signature.manifest, statement.signature)


def _form(predicate_type: str) -> Form | None:
    return next((form for start, form in _PREDICATES if predicate_type.startswith(start)), None)


def _bare_sbom(image: Image, attachment: Attachment, policy: SignaturePolicy) -> Attested:
    """Return an SBOM that is attached as it is, if its manifest is signed as the image must be."""
    manifest = attachment.manifest
    signature = _signature(image, attachment, policy)
    layers = manifest.layers
    if len(layers) != 1 or layers[0].size > DOCUMENT_LIMIT:
        raise FormatError("not one document of a usable size", found=f"{len(layers)} layers")
    data = fetch_document(image.source, layers[0])
    form = sbom_form(load_json(data, where=str(manifest.descriptor.digest)))
    if form is None:
        raise FormatError(_FORM)
    digest = manifest.descriptor.digest
    return Attested(form, attachment.subject, data, digest, signature)


def _signature(image: Image, attachment: Attachment, policy: SignaturePolicy) -> VerifiedSignature:
    """Return the signature of an attachment's own manifest.

    Raises:
        SignatureError: there is none that the image's policy accepts.
    """
    descriptor = attachment.manifest.descriptor
    documents = signature_documents(
        image.attachments,
        lambda layer: fetch_document(image.source, layer),
        subject=descriptor.digest,
    )
    if not documents:
        raise SignatureError("nobody signed it: no signature found")
    verdict = policy.evaluate(descriptor, documents, where=f"SBOM {descriptor.digest}")
    if not verdict.signatures:
        raise SignatureError(_UNSIGNED)
    return verdict.signatures[0]


def sbom_form(value: Any) -> Form | None:
    """Return which form of SBOM `value`, parsed JSON, is; None for another document."""
    if not isinstance(value, dict):
        return None
    if str(value.get("spdxVersion", "")).startswith("SPDX-2"):
        return "spdx"
    return "cyclonedx" if value.get("bomFormat") == "CycloneDX" else None


def builder_of(provenance: bytes, *, where: str = "provenance") -> str | None:
    """Return the id of the builder that SLSA provenance names, of either version; None without.

    Args:
        provenance: an in-toto statement.
        where: what to name in an error.

    Raises:
        FormatError: it is no JSON.

    Source: SLSA v1.0, "runDetails.builder.id"; v0.2, "builder.id".
    """
    statement = load_json(provenance, where=where)
    predicate = statement.get("predicate") if isinstance(statement, dict) else None
    parts = predicate if isinstance(predicate, dict) else {}
    details = parts.get("runDetails")
    builder = (details if isinstance(details, dict) else parts).get("builder")
    found = builder.get("id") if isinstance(builder, dict) else None
    return found if isinstance(found, str) else None


def suffices(wanted: ProvenanceRules, builders: Sequence[str | None]) -> bool:
    """Say whether provenance that names these builders is what is asked for."""
    if not builders:
        return not wanted.required
    return not wanted.builders or set(builders) <= set(wanted.builders)
