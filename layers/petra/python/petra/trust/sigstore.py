"""Sigstore bundles, v0.3: one JSON document with a signature and what verifies it.

Source: sigstore/protobuf-specs, sigstore_bundle.proto and sigstore_common.proto; cosign's
specs/BUNDLE_SPEC.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from petra.encoding.json import load_json
from petra.errors import FormatError, SignatureError
from petra.oci.media_types import SIGSTORE_BUNDLE
from petra.trust.dsse import Envelope, parse_envelope
from petra.trust.text import decode_base64, encode_base64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.content.digest import Digest
    from petra.trust.keys import PublicKey

#: A bundle's largest part is an attestation's predicate; for signatures there is none.
BUNDLE_LIMIT: Final = 1024 * 1024
SHA256_NAME: Final = "SHA2_256"
#: Who may stand behind a signature: a bare key, or a certificate (keyless).
_MATERIALS: Final = ("publicKey", "certificate", "x509CertificateChain")
_CONTENTS: Final = ("messageSignature", "dsseEnvelope")


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over a message that is elsewhere.

    Attributes:
        algorithm: of the digest, ``SHA2_256``.
        digest: the message's digest, as the bundle says.
        signature: over the message.
    """

    algorithm: str
    digest: bytes
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigstoreBundle:
    """A parsed bundle. Nothing in it is verified yet.

    Attributes:
        material: what verifies it: ``publicKey``, ``certificate`` or ``x509CertificateChain``.
        hint: how the signer names the public key; not to be trusted.
        content: the signature.
        verification: the whole ``verificationMaterial``, for keyless verification.
    """

    material: str
    hint: str
    content: MessageSignature | Envelope
    verification: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def parse_sigstore_bundle(data: bytes, *, where: str, limit: int = BUNDLE_LIMIT) -> SigstoreBundle:
    """Return the bundle in `data`.

    Args:
        data: a JSON document.
        where: what to name in an error.
        limit: for its size, in bytes: an attestation's is larger than a signature's.

    Raises:
        SignatureError: it is none, of another version, or holds not exactly one content.
    """
    value = load_signed_json(data, what="Sigstore bundle", where=where, limit=limit)
    if value.get("mediaType") != SIGSTORE_BUNDLE:
        raise SignatureError(
            "not a Sigstore bundle of a version that Petra reads",
            where=where,
            expected=SIGSTORE_BUNDLE,
            found=str(value.get("mediaType"))[:100],
            hint="sign with cosign 3, or with cosign 2.4 and later and --new-bundle-format",
        )
    material = _object(value, "verificationMaterial", where)
    kind = _one_of(material, _MATERIALS, "verificationMaterial", where)
    hint = material[kind].get("hint") if isinstance(material[kind], dict) else None
    hint = hint if isinstance(hint, str) else ""
    return SigstoreBundle(kind, hint, _content(value, where), material)


def message_bundle(digest: Digest, signature: bytes, public_key: PublicKey) -> bytes:
    """Return the bundle of `signature`, by `public_key` over what has `digest`.

    The same arguments give the same bytes.
    """
    value = {
        "mediaType": SIGSTORE_BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": public_key.hint}},
        "messageSignature": {
            "messageDigest": {"algorithm": SHA256_NAME, "digest": encode_base64(digest.raw)},
            "signature": encode_base64(signature),
        },
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def require_public_key(bundle: SigstoreBundle, *, where: str) -> None:
    """Check that a bundle says that a bare key signed it, not a certificate's.

    Raises:
        SignatureError: it was signed with a certificate.
    """
    if bundle.material != "publicKey":
        raise SignatureError(
            "signed with a certificate (keyless), which a public key cannot vouch for",
            where=where,
            expected="verificationMaterial.publicKey",
            found=f"verificationMaterial.{bundle.material}",
        )


def load_signed_json(
    data: bytes, *, what: str, where: str, limit: int = BUNDLE_LIMIT
) -> dict[str, Any]:
    """Return the JSON object in `data`, read strictly.

    Raises:
        SignatureError: it is none, or larger than `limit`.
    """
    if len(data) > limit:
        raise SignatureError(f"{what} too large", where=where, expected=f"at most {limit} bytes")
    try:
        value = load_json(data, where=where)
    except FormatError as error:
        raise SignatureError(f"{what}: {error.message}", where=error.where) from None
    if not isinstance(value, dict):
        raise SignatureError(f"{what} is no JSON object", where=where)
    return value


def _content(value: dict[str, Any], where: str) -> MessageSignature | Envelope:
    kind = _one_of(value, _CONTENTS, "Sigstore bundle", where)
    content = _object(value, kind, where)
    if kind == "dsseEnvelope":
        return parse_envelope(content, where=where)
    digest = _object(content, "messageDigest", where)
    return MessageSignature(
        algorithm=str(digest.get("algorithm"))[:40],
        digest=decode_base64(digest.get("digest"), what="messageDigest", where=where),
        signature=decode_base64(content.get("signature"), what="signature", where=where),
    )


def _object(value: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise SignatureError(f"Sigstore bundle without {key}", where=where)
    return part


def _one_of(value: dict[str, Any], keys: tuple[str, ...], what: str, where: str) -> str:
    found = [key for key in keys if key in value]
    if len(found) != 1:
        raise SignatureError(
            f"{what} does not say exactly one thing",
            where=where,
            expected=f"one of {', '.join(keys)}",
            found=" and ".join(found) or "none",
        )
    return found[0]
