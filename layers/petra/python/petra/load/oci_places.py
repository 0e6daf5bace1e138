"""Places in registries, as users write them: ``oci://HOST[:PORT]/PATH[:TAG]``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

from petra.helm.registry import oci_reference

if TYPE_CHECKING:
    from petra.oci.repository import Repository

SCHEME = "oci://"


class Registries(Protocol):
    """Opens repositories; petra.oci.registry.RegistryClient is one."""

    def repository(self, registry: str, repository: str, /) -> Repository:
        """Return the repository."""
        ...


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """A folder or a repository in a registry.

    Attributes:
        registry: the host, with its port where it has one.
        path: the folder or repository; empty for the registry's root.
        tag: the tag, where one was named.
    """

    registry: str
    path: str
    tag: str | None = None

    @classmethod
    def folder(cls, text: str) -> Self:
        """Return what ``oci://HOST[:PORT][/FOLDER]`` stands for.

        Raises:
            UsageError: it is malformed, or has credentials in it.
        """
        inside = oci_reference(f"{text.rstrip('/')}/x")
        return cls(inside.registry, inside.repository.rpartition("/")[0])

    @classmethod
    def repository(cls, text: str) -> Self:
        """Return what ``oci://HOST[:PORT]/REPOSITORY[:TAG]`` stands for.

        Raises:
            UsageError: it is malformed, or has credentials in it.
        """
        found = oci_reference(text.rstrip("/"))
        tagged = ":" in text.rpartition("/")[2]
        return cls(found.registry, found.repository, found.tag if tagged else None)

    @property
    def location(self) -> str:
        """``HOST[:PORT][/PATH]``."""
        return f"{self.registry}/{self.path}".rstrip("/")

    def below(self, name: str) -> str:
        """Return the path of the repository `name` in this folder."""
        return f"{self.path}/{name}".lstrip("/")

    def seen_at(self, location: str | None) -> Self:
        """Return this place at the host by which the cluster knows the registry.

        Args:
            location: ``HOST[:PORT][/FOLDER]``, of which only the host counts; None for no other.
        """
        host = (location or "").partition("/")[0]
        return replace(self, registry=host) if host else self
