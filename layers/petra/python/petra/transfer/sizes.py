"""How large a chunk may be: in bytes, in the units that people write, or by the name of a limit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from petra.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_GIB: Final = 1024**3
_MIB: Final = 1024**2

#: Limits by name, in bytes, and where each comes from.
PRESETS: Final[Mapping[str, int]] = {
    # A FAT32 directory entry has 32 bits for a file's size. Microsoft FAT specification, 2004.
    "fat32": 4 * _GIB - 1,
    # ISO 9660 keeps an extent's length in 32 bits and in whole sectors of 2 KiB (ECMA-119, 9.1.4);
    # a disc of 4.7 GB then has room for signatures and parity.
    "dvd": 4 * _GIB - 2048,
    # libclamav looks at no more of a file than a signed 32-bit number counts (MaxFileSize).
    "clamav": 2 * _GIB - 1,
    # Round limits of common transfer services and mail gateways, a little below 1 GiB and 100 MB.
    "1000MiB": 1000 * _MIB,
    "95MiB": 95 * _MIB,
}

_UNITS: Final[Mapping[str, int]] = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1024,
    "mib": _MIB,
    "gib": _GIB,
}
_SIZE = re.compile(r"(\d{1,15}) ?([A-Za-z]*)", re.ASCII)


def parse_size(text: str, *, where: str) -> int:
    """Return the bytes that `text` stands for.

    Args:
        text: the name of a preset, or a number with a unit: ``100MiB``, ``4GB``, ``4096``.
        where: the flag or field, for errors.

    Raises:
        SettingError: it is neither.
    """
    preset = PRESETS.get(text.lower())
    if preset is not None:
        return preset
    match = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or not int(match[1]):
        raise SettingError(
            "not a size",
            where=where,
            expected=f"a number with KiB, MiB, GiB, KB, MB or GB, or {', '.join(PRESETS)}",
            found=text[:40],
        )
    return int(match[1]) * unit
