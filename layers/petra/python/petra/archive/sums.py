"""``SHA256SUMS``: what an operator checks with ``sha256sum -c`` and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petra.content.digest import Digest


def checksums(members: Iterable[tuple[str, Digest]]) -> bytes:
    """Return the file's content: one line a member, in the members' order.

    Args:
        members: name and digest of each member but ``SHA256SUMS`` itself.
    """
    return "".join(f"{digest.hex}  {name}\n" for name, digest in members).encode()
