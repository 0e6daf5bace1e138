"""The spec: what a person wants in a bundle, ``bundle.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from petra.bundle.fields import (
    API_VERSION,
    INTEGER_LIMIT,
    ChartName,
    ChartVersion,
    Label,
    Moment,
    Name,
    PlatformField,
    RepositoryURL,
    Text,
    Version,
)
from petra.content.stream import DOCUMENT_LIMIT
from petra.encoding.models import FieldError, Items, Model, reading, validate
from petra.errors import DocumentError, UsageError
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from petra.errors import PetraError

SCHEMA_ID = "https://petra.sh/schema/v1alpha1/bundle.schema.json"


def _reference(text: str) -> str:
    try:
        Reference.parse(text)
    except UsageError as error:
        raise FieldError(error.message, expected=error.expected, hint=error.hint) from None
    return text


def _unique(what: str, key: Callable[[Any], str], field: str) -> AfterValidator:
    """Refuse a list in which `key` gives one value twice; the error points at `field`."""

    def check(items: tuple[Any, ...]) -> tuple[Any, ...]:
        seen: dict[str, int] = {}
        for number, item in enumerate(items):
            first = seen.setdefault(key(item), number)
            if first != number:
                path = (number, field) if field else (number,)
                raise FieldError(
                    f"{what} {key(item)!r} stands twice, first in item {first}",
                    hint="each may stand once; remove or rename one",
                    path=path,
                )
        return items

    return AfterValidator(check)


ImageReference = Annotated[
    str, AfterValidator(_reference), WithJsonSchema({"type": "string", "minLength": 1})
]


class VerifySpec(Model):
    """How signatures are checked: exactly one of `key`, `keys` and `skip`."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    key: Text | None = Field(
        None, description="A public key file (PEM). Relative to the spec's folder."
    )
    keys: Items[Text] | None = Field(
        None, min_length=1, description="Public key files (PEM); one that verifies is enough."
    )
    skip: Text | None = Field(
        None, description="Do not verify, for this reason. The bundle's metadata records both."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("key", "keys", "skip") if getattr(self, name) is not None]
        if len(given) != 1:
            raise FieldError(
                f"{' and '.join(given)} together" if given else "it says nothing",
                expected="exactly one of key, keys and skip",
            )
        return self

    @property
    def key_files(self) -> tuple[str, ...]:
        """The key files, as written; empty where verification is skipped."""
        return self.keys or ((self.key,) if self.key else ())


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
    images: Annotated[
        Items[ImageSpec],
        _unique("the name", lambda image: image.name, "name"),
        _unique("the image", lambda image: str(image.reference), "image"),
    ] = Field((), description="The container images.")
    charts: Annotated[
        Items[ChartSpec], _unique("the chart", lambda chart: chart.file_name, "name")
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
    schema = Spec.model_json_schema()
    _drop_titles(schema)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": f"Petra bundle spec, {API_VERSION}",
    }
    return head | schema


def _drop_titles(schema: Any) -> None:
    """Remove the titles that pydantic derives from field names: they say nothing new."""
    parts: Iterable[Any] = ()
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        parts = schema.values()
    elif isinstance(schema, list):
        parts = schema
    for part in parts:
        _drop_titles(part)
