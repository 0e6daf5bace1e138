"""Who must have signed each image: what the spec says, and what a policy asks of all specs.

With a policy the spec can only tighten: an image's rule comes from the policy, and what the spec
says of it is asked for as well. Skipping is the policy's to allow, by the image's own rule or by
naming the step. An image that no rule matches is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petra.bundle.metadata import UNVERIFIED
from petra.bundle.verify_spec import VerifySpec
from petra.errors import PolicyError, SignatureError
from petra.trust.policy import AllOf, KeyPolicy, SkipPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from petra.bundle.policy import ImageRule, Policy
    from petra.bundle.spec import ImageSpec, Spec
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.trust.attestation import AttestationVerdict
    from petra.trust.documents import SignatureDocument
    from petra.trust.keys import PublicKey
    from petra.trust.policy import SignaturePolicy
    from petra.trust.root import TrustedRoot
    from petra.trust.verdict import SignatureVerdict


_UNSIGNED: Final = (
    "have it signed as the rule asks; only a rule with `skip` lets an unsigned image pass"
)
_OTHER_KEY: Final = "check that the rule's key is the signer's; if it is, do not use this image"


@dataclass(frozen=True, slots=True)
class Trust:
    """Where what a document names is found.

    Attributes:
        keys: gives the public keys at a place that the document names.
        root: gives the trusted root of keyless signatures; asked only where one is needed.
        now: the time, for ages.
    """

    keys: Callable[[str], Sequence[PublicKey]]
    root: Callable[[], TrustedRoot]
    now: datetime


def signature_policy(verify: VerifySpec, trust: Trust) -> SignaturePolicy:
    """Return what a document asks of an image's signatures.

    Args:
        verify: what the document says, ``recorded`` excepted.
        trust: where its keys are found.

    Raises:
        PetraError: a key or the trusted root cannot be read.
    """
    if verify.skip:
        return SkipPolicy(verify.skip)
    if verify.keyless:
        from petra.trust.keyless import KeylessPolicy  # noqa: PLC0415  # start-up time

        signers = verify.keyless.signers
        return KeylessPolicy(signers, trust.root(), verify.min_age, trust.now)
    return KeyPolicy(tuple(key for name in verify.key_files for key in trust.keys(name)))


@dataclass(frozen=True, slots=True)
class _ByRule:
    """A rule's policy, which names the rule in its errors, and not a spec's fields and flags."""

    inner: SignaturePolicy
    rule: str

    def evaluate(
        self, subject: Descriptor, documents: Sequence[SignatureDocument], /, *, where: str
    ) -> SignatureVerdict:
        try:
            return self.inner.evaluate(subject, documents, where=f"{where}, by {self.rule}")
        except SignatureError as error:
            if not documents:
                error.hint = _UNSIGNED
            elif isinstance(self.inner, KeyPolicy):
                error.hint = _OTHER_KEY
            raise

    def attested(
        self, subjects: Sequence[Digest], documents: Sequence[SignatureDocument], /, *, where: str
    ) -> AttestationVerdict:
        return self.inner.attested(subjects, documents, where=f"{where}, by {self.rule}")


@dataclass(frozen=True, slots=True)
class _Tightened:
    """A rule's policy, and what a spec asks for as well: of the image, not of what is attested."""

    rule: SignaturePolicy
    own: SignaturePolicy

    def evaluate(
        self, subject: Descriptor, documents: Sequence[SignatureDocument], /, *, where: str
    ) -> SignatureVerdict:
        return AllOf((self.rule, self.own)).evaluate(subject, documents, where=where)

    def attested(
        self, subjects: Sequence[Digest], documents: Sequence[SignatureDocument], /, *, where: str
    ) -> AttestationVerdict:
        return self.rule.attested(subjects, documents, where=where)


class PolicyRules:
    """A policy's rules for images, ready to be applied.

    Args:
        policy: the policy; every key that it names is read now.
        trust: where its keys are found.

    Raises:
        PetraError: a key or the trusted root cannot be read.
    """

    def __init__(self, policy: Policy, trust: Trust) -> None:
        self.policy = policy
        self._root = trust.root
        self._policies = {
            one.pattern: _ByRule(
                signature_policy(one.verify, trust), f"rule {one.pattern} of policy {policy.name}"
            )
            for one in policy.spec.images
            if not one.verify.recorded
        }

    def for_image(self, name: str, *, where: str) -> SignaturePolicy:
        """Return what the policy asks of an image's signatures.

        Args:
            name: ``registry/repository``.
            where: the image, for the error.

        Raises:
            PolicyError: no rule matches, and so nothing says that the image may pass; or the rule
                takes what a sender recorded.
        """
        rule = self.rule(name, where=where)
        if rule.verify.recorded:
            raise PolicyError(
                "the rule takes what a sender recorded, and here nobody has recorded anything",
                where=f"{where}, by rule {rule.pattern} of policy {self.policy.name}",
                expected="a rule with key, keys, keyless or skip",
                hint="`recorded` is for receivers; make bundles by a policy that says who signs",
            )
        return self._policies[rule.pattern]

    def rule(self, name: str, *, where: str) -> ImageRule:
        """Return the rule for an image.

        Raises:
            PolicyError: no rule matches.
        """
        rule = self.policy.rule(name)
        if rule is None:
            patterns = [one.pattern for one in self.policy.spec.images]
            raise PolicyError(
                f"policy {self.policy.name} has no rule for this image",
                where=where,
                expected=" or ".join(patterns) or "at least one rule",
                found=name,
                hint="add a rule that says who must have signed it, or leave the image out",
            )
        return rule

    @property
    def root_digest(self) -> Digest | None:
        """The digest of the trusted root; None where no rule needs one."""
        needed = any(rule.verify.keyless for rule in self.policy.spec.images)
        return self._root().digest if needed else None

    def allows_skipping(self, step: str) -> bool:
        """Say whether the policy names `step` as one that may be skipped."""
        return step in self.policy.spec.bundle.allow_skipped


class SpecRules:
    """What is asked of the signatures of a spec's images. Callable as ``verify_images`` wants it.

    Args:
        spec: the spec; every key that it names is read now.
        trust: where its keys are found.
        default: for images of which neither the spec nor a policy says anything.
        rules: of a policy; None for none, and then the spec decides alone.

    Raises:
        PolicyError: the spec skips a step as a whole that the policy does not allow to be skipped.
        PetraError: a key or the trusted root cannot be read.
    """

    def __init__(
        self,
        spec: Spec,
        trust: Trust,
        default: Callable[[], SignaturePolicy],
        rules: PolicyRules | None = None,
    ) -> None:
        self._rules = rules
        if rules:
            _check_output(spec, rules)
        wanted = {image.name: spec.policy(image) for image in spec.spec.images}
        if not spec.spec.output.verify:
            wanted = dict.fromkeys(wanted, VerifySpec(skip=UNVERIFIED))
        self._own = {
            name: signature_policy(verify, trust) for name, verify in wanted.items() if verify
        }
        if not rules and len(self._own) < len(wanted):
            self._own = dict.fromkeys(wanted, default()) | self._own

    def __call__(self, image: ImageSpec) -> SignaturePolicy:
        """Return what the signatures of `image` must satisfy.

        Raises:
            PolicyError: the policy has no rule for it, or the spec weakens the rule.
        """
        if self._rules:
            return _under(self._rules, image, self._own.get(image.name))
        return self._own[image.name]


def _under(rules: PolicyRules, image: ImageSpec, own: SignaturePolicy | None) -> SignaturePolicy:
    """Return what a policy asks of an image, and `own`, of its spec, where it asks for more."""
    name, where = image.reference.name, f"{image.name} ({image.reference})"
    rule = rules.rule(name, where=where)
    if isinstance(own, SkipPolicy) and rules.allows_skipping("verify"):
        return own
    asked = rules.for_image(name, where=where)
    if own is None or (rule.verify.skip and isinstance(own, SkipPolicy)):
        return asked
    if isinstance(own, SkipPolicy):
        raise PolicyError(
            "the spec skips a verification that the policy asks for",
            where=f"{where}, by rule {rule.pattern} of policy {rules.policy.name}",
            expected="verify: with a key or keyless identities, or nothing",
            found=f"verify: {{skip: {own.reason}}}",
            hint="take `skip` out of the spec; only the policy can allow it, by a rule with `skip` "
            "or by spec.bundle.allowSkipped",
        )
    return own if rule.verify.skip else _Tightened(asked, own)


def _check_output(spec: Spec, rules: PolicyRules) -> None:
    """Refuse a spec that switches a step off, unless the policy allows it by name."""
    output = spec.spec.output
    for step, wanted in (("verify", output.verify), ("sign", output.sign)):
        if not wanted and not rules.allows_skipping(step):
            raise PolicyError(
                "the spec switches off a step that the policy asks for",
                where=f"spec.output.{step}, by policy {rules.policy.name}",
                expected=f"{step}: true",
                found=f"{step}: false",
                hint=f"take `{step}: false` out of the spec; only the policy can allow it, by "
                "spec.bundle.allowSkipped",
            )
