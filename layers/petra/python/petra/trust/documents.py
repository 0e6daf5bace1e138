"""What is known of an image's signatures and attestations once all bytes are here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from petra.errors import SignatureError
from petra.oci.media_types import COSIGN_SIMPLE_SIGNING, DSSE_ENVELOPE, SIGSTORE_BUNDLE
from petra.trust.sigstore import BUNDLE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.oci.manifest import Manifest
    from petra.oci.referrers import Attachment

#: How a signature is found: by the tag ``sha256-HEX.sig``, or as an OCI referrer.
Scheme: TypeAlias = Literal["tag", "referrer"]

#: Bytes of all signatures of one image together; each is a kilobyte, ten with a certificate.
TOTAL_LIMIT: Final = 16 * 1024 * 1024
#: Bytes of one attestation: an SBOM of a large image, in base64, is a few megabytes.
ATTESTATION_LIMIT: Final = 64 * 1024 * 1024
#: Bytes of all attestations of one image together.
ATTESTATIONS_LIMIT: Final = 256 * 1024 * 1024
_SIGNATURES: Final = frozenset({COSIGN_SIMPLE_SIGNING, SIGSTORE_BUNDLE})
_ATTESTATIONS: Final = frozenset({DSSE_ENVELOPE, SIGSTORE_BUNDLE})


@dataclass(frozen=True, slots=True)
class SignatureDocument:
    """A manifest that holds signatures or attestations, with the blobs that it names.

    Attributes:
        scheme: how it was found.
        manifest: the manifest itself.
        payloads: its layers' bytes by digest; one that is not here does not verify.
    """

    scheme: Scheme
    manifest: Manifest
    payloads: Mapping[Digest, bytes] = field(repr=False)


def signature_documents(
    attachments: Iterable[Attachment],
    fetch: Callable[[Descriptor], bytes],
    *,
    subject: Digest | None = None,
) -> list[SignatureDocument]:
    """Return the signatures among an image's attachments, with their bytes.

    Args:
        attachments: what was found for the image; all but signatures is passed over.
        fetch: gives a small blob's bytes, checked against the descriptor, as
            ``petra.content.stream.fetch_document`` does. Only layers that can hold a signature
            are asked for, and none larger than BUNDLE_LIMIT.
        subject: leaves out signatures of anything else, such as of the image's attestations.

    Raises:
        SignatureError: the signatures together are larger than TOTAL_LIMIT.
        PetraError: whatever `fetch` raises.
    """
    signatures = (
        one for one in attachments if one.kind == "signature" and subject in (None, one.subject)
    )
    return _documents(signatures, fetch, _SIGNATURES, BUNDLE_LIMIT, TOTAL_LIMIT)


def attestation_documents(
    attachments: Iterable[Attachment], fetch: Callable[[Descriptor], bytes]
) -> list[SignatureDocument]:
    """Return the attestations among an image's attachments, with their bytes.

    Args:
        attachments: what was found for the image and its platform manifests; all but attestations
            is passed over.
        fetch: as for :func:`signature_documents`, ``fetch_document`` with ATTESTATION_LIMIT;
            asked for no layer that is larger than that.

    Raises:
        SignatureError: the attestations together are larger than ATTESTATIONS_LIMIT.
        PetraError: whatever `fetch` raises.
    """
    attestations = (one for one in attachments if one.kind == "attestation")
    return _documents(attestations, fetch, _ATTESTATIONS, ATTESTATION_LIMIT, ATTESTATIONS_LIMIT)


def _documents(
    attachments: Iterable[Attachment],
    fetch: Callable[[Descriptor], bytes],
    kinds: frozenset[str],
    limit: int,
    total_limit: int,
) -> list[SignatureDocument]:
    documents, total = [], 0
    for attachment in attachments:
        manifest = attachment.manifest
        wanted = [
            layer for layer in manifest.layers if layer.media_type in kinds and layer.size <= limit
        ]
        total += sum(layer.size for layer in wanted)
        if total > total_limit:
            raise SignatureError(
                f"{attachment.kind}s too large to be genuine",
                where=str(attachment.subject),
                expected=f"at most {total_limit} bytes together",
                hint=f"remove what was attached to the image that is no {attachment.kind}",
            )
        payloads = {layer.digest: fetch(layer) for layer in wanted}
        documents.append(SignatureDocument(attachment.scheme, manifest, payloads))
    return documents
