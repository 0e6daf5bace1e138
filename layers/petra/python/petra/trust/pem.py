"""PEM files: blocks of base64 between labels."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from petra.errors import SettingError

#: Key files are a few kilobytes; one with hundreds of public keys is still below.
PEM_LIMIT: Final = 256 * 1024

# A body stops at the next run of five dashes, so that a hostile file costs one pass.
_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,64})-----[ \t\r]*\n((?:[^-]|-(?!----))*)\n-----END \1-----"
)
_LINE: Final = 64


@dataclass(frozen=True, slots=True)
class PemBlock:
    """One block.

    Attributes:
        label: what stands after ``BEGIN``, ``PUBLIC KEY``.
        body: the text between the labels; may be secret.
    """

    label: str
    body: bytes

    @property
    def text(self) -> bytes:
        """The block with its labels, alone."""
        label = self.label.encode()
        return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label, self.body, label)

    def data(self, *, where: str) -> bytes:
        """Return the bytes that the body stands for.

        Raises:
            SettingError: the body is not base64, or has headers (an old form of encryption).
        """
        if b":" in self.body:
            raise SettingError(
                "key file in an obsolete encrypted form",
                where=where,
                expected="PKCS#8, or the form that `petra keygen` writes",
                hint="convert it: openssl pkcs8 -topk8 -in OLD -out NEW",
            )
        try:
            return b64decode(b"".join(self.body.split()), validate=True)
        except binascii.Error:
            raise SettingError(
                "key file is damaged: not base64 between the labels", where=where
            ) from None

    def __repr__(self) -> str:
        return f"PemBlock({self.label!r})"


def pem_blocks(pem: bytes, *, where: str) -> list[PemBlock]:
    """Return the blocks of a PEM file, in order; text around them is passed over.

    Args:
        pem: the file.
        where: its name, for errors.

    Raises:
        SettingError: there is no block, one does not end, or the file is too large for keys.

    Source: RFC 7468.
    """
    if len(pem) > PEM_LIMIT:
        raise SettingError(
            "file too large to be a key",
            where=where,
            expected=f"at most {PEM_LIMIT} bytes",
            found=f"{len(pem)} bytes",
        )
    blocks = [
        PemBlock(match[1].decode("ascii"), match[2].replace(b"\r", b"").strip())
        for match in _BLOCK.finditer(pem)
    ]
    if not blocks or len(blocks) != pem.count(b"-----BEGIN "):
        raise SettingError(
            "not a PEM file" if not blocks else "PEM file with a damaged block",
            where=where,
            expected="-----BEGIN …----- and -----END …-----, as `petra keygen` writes them",
            hint="give a key file such as cosign.key or cosign.pub",
        )
    return blocks


def pem_text(label: str, data: bytes) -> bytes:
    """Return `data` as a PEM block, 64 characters to the line."""
    text = b64encode(data)
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return PemBlock(label, b"\n".join(lines)).text
