"""Base64 as signatures and Sigstore documents use it: one form only."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from petra.errors import SignatureError


def encode_base64(data: bytes) -> str:
    """Return `data` in base64 (RFC 4648, section 4), padded, on one line."""
    return b64encode(data).decode("ascii")


def decode_base64(text: object, *, what: str, where: str) -> bytes:
    """Return the bytes that `text` stands for.

    Args:
        text: what a document holds; anything but canonical base64 text is refused, since two
            readers could take it for different bytes.
        what: the thing's name, for the error.
        where: the file or manifest that it stands in.

    Raises:
        SignatureError: it is not text, not base64, empty, or not in its canonical form.
    """
    data = b""
    if isinstance(text, str) and text.isascii():
        try:
            data = b64decode(text, validate=True)
        except binascii.Error:
            data = b""
    if not data or encode_base64(data) != text:
        raise SignatureError(
            f"{what} is not base64",
            where=where,
            expected="base64 (RFC 4648, section 4), padded, with nothing before or after",
        )
    return data
