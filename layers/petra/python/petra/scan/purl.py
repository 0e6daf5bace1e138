"""Package URLs: read, and matched as OpenVEX documents mean them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Types whose namespaces and names have no upper case.
_LOWER: Final = frozenset(
    {"alpm", "apk", "bitbucket", "composer", "deb", "github", "hex", "oci", "pypi"}
)


@dataclass(frozen=True, slots=True)
class Purl:
    """A package URL, decoded.

    Source: the package-url specification, purl-spec, "Rules for each purl component".
    """

    type: str
    name: str
    namespace: str = ""
    version: str = ""
    qualifiers: Mapping[str, str] = field(default_factory=dict)
    subpath: str = ""

    def covers(self, other: Purl) -> bool:
        """Say whether what is said of this package is said of `other`.

        Type, namespace and name must be the same. Whatever else stands here, version, qualifiers,
        subpath, must stand there alike; what is left open here stands for all.

        Source: OpenVEX specification, "Product Data Structure": a purl is matched as far as it
        goes.
        """
        same = (self.type, self.namespace, self.name) == (other.type, other.namespace, other.name)
        version = not self.version or self.version == other.version
        subpath = not self.subpath or self.subpath == other.subpath
        return same and version and subpath and self.qualifiers.items() <= other.qualifiers.items()


def parse_purl(text: str) -> Purl | None:
    """Return the package URL in `text`; None where it is none."""
    scheme, _, rest = text.partition(":")
    if scheme.lower() != "pkg":
        return None
    rest, _, subpath = rest.lstrip("/").partition("#")
    rest, _, query = rest.partition("?")
    kind, _, path = rest.partition("/")
    head, _, version = path.rpartition("@")
    if not head or "/" in version:  # an "@" of the name's, which should have been encoded
        head, version = path, ""
    parts = [unquote(part) for part in head.split("/") if part]
    if not kind or not parts:
        return None
    kind = kind.lower()
    names = [_name(kind, part) for part in parts]
    return Purl(
        kind, names[-1], "/".join(names[:-1]), unquote(version), _query(query), unquote(subpath)
    )


def _name(kind: str, name: str) -> str:
    lower = name.lower() if kind in _LOWER else name
    return lower.replace("_", "-") if kind == "pypi" else lower


def _query(query: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in query.split("&"))
    return {key.lower(): unquote(value) for key, _, value in pairs if value}
