"""DSSE: an envelope that signs a payload together with its type."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from petra.content.digest import Digest
from petra.errors import SettingError, SignatureError
from petra.trust.text import decode_base64, encode_base64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer

#: Envelopes may carry several signatures; a hostile one may not make us check thousands.
SIGNATURE_LIMIT: Final = 16


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope.

    Attributes:
        payload_type: what the payload is.
        payload: its bytes.
        signatures: the signatures over both.
    """

    payload_type: str
    payload: bytes = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)

    @property
    def signed(self) -> bytes:
        """The bytes that the signatures are over."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding: what a signature over both is made of.

    Source: DSSE v1, protocol.md, "Signature Definition".
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def parse_envelope(value: Any, *, where: str) -> Envelope:
    """Return the envelope in `value`, a parsed JSON object.

    Raises:
        SignatureError: it is none, or has no signature.

    Source: DSSE v1, envelope.md.
    """
    if not isinstance(value, dict):
        raise SignatureError("not a DSSE envelope", where=where, expected="an object")
    payload_type, signatures = value.get("payloadType"), value.get("signatures")
    if not isinstance(payload_type, str) or not payload_type:
        raise SignatureError("DSSE envelope without a payloadType", where=where)
    if not isinstance(signatures, list) or not 0 < len(signatures) <= SIGNATURE_LIMIT:
        raise SignatureError(
            "DSSE envelope without a usable list of signatures",
            where=where,
            expected=f"1 to {SIGNATURE_LIMIT}",
        )
    return Envelope(
        payload_type=payload_type,
        payload=decode_base64(value.get("payload"), what="DSSE payload", where=where),
        signatures=tuple(
            decode_base64(
                item.get("sig") if isinstance(item, dict) else None,
                what="DSSE signature",
                where=where,
            )
            for item in signatures
        ),
    )


def sign_envelope(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """Return the envelope of `payload`, signed, as a file has it.

    Args:
        payload_type: what the payload is.
        payload: its bytes.
        signer: who signs; only the digest of both is sent to it.

    Raises:
        PetraError: what the signer raises.
    """
    signature = signer.sign_digest(Digest.of(pae(payload_type, payload)))
    value = {
        "payloadType": payload_type,
        "payload": encode_base64(payload),
        "signatures": [{"sig": encode_base64(signature)}],
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def verify_envelope(envelope: Envelope, keys: Sequence[PublicKey], *, where: str) -> PublicKey:
    """Return the first of `keys` that made one of the signatures.

    Raises:
        SettingError: there is no key.
        SignatureError: none of them did.
    """
    if not keys:
        raise SettingError("no public key to verify with", where=where, hint="name one with --key")
    for key in keys:
        if any(key.verifies(signature, envelope.signed) for signature in envelope.signatures):
            return key
    raise SignatureError(
        "signature does not verify",
        where=where,
        expected="a signature by " + " or ".join(map(str, keys)),
        hint="it was changed after signing, or another key signed it: get it anew, or give the "
        "signer's public key",
    )
