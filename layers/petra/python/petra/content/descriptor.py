"""Descriptors: what a piece of content is, by media type, digest and size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from petra.content.digest import Digest
from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system and a CPU, ``os/architecture[/variant]``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return `text`, ``linux/amd64`` or ``linux/arm/v7``, as a platform.

        Raises:
            FormatError: it has another form.
        """
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise FormatError("not a platform", expected="os/architecture[/variant]", found=text)
        return cls(*parts)

    def matches(self, other: Platform) -> bool:
        """Say whether `other`, from an index, is this platform.

        An absent variant here matches any variant there: ``linux/arm64`` takes ``linux/arm64/v8``.
        """
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (not self.variant or self.variant == other.variant)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A piece of content. Compared and hashed by media type, digest and size.

    Source: OCI image-spec v1.1, descriptor.md.

    Attributes:
        media_type: what the bytes are.
        digest: their digest.
        size: their number.
        platform: for the children of an index.
        artifact_type: for referrers.
        annotations: as the document that holds the descriptor has them.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = field(default=None, compare=False)
    artifact_type: str | None = field(default=None, compare=False)
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, media_type: str, data: bytes) -> Self:
        """Return the descriptor of `data`, bytes in memory."""
        return cls(media_type, Digest.of(data), len(data))

    @classmethod
    def from_json(cls, value: Any, *, where: str) -> Self:
        """Return the descriptor in `value`, a parsed JSON object.

        Args:
            value: the object; unknown keys are passed over.
            where: the document that it stands in, for the error.

        Raises:
            FormatError: a key is missing or has the wrong type.
        """
        if not isinstance(value, dict):
            raise FormatError("not a descriptor", where=where, expected="an object")
        media_type, size = value.get("mediaType"), value.get("size")
        if not isinstance(media_type, str) or not media_type:
            raise FormatError("descriptor without a mediaType", where=where)
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise FormatError("descriptor without a usable size", where=where, found=size)
        return cls(
            media_type=media_type,
            digest=Digest.parse(str(value.get("digest", "")), where=where),
            size=size,
            platform=_platform(value.get("platform"), where),
            artifact_type=_optional_text(value, "artifactType", where),
            annotations=_annotations(value.get("annotations"), where),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object, keys in the specification's order."""
        value: dict[str, Any] = {"mediaType": self.media_type}
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        value |= {"digest": str(self.digest), "size": self.size}
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.platform:
            value["platform"] = {
                "architecture": self.platform.architecture,
                "os": self.platform.os,
            }
            if self.platform.variant:
                value["platform"]["variant"] = self.platform.variant
        return value


def _platform(value: Any, where: str) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise FormatError("descriptor whose platform is no object", where=where)
    parts = [value.get(key, "") for key in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) for part in parts):
        raise FormatError("descriptor whose platform is not text", where=where)
    return Platform(*parts)


def _optional_text(value: dict[str, Any], key: str, where: str) -> str | None:
    text = value.get(key)
    if text is not None and not isinstance(text, str):
        raise FormatError(f"descriptor whose {key} is not text", where=where, found=text)
    return text


def _annotations(value: Any, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise FormatError("annotations that are not text by name", where=where)
    return value
