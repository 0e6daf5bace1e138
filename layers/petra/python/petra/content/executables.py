"""Programs, told by how their content begins and never by name or mode."""

from __future__ import annotations

SCRIPT = "a script (#!)"

_MAGIC = (
    (b"\x7fELF", "an ELF program"),
    (b"MZ", "a Windows program (PE)"),
    (b"\xfe\xed\xfa\xce", "a Mach-O program"),
    (b"\xfe\xed\xfa\xcf", "a Mach-O program"),
    (b"\xce\xfa\xed\xfe", "a Mach-O program"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
    (b"\xca\xfe\xba\xbe", "a universal Mach-O program or a Java class"),
    (b"\xca\xfe\xba\xbf", "a universal Mach-O program"),
    (b"#!", SCRIPT),
)

#: How many bytes :func:`executable_kind` needs to see.
HEAD_SIZE = 4


def executable_kind(head: bytes) -> str | None:
    """Say what kind of program content that begins with `head` is, or None for no program.

    Args:
        head: the first HEAD_SIZE bytes, or all of shorter content.
    """
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
