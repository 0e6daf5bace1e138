"""What content is, told by its first bytes; a name only tells YAML from other text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from petra.transfer.guard.profile import Kind

#: How many first bytes are looked at: a tar archive says so at 257.
HEAD_SIZE: Final = 512
#: The kinds that hold other content, compressed.
COMPRESSED: Final = frozenset({"gzip", "zstd", "xz", "bzip2", "zip"})

_MAGIC: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
_TAR_MAGIC: Final = (257, b"ustar")
_YAML_NAMES: Final = (".yaml", ".yml")
#: Control characters that stand in no text: all but tab, line feed, form feed, carriage return.
_NO_TEXT: Final = frozenset(range(32)) - {9, 10, 12, 13}


def kind_of(name: str, head: bytes) -> Kind:
    """Say what content is.

    Args:
        name: its path.
        head: its first HEAD_SIZE bytes, or all of shorter content.
    """
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    place, magic = _TAR_MAGIC
    if head[place : place + len(magic)] == magic:
        return "tar"
    if not _NO_TEXT.isdisjoint(head):
        return "other"
    if head.lstrip()[:1] in (b"{", b"["):
        return "json"
    return "yaml" if name.endswith(_YAML_NAMES) else "text"
