"""The policy document: what can be written, what cannot, and what is left out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from petra.bundle.policy import Policy, load_policy, policy_schema
from petra.encoding.json import dump_json
from petra.errors import DocumentError

POLICY = """\
apiVersion: petra.sh/v1alpha1
kind: Policy
metadata: {name: platform}
spec:
  trustedRoot: trusted_root.json
  images:
  - pattern: cgr.dev/chainguard/*
    verify: {keyless: {preset: chainguard}, minAge: 48h}
  - pattern: cgr.dev/example.com/**
    verify:
      keyless:
        preset: chainguard-organization
        accounts: [abc/123, https://issuer.enforce.dev/abc/456]
    sbom: {required: true}
    provenance: {required: true, builders: [https://builder.example/v1]}
    scan: {skip: scanned by the vendor}
  - pattern: registry.example.com:5000/vendor/**
    verify: {keys: [a.pub, b.pub]}
  - pattern: registry.example.com/ours/**
    verify: {skip: built here}
  - pattern: docker.io/library/*
    verify: {recorded: true}
  scan:
    maxDatabaseAge: 36h
    gate: {failOn: critical, fixableOnly: true, grace: 14d}
    waivers:
    - vulnerability: CVE-2099-0001
      reason: no network there
      expires: 2030-01-01T00:00:00Z
      image: cgr.dev/chainguard/nginx
      package: openssl
    vex: [vendor.vex.json]
    reports:
    - {file: web.sarif, image: registry.example.com/web:1, database: 2026-11-01T00:00:00Z}
  bundle:
    signers: [ours.pub]
    allowSkipped: [scan, sbom]
    maxAge: 30d
    provenance: true
"""
LEAST = "apiVersion: petra.sh/v1alpha1\nkind: Policy\nmetadata: {name: a}\nspec: {}"


def _policy(text: str) -> Policy:
    return load_policy(text.encode(), where="policy.yaml")


def _changed(old: str, new: str) -> str:
    assert POLICY.count(old) == 1
    return POLICY.replace(old, new)


def test_a_whole_policy_is_read() -> None:
    policy = _policy(POLICY)
    spec = policy.spec
    assert policy.name == "platform"
    assert spec.trusted_root == "trusted_root.json"
    assert [rule.pattern for rule in spec.images][:2] == [
        "cgr.dev/chainguard/*",
        "cgr.dev/example.com/**",
    ]
    assert spec.images[0].verify.min_age == timedelta(hours=48)
    assert spec.images[2].verify.key_files == ("a.pub", "b.pub")
    assert spec.scan.max_database_age == timedelta(hours=36)
    assert spec.scan.gate.grace == timedelta(days=14)
    assert spec.scan.waivers[0].expires == datetime(2030, 1, 1, tzinfo=UTC)
    assert spec.bundle.allow_skipped == ("scan", "sbom")
    assert spec.bundle.max_age == timedelta(days=30)
    assert spec.bundle.provenance is True


def test_what_is_left_out_allows_nothing() -> None:
    spec = _policy(LEAST).spec
    assert spec.images == ()
    assert spec.bundle.allow_skipped == ()
    assert spec.bundle.signers == ()
    assert spec.scan.skip is None
    assert spec.scan.max_database_age == timedelta(days=5)
    assert (spec.scan.gate.fail_on, spec.scan.gate.severities) == (None, None)
    assert (spec.sbom.required, spec.sbom.generate, spec.provenance.required) == (
        False,
        True,
        False,
    )


def test_the_first_rule_that_matches_is_the_one() -> None:
    policy = _policy(_changed("docker.io/library/*", "cgr.dev/**"))
    first = policy.rule("cgr.dev/chainguard/nginx")
    last = policy.rule("cgr.dev/other/nginx")
    assert first is policy.spec.images[0]
    assert last is policy.spec.images[4]
    assert policy.rule("ghcr.io/other/nginx") is None


def test_a_rules_own_sections_go_before_the_policys() -> None:
    policy = _policy(POLICY)
    own, other = "cgr.dev/example.com/team/web", "cgr.dev/chainguard/nginx"
    assert policy.scan(own).skip == "scanned by the vendor"
    assert policy.scan(other) is policy.spec.scan
    assert policy.sbom(own).required
    assert not policy.sbom(other).required
    assert policy.provenance(own).builders == ("https://builder.example/v1",)
    assert not policy.provenance(other).required


def test_presets_stand_for_exact_identities() -> None:
    public, organisation = (
        rule.verify.keyless.signers if rule.verify.keyless else ()
        for rule in _policy(POLICY).spec.images[:2]
    )
    (one,) = public
    assert one.issuer == "https://token.actions.githubusercontent.com"
    assert one.identity == (
        "https://github.com/chainguard-images/images/.github/workflows/release.yaml@refs/heads/main"
    )
    assert {two.issuer for two in organisation} == {"https://issuer.enforce.dev"}
    assert [two.identity for two in organisation] == [
        "https://issuer.enforce.dev/abc/123",
        "https://issuer.enforce.dev/abc/456",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "says"),
    [
        ("  scan:\n    max", "  scans:\n    max", 23, "spec.scans: no such field", "'scan'"),
        ("minAge: 48h", "minAg: 48h", 8, "spec.images[0].verify.minAg: no such", "'minAge'"),
        ("minAge: 48h", "minAge: 2 days", 8, "spec.images[0].verify.minAge: not a len", "48h"),
        ("minAge: 48h", "minAge: 0h", 8, "spec.images[0].verify.minAge: not a len", "48h"),
        ("preset: chainguard}", "preset: chaingard}", 8, "spec.images[0].verify.keyless", "'chai"),
        ("{keyless: {preset: chainguard}, ", "{key: a.pub, ", 8, "spec.images[0].verify: minA", ""),
        ("skip: built here", "skip: ' '", 20, "spec.images[3].verify.skip: it is empty", ""),
        ("skip: built here", "skip: a, key: b", 20, "spec.images[3].verify: key and skip", "one"),
        ("{skip: built here}", "{}", 20, "spec.images[3].verify: it says nothing", "recorded"),
        ("{recorded: true}", "{recorded: false}", 22, "spec.images[4].verify.recorded", "True"),
        ("docker.io/library/*", "nginx", 21, "spec.images[4].pattern: a pattern with", "docker.io"),
        (
            "docker.io/library/*",
            "a.io/b:1",
            21,
            "spec.images[4].pattern: a pattern with a t",
            "tag",
        ),
        (
            "docker.io/library/*",
            "cgr.dev/chainguard/*",
            21,
            "spec.images[4].pattern: the pattern 'cgr.dev/chainguard/*' stands twice",
            "once",
        ),
        (
            "abc/123, ",
            "'abc/*', ",
            13,
            "spec.images[1].verify.keyless.accounts[0]: not an exact",
            "",
        ),
        (
            "        accounts: [abc/123, https://issuer.enforce.dev/abc/456]\n",
            "",
            11,
            "spec.",
            "acc",
        ),
        ("failOn: critical", "failOn: sever", 25, "spec.scan.gate.failOn: not a value", "crit"),
        (
            "{failOn: critical,",
            "{failOn: low, severities: [low],",
            25,
            "spec.scan.gate: failOn",
            "",
        ),
        ("      reason: no network there\n", "", 27, "spec.scan.waivers[0].reason: a need", "reas"),
        ("  scan:\n    max", "  scan:\n    skip: no\n    max", 24, "spec.scan", ""),
        ("[scan, sbom]", "[scan, scna]", 37, "spec.bundle.allowSkipped[1]: not a value", "'scan'"),
    ],
)
def test_a_fault_is_named_by_line_and_path_with_the_next_step(
    old: str, new: str, line: int, message: str, says: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        _policy(_changed(old, new))
    error = caught.value
    assert error.where == f"policy.yaml:{line}"
    assert error.message.startswith(message)
    assert says in f"{error.hint} {error.expected}"


@pytest.mark.parametrize(
    "identity",
    ["https://github.com/*", "^https://a.example$", "https://a.example/.*", " a", ""],
)
def test_identities_are_no_patterns(identity: str) -> None:
    keyless = f"{{identities: [{{issuer: 'https://i.example', identity: '{identity}'}}]}}"
    with pytest.raises(DocumentError, match=r"identities\[0\]\.identity: not an exact value"):
        _policy(_changed("{preset: chainguard}", keyless))


def test_keyless_that_names_nobody_is_refused() -> None:
    with pytest.raises(DocumentError, match="it names nobody"):
        _policy(_changed("{preset: chainguard}", "{}"))


def test_the_committed_schema_is_current() -> None:
    committed = files("petra.bundle").joinpath("schema/policy.schema.json").read_bytes()
    assert committed == dump_json(policy_schema()), "write dump_json(policy_schema()) to it"


def test_the_schema_describes_every_field() -> None:
    schema = policy_schema()
    for model in (schema, *schema["$defs"].values()):
        assert model["additionalProperties"] is False
        for name, field in model["properties"].items():
            target = field.get("$ref", "").rpartition("/")[2]
            assert field.get("description") or schema["$defs"][target]["description"], name


def test_the_examples_in_the_documents_are_policies() -> None:
    page = Path(__file__).parents[3] / "docs" / "policy.md"
    examples = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    head = LEAST.removesuffix("spec: {}")
    policies = [_policy(one if one.startswith("api") else head + one) for one in examples]
    assert len(policies) == 3
    assert policies[0].rule("cgr.dev/chainguard/nginx")
    assert policies[1].spec.scan.waivers
    assert policies[2].spec.bundle.signers
