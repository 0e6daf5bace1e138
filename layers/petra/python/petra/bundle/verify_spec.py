"""How documents say who must have signed an image: by key, or keyless by identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from petra.bundle.fields import Duration, Text  # noqa: TC001  # fields of models
from petra.encoding.models import FieldError, Items, Model

if TYPE_CHECKING:
    from typing import Self

#: Who signs Chainguard's public images, and who stands behind an organisation's catalogue.
#: Source: Chainguard Academy, "How to verify Chainguard containers with cosign".
CHAINGUARD_ISSUER: Final = "https://token.actions.githubusercontent.com"
CHAINGUARD_IDENTITY: Final = (
    "https://github.com/chainguard-images/images/.github/workflows/release.yaml@refs/heads/main"
)
ORGANISATION_ISSUER: Final = "https://issuer.enforce.dev"

PUBLIC: Final = "chainguard"
ORGANISATION: Final = "chainguard-organization"


def _exact(text: str) -> str:
    """Refuse what can only be meant as a pattern: identities are compared as they are."""
    if "*" in text or text.startswith("^") or text.endswith("$") or text.split() != [text]:
        raise FieldError(
            "not an exact value",
            expected="the whole text as the certificate has it; no pattern",
            hint="name several identities where several may sign",
        )
    return text


Exact = Annotated[
    str,
    AfterValidator(_exact),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": "^[^\\s*]+$"}),
]


class IdentitySpec(Model):
    """Who may have signed: an identity, and the issuer that vouched for it."""

    issuer: Exact = Field(
        description="The OpenID issuer, such as https://token.actions.githubusercontent.com."
    )
    identity: Exact = Field(
        description="The identity as the certificate has it: an e-mail address or a URI."
    )


class KeylessSpec(Model):
    """Keyless signatures: a certificate of Sigstore's, for one of these identities."""

    preset: Literal["chainguard", "chainguard-organization"] | None = Field(
        None,
        description="chainguard: who signs the public images of cgr.dev/chainguard. "
        "chainguard-organization: who fills an organisation's own catalogue; needs accounts.",
    )
    accounts: Items[Exact] = Field(
        (),
        max_length=2,
        description="For chainguard-organization: the IDs of the organisation's catalog syncer and "
        "image builder, as `chainctl iam account-associations describe` prints them.",
    )
    identities: Items[IdentitySpec] = Field(
        (), description="Who may have signed; one of them is enough."
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.preset and not self.identities:
            raise FieldError("it names nobody", expected="preset, identities, or both")
        if (self.preset == ORGANISATION) != bool(self.accounts):
            raise FieldError(
                "accounts and the preset chainguard-organization belong together",
                hint="an organisation's catalogue is signed by its own two service accounts: "
                "chainctl iam account-associations describe ORGANISATION",
            )
        return self

    @property
    def signers(self) -> tuple[IdentitySpec, ...]:
        """All identities, those of the preset first."""
        preset: tuple[IdentitySpec, ...] = ()
        if self.preset == PUBLIC:
            preset = (IdentitySpec(issuer=CHAINGUARD_ISSUER, identity=CHAINGUARD_IDENTITY),)
        elif self.preset == ORGANISATION:
            preset = tuple(_account(one) for one in self.accounts)
        return preset + self.identities


def _account(account: str) -> IdentitySpec:
    """Return an organisation's service account; its identity is a URL under the issuer's."""
    start = f"{ORGANISATION_ISSUER}/"
    identity = account if account.startswith(start) else start + account
    return IdentitySpec(issuer=ORGANISATION_ISSUER, identity=identity)


def one_of(*names: str) -> dict[str, Any]:
    """Return the part of a schema that asks for exactly one of some fields."""
    return {
        "oneOf": [{"required": [name]} for name in names],
        "dependentRequired": {"minAge": ["keyless"]},
    }


class VerifySpec(Model):
    """How signatures are checked: exactly one of `key`, `keys`, `keyless` and `skip`."""

    model_config = ConfigDict(json_schema_extra=one_of("key", "keys", "keyless", "skip"))

    ways: ClassVar[tuple[str, ...]] = ("key", "keys", "keyless", "skip")

    key: Text | None = Field(
        None, description="A public key file (PEM). Relative to the document's folder."
    )
    keys: Items[Text] | None = Field(
        None, min_length=1, description="Public key files (PEM); one that verifies is enough."
    )
    keyless: KeylessSpec | None = Field(
        None, description="Identities that may have signed, with a certificate and no key."
    )
    skip: Text | None = Field(
        None, description="Do not verify, for this reason. The bundle's metadata records both."
    )
    min_age: Duration | None = Field(
        None,
        description="Refuse a keyless signature younger than this, such as 48h: what was taken "
        "over is often found out within days.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in self.ways if getattr(self, name) is not None]
        if len(given) != 1:
            raise FieldError(
                f"{' and '.join(given)} together" if given else "it says nothing",
                expected=f"exactly one of {', '.join(self.ways[:-1])} and {self.ways[-1]}",
            )
        if self.min_age is not None and self.keyless is None:
            raise FieldError(
                "minAge without keyless",
                expected="a keyless signature, whose time a log vouches for",
                hint="nobody vouches for the time of a signature by a bare key; leave minAge out",
            )
        return self

    @property
    def key_files(self) -> tuple[str, ...]:
        """The key files, as written; empty where no key counts."""
        return self.keys or ((self.key,) if self.key else ())
