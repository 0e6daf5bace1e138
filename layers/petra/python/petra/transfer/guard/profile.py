"""Guard profiles: what may cross, as data. Three ship with Petra; a site writes its own."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from petra.bundle.fields import Label, Text
from petra.encoding.models import FieldError, Items, Model, nearest, reading, validate
from petra.errors import DocumentError, NotFoundError, StorageError

PROFILE_LIMIT: Final = 1024 * 1024
SHIPPED: Final = ("default", "strict", "clamav")

#: What content is, told by its bytes; see :mod:`petra.transfer.guard.kinds`.
Kind = Literal[
    "json", "yaml", "text", "gzip", "zstd", "tar", "zip", "xz", "bzip2", "empty", "other"
]


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise FieldError(f"not a regular expression: {error}") from None
    return text


Expression = Annotated[Text, AfterValidator(_expression)]
Count = Annotated[int, Field(gt=0)]
_MODE = r"0[0-7]{3}"


class FileRules(Model):
    """Rules for every file that crosses: the bundle, or its chunks, and what lies beside."""

    max_bytes: Count | None = Field(None, description="The largest file, in bytes.")
    name: Expression | None = Field(
        None, description="A regular expression that every file's whole name matches."
    )
    formats: Items[Literal["tar.zst", "tar.gz"]] = Field(
        ("tar.zst", "tar.gz"), min_length=1, description="Forms that a bundle may have."
    )


class MemberRules(Model):
    """Rules for the members of the archive."""

    max_count: Count = Field(description="The most members.")
    max_bytes: Count = Field(description="The largest member, in bytes.")
    max_depth: Count = Field(description="The most levels of a path.")
    name: Expression = Field(description="A regular expression that every whole path matches.")
    mode: Annotated[Text, Field(pattern=f"^{_MODE}$")] = Field(
        "0644", description="The permission bits that a member may have at most, octal."
    )


class ExpansionRules(Model):
    """Rules against decompression bombs."""

    max_bytes: Count = Field(description="All members together, in bytes.")
    max_ratio: Count = Field(description="Bytes that one compressed byte may become.")
    layers: bool = Field(
        default=False, description="Expand each layer too, and hold it to max_ratio by itself."
    )


class KindRule(Model):
    """Which kinds of content may stand at some paths."""

    members: Items[Text] = Field(min_length=1, description="Patterns of paths, such as sbom/*.")
    kinds: Items[Kind] = Field(min_length=1, description="What the content may be.")


class Rules(Model):
    """What the filters hold a bundle to. A filter whose rules are left out refuses everything."""

    files: FileRules = Field(description="The files that cross.")
    members: MemberRules = Field(description="The members of the archive.")
    expansion: ExpansionRules = Field(description="Against decompression bombs.")
    kinds: Items[KindRule] = Field(
        min_length=1, description="What content may be; the first rule for a path counts."
    )
    compressed: Items[Text] = Field(
        (), description="Patterns of the paths at which compressed content may stand."
    )
    scripts: Items[Text] = Field(
        (), description="Patterns of paths in charts at which a script may stand as text."
    )
    clamav: Literal["required", "where-found", "off"] = Field(
        "off", description="Whether ClamAV scans every file that crosses."
    )


class ProfileName(Model):
    """What the profile is called."""

    name: Label


class Profile(Model):
    """A guard's profile, the whole document."""

    api_version: Literal["petra.sh/v1alpha1"] = Field(description="The version of this format.")
    kind: Literal["GuardProfile"] = Field(description="The kind of document.")
    metadata: ProfileName
    spec: Rules


def load_profile(name: str) -> Profile:
    """Return a profile by the name of a shipped one, or from a file.

    Args:
        name: ``default``, ``strict`` or ``clamav``; or the path of a YAML file.

    Raises:
        NotFoundError: it is neither.
        DocumentError: the file is no profile; names line and field.
    """
    if name in SHIPPED:
        where = f"{name}.yaml"
        data = files("petra.transfer.guard").joinpath("profiles", where).read_bytes()
    else:
        where, data = name, _read(name)
    document = reading(data, PROFILE_LIMIT, where=where, error=DocumentError)
    return validate(Profile, document.value, where=where, document=document)


def _read(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(PROFILE_LIMIT + 1)
    except (FileNotFoundError, IsADirectoryError):
        near = nearest(name, SHIPPED)
        raise NotFoundError(
            "no such guard profile",
            where=name,
            expected=f"{', '.join(SHIPPED)}, or the path of a file",
            hint=f"did you mean {near!r}?" if near else "check --profile",
        ) from None
    except OSError as error:
        raise StorageError(f"cannot read: {error.strerror}", where=name) from None
