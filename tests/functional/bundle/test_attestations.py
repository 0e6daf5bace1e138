"""SBOMs and provenance that others attested: found, verified by the image's policy, and kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from tests.support import signing
from tests.support.attested import BUILDER, CYCLONEDX, SLSA, SPDX, attest, built_by
from tests.support.command import assert_refused
from tests.support.fake_scanners import FakeTool, fake_grype, match
from tests.support.fake_sigstore import IDENTITY, trusted_root
from tests.support.graphs import push_tagged
from tests.support.keyless import attested
from tests.support.keyless_images import KEYLESS, add_keyless, sign_keyless, write_root
from tests.support.opened import opened
from tests.support.scans import DEBIAN_PURLS, cyclonedx, spdx
from tests.support.world import LEGACY, STRANGER, UNSIGNED, VENDOR, WEB, World, signer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Literal

    from tests.support.command import Run
    from tests.support.opened import Opened

BOM: Any = json.loads(spdx(*DEBIAN_PURLS).data)
FREE = "team/free:1.0"


@pytest.fixture
def grype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """A grype that finds something in images, and nothing in SBOMs."""
    tool = fake_grype(tmp_path, (), [match()])
    monkeypatch.setenv("PETRA_GRYPE", str(tool.program))
    return tool


def made(world: World, create: Run, *more: str) -> Opened:
    outcome = create(*more)
    assert outcome.status == 0, outcome.err
    return opened(world.bundle)


def platforms(world: World, image: str) -> list[Descriptor]:
    """Return the manifests of an image's platforms."""
    with world.repository(image).fetch(world.images[image]) as stream:
        listed = json.loads(stream.read())["manifests"]
    return [Descriptor(one["mediaType"], Digest(one["digest"]), one["size"]) for one in listed]


def members(bundle: Opened, *folders: str) -> list[str]:
    return [name for name in bundle.names if name.startswith(folders)]


@pytest.mark.parametrize("form", ["tag", "bundle"])
@pytest.mark.parametrize(
    ("kind", "predicate", "name"),
    [(SPDX, BOM, "spdx"), (CYCLONEDX, json.loads(cyclonedx(*DEBIAN_PURLS).data), "cyclonedx")],
)
def test_an_attested_sbom_is_kept_and_scanned(  # pytest's way
    world: World,
    create: Run,
    grype: FakeTool,
    form: Literal["tag", "bundle"],
    kind: str,
    predicate: Any,
    name: str,
) -> None:
    manifest = attest(world, LEGACY, world.images[LEGACY], predicate, kind, form=form)
    world.spec(LEGACY, scan={})

    bundle = made(world, create)

    (sbom,) = bundle.image("legacy")["sboms"]
    assert sbom == {
        "format": name,
        "member": f"sbom/legacy/linux-amd64.{name}.json",
        "digest": Digest.of(bundle.files[sbom["member"]]),
        "subject": world.images[LEGACY].digest,
        "manifest": manifest.digest,
        "verified": {
            "method": "key",
            "key": signer(VENDOR).public_key.fingerprint,
            "scheme": {"tag": "tag", "bundle": "referrer"}[form],
            "digest": manifest.digest,
        },
    }
    assert json.loads(bundle.files[sbom["member"]]) == predicate
    assert bundle.image("legacy")["scans"][0]["how"] == "sbom"
    assert "oci-dir" not in grype.calls
    assert manifest.digest in {one["digest"] for one in bundle.image("legacy")["attachments"]}


@pytest.mark.parametrize("form", ["tag", "bundle"])
def test_provenance_is_kept_as_it_was_signed(
    world: World, create: Run, form: Literal["tag", "bundle"]
) -> None:
    attest(world, LEGACY, world.images[LEGACY], built_by(), SLSA, form=form)
    world.spec(LEGACY)

    bundle = made(world, create)

    (found,) = bundle.image("legacy")["provenance"]
    assert found["member"] == "attestations/legacy/linux-amd64.slsa.json"
    statement = json.loads(bundle.files[found["member"]])
    assert statement["predicateType"] == SLSA
    assert statement["predicate"] == built_by()
    assert found["verified"]["key"] == signer(VENDOR).public_key.fingerprint


def test_an_attestation_by_another_does_not_count(
    world: World, create: Run, grype: FakeTool
) -> None:
    manifest = attest(world, LEGACY, world.images[LEGACY], BOM, by=STRANGER)
    world.spec(LEGACY, scan={"gate": {"failOn": "critical"}})

    bundle = made(world, create)

    image = bundle.image("legacy")
    assert image["sboms"] == []
    assert image["scans"][0]["how"] == "image"
    (left,) = image["uncounted"]
    assert (left["kind"], left["manifest"]) == ("attestation", manifest.digest)
    assert "none of the given keys" in left["reason"]
    assert members(bundle, "sbom/") == []


def test_one_about_another_image_does_not_count(world: World, create: Run) -> None:
    """Signed by the right key, and hung on this image by whoever can write to the registry."""
    statement = {"subject": [{"name": "x", "digest": {"sha256": "0" * 64}}]}
    target = world.images[LEGACY]
    data = signing.statement(target, predicateType=SPDX, predicate=BOM, **statement)
    envelope = json.dumps(signing.envelope(signing.key(VENDOR), data)).encode()
    kind = "application/vnd.dsse.envelope.v1+json"
    push_tagged(world.repository(LEGACY), target, ".att", kind, envelope)
    world.spec(LEGACY)

    image = made(world, create).image("legacy")

    assert image["sboms"] == []
    assert "another image" in image["uncounted"][0]["reason"]


def test_an_sbom_that_is_text_does_not_count(world: World, create: Run) -> None:
    attest(world, LEGACY, world.images[LEGACY], {"Data": "SPDXVersion: SPDX-2.2"})
    world.spec(LEGACY)

    image = made(world, create).image("legacy")

    assert image["sboms"] == []
    assert "neither SPDX nor CycloneDX" in image["uncounted"][0]["reason"]


def test_of_two_of_a_kind_the_first_counts_and_the_other_is_named(
    world: World, create: Run
) -> None:
    for text in ("a", "b"):
        attest(world, LEGACY, world.images[LEGACY], {**BOM, "name": text})
    world.spec(LEGACY)

    bundle = made(world, create)

    image = bundle.image("legacy")
    assert len(image["sboms"]) == 1
    assert len(image["uncounted"]) == 1
    assert "came first" in image["uncounted"][0]["reason"]
    assert image["uncounted"][0]["manifest"] != image["sboms"][0]["manifest"]


def test_each_platform_has_its_own_sbom_and_the_index_its_provenance(
    world: World, create: Run, grype: FakeTool
) -> None:
    found = platforms(world, WEB)
    for number, one in enumerate(found):
        attest(world, WEB, one, {**BOM, "name": f"{number}"})
    attest(world, WEB, world.images[WEB], built_by(), SLSA)
    world.spec(WEB, scan={}, platforms=["linux/amd64", "linux/arm64"])

    bundle = made(world, create)

    image = bundle.image("web")
    assert [(one["member"], one["subject"]) for one in image["sboms"]] == [
        ("sbom/web/linux-amd64.spdx.json", found[0].digest),
        ("sbom/web/linux-arm64.spdx.json", found[1].digest),
    ]
    (provenance,) = image["provenance"]
    assert provenance["member"] == "attestations/web/index.slsa.json"
    assert provenance["subject"] == world.images[WEB].digest
    assert [one["how"] for one in image["scans"]] == ["sbom", "sbom"]
    assert members(bundle, "sbom/", "scan/", "attestations/") == [
        "sbom/web/linux-amd64.spdx.json",
        "sbom/web/linux-arm64.spdx.json",
        "scan/web/linux-amd64.json",
        "scan/web/linux-arm64.json",
        "attestations/web/index.slsa.json",
    ]


def test_an_sbom_of_an_index_is_kept_yet_no_platform_is_scanned_by_it(
    world: World, create: Run, grype: FakeTool
) -> None:
    attest(world, WEB, world.images[WEB], BOM)
    world.spec(WEB, scan={"gate": {"failOn": "critical"}})

    bundle = made(world, create)

    assert members(bundle, "sbom/") == ["sbom/web/index.spdx.json"]
    assert {one["how"] for one in bundle.image("web")["scans"]} == {"image"}


def test_of_an_index_with_one_platform_left_it_is_the_platforms(
    world: World, create: Run, grype: FakeTool
) -> None:
    attest(world, WEB, world.images[WEB], BOM)
    world.spec(WEB, scan={}, platforms=["linux/amd64"])

    bundle = made(world, create)

    assert members(bundle, "sbom/") == ["sbom/web/linux-amd64.spdx.json"]
    assert [one["how"] for one in bundle.image("web")["scans"]] == ["sbom"]


def test_a_keyless_attestation_counts_and_its_root_travels(
    world: World, create: Run, grype: FakeTool
) -> None:
    image = add_keyless(world, FREE)
    content = attested(image, predicate=BOM)
    sign_keyless(world.repository(FREE), image, "attestation bundle", content=content)
    root = write_root(world)
    world.spec(FREE, verify={"keyless": KEYLESS}, scan={})

    bundle = made(world, create, "--trusted-root", str(root))

    (sbom,) = bundle.image("free")["sboms"]
    assert sbom["verified"]["identity"] == IDENTITY
    assert sbom["verified"]["root"] == trusted_root().digest
    assert bundle.metadata["trustedRoot"]["digest"] == trusted_root().digest
    assert bundle.image("free")["scans"][0]["how"] == "sbom"


def under(world: World, **rules: Any) -> tuple[str, str]:
    """Write a policy that trusts the vendor, with these rules; return the flags for it."""
    world.policy(world.rule("**", key="vendor.pub"), **rules)
    return "--policy", "policy.yaml"


def test_a_policy_may_require_an_sbom(world: World, create: Run) -> None:
    world.spec(LEGACY)
    policy = under(world, sbom={"required": True})

    assert_refused(create(*policy), 3, "no SBOM, which the policy requires", "team/legacy:1.0")

    attest(world, LEGACY, world.images[LEGACY], BOM)
    assert create(*policy).status == 0


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ({"required": True}, 0),
        ({"required": True, "builders": [BUILDER]}, 0),
        ({"required": True, "builders": ["https://example.com/other"]}, 3),
        ({"builders": ["https://example.com/other"]}, 3),
    ],
)
def test_a_policy_may_say_who_must_have_built_an_image(
    world: World, create: Run, rules: dict[str, Any], status: int
) -> None:
    attest(world, LEGACY, world.images[LEGACY], built_by(), SLSA)
    world.spec(LEGACY)

    outcome = create(*under(world, provenance=rules))

    assert outcome.status == status, outcome.err
    if status:
        assert BUILDER in outcome.err
        assert "https://example.com/other" in outcome.err


@pytest.mark.parametrize("builders", [[], [BUILDER]])
def test_a_policy_may_require_provenance(
    world: World, create: Run, builders: Sequence[str]
) -> None:
    world.spec(LEGACY)
    rules = {"required": True, "builders": builders}

    assert_refused(
        create(*under(world, provenance=rules)), 3, "provenance is not what the policy asks for"
    )


def test_every_image_gets_its_own_verdict_in_one_go(
    world: World, create: Run, grype: FakeTool
) -> None:
    """Signed and clean, signed and vulnerable, unsigned: two are refused, each for its reason."""
    attest(world, LEGACY, world.images[LEGACY], BOM)
    world.spec(LEGACY, "team/worker:1.4", UNSIGNED, scan={})

    outcome = create()

    assert_refused(outcome, 3, "2 of 3 images are refused")
    lines = outcome.err.splitlines()
    unsigned = next(line for line in lines if f"unsigned ({world.reference(UNSIGNED)})" in line)
    assert "image is not signed" in unsigned
    vulnerable = next(line for line in lines if "worker (" in line)
    assert "1 vulnerability that the scan gate does not let pass" in vulnerable
    assert "CVE-2099-0001 bash 5.1-1 (high" in outcome.err
    assert "legacy (" not in outcome.err
