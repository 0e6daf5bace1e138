"""Other people's ``index.yaml``: found in it is one chart, and only that is read with care."""

from __future__ import annotations

import difflib
import re
import zlib
from dataclasses import dataclass
from typing import Any

from petra.content.digest import Digest
from petra.errors import FormatError, NotFoundError
from petra.helm.documents import load_document, load_parts
from petra.helm.versions import same_version, version_key

#: The largest repositories publish some 20 MiB.
INDEX_LIMIT = 64 * 1024 * 1024

_ENTRIES = re.compile(rb"^entries:[ \t]*\r?$", re.MULTILINE)
_TOP_LEVEL = re.compile(rb"^[^\s#]", re.MULTILINE)
_FIRST_NAME = re.compile(rb"^( +)[^\s#-]", re.MULTILINE)
_GZIP = b"\x1f\x8b"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version of one chart in a repository's index.

    Attributes:
        version: as the index writes it.
        urls: where the archive is, absolute or relative to the repository.
        digest: the archive's, where the index has one.
    """

    version: str
    urls: tuple[str, ...]
    digest: Digest | None


def find_entry(data: bytes, name: str, version: str, *, where: str) -> IndexEntry:
    """Return one version of one chart from an index.

    The entries of the chart are cut out of the text before YAML is parsed, which is several times
    faster and holds little. An index that is not laid out as Helm writes it is read as a whole.

    Args:
        data: the whole ``index.yaml``.
        name: the chart.
        version: the very version; one that differs by a leading ``v`` alone is the same.
        where: the index, for errors; no secret in it.

    Raises:
        NotFoundError: no such chart or version.
        FormatError: it is no index, or the entry is broken.
    """
    entries = _entries_of(data, name, where)
    if entries is None:
        raise NotFoundError(
            f"no chart {name} in the repository", where=where, hint=_near_names(data, name)
        )
    if not isinstance(entries, list):
        raise FormatError("chart without a list of versions", where=f"{where}: {name}")
    versions = [item for item in entries if isinstance(item, dict)]
    for same in (str.__eq__, same_version):
        for item in versions:
            if same(str(item.get("version", "")), version):
                return _entry(item, f"{where}: {name} {version}")
    raise NotFoundError(
        f"no version {version} of chart {name} in the repository",
        where=where,
        hint=_near_versions([str(item.get("version", "")) for item in versions]),
    )


def plain_index(data: bytes, *, where: str) -> bytes:
    """Return an index as text: some storage services only have it compressed.

    Raises:
        FormatError: it is damaged, or has more than INDEX_LIMIT bytes.
    """
    if not data.startswith(_GZIP):
        return data
    engine = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = engine.decompress(data, INDEX_LIMIT)
    except zlib.error as error:
        raise FormatError("damaged gzip data", where=where, found=error) from None
    if not engine.eof:
        raise FormatError(
            "index cut short or too large", where=where, expected=f"at most {INDEX_LIMIT} bytes"
        )
    return text


def _entries_of(data: bytes, name: str, where: str) -> Any:
    """Return the parsed list of the chart's versions; None where it has none."""
    try:
        part = _cut_out(data, name)
        if part is not None:
            return load_document(part, where=where)[name]
    except FormatError:
        pass  # Perhaps only the cut was wrong. The whole tells.
    if _area(data) and name.encode() not in data:
        return None
    document = load_parts(data, lambda path: path in {("entries",), ("entries", name)}, where=where)
    if not isinstance(document, dict) or "entries" not in document:
        raise FormatError(
            "not the index of a chart repository",
            where=where,
            expected="apiVersion and entries",
            hint="check the URL of the repository: index.yaml is directly below it",
        )
    entries = document["entries"]
    return entries.get(name) if isinstance(entries, dict) else None


def _cut_out(data: bytes, name: str) -> bytes | None:
    """Return the lines of one chart's entries; None where the layout is not as Helm writes it.

    Block style is what makes this safe: below ``entries:`` a line at the indentation of the names
    can only be a name, or an item of a name's list, which begins with ``-``.
    """
    area = _area(data)
    if area is None:
        return None
    start, end, indent = area
    quoted = re.escape(name.encode())
    key = re.compile(
        rb"^ {%d}(?:%s|\"%s\"|'%s'):[ \t]*\r?$" % (indent, quoted, quoted, quoted), re.MULTILINE
    )
    matches = list(key.finditer(data, start, end))
    if len(matches) != 1:
        return None
    following = re.compile(rb"^ {0,%d}[^\s#-]" % indent, re.MULTILINE)
    stop = following.search(data, matches[0].end(), end)
    return data[matches[0].start() : stop.start() if stop else end]


def _area(data: bytes) -> tuple[int, int, int] | None:
    """Return where the entries begin and end, and how far their names are indented."""
    head = _ENTRIES.search(data)
    if not head:
        return None
    tail = _TOP_LEVEL.search(data, head.end())
    end = tail.start() if tail else len(data)
    first = _FIRST_NAME.search(data, head.end(), end)
    return (head.end(), end, len(first[1])) if first else None


def _entry(item: dict[str, Any], where: str) -> IndexEntry:
    urls = item.get("urls")
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        raise FormatError("chart version without a URL", where=where)
    digest = item.get("digest")
    if not digest:
        return IndexEntry(str(item["version"]), tuple(urls), None)
    text = str(digest).lower().removeprefix("sha256:")
    return IndexEntry(
        str(item["version"]), tuple(urls), Digest.parse(f"sha256:{text}", where=where)
    )


def _near_names(data: bytes, name: str) -> str:
    area = _area(data)
    if area is None:
        return "check the name of the chart and the URL of the repository"
    start, end, indent = area
    line = re.compile(rb"^ {%d}([A-Za-z0-9._-]+):[ \t]*\r?$" % indent, re.MULTILINE)
    names = {match[1].decode() for match in line.finditer(data, start, end)}
    near = difflib.get_close_matches(name, sorted(names), _SHOWN, 0.5)
    return f"the nearest names in it are {', '.join(near)}" if near else "check the chart's name"


def _near_versions(versions: list[str]) -> str:
    newest = sorted(filter(None, versions), key=version_key, reverse=True)[:_SHOWN]
    return f"the newest in it are {', '.join(newest)}" if newest else "it has no version at all"
