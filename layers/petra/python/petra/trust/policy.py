"""Signature policy: which signatures an image must have.

A policy says yes with a verdict and no with an error; there is no third answer. Policies compose
(:class:`AnyOf`, :class:`AllOf`), and :class:`ImagePolicy` picks one by an image's name. A new way
to verify is one more class with an ``evaluate``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from petra.errors import PolicyError, SettingError, SignatureError
from petra.trust.attestation import AttestationVerdict, verify_attestations
from petra.trust.image import no_signature, verify_image
from petra.trust.signers import KeySigners
from petra.trust.verdict import SignatureVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.trust.documents import SignatureDocument
    from petra.trust.keys import PublicKey

_TOKENS: Final = re.compile(r"\*\*|\*|[^*]+")


class SignaturePolicy(Protocol):
    """Decides whether an image's signatures suffice."""

    def evaluate(
        self, subject: Descriptor, documents: Sequence[SignatureDocument], /, *, where: str
    ) -> SignatureVerdict:
        """Return what vouches for an image.

        Args:
            subject: the image.
            documents: the signatures that were found.
            where: the image's reference, for errors.

        Raises:
            SignatureError: nothing that suffices does.
            PolicyError: signatures are genuine, yet not what policy asks for.
        """
        ...

    def attested(
        self, subjects: Sequence[Digest], documents: Sequence[SignatureDocument], /, *, where: str
    ) -> AttestationVerdict:
        """Return which attestations of an image are vouched for.

        Args:
            subjects: the image's digest, and those of its platforms that may stand in its stead.
            documents: the attestations that were found.
            where: the image's reference, for errors.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Asks for a signature by one of some public keys.

    Attributes:
        keys: at least one.
    """

    keys: tuple[PublicKey, ...]

    def evaluate(
        self, subject: Descriptor, documents: Sequence[SignatureDocument], /, *, where: str
    ) -> SignatureVerdict:
        """Return the verdict of ``verify_image``, which see."""
        return verify_image(subject, documents, KeySigners(self.keys), where=where)

    def attested(
        self, subjects: Sequence[Digest], documents: Sequence[SignatureDocument], /, *, where: str
    ) -> AttestationVerdict:
        """Return the verdict of ``verify_attestations``, which see."""
        return verify_attestations(subjects, documents, KeySigners(self.keys), where=where)


def key_policy(
    keys: Sequence[PublicKey], *, min_age: timedelta | None = None, where: str
) -> KeyPolicy:
    """Return the policy that asks for a signature by one of `keys`.

    Args:
        keys: at least one.
        min_age: what was asked for beside the keys; a bare key's signature says nothing of when it
            was made, so that no age can be asked of it.
        where: what to name in an error.

    Raises:
        SettingError: there is no key, or an age is asked for.
    """
    if min_age is not None:
        raise SettingError(
            "a minimum age is asked of signatures by a key, which say nothing of their time",
            where=where,
            expected="identities beside minAge, or keys without it",
            hint="only keyless signatures have a verified time: name identities, or leave minAge "
            "out",
        )
    KeySigners(tuple(keys))
    return KeyPolicy(tuple(keys))


@dataclass(frozen=True, slots=True)
class SkipPolicy:
    """Asks for nothing, and says why. The metadata records the reason.

    Attributes:
        reason: a sentence for whoever reads the metadata.
    """

    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise SettingError(
                "signatures are to be skipped without a reason",
                hint="say in the policy why this image needs no signature",
            )

    def evaluate(
        self,
        subject: Descriptor,
        documents: Sequence[SignatureDocument],  # noqa: ARG002  # the protocol's
        /,
        *,
        where: str,  # noqa: ARG002  # as above
    ) -> SignatureVerdict:
        """Return a verdict that says skipped."""
        return SignatureVerdict(subject.digest, skipped=self.reason)

    def attested(
        self,
        subjects: Sequence[Digest],  # noqa: ARG002  # the protocol's
        documents: Sequence[SignatureDocument],
        /,
        *,
        where: str,  # noqa: ARG002  # as above
    ) -> AttestationVerdict:
        """Return that nobody vouches for any."""
        refused = (
            f"{one.scheme} {one.manifest.descriptor.digest}: not verified: {self.reason}"
            for one in documents
        )
        return AttestationVerdict(refused=tuple(refused))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Asks for one of several policies. The first that is content decides.

    Attributes:
        policies: at least one.
    """

    policies: tuple[SignaturePolicy, ...]

    def __post_init__(self) -> None:
        _require_some(self.policies)

    def evaluate(
        self, subject: Descriptor, documents: Sequence[SignatureDocument], /, *, where: str
    ) -> SignatureVerdict:
        """Return the first verdict; the error names each policy's reason.

        Raises:
            SignatureError: no policy is content.
        """
        failures = []
        for policy in self.policies:
            try:
                return policy.evaluate(subject, documents, where=where)
            except (SignatureError, PolicyError) as error:
                failures.append(error)
        if not documents:
            raise no_signature(where)
        if len(failures) == 1:
            raise failures[0]
        raise SignatureError(
            "no signature of the image satisfies any policy for it",
            where=where,
            found="; ".join(f"{error.message}: {error.found or '-'}" for error in failures),
            hint=failures[-1].hint,
        )

    def attested(
        self, subjects: Sequence[Digest], documents: Sequence[SignatureDocument], /, *, where: str
    ) -> AttestationVerdict:
        """Return the attestations that any policy vouches for, each once."""
        verdicts = [one.attested(subjects, documents, where=where) for one in self.policies]
        found = dict.fromkeys(one for verdict in verdicts for one in verdict.statements)
        refused = dict.fromkeys(text for verdict in verdicts for text in verdict.refused)
        return AttestationVerdict(tuple(found), tuple(refused))


@dataclass(frozen=True, slots=True)
class AllOf:
    """Asks for every one of several policies: two keys, say, of two parties.

    Attributes:
        policies: at least one.
    """

    policies: tuple[SignaturePolicy, ...]

    def __post_init__(self) -> None:
        _require_some(self.policies)

    def evaluate(
        self, subject: Descriptor, documents: Sequence[SignatureDocument], /, *, where: str
    ) -> SignatureVerdict:
        """Return one verdict with the signatures of all, each once; skipped only if all were.

        Raises:
            SignatureError: one policy is not content.
            PolicyError: as above.
        """
        verdicts = [policy.evaluate(subject, documents, where=where) for policy in self.policies]
        signatures = tuple(dict.fromkeys(one for each in verdicts for one in each.signatures))
        if not signatures:
            return verdicts[0]
        return SignatureVerdict(subject.digest, signatures)

    def attested(
        self, subjects: Sequence[Digest], documents: Sequence[SignatureDocument], /, *, where: str
    ) -> AttestationVerdict:
        """Return the attestations whose statement every policy vouches for."""
        verdicts = [one.attested(subjects, documents, where=where) for one in self.policies]
        by_all = set.intersection(
            *({one.statement for one in verdict.statements} for verdict in verdicts)
        )
        found = (one for verdict in verdicts for one in verdict.statements)
        refused = dict.fromkeys(text for verdict in verdicts for text in verdict.refused)
        return AttestationVerdict(
            tuple(one for one in found if one.statement in by_all), tuple(refused)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy for the images whose name matches.

    Attributes:
        pattern: an image's name, ``registry/repository``, without tag and digest. ``*`` stands
            for any text within one part of the path, ``**`` for any text at all. Matches whole
            names only.
        policy: for those images.
    """

    pattern: str
    policy: SignaturePolicy

    def matches(self, name: str) -> bool:
        """Say whether `name`, ``registry/repository``, falls under the rule."""
        return pattern_matches(self.pattern, name)


def pattern_matches(pattern: str, name: str) -> bool:
    """Say whether a pattern, as :class:`Rule` describes it, matches the whole of `name`."""
    expression = "".join(
        {"**": ".*", "*": "[^/]*"}.get(token, re.escape(token))
        for token in _TOKENS.findall(pattern)
    )
    return re.fullmatch(expression, name, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """Rules by image name. The first that matches decides; an image without a rule is denied.

    Attributes:
        rules: in the order in which they are tried.
    """

    rules: tuple[Rule, ...]

    def for_image(self, name: str, *, where: str) -> SignaturePolicy:
        """Return the policy for an image.

        Args:
            name: ``registry/repository``.
            where: the image's reference, for the error.

        Raises:
            PolicyError: no rule matches.
        """
        for rule in self.rules:
            if rule.matches(name):
                return rule.policy
        raise PolicyError(
            "no policy says who must have signed this image",
            where=where,
            expected=" or ".join(rule.pattern for rule in self.rules) or "at least one rule",
            found=name,
            hint="give a key with --image-key or in spec.images[].verify; output.verify: false "
            "verifies nothing, and the metadata says so",
        )


def _require_some(policies: tuple[SignaturePolicy, ...]) -> None:
    if not policies:
        raise SettingError("a signature policy that consists of no policy", hint="name a key")
