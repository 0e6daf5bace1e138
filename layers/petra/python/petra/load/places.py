"""Which repository of a registry each image goes to, and the mirror rules that lead there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from petra.errors import UsageError
from petra.oci.reference import REPOSITORY_PATTERN, Reference
from petra.oci.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

SCHEME: Final = "registry://"
_NAME_LIMIT: Final = 255


@dataclass(frozen=True, slots=True)
class Place:
    """A registry, and where in it images go: ``HOST/PREFIX/REPOSITORY``.

    The repository is the image's own, without the registry that it came from: so
    ``cgr.dev/team/web`` is pulled as ``HOST/PREFIX/team/web``, and one rewrite rule per source
    registry leads there.

    Attributes:
        registry: ``HOST[:PORT]``.
        prefix: the path before each repository; may be empty.
        keep_hosts: let the source registry's name go before the repository, for bundles in which
            two registries have a repository of one name.
    """

    registry: str
    prefix: str = ""
    keep_hosts: bool = False

    @classmethod
    def parse(cls, uri: str, *, keep_hosts: bool = False) -> Self:
        """Return the place that ``registry://HOST[:PORT][/PREFIX]`` names.

        Raises:
            UsageError: it has another form.
        """
        registry, _, prefix = uri.removeprefix(SCHEME).rstrip("/").partition("/")
        usable = registry and set("@?# ").isdisjoint(uri) and uri.startswith(SCHEME)
        if not usable or (prefix and not REPOSITORY_PATTERN.fullmatch(prefix)):
            raise UsageError(
                "not a registry to load images into",
                where=redact(uri),
                expected="registry://HOST[:PORT][/PREFIX], the prefix in lower-case letters and "
                "digits, with . _ - and / between them; no name and no password",
            )
        return cls(registry, prefix, keep_hosts)

    def below(self, source: str) -> str:
        """Return the path under which the images of the registry `source` lie; may be empty."""
        # A colon may stand in a host's name and not in a repository's.
        host = source.lower().replace(":", "-") if self.keep_hosts else ""
        return "/".join(filter(None, (self.prefix, host)))

    def repository(self, reference: Reference) -> str:
        """Return the path of the repository that `reference` goes to.

        Raises:
            UsageError: no registry takes such a path.
        """
        path = "/".join(filter(None, (self.below(reference.registry), reference.repository)))
        if not REPOSITORY_PATTERN.fullmatch(path) or len(path) > _NAME_LIMIT:
            raise UsageError(
                "an image's repository would have an impossible name",
                where=str(reference),
                expected=f"at most {_NAME_LIMIT} lower-case letters and digits, with . _ - and /",
                found=path[:300],
                hint="choose a shorter prefix",
            )
        return path

    def check(self, references: Iterable[Reference]) -> None:
        """Refuse images of two registries that would come to lie in one repository.

        Raises:
            UsageError: they would; names both.
        """
        seen: dict[str, Reference] = {}
        for reference in references:
            path = self.repository(reference)
            first = seen.setdefault(path, reference)
            if first.name != reference.name:
                raise UsageError(
                    "two registries' images would come to lie in one repository",
                    where=f"{self.registry}/{path}",
                    found=f"{first.name} and {reference.name}",
                    hint="keep the source registries' names in the path (--keep-hosts)",
                )
