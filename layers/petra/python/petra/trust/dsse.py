"""DSSE: an envelope that signs a payload together with its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from petra.errors import SignatureError
from petra.trust.text import decode_base64

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
