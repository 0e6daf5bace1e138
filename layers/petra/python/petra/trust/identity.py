"""Who may sign without a key of their own: an identity, and who vouches for it.

Both are exact. Patterns are not taken: an unanchored one lets in whoever can choose a name.

Source: Chainguard, "How to Verify Chainguard Containers with Cosign".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from petra.errors import SettingError

#: Characters that stand in patterns and in no identity that Fulcio certifies.
_PATTERN: Final = frozenset("*^$()[]{}|\\")


@dataclass(frozen=True, slots=True)
class Identity:
    """A signer.

    Attributes:
        issuer: the OpenID Connect issuer that vouches for the identity, a URL.
        identity: as the certificate has it: a URI, or an e-mail address.
    """

    issuer: str
    identity: str

    def __str__(self) -> str:
        return f"{self.identity} (issuer {self.issuer})"


#: Who signs ``cgr.dev/chainguard``, the public images.
CHAINGUARD: Final = (
    Identity(
        issuer="https://token.actions.githubusercontent.com",
        identity="https://github.com/chainguard-images/images/.github/workflows/release.yaml"
        "@refs/heads/main",
    ),
)
#: Who vouches for the identities of an organisation's catalogue, ``cgr.dev/ORGANISATION``.
CHAINGUARD_ISSUER: Final = "https://issuer.enforce.dev"


def catalogue(image_syncer: str, custom_image_builder: str) -> tuple[Identity, Identity]:
    """Return who signs an organisation's catalogue, ``cgr.dev/ORGANISATION``.

    Args:
        image_syncer: the identity that copies Chainguard's images into the catalogue, as
            ``chainctl iam account-associations describe`` names it, with or without the issuer
            before it. Older organisations call it ``catalog_syncer``.
        custom_image_builder: the one that builds its own; ``apko_builder`` of old.

    Raises:
        SettingError: one is empty, or a pattern.
    """
    return _member(image_syncer), _member(custom_image_builder)


def exact(identity: Identity, *, where: str) -> Identity:
    """Return `identity` if both halves are plain text.

    Raises:
        SettingError: one is empty, or a pattern.
    """
    for name, text in (("issuer", identity.issuer), ("identity", identity.identity)):
        if not text.strip() or text != text.strip() or not _PATTERN.isdisjoint(text):
            raise SettingError(
                f"{name} is not an exact one",
                where=where,
                expected="the whole text as the certificate has it; patterns are not taken",
                found=repr(text)[:200],
                hint="name each identity by itself",
            )
    return identity


def _member(name: str) -> Identity:
    prefix = f"{CHAINGUARD_ISSUER}/"
    text = name if name.startswith(prefix) or not name.strip() else prefix + name
    return exact(Identity(CHAINGUARD_ISSUER, text), where="catalogue of an organisation")
