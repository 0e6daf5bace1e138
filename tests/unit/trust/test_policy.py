"""Policies: which signatures an image must have, and what happens to one without a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra.errors import PolicyError, SettingError, SignatureError
from petra.trust.policy import AllOf, AnyOf, ImagePolicy, KeyPolicy, Rule, SkipPolicy
from petra.trust.verdict import SignatureVerdict
from tests.support import signing
from tests.support.signing import image, key, public

if TYPE_CHECKING:
    from petra.trust.documents import SignatureDocument
    from petra.trust.policy import SignaturePolicy

SUBJECT = image()
FIRST, SECOND, THIRD = key("first"), key("second"), key("third")
BY_FIRST = KeyPolicy((public(FIRST),))
BY_SECOND = KeyPolicy((public(SECOND),))


def evaluate(policy: SignaturePolicy, *documents: SignatureDocument) -> SignatureVerdict:
    return policy.evaluate(SUBJECT, documents, where="registry.example/app:1")


def signed(*signers: signing.Key) -> list[SignatureDocument]:
    return [signing.tag_document(SUBJECT, signer) for signer in signers]


def test_a_key_policy_asks_for_one_of_its_keys() -> None:
    policy = KeyPolicy((public(FIRST), public(SECOND)))
    assert evaluate(policy, *signed(SECOND)).key == public(SECOND).fingerprint
    with pytest.raises(SignatureError, match="no signature of the image verifies"):
        evaluate(policy, *signed(THIRD))


def test_skipping_needs_a_reason_and_is_no_verification() -> None:
    verdict = evaluate(SkipPolicy("built here"))
    assert not verdict.verified
    assert verdict.to_json() == {"status": "skipped", "reason": "built here"}
    assert (verdict.key, verdict.scheme, verdict.manifest) == (None, None, None)
    with pytest.raises(SettingError, match="without a reason"):
        SkipPolicy(" ")


def test_a_verdict_is_never_empty_nor_both() -> None:
    verdict = evaluate(BY_FIRST, *signed(FIRST))
    for signatures, skipped in (((), None), ((), ""), (verdict.signatures, "reason")):
        with pytest.raises(ValueError, match="either verified"):
            SignatureVerdict(SUBJECT.digest, signatures, skipped)


def test_any_of_takes_the_first_that_is_content() -> None:
    policy = AnyOf((BY_FIRST, BY_SECOND))
    assert evaluate(policy, *signed(SECOND)).key == public(SECOND).fingerprint


def test_any_of_says_why_each_is_not_content() -> None:
    policy = AnyOf((BY_FIRST, BY_SECOND))
    with pytest.raises(SignatureError, match="satisfies any policy") as caught:
        evaluate(policy, *signed(THIRD))
    assert str(caught.value.found).count("no signature of the image verifies") == 2
    with pytest.raises(SignatureError, match="no signature found"):
        evaluate(policy)
    with pytest.raises(SignatureError, match="no signature of the image verifies"):
        evaluate(AnyOf((BY_FIRST,)), *signed(THIRD))


def test_all_of_asks_for_each() -> None:
    policy = AllOf((BY_FIRST, BY_SECOND))
    verdict = evaluate(policy, *signed(SECOND, FIRST))
    assert [one.key for one in verdict.signatures] == [
        public(FIRST).fingerprint,
        public(SECOND).fingerprint,
    ]
    with pytest.raises(SignatureError):
        evaluate(policy, *signed(FIRST))
    with pytest.raises(SignatureError):
        evaluate(policy, *signed(SECOND))


def test_all_of_skips_only_where_all_skip() -> None:
    skip = SkipPolicy("built here")
    assert evaluate(AllOf((skip, BY_FIRST)), *signed(FIRST)).verified
    assert evaluate(AllOf((skip, skip))).skipped == "built here"
    with pytest.raises(SignatureError):
        evaluate(AllOf((skip, BY_FIRST)), *signed(SECOND))


@pytest.mark.parametrize("combine", [AnyOf, AllOf])
def test_a_combination_of_nothing_is_a_mistake(combine: type[AnyOf | AllOf]) -> None:
    with pytest.raises(SettingError, match="consists of no policy"):
        combine(())


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("cgr.dev/chainguard/nginx", "cgr.dev/chainguard/nginx", True),
        ("cgr.dev/chainguard/nginx", "cgr.dev/chainguard/nginx2", False),
        ("cgr.dev/chainguard/*", "cgr.dev/chainguard/nginx", True),
        ("cgr.dev/chainguard/*", "cgr.dev/chainguard/a/b", False),
        ("cgr.dev/chainguard/*", "cgr.dev/chainguardx/nginx", False),
        ("cgr.dev/**", "cgr.dev/a/b/c", True),
        ("cgr.dev/**", "cgrxdev/a", False),
        ("cgr.dev/**", "evil.example/cgr.dev/a", False),
        ("**/nginx", "docker.io/library/nginx", True),
        ("*/nginx", "docker.io/library/nginx", False),
        ("**", "anything/at:all", True),
        ("a/*", "a/b\nc", True),
        ("", "", True),
        ("", "a", False),
        ("[a-z]*", "b", False),
    ],
)
def test_patterns_match_whole_names(pattern: str, name: str, matches: bool) -> None:  # noqa: FBT001
    assert Rule(pattern, BY_FIRST).matches(name) is matches


def test_the_first_matching_rule_decides_and_a_missing_one_denies() -> None:
    policy = ImagePolicy(
        (Rule("registry.example/a/*", BY_FIRST), Rule("registry.example/**", BY_SECOND))
    )
    where = "registry.example/a/b:1"
    assert policy.for_image("registry.example/a/b", where=where) is BY_FIRST
    assert policy.for_image("registry.example/b", where=where) is BY_SECOND
    with pytest.raises(PolicyError, match="no policy says") as caught:
        policy.for_image("docker.io/library/nginx", where="nginx")
    assert caught.value.where == "nginx"
    assert "--image-key" in str(caught.value.hint)
    with pytest.raises(PolicyError):
        ImagePolicy(()).for_image("docker.io/library/nginx", where="nginx")
