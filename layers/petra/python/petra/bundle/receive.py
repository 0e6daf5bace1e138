"""What a receiver asks of a bundle before any of it is used. Bundle format, section 5, step 2.

The bundle's signature and members were verified; what is in it is what its sender signed. Whether
that may pass is the receiver's to say. The steps, each owned by one function:

1. one of the policy's signers signed it (:func:`_check_signer`);
2. nothing was skipped that may not be (:func:`_check_skipped`);
3. it is not too old (:func:`_check_age`);
4. it names the images that its metadata describe, and no others
   (:func:`petra.bundle.agreement.check_names`);
5. each image has a rule, and its signatures, which travel with it, satisfy the rule
   (:func:`_verify_image`). What the sender recorded counts only where the rule says so;
6. each image's SBOMs, provenance and scans are what the policy asks for
   (:class:`petra.bundle.receive_evidence.EvidenceCheck`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from petra.archive.target import ArchiveTarget
from petra.bundle.agreement import check_names, listed
from petra.bundle.fields import duration_text, time_text
from petra.bundle.metadata import STEPS
from petra.bundle.receive_evidence import EvidenceCheck
from petra.bundle.received import ReceivedImage
from petra.bundle.refusals import refuse
from petra.bundle.verify import Signed
from petra.errors import NotFoundError, PolicyError, VerificationError
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from petra.bundle.image_rules import PolicyRules
    from petra.bundle.metadata import ImageRecord, Metadata, Skip
    from petra.bundle.policy import BundleRules, ImageRule
    from petra.bundle.verify import VerifiedBundle
    from petra.trust.keys import PublicKey
    from petra.trust.policy import SignaturePolicy
    from petra.trust.verdict import SignatureVerdict

#: How far the sender's clock may be ahead of ours.
_AHEAD: Final = timedelta(days=1)


def _nothing(name: str) -> bytes:
    """Give no file: without a policy none is named."""
    raise NotFoundError("no such file", where=name)


@dataclass(frozen=True, slots=True)
class Receiver:
    """What a receiver asks.

    Attributes:
        rules: the policy's; None for none, and then images are taken as they were recorded.
        read: gives a file that the policy names.
        signers: who may send; none: whoever's key the bundle was verified with.
        allow_skipped: steps that may have been skipped, beside those that the policy names.
    """

    rules: PolicyRules | None = None
    read: Callable[[str], bytes] = _nothing
    signers: tuple[PublicKey, ...] = ()
    allow_skipped: frozenset[str] = frozenset()

    @property
    def bundle(self) -> BundleRules:
        """What is asked of the bundle as a whole."""
        if self.rules is None:
            from petra.bundle.policy import BundleRules  # noqa: PLC0415  # only here

            return BundleRules()
        return self.rules.policy.spec.bundle

    @property
    def skippable(self) -> list[str]:
        """The steps that may have been skipped, in the order in which they are taken."""
        allowed = self.allow_skipped | set(self.bundle.allow_skipped)
        return [step for step in STEPS if step in allowed]


def receiver_policy(
    receiver: Receiver, bundle: VerifiedBundle, *, now: datetime | None = None
) -> dict[str, SignatureVerdict]:
    """Refuse a bundle that is not what its receiver asks for.

    Args:
        receiver: what is asked.
        bundle: signature and members were verified.
        now: the time; the clock's where None.

    Returns:
        What vouches for each image whose signatures were verified anew, by its name. Empty without
        a policy.

    Raises:
        PolicyError: it breaks a rule.
        SignatureError: an image's signatures do not satisfy its rule. Of several images that are
            refused each is named, with its reason.
    """
    now = now or datetime.now(UTC)
    check_signed(receiver, Signed(bundle.metadata, bundle.archive.digest, bundle.key), now=now)
    target = ArchiveTarget(bundle.archive.reader)
    check_names(bundle.metadata, target)
    if receiver.rules is None:
        return {}
    return _check_images(receiver.rules, receiver, bundle, target, now)


def check_signed(receiver: Receiver, bundle: Signed, *, now: datetime | None = None) -> None:
    """Take those steps that need no member: 1 to 3.

    Args:
        receiver: what is asked.
        bundle: its signature was verified.
        now: the time; the clock's where None.

    Raises:
        PolicyError: it breaks a rule.
    """
    _check_signer(receiver, bundle)
    _check_skipped(receiver, bundle.metadata)
    _check_age(receiver, bundle.metadata, now or datetime.now(UTC))


def _check_signer(receiver: Receiver, bundle: Signed) -> None:
    """Step 1: one of the policy's signers signed it."""
    known = {key.fingerprint for key in receiver.signers}
    if known and bundle.key.fingerprint not in known:
        raise PolicyError(
            "the bundle is signed by somebody who may not send",
            where=_title(bundle.metadata),
            expected=" or ".join(map(str, receiver.signers)),
            found=str(bundle.key),
            hint="ask the sender for a bundle signed by one of the policy's signers "
            "(spec.bundle.signers)",
        )


def _check_skipped(receiver: Receiver, metadata: Metadata) -> None:
    """Step 2: nothing was skipped that may not be."""
    allowed = receiver.skippable
    refused = [
        skip
        for skip in metadata.skips()
        if skip.step not in allowed and not _excused(receiver.rules, skip)
    ]
    if not refused:
        return
    steps = dict.fromkeys(skip.step for skip in refused)
    raise PolicyError(
        "the sender skipped what may not be skipped",
        where=_title(metadata),
        expected=f"nothing skipped but {', '.join(allowed)}" if allowed else "nothing skipped",
        found=listed(
            [
                f"{skip.step} of {skip.image.name if skip.image else 'the bundle'}: {skip.reason}"
                for skip in refused
            ]
        ),
        hint="ask the sender for a bundle with these steps taken; or allow them by name, with "
        f"--allow-skipped {','.join(steps)} or in the policy's spec.bundle.allowSkipped",
    )


def _excused(rules: PolicyRules | None, skip: Skip) -> bool:
    """Say whether the policy's own rule for what was skipped asks for nothing."""
    if rules is None:
        return False
    if skip.image is None:
        return skip.step == "scan" and rules.policy.spec.scan.skip is not None
    name = Reference.parse(skip.image.reference).name
    rule = rules.policy.rule(name)
    if skip.step == "verify":
        return rule is not None and rule.verify.skip is not None
    return skip.step == "scan" and rules.policy.scan(name).skip is not None


def _check_age(receiver: Receiver, metadata: Metadata, now: datetime) -> None:
    """Step 3: it is not too old."""
    longest = receiver.bundle.max_age
    if longest is None:
        return
    if metadata.created - now > _AHEAD:
        raise PolicyError(
            "the bundle says that it was made in the future, so its age is not known",
            where=_title(metadata),
            expected=f"made before {time_text(now)}, by this machine's clock (spec.bundle.maxAge)",
            found=time_text(metadata.created),
            hint="check this machine's clock; if it is right, ask the sender for a bundle with "
            "the right time",
        )
    if now - metadata.created > longest:
        raise PolicyError(
            "the bundle is too old",
            where=_title(metadata),
            expected=f"made less than {duration_text(longest)} ago (spec.bundle.maxAge)",
            found=time_text(metadata.created),
            hint="ask the sender for a newer bundle",
        )


def _check_images(
    rules: PolicyRules,
    receiver: Receiver,
    bundle: VerifiedBundle,
    target: ArchiveTarget,
    now: datetime,
) -> dict[str, SignatureVerdict]:
    metadata, skippable = bundle.metadata, receiver.skippable
    evidence = EvidenceCheck(rules.policy, receiver.read, bundle.archive.reader, skippable, now)
    verdicts: dict[str, SignatureVerdict] = {}
    failures: dict[str, VerificationError] = {}
    for record in metadata.images:
        image = ReceivedImage(record, target)
        try:
            rule = rules.rule(image.reference.name, where=image.title)
            policy = (
                None
                if rule.verify.recorded
                else rules.for_image(image.reference.name, where=image.title)
            )
            if policy and not _asks_nothing(rule, record, skippable):
                verdicts[record.name] = _verify_image(policy, image)
            evidence.check(image, policy)
        except VerificationError as error:
            _tell_root(error, record, metadata, rules)
            failures[image.title] = error
    refuse(failures, len(metadata.images))
    return verdicts


def _asks_nothing(rule: ImageRule, image: ImageRecord, skippable: Collection[str]) -> bool:
    """Say whether an image passes without its signatures being looked at."""
    skipped = image.signatures.status == "skipped"
    return rule.verify.skip is not None or (skipped and "verify" in skippable)


def _verify_image(policy: SignaturePolicy, image: ReceivedImage) -> SignatureVerdict:
    """Step 5: an image's signatures, out of the bundle, satisfy its rule."""
    return policy.evaluate(image.root, image.signatures(), where=image.title)


def _tell_root(
    error: VerificationError, image: ImageRecord, metadata: Metadata, rules: PolicyRules
) -> None:
    """Say that the sender had another trusted root, where that may be why nothing verifies."""
    rule = rules.policy.rule(Reference.parse(image.reference).name)
    recorded, ours = metadata.trusted_root, rules.root_digest
    if not rule or not rule.verify.keyless or recorded is None or recorded.digest == ours:
        return
    error.hint = (
        f"{error.hint or error.usual_hint}; the sender's trusted root was {recorded.digest} "
        f"({recorded.member} in the bundle), ours is {ours}"
    )


def _title(metadata: Metadata) -> str:
    return f"{metadata.name} {metadata.version}"
