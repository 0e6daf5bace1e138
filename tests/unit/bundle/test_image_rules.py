"""Who must have signed an image: the spec alone, and under a policy, which it can only tighten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from petra.bundle.image_rules import PolicyRules, SpecRules, Trust, signature_policy
from petra.bundle.policy import Policy
from petra.bundle.spec import Spec
from petra.bundle.verify_spec import VerifySpec
from petra.encoding.models import validate
from petra.errors import NotFoundError, PolicyError, SettingError, SignatureError
from petra.trust.keyless import CHAINGUARD, Identity, KeylessPolicy
from petra.trust.policy import KeyPolicy
from tests.support import signing
from tests.support.fake_sigstore import trusted_root
from tests.support.signing import image, key, public

if TYPE_CHECKING:
    from petra.trust.documents import SignatureDocument
    from petra.trust.keys import PublicKey
    from petra.trust.verdict import SignatureVerdict

SUBJECT = image()
KEYS = {name: key(name) for name in ("vendor.pub", "ours.pub", "third.pub")}
VENDOR, OURS, THIRD = ({"key": name} for name in KEYS)
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def _keys(name: str) -> list[PublicKey]:
    if name not in KEYS:
        raise NotFoundError("no such file", where=name)
    return [public(KEYS[name])]


def _no_root() -> Any:
    raise AssertionError("nobody needs the trusted root")


TRUST = Trust(_keys, _no_root, NOW)


def _spec(**spec: Any) -> Spec:
    document = {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "Bundle",
        "metadata": {"name": "shop", "version": "1"},
        "spec": {"images": [{"name": "web", "image": "cgr.dev/team/web:1"}], **spec},
    }
    return validate(Spec, document, where="bundle.yaml")


def _policy(*images: tuple[str, dict[str, Any]], **bundle: Any) -> PolicyRules:
    document = {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "platform"},
        "spec": {
            "images": [{"pattern": pattern, "verify": verify} for pattern, verify in images],
            "bundle": bundle,
        },
    }
    return PolicyRules(validate(Policy, document, where="policy.yaml"), TRUST)


def _default() -> KeyPolicy:
    raise SettingError("no public key for images")


def _verdict(spec: Spec, rules: PolicyRules | None, *signers: str) -> SignatureVerdict:
    """Return what comes of the first image, signed by these keys."""
    policy = SpecRules(spec, TRUST, _default, rules)(spec.spec.images[0])
    documents = [signing.tag_document(SUBJECT, KEYS[name]) for name in signers]
    return policy.evaluate(SUBJECT, documents, where="web (cgr.dev/team/web:1)")


def test_without_a_policy_the_spec_decides() -> None:
    assert _verdict(_spec(verify=VENDOR), None, "vendor.pub").verified
    assert _verdict(_spec(verify={"skip": "built here"}), None).skipped == "built here"
    with pytest.raises(SignatureError):
        _verdict(_spec(verify=VENDOR), None, "ours.pub")


def test_without_a_policy_the_setting_decides_what_the_spec_leaves_open() -> None:
    spec = _spec()
    policy = SpecRules(spec, TRUST, lambda: KeyPolicy((public(KEYS["third.pub"]),)))
    documents = [signing.tag_document(SUBJECT, KEYS["third.pub"])]
    assert policy(spec.spec.images[0]).evaluate(SUBJECT, documents, where="web").verified
    with pytest.raises(SettingError):
        SpecRules(spec, TRUST, _default)


def test_keys_are_read_before_they_are_needed() -> None:
    with pytest.raises(NotFoundError, match=r"gone\.pub"):
        SpecRules(_spec(verify={"key": "gone.pub"}), TRUST, _default)
    with pytest.raises(NotFoundError, match=r"gone\.pub"):
        _policy(("a.io/*", {"key": "gone.pub"}))


def test_one_of_several_keys_is_enough() -> None:
    rule = ("cgr.dev/team/*", {"keys": ["vendor.pub", "ours.pub"]})
    for name in ("vendor.pub", "ours.pub"):
        verdict = _verdict(_spec(), _policy(rule), name)
        assert verdict.key == public(KEYS[name]).fingerprint
    with pytest.raises(SignatureError):
        _verdict(_spec(), _policy(rule), "third.pub")


def test_under_a_policy_its_rule_decides_what_the_spec_leaves_open() -> None:
    rules = _policy(("cgr.dev/team/*", VENDOR))
    assert _verdict(_spec(), rules, "vendor.pub").verified
    with pytest.raises(SignatureError) as caught:
        _verdict(_spec(), rules, "ours.pub")
    assert caught.value.where == (
        "web (cgr.dev/team/web:1), by rule cgr.dev/team/* of policy platform"
    )
    assert "the rule's key" in str(caught.value.hint)
    with pytest.raises(SignatureError, match="not signed") as unsigned:
        _verdict(_spec(), rules)
    assert "--image-key" not in str(unsigned.value.hint)


def test_the_first_rule_that_matches_decides() -> None:
    rules = _policy(("cgr.dev/team/*", VENDOR), ("cgr.dev/**", OURS))
    assert _verdict(_spec(), rules, "vendor.pub").verified
    with pytest.raises(SignatureError):
        _verdict(_spec(), rules, "ours.pub")


@pytest.mark.parametrize("own", [None, VENDOR, {"skip": "built here"}])
def test_an_image_without_a_rule_is_refused_whatever_the_spec_says(own: Any) -> None:
    spec = _spec(**({"verify": own} if own else {}))
    with pytest.raises(PolicyError) as caught:
        _verdict(spec, _policy(("ghcr.io/**", VENDOR)), "vendor.pub")
    error = caught.value
    assert error.message == "policy platform has no rule for this image"
    assert (error.expected, error.found) == ("ghcr.io/**", "cgr.dev/team/web")
    assert "cgr.dev/team/web:1" in str(error.where)


def test_a_policy_without_rules_refuses_everything() -> None:
    with pytest.raises(PolicyError, match="no rule for this image"):
        _verdict(_spec(), _policy())


def test_the_spec_can_ask_for_more_than_the_policy() -> None:
    rules = _policy(("cgr.dev/**", VENDOR))
    verdict = _verdict(_spec(verify=OURS), rules, "vendor.pub", "ours.pub")
    assert [one.key for one in verdict.signatures] == [
        public(KEYS[name]).fingerprint for name in ("vendor.pub", "ours.pub")
    ]
    for alone in ("vendor.pub", "ours.pub"):
        with pytest.raises(SignatureError):
            _verdict(_spec(verify=OURS), rules, alone)


def test_the_spec_can_ask_for_a_signature_where_the_policy_asks_for_none() -> None:
    rules = _policy(("cgr.dev/**", {"skip": "ours"}))
    assert _verdict(_spec(verify=OURS), rules, "ours.pub").verified
    with pytest.raises(SignatureError):
        _verdict(_spec(verify=OURS), rules)


def test_the_spec_cannot_skip_what_the_policy_asks_for() -> None:
    with pytest.raises(PolicyError) as caught:
        _verdict(
            _spec(verify={"skip": "in a hurry"}), _policy(("cgr.dev/**", VENDOR)), "vendor.pub"
        )
    error = caught.value
    assert "the spec skips a verification" in error.message
    assert error.found == "verify: {skip: in a hurry}"
    assert "allowSkipped" in str(error.hint)


def test_a_policy_can_allow_a_skip_by_a_rule_or_by_the_steps_name() -> None:
    spec = _spec(verify={"skip": "built here"})
    by_rule = _verdict(spec, _policy(("cgr.dev/**", {"skip": "our own"})))
    assert by_rule.skipped == "our own"
    by_name = _verdict(spec, _policy(("cgr.dev/**", VENDOR), allowSkipped=["verify"]))
    assert by_name.skipped == "built here"


def test_a_step_may_be_skipped_only_if_the_spec_says_so() -> None:
    rules = _policy(("cgr.dev/**", VENDOR), allowSkipped=["verify"])
    with pytest.raises(SignatureError):
        _verdict(_spec(), rules)


@pytest.mark.parametrize("step", ["verify", "sign"])
def test_the_spec_can_switch_a_step_off_only_if_the_policy_names_it(step: str) -> None:
    spec = _spec(output={step: False})
    with pytest.raises(PolicyError) as caught:
        SpecRules(spec, TRUST, _default, _policy(("cgr.dev/**", {"skip": "a"})))
    assert caught.value.where == f"spec.output.{step}, by policy platform"
    SpecRules(spec, TRUST, _default, _policy(("cgr.dev/**", {"skip": "a"}), allowSkipped=[step]))


def test_what_a_sender_recorded_is_nothing_to_make_a_bundle_by() -> None:
    with pytest.raises(PolicyError, match="nobody has recorded"):
        _verdict(_spec(), _policy(("cgr.dev/**", {"recorded": True})), "vendor.pub")


def test_a_spec_without_verification_needs_no_keys() -> None:
    SpecRules(_spec(verify={"key": "gone.pub"}, output={"verify": False}), TRUST, _default)


def test_the_same_signature_is_recorded_once_though_both_ask_for_it() -> None:
    verdict = _verdict(_spec(verify=VENDOR), _policy(("cgr.dev/**", VENDOR)), "vendor.pub")
    assert len(verdict.signatures) == 1


def test_keyless_rules_come_with_the_trusted_root_and_the_time() -> None:
    trust = Trust(_keys, trusted_root, NOW)
    signer = {"issuer": "https://i.example", "identity": "https://a.example/b"}
    keyless = {"preset": "chainguard", "identities": [signer]}
    verify = validate(VerifySpec, {"keyless": keyless, "minAge": "48h"}, where="bundle.yaml")
    policy = signature_policy(verify, trust)
    assert policy == KeylessPolicy(
        (*CHAINGUARD, Identity("https://i.example", "https://a.example/b")),
        trusted_root(),
        timedelta(hours=48),
        NOW,
    )


def test_the_trusted_root_is_asked_for_only_where_a_rule_is_keyless() -> None:
    rules = _policy(("cgr.dev/**", VENDOR))
    assert rules.root_digest is None
    with pytest.raises(AssertionError, match="nobody needs"):
        _policy(("cgr.dev/**", {"keyless": {"preset": "chainguard"}}))


def test_what_is_attested_is_the_rules_to_vouch_for_though_the_spec_asks_for_more() -> None:
    spec = _spec(verify=OURS)
    policy = SpecRules(spec, TRUST, _default, _policy(("cgr.dev/**", VENDOR)))(spec.spec.images[0])
    ours = policy.attested([SUBJECT.digest], [_attestation("ours.pub")], where="web")
    vendors = policy.attested([SUBJECT.digest], [_attestation("vendor.pub")], where="web")
    assert (len(ours.statements), len(vendors.statements)) == (0, 1)


def _attestation(name: str) -> SignatureDocument:
    statement = signing.statement(SUBJECT, predicateType="https://spdx.dev/Document")
    bundle = signing.bundle(KEYS[name], dsseEnvelope=signing.envelope(KEYS[name], statement))
    return signing.referrer_document(SUBJECT, KEYS[name], value=bundle)


def test_what_is_asked_of_signatures_is_what_the_document_says() -> None:
    verify = VerifySpec(keys=("vendor.pub", "ours.pub"))
    policy = signature_policy(verify, TRUST)
    assert isinstance(policy, KeyPolicy)
    assert policy.keys == (public(KEYS["vendor.pub"]), public(KEYS["ours.pub"]))
