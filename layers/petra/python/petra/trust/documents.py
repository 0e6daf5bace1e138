"""What is known of an image's signatures once all bytes are here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from petra.errors import SignatureError
from petra.oci.media_types import COSIGN_SIMPLE_SIGNING, SIGSTORE_BUNDLE
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
_WANTED: Final = frozenset({COSIGN_SIMPLE_SIGNING, SIGSTORE_BUNDLE})


@dataclass(frozen=True, slots=True)
class SignatureDocument:
    """A manifest that holds signatures, with the blobs that it names.

    Attributes:
        scheme: how it was found.
        manifest: the signature's manifest.
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
    documents, total = [], 0
    for attachment in attachments:
        if attachment.kind != "signature" or subject not in (None, attachment.subject):
            continue
        manifest = attachment.manifest
        wanted = [layer for layer in manifest.layers if _is_wanted(layer)]
        total += sum(layer.size for layer in wanted)
        if total > TOTAL_LIMIT:
            raise SignatureError(
                "signatures too large to be genuine",
                where=str(attachment.subject),
                expected=f"at most {TOTAL_LIMIT} bytes together",
                hint="remove what was attached to the image that is no signature",
            )
        payloads = {layer.digest: fetch(layer) for layer in wanted}
        documents.append(SignatureDocument(attachment.scheme, manifest, payloads))
    return documents


def _is_wanted(layer: Descriptor) -> bool:
    return layer.media_type in _WANTED and layer.size <= BUNDLE_LIMIT
