"""How the files of a chunk folder are called, and which chunks share parity. Arithmetic alone.

Bundle format, section 6.
"""

from __future__ import annotations

import re
from typing import Final

from petra.errors import SettingError, UsageError

#: The manifest's file.
MANIFEST: Final = "manifest.json"
#: The suffix of what was damaged and has been rebuilt: kept, since nothing is deleted.
DAMAGED: Final = ".damaged"
#: Four digits number the chunks.
CHUNKS_LIMIT: Final = 9999
#: A Reed-Solomon code over GF(2⁸) has no more symbols: chunks and parity of one group together.
SHARDS_LIMIT: Final = 255
#: Parity for each group; more would be more parity than content.
PARITY_LIMIT: Final = 127

FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}", re.ASCII)
_OURS = re.compile(r".+\.(\d{4}-of-\d{4}|p\d{2,4})|manifest.*\.json", re.ASCII | re.IGNORECASE)

#: How bundles' own file names end.
FORMS: Final = (".tar.zst", ".tar.gz")
_PART = re.compile(
    r"(?P<bundle>[^.].*?)\.(\d{4}-of-\d{4}|p\d{2,4}|sig|sigstore\.json|intoto\.json"
    r"|(?P<manifest>manifest\.json(\.sig|\.sigstore\.json)?))",
    re.ASCII,
)


def chunk_name(bundle: str, number: int, count: int) -> str:
    """Return the file name of chunk `number`, counted from 1, of `count`."""
    return f"{bundle}.{number:04}-of-{count:04}"


def parity_name(bundle: str, number: int) -> str:
    """Return the file name of parity `number`, counted from 1 over all groups."""
    return f"{bundle}.p{number:02}"


def belongs_to_chunks(name: str) -> bool:
    """Say whether a file of this name is a chunk, parity or manifest of some chunk folder."""
    return _OURS.fullmatch(name) is not None


def wire_name(bundle: str, name: str) -> str:
    """Return what a file of a bundle is called where several bundles share one folder.

    A chunk folder's manifest and its signatures have the same names for all; they get the bundle's
    in front. All other files have it already.

    Args:
        bundle: the bundle's file name.
        name: the file's name beside the bundle, or in the chunk folder.
    """
    return f"{bundle}.{name}" if name.startswith(MANIFEST) else name


def of_bundle(name: str) -> tuple[str, str] | None:
    """Tell from a file's name which bundle it belongs to, and as what.

    Returns:
        The bundle's file name, and what the file is called beside it or in its chunk folder; None
        for a file of no bundle, and for a manifest that does not name its bundle.
    """
    match = _PART.fullmatch(name)
    if match and match["manifest"]:
        return match["bundle"], match["manifest"]
    if match:
        return match["bundle"], name
    return (name, name) if name.endswith(FORMS) else None


def check_file_name(name: str) -> None:
    """Refuse a bundle whose name could not stand on every medium.

    Raises:
        UsageError: it has other characters than ``A-Za-z0-9._+-``.
    """
    if not FILE_NAME.fullmatch(name):
        raise UsageError(
            "not a usable name for chunks",
            where=name,
            expected="A-Z a-z 0-9 . _ + and -, at most 200",
            hint="rename the bundle's file and its signatures",
        )


def chunk_sizes(size: int, limit: int) -> list[int]:
    """Return the sizes of the chunks of `size` bytes, each at most `limit`: all full but the last.

    Raises:
        SettingError: there would be more chunks than numbers.
    """
    count = max(-(-size // limit), 1)
    if count > CHUNKS_LIMIT:
        raise SettingError(
            "too many chunks",
            where="--max-size",
            expected=f"at most {CHUNKS_LIMIT} chunks",
            found=f"{count} of {limit} bytes",
            hint=f"allow chunks of {-(-size // CHUNKS_LIMIT)} bytes or more",
        )
    return [*[limit] * (count - 1), size - limit * (count - 1)]


def parity_groups(count: int, parity: int) -> list[list[int]]:
    """Return the numbers, from 1, of the chunks in each group; `parity` chunks go with each.

    As few groups as the code allows, all alike in size. Neighbours are in different groups, so that
    a run of lost chunks is shared out.

    Args:
        count: how many chunks there are.
        parity: parity chunks a group, 1 to PARITY_LIMIT.

    Raises:
        SettingError: `parity` is out of range.
    """
    if not 1 <= parity <= PARITY_LIMIT:
        raise SettingError(
            "not a usable number of parity chunks",
            where="--parity",
            expected=f"1 to {PARITY_LIMIT}",
            found=parity,
        )
    groups = -(-count // (SHARDS_LIMIT - parity))
    return [[*range(first, count + 1, groups)] for first in range(1, groups + 1)]
