"""The policy: what an organisation asks of every bundle that it makes or takes, ``policy.yaml``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from petra.bundle.fields import (
    API_VERSION,
    Duration,
    ImageReference,
    Label,
    Moment,
    Text,
    unique,
)
from petra.bundle.metadata import Step  # noqa: TC001  # a model's field
from petra.bundle.verify_spec import VerifySpec, one_of
from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.models import (
    FieldError,
    Items,
    Model,
    document_schema,
    reading,
    validate,
)
from petra.errors import DocumentError

if TYPE_CHECKING:
    from typing import Self

SCHEMA_ID = "https://petra.sh/schema/v1alpha1/policy.schema.json"

_Severity = Literal["negligible", "low", "medium", "high", "critical"]


def _pattern(text: str) -> str:
    """Check the pattern of an image's name."""
    if "@" in text or ":" in text.rpartition("/")[2]:
        raise FieldError(
            "a pattern with a tag or a digest",
            expected="registry/repository, with * and **",
            hint="a rule holds for all tags of a repository; leave the tag out",
        )
    if "/" not in text and not text.startswith("**"):
        raise FieldError(
            "a pattern without a registry matches nothing",
            expected="registry/repository, with * and **, such as cgr.dev/chainguard/*",
            hint="images of Docker Hub are docker.io/library/NAME",
        )
    return text


Pattern = Annotated[Text, AfterValidator(_pattern)]


class RuleVerify(VerifySpec):
    """Who must have signed: exactly one of `key`, `keys`, `keyless`, `recorded` and `skip`."""

    model_config = ConfigDict(
        json_schema_extra=one_of("key", "keys", "keyless", "recorded", "skip")
    )

    ways: ClassVar[tuple[str, ...]] = ("key", "keys", "keyless", "recorded", "skip")

    recorded: Literal[True] | None = Field(
        None,
        description="For receivers: take the sender's word, signed with the bundle, that the "
        "image's signature was verified. Refused when a bundle is made.",
    )


class Gate(Model):
    """Which findings stop an image."""

    fail_on: Literal["negligible", "low", "medium", "high", "critical", "none"] | None = Field(
        None,
        description="This severity and worse, and an unknown one; high by default. none: findings "
        "are recorded and stop nothing.",
    )
    severities: Items[Literal[_Severity, "unknown"]] | None = Field(
        None, min_length=1, description="Exactly these severities, instead of failOn."
    )
    fixable_only: bool = Field(default=False, description="Let pass what is known to have no fix.")
    grace: Duration | None = Field(
        None, description="Let pass what was published less than this long ago, such as 14d."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.fail_on is not None and self.severities is not None:
            raise FieldError("failOn and severities together", expected="one of them")
        return self


class WaiverRule(Model):
    """A finding that somebody answers for, until a day."""

    vulnerability: Text = Field(description="The vulnerability, by any of its names.")
    reason: Text = Field(description="Why it is borne.")
    expires: Moment = Field(description="It waives nothing from this moment on (RFC 3339).")
    image: Pattern | None = Field(
        None, description="Only in images whose name, registry/repository, matches."
    )
    package: Text | None = Field(None, description="Only in this package, a name or package URL.")


class ReportRule(Model):
    """A finished report of any scanner, instead of a scan made here."""

    file: Text = Field(
        description="SARIF 2.1, or CycloneDX with vulnerabilities; relative to the document's "
        "folder."
    )
    image: ImageReference | None = Field(
        None, description="What it is about, where it does not say so itself by digest."
    )
    database: Moment | None = Field(
        None, description="When its scanner's database was built; else the report's own moment."
    )


class ScanRules(Model):
    """How images are scanned for known vulnerabilities."""

    max_database_age: Duration = Field(
        timedelta(days=5), description="How old the scanner's database may be."
    )
    gate: Gate = Field(Gate(), description="Which findings stop an image.")
    waivers: Items[WaiverRule] = Field((), description="Findings that somebody answers for.")
    vex: Items[Text] = Field(
        (), description="OpenVEX documents that waive findings. Relative to the document's folder."
    )
    reports: Items[ReportRule] = Field(
        (), description="Finished reports; with any given, no scanner runs here."
    )
    skip: Text | None = Field(
        None, description="Do not scan, for this reason. The bundle's metadata records both."
    )

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if self.skip and self.model_fields_set != {"skip"}:
            raise FieldError("skip together with rules for a scan", expected="skip alone")
        return self


class SbomRules(Model):
    """Whether images need a software bill of materials."""

    required: bool = Field(
        default=False, description="Refuse an image without one, found or generated."
    )
    generate: bool = Field(
        default=True,
        description="Let syft make one for an image without, marked as generated here.",
    )


class ProvenanceRules(Model):
    """Whether SLSA provenance is needed, and by whom."""

    required: bool = Field(default=False, description="Refuse what comes without.")
    builders: Items[Text] = Field(
        (),
        description="Builders' ids (builder.id), exact; one of them must have built it. None: any.",
    )


class ImageRule(Model):
    """What is asked of the images whose name matches."""

    pattern: Pattern = Field(
        description="registry/repository; * is any text within a part, ** any text at all."
    )
    verify: RuleVerify = Field(description="Who must have signed them.")
    sbom: SbomRules | None = Field(None, description="Instead of spec.sbom.")
    provenance: ProvenanceRules | None = Field(None, description="Instead of spec.provenance.")
    scan: ScanRules | None = Field(None, description="Instead of spec.scan.")


class BundleRules(Model):
    """What a receiver asks of a bundle as a whole."""

    signers: Items[Text] = Field(
        (),
        description="Public key files of those who may send; --key must be one of them. Relative "
        "to the policy's folder.",
    )
    allow_skipped: Items[Step] = Field(
        (), description="Steps that a spec may skip, and that may be recorded as skipped."
    )
    max_age: Duration | None = Field(
        None, description="How long ago the bundle may have been made."
    )
    provenance: bool = Field(
        default=False,
        description="Ask for the bundle's own provenance, NAME.intoto.json, and check it.",
    )


class PolicySpec(Model):
    """What is asked."""

    trusted_root: Text | None = Field(
        None,
        description="Sigstore's trusted_root.json for keyless signatures; otherwise the copy that "
        "ships with Petra. Relative to the policy's folder.",
    )
    images: Annotated[
        Items[ImageRule], unique("the pattern", lambda rule: rule.pattern, "pattern")
    ] = Field((), description="The first rule that matches decides. No rule: the image is refused.")
    scan: ScanRules = Field(
        ScanRules(), description="How images are scanned for known vulnerabilities."
    )
    sbom: SbomRules = Field(
        SbomRules(), description="Whether images need a software bill of materials."
    )
    provenance: ProvenanceRules = Field(
        ProvenanceRules(), description="Whether images need SLSA provenance."
    )
    bundle: BundleRules = Field(
        BundleRules(), description="What a receiver asks of a bundle as a whole."
    )


class PolicyName(Model):
    """What the policy is called."""

    name: Label = Field(description="The policy's name, a DNS label; errors and metadata name it.")


class Policy(Model):
    """A policy, the whole document."""

    api_version: Literal["petra.sh/v1alpha1"] = Field(description="The version of this format.")
    kind: Literal["Policy"] = Field(description="The kind of document.")
    metadata: PolicyName = Field(description="What the policy is called.")
    spec: PolicySpec = Field(description="What is asked.")

    @property
    def name(self) -> str:
        """What it is called."""
        return self.metadata.name

    def rule(self, name: str) -> ImageRule | None:
        """Return the rule for the image `name`, ``registry/repository``; None where none is."""
        from petra.trust.policy import pattern_matches  # noqa: PLC0415  # loads cryptography

        return next((one for one in self.spec.images if pattern_matches(one.pattern, name)), None)

    def scan(self, name: str) -> ScanRules:
        """Return how the image `name` is scanned; as the policy says at large without a rule."""
        rule = self.rule(name)
        return (rule and rule.scan) or self.spec.scan

    def asked_scan(self, name: str) -> ScanRules | None:
        """Return what the policy says about scans of the image `name`; None where it says nothing.

        A receiver that says nothing takes what the sender's gate let pass.
        """
        rule = self.rule(name)
        own = rule.scan if rule else None
        scan = own or (self.spec.scan if "scan" in self.spec.model_fields_set else None)
        return None if scan is None or scan.skip else scan

    def sbom(self, name: str) -> SbomRules:
        """Return whether the image `name` needs an SBOM."""
        rule = self.rule(name)
        return (rule and rule.sbom) or self.spec.sbom

    def provenance(self, name: str) -> ProvenanceRules:
        """Return whether the image `name` needs provenance."""
        rule = self.rule(name)
        return (rule and rule.provenance) or self.spec.provenance


def load_policy(data: bytes, *, where: str) -> Policy:
    """Return the policy in `data`, the bytes of a ``policy.yaml``.

    Args:
        data: the whole file.
        where: its name, for errors.

    Raises:
        DocumentError: it is no such document. Names file and line, the field's path, what is valid
            there and the nearest valid name, and lists every further fault.
    """
    document = reading(data, DOCUMENT_LIMIT, where=where, error=DocumentError)
    return validate(Policy, document.value, where=where, document=document)


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of the policy, draft 2020-12."""
    return document_schema(Policy, SCHEMA_ID, f"Petra policy, {API_VERSION}")
