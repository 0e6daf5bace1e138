"""Whether a list of parts is fit to be scanned: what a scanner cannot look up it passes over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from petra.encoding.json import load_json
from petra.errors import FormatError
from petra.scan import fields
from petra.scan.purl import parse_purl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.scan.purl import Purl

SBOM_LIMIT: Final = 128 * 1024 * 1024

#: Packages whose vulnerabilities depend on the distribution that they are of.
_OF_DISTRIBUTIONS: Final = frozenset({"alpm", "apk", "deb", "portage", "rpm"})
#: What an SBOM says of the image itself: no package.
_CONTAINERS: Final = frozenset({"docker", "oci"})

_HINT: Final = "let the image itself be scanned, or ask for an SBOM with package URLs (syft's are)"


@dataclass(frozen=True, slots=True)
class Sbom:
    """A list of parts.

    Attributes:
        data: the document.
        where: what to call it, a member or a file.
    """

    data: bytes
    where: str


def check_sbom(sbom: Sbom) -> int:
    """Return how many packages an SBOM lists that a scanner can look up.

    Scanners go by package URLs, and look the packages of a distribution up only if the SBOM says
    which distribution. They say little or nothing of what they leave out.

    Raises:
        FormatError: it is no SPDX, CycloneDX or syft document in JSON; it lists no package, or
            packages of a distribution that it does not name.

    Source: SPDX 2.3, section 7.21; CycloneDX 1.6, components; purl-spec, "distro".
    """
    where = sbom.where
    if len(sbom.data) > SBOM_LIMIT:
        raise FormatError("SBOM too large", where=where, expected=f"at most {SBOM_LIMIT} bytes")
    value = fields.as_object(load_json(sbom.data, where=where), "SBOM", where)
    found, distribution = _read(value, where)
    purls = [purl for purl in map(parse_purl, found) if purl and purl.type not in _CONTAINERS]
    if not purls:
        raise FormatError("an SBOM without a package", where=where, hint=_HINT)
    homeless = next((purl for purl in purls if not distribution and _homeless(purl)), None)
    if homeless:
        raise FormatError(
            "an SBOM does not say of which distribution its packages are",
            where=where,
            expected="distro=… in the package URL",
            found=f"{homeless.type} package {homeless.name}",
            hint=_HINT,
        )
    return len(purls)


def _homeless(purl: Purl) -> bool:
    return purl.type in _OF_DISTRIBUTIONS and not purl.qualifiers.get("distro")


def _read(value: dict[str, Any], where: str) -> tuple[list[str], bool]:
    """Return the package URLs in a document, and whether it names a distribution for all."""
    if isinstance(value.get("spdxVersion"), str):
        return [*_spdx(value, where)], False
    if value.get("bomFormat") == "CycloneDX":
        parts = [*_components(value, where)]
        system = any(part.get("type") == "operating-system" for part in parts)
        return [fields.text(part, "purl", where) for part in parts], system
    if "artifacts" in value and "schema" in value:
        distribution = fields.inner(value, "distro", where).get("id")
        artifacts = fields.objects(value, "artifacts", where)
        return [fields.text(one, "purl", where) for one in artifacts], bool(distribution)
    raise FormatError(
        "not an SBOM", where=where, expected="SPDX 2, CycloneDX or syft's own form, as JSON"
    )


def _spdx(value: dict[str, Any], where: str) -> Iterator[str]:
    for package in fields.objects(value, "packages", where):
        for reference in fields.objects(package, "externalRefs", where):
            if reference.get("referenceType") == "purl":
                yield fields.text(reference, "referenceLocator", where)


def _components(value: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    left = fields.objects(value, "components", where)
    while left:
        part = left.pop()
        left += fields.objects(part, "components", where)
        yield part
