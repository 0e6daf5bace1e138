"""What a bundle says about itself, ``metadata.json``. Bundle format, section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from petra.bundle.fields import (
    API_VERSION,
    INTEGER_LIMIT,
    ChartName,
    ChartVersion,
    DigestField,
    Label,
    Moment,
    Name,
    PlatformField,
    Size,
    Text,
    Version,
)
from petra.bundle.lock import LockedAttachment  # noqa: TC001  # a model's field
from petra.bundle.scan_record import ScanRecord  # noqa: TC001  # as above
from petra.encoding.json import dump_json, load_json
from petra.encoding.models import FieldError, Items, Model, to_value, validate
from petra.errors import FormatError
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.content.digest import Digest

METADATA_LIMIT = 64 * 1024 * 1024

UNVERIFIED = "output.verify is false in the spec"
#: Why nothing was scanned where nobody asked for it.
NO_SCAN = "neither the spec nor a policy asks for a scan"

#: The steps that may be skipped, by the names that policies and --allow-skipped know.
Step = Literal["sign", "verify", "scan", "sbom", "provenance"]
STEPS: Final[tuple[Step, ...]] = get_args(Step)


class Check(Model):
    """A step that was taken, or was skipped for a reason. Absence is never written as success."""

    status: Literal["done", "skipped"]
    reason: Text | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Check:
        if (self.status == "skipped") != (self.reason is not None):
            raise FieldError("a skipped step, and only one, has a reason")
        return self

    @classmethod
    def done(cls) -> Check:
        """Return a step that was taken."""
        return cls(status="done")

    @classmethod
    def skipped(cls, reason: str) -> Check:
        """Return a step that was not taken."""
        return cls(status="skipped", reason=reason)


class Checks(Model):
    """The steps that a receiver's policy may insist on."""

    sign: Check
    verify: Check
    scan: Check


class TrustedRootRecord(Model):
    """The trusted root that keyless signatures were verified against. It travels as a member."""

    member: Text
    digest: DigestField


class PolicyRecord(Model):
    """The policy that the bundle was made by."""

    name: Label
    digest: DigestField = Field(description="Of the file.")


class Tool(Model):
    """The program that made the bundle."""

    name: Text
    version: Text


class LogRecord(Model):
    """An entry of a transparency log."""

    id: Text = Field(description="The log, 64 hex digits.")
    index: Size


class VerifiedSignature(Model):
    """A signature that verified: how, in which form, and the manifest that holds it."""

    method: Literal["key", "keyless"] = "key"
    key: Text | None = Field(None, description="The SHA-256 fingerprint of the public key, hex.")
    identity: Text | None = Field(None, description="Who signed, as the certificate has it.")
    issuer: Text | None = Field(None, description="Who vouched for the identity.")
    certificate: DigestField | None = Field(None, description="The certificate's, in DER.")
    log: LogRecord | None = None
    time: Moment | None = Field(None, description="When the signature existed for certain.")
    root: DigestField | None = Field(None, description="The trusted root that this follows from.")
    scheme: Literal["tag", "referrer"]
    digest: DigestField

    @model_validator(mode="after")
    def _whole(self) -> VerifiedSignature:
        keyless = (self.identity, self.issuer, self.certificate, self.log, self.time, self.root)
        by_key = self.method == "key"
        if by_key == (self.key is None) or any((one is None) != by_key for one in keyless):
            raise FieldError(
                "what vouches for it is not what its method says",
                expected="a key, or identity, issuer, certificate, log, time and root",
            )
        return self


class SignatureCheck(Check):
    """How an image's signatures were verified."""

    verified: Items[VerifiedSignature] = ()

    @model_validator(mode="after")
    def _proven(self) -> SignatureCheck:
        if (self.status == "done") != bool(self.verified):
            raise FieldError("signatures stand there if, and only if, they were verified")
        return self


class Evidence(Model):
    """A document about an image, in a member of the bundle."""

    format: Text
    member: Text
    digest: DigestField
    subject: DigestField | None = Field(
        None, description="What it is about: a platform's manifest, or the image where absent."
    )
    manifest: DigestField | None = Field(
        None, description="The attachment of the image that it comes from."
    )
    verified: VerifiedSignature | None = Field(None, description="What vouches for it.")
    generated: Tool | None = Field(None, description="What made it here, where no one else had.")

    @model_validator(mode="after")
    def _vouched(self) -> Evidence:
        if (self.verified is None) == (self.generated is None):
            raise FieldError("evidence is either verified by a signature or was generated here")
        return self


class Uncounted(Model):
    """Something attached to an image that could be evidence, and for which nothing vouches."""

    manifest: DigestField
    kind: Literal["attestation", "sbom"]
    reason: Text


class ImageRecord(Model):
    """An image of the bundle."""

    name: Name
    reference: Text
    digest: DigestField
    media_type: Text
    size: Size = Field(description="The bytes of all its blobs.")
    platforms: Items[PlatformField] = ()
    absent_platforms: Items[PlatformField] = ()
    signatures: SignatureCheck
    scan: Check
    scans: Items[ScanRecord] = Field((), description="One for each platform that was scanned.")
    attachments: Items[LockedAttachment] = ()
    sboms: Items[Evidence] = ()
    no_sbom: Text | None = Field(None, description="Why there is no SBOM, where there is none.")
    provenance: Items[Evidence] = ()
    uncounted: Items[Uncounted] = ()

    @model_validator(mode="after")
    def _scanned(self) -> ImageRecord:
        if self.scans and self.scan.status == "skipped":
            raise FieldError("scans stand there although the scan was skipped")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which runtimes know it, as ``index.json`` has them."""
        return image_names(self.reference, self.digest)


class ChartRecord(Model):
    """A chart of the bundle."""

    name: ChartName
    version: ChartVersion
    repo: Text
    member: Text
    digest: DigestField
    size: Size
    provenance: Check


class ComponentRecord(Model):
    """A part of the platform."""

    name: Text
    set: Literal["base", "observability"]
    chart: Text | None = None
    version: Text | None = None


class Totals(Model):
    """Sums over the members listed in the metadata."""

    members: Size
    bytes: Size
    images: Size
    charts: Size


class Member(Model):
    """A member of the archive."""

    name: Text
    size: Size
    digest: DigestField


class HeldBlob(Model):
    """A blob that a receiver holds."""

    digest: DigestField
    size: Size


class Base(Model):
    """What a differential bundle builds on: an older bundle, or a receiver's signed inventory.

    Attributes:
        name: the bundle's, or the receiver's.
        version: the bundle's; an inventory has none.
        serial: the bundle's or the inventory's.
        digest: of the whole file.
        absent: the blobs that the receiver holds and the bundle leaves out, in archive order.
    """

    kind: Literal["bundle", "inventory"]
    name: Label
    version: Version | None = None
    serial: int = Field(ge=0, le=INTEGER_LIMIT)
    digest: DigestField
    absent: Items[HeldBlob] = ()

    def __str__(self) -> str:
        what = "the inventory of" if self.kind == "inventory" else "bundle"
        version = f" {self.version}" if self.version else ""
        return f"{what} {self.name}{version}, serial {self.serial}"


class Skip(NamedTuple):
    """A step that was skipped: of the bundle as a whole, or of one image."""

    step: Step
    image: ImageRecord | None
    reason: str


class Metadata(Model):
    """The whole document.

    Attributes:
        base: None unless the bundle is differential.
        members: all but ``metadata.json`` and ``SHA256SUMS``, in archive order.
    """

    api_version: Literal["petra.sh/v1alpha1"] = API_VERSION
    kind: Literal["BundleMetadata"] = "BundleMetadata"
    name: Label
    version: Version
    serial: int = Field(ge=0, le=INTEGER_LIMIT)
    created: Moment
    not_after: Moment | None = None
    base: Base | None = None
    tool: Tool
    platforms: Items[PlatformField] = ()
    policy: PolicyRecord | None = None
    trusted_root: TrustedRootRecord | None = None
    checks: Checks
    totals: Totals
    images: Items[ImageRecord] = ()
    charts: Items[ChartRecord] = ()
    platform: Items[ComponentRecord] = ()
    members: Items[Member]

    @property
    def absent(self) -> dict[Digest, int]:
        """The blobs that a differential bundle leaves out, their sizes by digest."""
        return {blob.digest: blob.size for blob in self.base.absent} if self.base else {}

    def skips(self) -> Iterator[Skip]:
        """Give every step that was skipped, of the bundle as a whole and of each image."""
        steps: dict[Step, tuple[Check, str]] = {
            "sign": (self.checks.sign, ""),
            "verify": (self.checks.verify, "signatures"),
            "scan": (self.checks.scan, "scan"),
        }
        for step, (whole, of_image) in steps.items():
            if whole.reason:
                yield Skip(step, None, whole.reason)
            for image in self.images if of_image else ():
                check: Check = getattr(image, of_image)
                if check.reason:
                    yield Skip(step, image, check.reason)

    def skipped(self) -> dict[str, list[str]]:
        """Return the reasons by which steps were skipped, by the step's name, images included."""
        found: dict[str, dict[str, None]] = {}
        for skip in self.skips():
            found.setdefault(skip.step, {})[skip.reason] = None
        return {step: list(reasons) for step, reasons in found.items()}


def image_names(reference: str, digest: Digest) -> tuple[str, ...]:
    """Return the names of an image in ``index.json``: by tag, where it has one, and by digest."""
    named = Reference.parse(reference)
    by_digest = str(named.with_digest(digest))
    return (named.tagged, by_digest) if named.tagged else (by_digest,)


def load_metadata(data: bytes, *, where: str = "metadata.json") -> Metadata:
    """Return the metadata in `data`.

    Raises:
        FormatError: it is no such document, or of a version that this Petra does not know.
    """
    if len(data) > METADATA_LIMIT:
        raise FormatError(
            "metadata too large", where=where, expected=f"at most {METADATA_LIMIT} bytes"
        )
    value = load_json(data, where=where)
    version = value.get("apiVersion") if isinstance(value, dict) else None
    if version != API_VERSION:
        raise FormatError(
            "the bundle has a format that this petra does not know",
            where=where,
            expected=f"apiVersion {API_VERSION}",
            found=str(version)[:100],
            hint="read it with the version of petra that made it, or a newer one",
        )
    return validate(Metadata, value, where=where, error=FormatError)


def dump_metadata(metadata: Metadata) -> bytes:
    """Return `metadata` as JSON, always the same bytes for the same value."""
    value = to_value(metadata)
    if metadata.base is None:
        # Said in so many words: a reader must see that the bundle is whole.
        position = list(value).index("tool")
        head = dict(list(value.items())[:position])
        value = head | {"base": None} | value
    return dump_json(value)
