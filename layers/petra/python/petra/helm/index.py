"""The ``index.yaml`` that makes a folder of charts a Helm repository."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from petra.encoding.yaml import dump_yaml
from petra.errors import UsageError
from petra.helm.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.content.digest import Digest

_TEXT = ("apiVersion", "appVersion", "description", "home", "icon", "kubeVersion", "name")
_LISTS = ("keywords", "sources")
_MAINTAINER = ("name", "email", "url")
_DEPENDENCY = ("name", "version", "repository", "condition", "alias")


class Indexed(Protocol):
    """A chart as the index needs it: what it says of itself, and the digest of its archive."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """``Chart.yaml``, as :func:`petra.helm.chart.inspect_chart` gives it."""
        ...

    @property
    def digest(self) -> Digest:
        """The digest of the ``.tgz``."""
        ...


def repository_index(charts: Sequence[Indexed], generated: datetime) -> bytes:
    """Return the ``index.yaml`` of `charts`, which stand beside it as ``NAME-VERSION.tgz``.

    The same charts and time give the same bytes, in whatever order the charts come.

    Args:
        charts: each name and version once.
        generated: the time that the index and its entries carry, with a time zone.

    Raises:
        UsageError: two charts have the same name and version.

    Source: Helm, "The Chart Repository Guide", the index file.
    """
    ordered = sorted(charts, key=lambda chart: version_key(chart.metadata["version"]), reverse=True)
    entries: dict[str, list[dict[str, Any]]] = {}
    for chart in sorted(ordered, key=lambda chart: str(chart.metadata["name"])):
        versions = entries.setdefault(chart.metadata["name"], [])
        entry = index_entry(chart, generated)
        if any(other["version"] == entry["version"] for other in versions):
            raise UsageError(
                "two charts of the same name and version",
                where=f"{chart.metadata['name']} {entry['version']}",
                hint="name it once",
            )
        versions.append(entry)
    return dump_yaml({"apiVersion": "v1", "entries": entries, "generated": index_time(generated)})


def describe_chart(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a chart says of itself, as far as it has the types that Helm reads.

    Source: Helm, pkg/chart, ``Metadata``.

    Args:
        metadata: ``Chart.yaml``, as :func:`petra.helm.chart.inspect_chart` gives it.
    """
    entry: dict[str, Any] = {key: metadata[key] for key in _TEXT if _is_text(metadata.get(key))}
    entry |= {key: _texts(metadata.get(key)) for key in _LISTS}
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict):
        entry["annotations"] = {
            key: text for key, text in sorted(annotations.items()) if _is_text(text)
        }
    entry["maintainers"] = _mappings(metadata.get("maintainers"), _MAINTAINER)
    entry["dependencies"] = _mappings(metadata.get("dependencies"), _DEPENDENCY)
    if metadata.get("deprecated") is True:
        entry["deprecated"] = True
    if metadata.get("type") in ("application", "library"):
        entry["type"] = metadata["type"]
    return {key: part for key, part in entry.items() if part} | {"version": metadata["version"]}


def index_entry(chart: Indexed, created: datetime) -> dict[str, Any]:
    """Return what the index says of one chart, keys in alphabetical order, as Helm writes them."""
    metadata, version = chart.metadata, chart.metadata["version"]
    entry = describe_chart(metadata) | {
        "created": index_time(created),
        "digest": chart.digest.hex,
        "urls": [f"{metadata['name']}-{version}.tgz"],
    }
    return {key: entry[key] for key in sorted(entry)}


def index_time(moment: datetime) -> str:
    """Return a moment, which has a time zone, as the index writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _texts(value: Any) -> list[str]:
    return [item for item in value if _is_text(item)] if isinstance(value, list) else []


def _mappings(value: Any, keys: tuple[str, ...]) -> list[dict[str, str]]:
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return [{key: item[key] for key in keys if _is_text(item.get(key))} for item in items]
