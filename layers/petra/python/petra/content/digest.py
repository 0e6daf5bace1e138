"""Digests: the only names that are trusted, and the only place that knows the algorithm."""

from __future__ import annotations

import hashlib
import re
from typing import Self, TypeAlias

from petra.errors import FormatError

Buffer: TypeAlias = bytes | bytearray | memoryview

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


class Digest(str):
    """A content digest as OCI writes it, ``sha256:`` and 64 lower-case hex digits.

    A ``str``, so that it stands in JSON and YAML as it is. Made by :meth:`parse`, :meth:`of` or
    :meth:`Hasher.digest`; calling the class itself checks nothing.

    Source: OCI image-spec, descriptor.md, section "Digests". Only sha256 is accepted: the bundle
    format names blobs by it alone.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, *, where: str | None = None) -> Self:
        """Return `text` as a digest.

        Args:
            text: ``sha256:HEX``.
            where: what to name in the error, a file or a member.

        Raises:
            FormatError: it is not a sha256 digest.
        """
        if not _PATTERN.fullmatch(text):
            raise FormatError(
                "not a sha256 digest",
                where=where,
                expected="sha256: and 64 lower-case hex digits",
                found=text[:100],
            )
        return cls(text)

    @classmethod
    def of(cls, data: Buffer) -> Self:
        """Return the digest of `data`, bytes in memory."""
        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @property
    def hex(self) -> str:
        """The 64 hex digits."""
        return self[7:]

    @property
    def blob_path(self) -> str:
        """The path of this blob in an OCI image layout, ``blobs/sha256/HEX``."""
        return f"blobs/sha256/{self.hex}"

    @property
    def raw(self) -> bytes:
        """The 32 bytes, as signatures take them."""
        return bytes.fromhex(self.hex)


class Hasher:
    """Hashes a stream. ``update`` releases the GIL for buffers over 2 KiB."""

    __slots__ = ("_state", "update")

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        # The method itself, so that the hot path pays for no second call.
        self.update = self._state.update

    def digest(self) -> Digest:
        """Return the digest of all that was given so far."""
        return Digest("sha256:" + self._state.hexdigest())
