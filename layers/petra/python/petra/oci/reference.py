"""References: how people write the name of an image, and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from petra.content.digest import Digest
from petra.errors import FormatError, UsageError

if TYPE_CHECKING:
    from typing import Final

DEFAULT_REGISTRY: Final = "docker.io"
DEFAULT_TAG: Final = "latest"

# Where a registry's API lives under another name than the one that people write.
_API_HOSTS: Final = {"docker.io": "registry-1.docker.io"}
_ALIASES: Final = {"index.docker.io": "docker.io", "registry-1.docker.io": "docker.io"}

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY: Final = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::(?P<port>[0-9]{{1,5}}))?"
)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
#: A repository's path, as the distribution-spec ("Pulling manifests") has it.
REPOSITORY_PATTERN: Final = re.compile(rf"{_PART}(?:/{_PART})*")
#: A tag, as the distribution-spec ("Pulling manifests") has it.
TAG_PATTERN: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_NAME_LIMIT: Final = 255
_REFERENCE_LIMIT: Final = 512


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an image: a registry, a repository in it, and a tag, a digest or both.

    Source: distribution/reference (Docker's rules for short names), and the
    distribution-spec v1.1, "Pulling manifests".

    Attributes:
        registry: the host, with its port where it has one, as written; ``docker.io`` by default.
        repository: the path, ``library/nginx``.
        tag: the tag; None where there is only a digest.
        digest: the digest; where it is set, it alone says what the content is.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `text` stands for.

        Args:
            text: ``[REGISTRY/]REPOSITORY[:TAG][@DIGEST]``. Without a registry it is Docker Hub
                (``nginx`` is ``docker.io/library/nginx``); with neither tag nor digest the tag is
                ``latest``.

        Raises:
            UsageError: it is malformed.
        """
        if not text or len(text) > _REFERENCE_LIMIT or "://" in text:
            raise _malformed(text, "it has no scheme and at most 512 characters")
        rest, at, digest_text = text.partition("@")
        digest = _digest(text, digest_text) if at else None
        name, tag = _split_tag(rest)
        registry, repository = _split_registry(name)
        reference = cls(registry, repository, tag, digest)
        if tag is None and digest is None:
            reference = replace(reference, tag=DEFAULT_TAG)
        reference._check(text)  # noqa: SLF001  # our own
        return reference

    def _check(self, text: str) -> None:
        match = _REGISTRY.fullmatch(self.registry)
        if not match or int(match["port"] or 1) not in range(1, 65536):
            raise _malformed(text, "its registry is HOST or HOST:PORT", self.registry)
        if not REPOSITORY_PATTERN.fullmatch(self.repository) or len(self.name) > _NAME_LIMIT:
            raise _malformed(
                text,
                "its repository has lower-case letters and digits, with . _ - and / between them, "
                f"and at most {_NAME_LIMIT} characters",
                self.repository,
            )
        if self.tag is not None and not TAG_PATTERN.fullmatch(self.tag):
            raise _malformed(
                text, "its tag has letters, digits, . _ -, and at most 128 characters", self.tag
            )

    @property
    def name(self) -> str:
        """``registry/repository``, without tag or digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def tagged(self) -> str | None:
        """``registry/repository:tag``; None without a tag."""
        return None if self.tag is None else f"{self.name}:{self.tag}"

    @property
    def identifier(self) -> str:
        """What a Resolver of the repository is asked for: the digest, or else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def api_host(self) -> str:
        """The host, with its port, that answers for the registry's API."""
        return _API_HOSTS.get(self.registry, self.registry)

    def pinned(self, digest: Digest) -> Self:
        """Return the same name, tag kept, with `digest`: ``name:tag@digest``."""
        return replace(self, digest=digest)

    def with_digest(self, digest: Digest) -> Self:
        """Return ``name@digest``, without the tag: the form in which pods and lists ask."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"


def _split_tag(text: str) -> tuple[str, str | None]:
    """Split ``name:tag``; a colon before the last slash belongs to the port."""
    head, slash, last = text.rpartition("/")
    last, colon, tag = last.partition(":")
    return head + slash + last, tag if colon else None


def _split_registry(name: str) -> tuple[str, str]:
    """Split a registry off, by Docker's rule: a first part that could not be a Hub namespace."""
    first, slash, rest = name.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        first, rest = DEFAULT_REGISTRY, name
    first = _ALIASES.get(first, first)
    if first == DEFAULT_REGISTRY and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _digest(text: str, digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except FormatError:
        raise _malformed(
            text, "its digest is sha256: and 64 lower-case hex digits", digest
        ) from None


def _malformed(text: str, expected: str, found: str | None = None) -> UsageError:
    return UsageError(
        "not an image reference",
        where=text[:_REFERENCE_LIMIT] or "(empty)",
        expected=expected,
        found=found,
        hint="write it as [REGISTRY/]REPOSITORY[:TAG][@sha256:…]",
    )
