"""An ``index.yaml`` that is there already, with further charts in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from petra.encoding.yaml import dump_yaml
from petra.errors import FormatError
from petra.helm.documents import load_document
from petra.helm.index import index_entry, index_time, repository_index
from petra.helm.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from petra.content.digest import Digest
    from petra.helm.index import Indexed


def merge_index(
    data: bytes | None, charts: Sequence[Indexed], generated: datetime, *, where: str
) -> bytes:
    """Return an index with `charts` in it, and everything else that was in it before.

    An entry of the same name and version is replaced, unless it says what the new one would say
    of the archive: then it stays as it is. Where nothing is to be changed, `data` itself comes
    back.

    Args:
        data: the index that is there; None for a new one.
        charts: what is added; the archives stand beside the index as ``NAME-VERSION.tgz``.
        generated: the time that the index and new entries carry.
        where: the index, for errors.

    Raises:
        FormatError: `data` is no index.
        UsageError: two charts have the same name and version.
    """
    if data is None:
        return repository_index(charts, generated)
    document = load_document(data, where=where)
    entries = _entries(document, where)
    changed = False
    for chart in charts:
        name = str(chart.metadata["name"])
        entry = index_entry(chart, generated)
        versions = _versions(entries, name, where)
        same = [other for other in versions if other.get("version") == entry["version"]]
        if len(same) == 1 and _is_same_archive(same[0], entry):
            continue
        others = [other for other in versions if other not in same]
        entries[name] = sorted([*others, entry], key=_newest_first, reverse=True)
        changed = True
    if not changed:
        return data
    ordered = {name: entries[name] for name in sorted(entries)}
    return dump_yaml({**document, "entries": ordered, "generated": index_time(generated)})


def index_without(
    data: bytes, charts: Mapping[tuple[str, str], Digest], generated: datetime, *, where: str
) -> bytes:
    """Return an index without some charts; `data` itself where it has none of them.

    Args:
        data: the index that is there.
        charts: the archives' digests by name and version; an entry of another archive stays.
        generated: the time that the index carries.
        where: the index, for errors.

    Raises:
        FormatError: `data` is no index.
    """
    document = load_document(data, where=where)
    entries = _entries(document, where)
    after: dict[str, Any] = {}
    for name in entries:
        versions = _versions(entries, name, where)
        left = [one for one in versions if not _is_one_of(name, one, charts)]
        if left:
            after[name] = left
    if after == entries:
        return data
    return dump_yaml({**document, "entries": after, "generated": index_time(generated)})


def _is_one_of(name: str, entry: dict[str, Any], charts: Mapping[tuple[str, str], Digest]) -> bool:
    digest = charts.get((name, str(entry.get("version", ""))))
    found = str(entry.get("digest", "")).lower().removeprefix("sha256:")
    return digest is not None and found == digest.hex


def _entries(document: Any, where: str) -> dict[str, Any]:
    entries = document.get("entries") if isinstance(document, dict) else None
    if isinstance(document, dict) and "entries" in document and entries is None:
        return {}  # how Helm writes the index of an empty folder, in some versions
    if not isinstance(entries, dict):
        raise FormatError(
            "not the index of a chart repository",
            where=where,
            expected="apiVersion and entries",
            hint="move the file away, or name another folder",
        )
    return entries


def _versions(entries: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    versions = entries.get(name) or []
    if not isinstance(versions, list) or not all(isinstance(item, dict) for item in versions):
        raise FormatError("chart without a list of versions", where=f"{where}: {name}")
    return versions


def _is_same_archive(there: dict[str, Any], entry: dict[str, Any]) -> bool:
    digest = str(there.get("digest", "")).lower().removeprefix("sha256:")
    return bool(digest == entry["digest"] and there.get("urls") == entry["urls"])


def _newest_first(entry: dict[str, Any]) -> Any:
    return version_key(str(entry.get("version", "")))
