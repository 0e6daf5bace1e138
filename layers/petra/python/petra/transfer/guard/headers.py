"""Headers of a tar archive, as a guard takes them: ustar, with pax records where a size needs them.

tarfile reads much more than that, and tells nobody what it passed over on the way.
"""

from __future__ import annotations

import tarfile
from typing import Any, Final

from petra.transfer.guard.stop import StopError

#: Headers that carry records for the member after them, and the most that one may hold.
_PAX: Final = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_PAX_LIMIT: Final = 64 * 1024
#: What may be read from one member's end to the next one's content; tarfile reads ahead.
HEADERS_LIMIT: Final = 2 * _PAX_LIMIT
#: Other programs' own: names in a member of their own, holes, volumes.
_GNU: Final = frozenset(b"DKLMNSV")
_MAGIC: Final = slice(257, 265)
_USTAR: Final = b"ustar\x0000"
#: Text that ends with a zero byte, if it does not fill its field: name, link, user, group, prefix.
_TEXTS: Final = ((0, 100), (157, 257), (265, 297), (297, 329), (345, 500))
_UNUSED: Final = (500, 512)


def header_reader(ended: list[bool]) -> type[tarfile.TarInfo]:
    """Return a class of headers for tarfile that refuses what a plain archive does not have.

    Args:
        ended: gets an item with the block of zeros that ends an archive; tarfile does not tell.
    """
    before: list[bytes] = []

    class Info(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: Any, encoding: Any, errors: str) -> Any:
            if buf == bytes(tarfile.BLOCKSIZE):
                ended.append(True)
            info = super().frombuf(buf, encoding, errors)
            _check(info, buf)
            if info.type in _PAX and before and before[-1] in _PAX:  # tarfile would recurse
                raise StopError("headers", "pax headers in a row, without a member")
            before[:] = [info.type]
            return info

    return Info


def _check(info: tarfile.TarInfo, block: bytes) -> None:
    if ord(info.type) in _GNU:
        raise StopError("headers", "a header of GNU tar's own", where=info.name, found=info.type)
    if info.type in _PAX and info.size > _PAX_LIMIT:  # tarfile would read it whole
        raise StopError("headers", "a header that is too long", found=info.size)
    if block[_MAGIC] != _USTAR:
        raise StopError("headers", "no ustar header", where=info.name, found=block[_MAGIC])
    texts = (block[start:end].partition(b"\0")[2] for start, end in _TEXTS)
    if any(text.strip(b"\0") for text in (*texts, block[slice(*_UNUSED)])):
        raise StopError("headers", "data is hidden in a header", where=info.name)
