"""How documents say who must have signed an image: by key, or keyless by identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from petra.bundle.fields import Duration, Text  # noqa: TC001  # fields of models
from petra.encoding.models import FieldError, Items, Model
from petra.errors import SettingError
from petra.trust.identity import CHAINGUARD, Identity, catalogue, exact

if TYPE_CHECKING:
    from typing import Self

PUBLIC: Final = "chainguard"
ORGANISATION: Final = "chainguard-organization"


def _exact(text: str) -> str:
    """Refuse what can only be meant as a pattern: identities are compared as they are."""
    try:
        exact(Identity(text, text), where="")
    except SettingError as error:
        raise FieldError("not an exact value", expected=error.expected, hint=error.hint) from None
    return text


Exact = Annotated[
    str,
    AfterValidator(_exact),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"^[^*^$()\[\]{}|\\]+$"}),
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
        description="For chainguard-organization: the IDs of the organisation's image syncer (or "
        "catalog syncer) and its image builder, as `chainctl iam account-associations describe` "
        "prints them.",
    )
    identities: Items[IdentitySpec] = Field(
        (), description="Who may have signed; one of them is enough."
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.preset and not self.identities:
            raise FieldError("it names nobody", expected="preset, identities, or both")
        if len(self.accounts) != (2 if self.preset == ORGANISATION else 0):
            raise FieldError(
                "the preset chainguard-organization, and only it, has two accounts",
                hint="an organisation's catalogue is signed by its own two service accounts: "
                "chainctl iam account-associations describe ORGANISATION",
            )
        return self

    @property
    def signers(self) -> tuple[Identity, ...]:
        """All identities, those of the preset first."""
        own = tuple(Identity(one.issuer, one.identity) for one in self.identities)
        if self.preset == PUBLIC:
            return CHAINGUARD + own
        return (*catalogue(*self.accounts), *own) if self.preset == ORGANISATION else own


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
