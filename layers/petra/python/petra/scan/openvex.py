"""OpenVEX documents: who says, of which product, that a vulnerability does not matter there.

Source: the OpenVEX specification, v0.2.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  # a field's type
from typing import TYPE_CHECKING, Any, Final

from petra.encoding.json import load_json
from petra.errors import DocumentError, FormatError
from petra.oci.reference import Reference
from petra.scan import fields
from petra.scan.purl import Purl, parse_purl

if TYPE_CHECKING:
    from petra.content.digest import Digest
    from petra.scan.model import Finding, Subject

DOCUMENT_LIMIT: Final = 16 * 1024 * 1024
_CONTEXT: Final = "https://openvex.dev/ns/v0.2."

NOT_AFFECTED: Final = "not_affected"
FIXED: Final = "fixed"
_STATUSES: Final = frozenset({NOT_AFFECTED, FIXED, "affected", "under_investigation"})
_JUSTIFICATIONS: Final = frozenset(
    {
        "component_not_present",
        "vulnerable_code_not_present",
        "vulnerable_code_not_in_execute_path",
        "vulnerable_code_cannot_be_controlled_by_adversary",
        "inline_mitigations_already_exist",
    }
)


@dataclass(frozen=True, slots=True)
class Component:
    """A piece of software, by any of the names that a document gives it.

    Attributes:
        names: its ``@id`` and its identifiers.
        purls: those among them that are package URLs.
        digests: its SHA-256 digests.
    """

    names: frozenset[str] = frozenset()
    purls: tuple[Purl, ...] = ()
    digests: frozenset[str] = frozenset()

    def is_image(self, subject: Subject) -> bool:
        """Say whether it is the image that was scanned."""
        digests = {str(one) for one in (subject.digest, subject.index) if one}
        if self.digests & digests:
            return True
        name = Reference.parse(subject.reference).name
        if self.names & {f"{name}@{digest}" for digest in digests}:
            return True
        return any(_is_image(purl, subject, digests) for purl in self.purls)

    def is_package(self, finding: Finding) -> bool:
        """Say whether it is the package that a finding is about."""
        found = parse_purl(finding.purl)
        return found is not None and any(purl.covers(found) for purl in self.purls)


def _is_image(purl: Purl, subject: Subject, digests: set[str]) -> bool:
    """Say whether an image's package URL, as far as it goes, is the subject's.

    Source: purl-spec, type "oci": the name is the last part of the repository's, the version is the
    digest, and ``repository_url`` has the repository, which some write without its last part.
    """
    reference = Reference.parse(subject.reference)
    parent, _, last = reference.name.rpartition("/")
    if purl.type != "oci" or purl.namespace or purl.name != last.lower():
        return False
    if purl.version and purl.version not in digests:
        return False
    _, _, architecture = subject.platform.partition("/")
    facts = {
        "arch": architecture.partition("/")[0],
        "os": subject.platform.partition("/")[0],
        "tag": reference.tag or "",
    }
    for key, value in purl.qualifiers.items():
        if key == "repository_url":
            if _docker_name(value) not in (reference.name, parent):
                return False
        elif facts.get(key) != value:
            return False
    return True


def _docker_name(url: str) -> str:
    name = url.removeprefix("https://").rstrip("/")
    return (
        "docker.io/" + name.removeprefix("index.docker.io/") if "index.docker.io/" in name else name
    )


@dataclass(frozen=True, slots=True)
class Product:
    """What a statement is about: a whole, or those parts of it that are named."""

    whole: Component
    parts: tuple[Component, ...] = ()

    def covers(self, finding: Finding, subject: Subject) -> bool:
        """Say whether a finding in `subject` is one in this product."""
        if self.whole.is_image(subject):
            return not self.parts or any(part.is_package(finding) for part in self.parts)
        return not self.parts and self.whole.is_package(finding)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a document.

    Attributes:
        vulnerability: the names of the vulnerability, in lower case.
        name: the first of them, as written.
        products: what it is about.
        status: OpenVEX's label.
        justification: for ``not_affected``; empty where only an impact is described.
        text: what its author writes beside.
        time: since when it holds.
        source: the document and its author.
    """

    vulnerability: frozenset[str]
    name: str
    products: tuple[Product, ...]
    status: str
    justification: str
    text: str
    time: datetime
    source: str

    @property
    def waives(self) -> bool:
        """Whether the finding does not matter: fixed, or not affected for a reason of the labels.

        A described impact is for people to read; policy goes by labels.
        """
        return self.status == FIXED or (self.status == NOT_AFFECTED and bool(self.justification))

    def covers(self, finding: Finding, subject: Subject) -> bool:
        """Say whether it is about this finding in this image."""
        return bool(self.vulnerability & finding.names) and any(
            product.covers(finding, subject) for product in self.products
        )


@dataclass(frozen=True, slots=True)
class VexDocument:
    """A document.

    Attributes:
        id: its IRI.
        version: a higher one of the same IRI replaces it.
        where: what we call it.
        statements: in its order.
    """

    id: str
    version: int
    where: str
    statements: tuple[Statement, ...] = field(repr=False)


def load_openvex(data: bytes, *, where: str, product: Digest | None = None) -> VexDocument:
    """Return an OpenVEX document.

    Args:
        data: the file.
        where: its name.
        product: what statements without products are about: the subject of the attestation that
            the document came in. None where it came by itself.

    Raises:
        DocumentError: it is no such document, a statement is incomplete, or says ``not_affected``
            without any reason.
    """
    try:
        return _document(_json(data, where), where, product)
    except FormatError as error:
        raise DocumentError(
            error.message,
            where=error.where or where,
            expected=error.expected,
            found=error.found,
            hint="correct the document, or leave it out; `vexctl` writes good ones",
        ) from None


def _json(data: bytes, where: str) -> Any:
    if len(data) > DOCUMENT_LIMIT:
        raise FormatError("OpenVEX document too large", where=where, found=f"{len(data)} bytes")
    return load_json(data, where=where)


def _document(value: Any, where: str, product: Digest | None) -> VexDocument:
    document = fields.as_object(value, "OpenVEX document", where)
    context = document.get("@context")
    if not isinstance(context, str) or not context.startswith(_CONTEXT):
        raise FormatError(
            "not an OpenVEX document of a known version",
            where=where,
            expected=f'"@context": "{_CONTEXT}0"',
            found=fields.one_line(str(context)) if context else None,
        )
    author = fields.need(document, "author", where)
    time = fields.moment(document, "timestamp", where)
    if time is None:
        raise fields.wrong("timestamp", "a moment", where)
    default = () if product is None else (Product(Component(digests=frozenset({product}))),)
    statements = tuple(
        _statement(
            one, time, f"OpenVEX by {author}, {where}", f"{where}: statement {number}", default
        )
        for number, one in enumerate(fields.objects(document, "statements", where), start=1)
    )
    if not statements:
        raise FormatError("an OpenVEX document without statements", where=where)
    return VexDocument(
        fields.need(document, "@id", where), _version(document, where), where, statements
    )


def _version(document: dict[str, Any], where: str) -> int:
    found = document.get("version")
    if isinstance(found, str) and found.isascii() and found.isdigit():
        return int(found[:9])  # vexctl once wrote it as text
    if not isinstance(found, int) or isinstance(found, bool):
        raise fields.wrong("version", "a number", where)
    return found


def _statement(
    value: dict[str, Any], time: datetime, source: str, where: str, default: tuple[Product, ...]
) -> Statement:
    vulnerability = fields.inner(value, "vulnerability", where)
    name = fields.need(vulnerability, "name", where)
    names = {name, *fields.texts(vulnerability, "aliases", where)}
    products = tuple(_product(one, where) for one in fields.objects(value, "products", where))
    if not products and not default:
        raise FormatError("a statement without products", where=where)
    status, justification, impact = _claim(value, where)
    notes = fields.text(value, "status_notes", where)
    return Statement(
        vulnerability=frozenset(one.lower() for one in names),
        name=name,
        products=products or default,
        status=status,
        justification=justification,
        text=" ".join(filter(None, (impact, notes))),
        time=fields.moment(value, "timestamp", where) or time,
        source=source,
    )


def _claim(value: dict[str, Any], where: str) -> tuple[str, str, str]:
    """Return status, justification and impact, which must go together."""
    status = fields.need(value, "status", where)
    justification = fields.text(value, "justification", where)
    impact = fields.text(value, "impact_statement", where)
    if status not in _STATUSES:
        raise FormatError(
            "unknown status", where=where, expected=" or ".join(sorted(_STATUSES)), found=status
        )
    if justification and justification not in _JUSTIFICATIONS:
        raise FormatError(
            "unknown justification",
            where=where,
            expected=" or ".join(sorted(_JUSTIFICATIONS)),
            found=justification,
        )
    if status == NOT_AFFECTED and not justification and not impact:
        raise FormatError("not_affected without a justification", where=where)
    return status, justification, impact


def _product(value: dict[str, Any], where: str) -> Product:
    parts = fields.objects(value, "subcomponents", where)
    return Product(_component(value, where), tuple(_component(one, where) for one in parts))


def _component(value: dict[str, Any], where: str) -> Component:
    identifiers = fields.inner(value, "identifiers", where)
    names = [fields.text(value, "@id", where)]
    names += [fields.text(identifiers, key, where) for key in identifiers]
    sha256 = fields.text(fields.inner(value, "hashes", where), "sha-256", where).lower()
    names = [name for name in names if name]
    if not names and not sha256:
        raise FormatError("a product or component without a name", where=where)
    purls = tuple(purl for purl in map(parse_purl, names) if purl)
    digests = frozenset({f"sha256:{sha256}"} if sha256 else ())
    return Component(frozenset(names), purls, digests)
