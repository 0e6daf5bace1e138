"""The spec: what a person wants in a bundle, ``bundle.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from petra.bundle.fields import (
    API_VERSION,
    INTEGER_LIMIT,
    ChartName,
    ChartVersion,
    ImageReference,
    Label,
    Moment,
    Name,
    PlatformField,
    RepositoryURL,
    Text,
    Version,
    unique,
)
from petra.bundle.policy import ScanRules  # noqa: TC001  # a model's field
from petra.bundle.verify_spec import VerifySpec  # noqa: TC001  # as above
from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.models import Items, Model, document_schema, reading, validate
from petra.errors import DocumentError
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from petra.errors import PetraError

SCHEMA_ID = "https://petra.sh/schema/v1alpha1/bundle.schema.json"


class ImageSpec(Model):
    """One container image."""

    name: Name = Field(description="What the bundle calls the image.")
    image: ImageReference = Field(
        description="[REGISTRY/]REPOSITORY[:TAG][@sha256:…]; without tag and digest, latest."
    )
    verify: VerifySpec | None = Field(
        None, description="How this image's signatures are checked; otherwise spec.verify says."
    )

    @property
    def reference(self) -> Reference:
        """The reference, parsed."""
        return Reference.parse(self.image)


class ChartSpec(Model):
    """One Helm chart."""

    name: ChartName = Field(description="The chart's name in its repository.")
    repo: RepositoryURL = Field(
        description="The repository: https://… with an index.yaml, or oci://…"
    )
    version: ChartVersion = Field(description="The exact version.")
    values: dict[str, Any] | None = Field(
        None, description="Values that the chart is rendered with to find its images."
    )
    images: Items[ImageReference] | None = Field(
        None, description="The images that the chart deploys, where it cannot be rendered."
    )
    allow_scripts: Items[Text] = Field(
        (),
        description="Paths in the chart, such as scripts/*.sh, at which a script (#!) may stand "
        "as text. In templates/ and files/ it may anyway.",
    )

    @property
    def file_name(self) -> str:
        """The name of its archive, ``NAME-VERSION.tgz``."""
        return f"{self.name}-{self.version}.tgz"


class PlatformSpec(Model):
    """The platform's own manifests."""

    include_base: bool = Field(
        default=False, description="Carry the base: network, Flux, policy, backup and the like."
    )
    include_observability: bool = Field(
        default=False, description="Carry the observability stack: metrics, logs, dashboards."
    )
    path: Text | None = Field(
        None,
        description="A folder with base/ and observability/ to use instead of the manifests that "
        "ship with Petra. Relative to the spec's folder.",
    )
    allow_missing_images: bool = Field(
        default=False,
        description="Go on although a bundled HelmRelease needs an image that the spec lacks.",
    )


class ChunksSpec(Model):
    """How the bundle is cut into chunks."""

    max_size: Text = Field(
        description="The most bytes of a chunk: 100MiB, 4GB …, or fat32, dvd, clamav, 1000MiB, "
        "95MiB."
    )
    parity: int = Field(
        0, ge=0, le=127, description="Parity chunks: as many lost ones of a group can be rebuilt."
    )


class OutputSpec(Model):
    """What is written, and which steps are taken."""

    dir: Text = Field("dist", description="The folder to write to, from the working directory.")
    sign: bool = Field(
        default=True, description="Sign the bundle. Switched off, the metadata says so."
    )
    verify: bool = Field(
        default=True,
        description="Verify the images' signatures. Switched off, the metadata says so.",
    )
    format: Literal["tar.zst", "tar.gz"] = Field(
        "tar.zst", description="tar.zst, or tar.gz for guards that know no zstd."
    )
    chunks: ChunksSpec | None = Field(
        None,
        description="Write a folder of chunks, NAME-VERSION.chunks, instead of one file.",
    )


class NameSpec(Model):
    """What the bundle is called."""

    name: Label = Field(description="The bundle's name, a DNS label.")
    version: Version = Field(description="The bundle's version; stands in file names.")


class BundleSpec(Model):
    """What goes into the bundle, and how."""

    platforms: Items[PlatformField] = Field(
        (),
        description="The platforms of multi-platform images that travel, such as linux/amd64; "
        "none named: all.",
    )
    serial: int | None = Field(
        None,
        ge=0,
        le=INTEGER_LIMIT,
        description="Grows with each bundle of this name; receivers refuse an older one. Left "
        "out, it is the second in which the spec was resolved.",
    )
    not_after: Moment | None = Field(
        None, description="Receivers refuse the bundle after this moment (RFC 3339)."
    )
    verify: VerifySpec | None = Field(
        None, description="How signatures are checked for images that say nothing themselves."
    )
    scan: ScanRules | None = Field(
        None,
        description="How images are scanned for known vulnerabilities; left out, they are not, "
        "unless a policy asks for it.",
    )
    images: Annotated[
        Items[ImageSpec],
        unique("the name", lambda image: image.name, "name"),
        unique("the image", lambda image: str(image.reference), "image"),
    ] = Field((), description="The container images.")
    charts: Annotated[
        Items[ChartSpec], unique("the chart", lambda chart: chart.file_name, "name")
    ] = Field((), description="The Helm charts.")
    platform: PlatformSpec = Field(PlatformSpec(), description="The platform's own manifests.")
    output: OutputSpec = Field(
        OutputSpec(), description="What is written, and which steps are taken."
    )


class Spec(Model):
    """A bundle's spec, the whole document."""

    api_version: Literal["petra.sh/v1alpha1"] = Field(description="The version of this format.")
    kind: Literal["Bundle"] = Field(description="The kind of document.")
    metadata: NameSpec = Field(description="What the bundle is called.")
    spec: BundleSpec = Field(description="What goes into the bundle, and how.")

    @property
    def stem(self) -> str:
        """The start of the names of the bundle's files, ``NAME-VERSION``."""
        return f"{self.metadata.name}-{self.metadata.version}"

    def policy(self, image: ImageSpec) -> VerifySpec | None:
        """Return how `image` is to be verified; None where the spec leaves it to the settings."""
        return image.verify or self.spec.verify


def load_spec(data: bytes, *, where: str, error: type[PetraError] = DocumentError) -> Spec:
    """Return the spec in `data`, the bytes of a ``bundle.yaml``.

    Args:
        data: the whole file.
        where: its name, for errors.
        error: the class to raise; FormatError for the member of a bundle.

    Raises:
        PetraError: `error`; it is no such document. Names file and line, the field's path, what is
            valid there and the nearest valid name, and lists every further fault.
    """
    document = reading(data, DOCUMENT_LIMIT, where=where, error=error)
    return validate(Spec, document.value, where=where, document=document, error=error)


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema of the spec, draft 2020-12."""
    return document_schema(Spec, SCHEMA_ID, f"Petra bundle spec, {API_VERSION}")
