"""What a case of keyless verification is, and the parts that cases are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

from petra.trust.identity import Identity
from tests.support.fake_sigstore import (
    DAY,
    IDENTITY,
    ISSUER,
    TIME,
    Authority,
    profiled,
    trusted_root,
)
from tests.support.keyless import FORMS, Form, make

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petra.trust.documents import SignatureDocument
    from petra.trust.root import TrustedRoot

SIGNER: Final = Identity(ISSUER, IDENTITY)
BY_MAIL: Final = Identity(ISSUER, "ci@example.com")
TAGS: Final[tuple[Form, ...]] = ("tag", "attestation tag")
BUNDLES: Final[tuple[Form, ...]] = ("bundle", "attestation bundle")

STRANGER = Authority("stranger")
BEFORE = (TIME - 300 * DAY, TIME - DAY)
AFTER = (TIME + DAY, None)


@dataclass(frozen=True)
class Case:
    """Something signed with one thing wrong, or nothing.

    Attributes:
        name: what is wrong.
        why: what Petra says; None if it is content. By form where that differs.
        signing: what is not as usual in the signature.
        forms: in which the case can be.
        root: what is not as usual in the trusted root.
        signer: who may sign.
    """

    name: str
    why: str | Mapping[Form, str] | None
    signing: Callable[[], Mapping[str, Any]] = dict
    forms: tuple[Form, ...] = FORMS
    root: Callable[[], TrustedRoot] = trusted_root
    signer: Identity = SIGNER

    def document(self, form: Form) -> SignatureDocument:
        """Return it in this form."""
        return make(form, **self.signing())

    def reason(self, form: Form) -> str | None:
        """Return what Petra says of it in this form."""
        return self.why if self.why is None or isinstance(self.why, str) else self.why[form]


def either(tags: str, bundles: str) -> Mapping[Form, str]:
    """What is said by Petra's own steps, and what by sigstore-python."""
    return dict.fromkeys(TAGS, tags) | dict.fromkeys(BUNDLES, bundles)


def names(*names: x509.GeneralName) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"leaf": profiled(names=names)}


def named(text_: str) -> Callable[[], Mapping[str, Any]]:
    return names(x509.UniformResourceIdentifier(text_))


def profile(**replaced: Any) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"leaf": profiled(**replaced)}


def entry(**replaced: Any) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"entry": replaced}


ENVELOPES: Final[tuple[Form, ...]] = ("attestation tag", *BUNDLES)
