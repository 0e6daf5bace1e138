"""Which images a spec can name, and which platforms of them travel."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from demo import content
from petra.content.digest import Digest
from petra.errors import NotFoundError
from petra.oci import media_types
from petra.oci.registry import RegistryClient
from tests.support.command import assert_refused, names
from tests.support.graphs import push_document
from tests.support.opened import opened
from tests.support.petra_process import Petra
from tests.support.world import (
    AMD64,
    ARM64,
    BASE,
    LEGACY,
    UNSIGNED,
    VENDOR,
    WEB,
    WORKER,
    World,
    layer,
    signer,
)

if TYPE_CHECKING:
    from petra.oci.memory import MemoryTarget
    from tests.support.command import Run

SKIP = {"skip": "not what this test is about"}


def children(world: World, image: str) -> dict[str, Digest]:
    """Return the manifests of an index by platform."""
    with world.repository(image).fetch(world.images[image]) as stream:
        manifests = json.loads(stream.read())["manifests"]
    return {
        "/".join(
            one["platform"][key]
            for key in ("os", "architecture", "variant")
            if key in one["platform"]
        ): Digest(one["digest"])
        for one in manifests
    }


def platforms_of(image: Any, key: str = "platforms") -> list[str]:
    return [str(one) for one in image.get(key, [])]


def index_names(world: World) -> dict[str, str]:
    """Return the digests in ``index.json`` by the names that runtimes know them by."""
    manifests = json.loads(opened(world.bundle).files["index.json"])["manifests"]
    named = [one for one in manifests if "annotations" in one]
    return {one["annotations"]["io.containerd.image.name"]: one["digest"] for one in named}


def test_a_digest_alone_is_a_reference(world: World, create: Run) -> None:
    digest = world.images[WORKER].digest
    world.spec(f"team/worker@{digest}")

    outcome = create("--output", "json")

    assert outcome.status == 0, outcome.err
    (image,) = outcome.json["images"]
    assert image["digest"] == digest
    assert image["reference"] == world.reference(f"team/worker@{digest}")
    assert [*index_names(world)] == [image["reference"]]


def test_a_digest_goes_before_a_tag_that_has_moved(world: World, create: Run) -> None:
    digest = world.images[WORKER].digest
    target = world.repository(WORKER)
    target.tag(content.push_image(target, [layer("newer")]), "1.4")
    world.spec(f"{WORKER}@{digest}")

    outcome = create("--output", "json")

    assert outcome.status == 0, outcome.err
    assert outcome.json["images"][0]["digest"] == digest
    name = world.reference("team/worker")
    assert index_names(world) == {f"{name}:1.4": digest, f"{name}@{digest}": digest}


def test_neither_tag_nor_digest_is_latest(world: World, create: Run) -> None:
    target = world.repository(WORKER)
    target.tag(world.images[WORKER], "latest")
    world.spec("team/worker")

    outcome = create("--output", "json")

    assert outcome.json["images"][0]["reference"] == world.reference("team/worker:latest")
    assert outcome.json["images"][0]["digest"] == world.images[WORKER].digest


def test_one_image_under_two_tags_travels_once(world: World, petra: Run, create: Run) -> None:
    target = world.repository(WORKER)
    target.tag(world.images[WORKER], "stable")
    world.spec(WORKER, "team/worker:stable")

    assert create().status == 0

    bundle = opened(world.bundle)
    assert len(set(bundle.names)) == len(bundle.names)
    assert len(bundle.metadata["images"]) == 2
    digest = world.images[WORKER].digest
    expected = [WORKER, "team/worker:stable", f"team/worker@{digest}"]
    assert index_names(world) == {world.reference(name): digest for name in expected}
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


def test_one_image_from_two_repositories_travels_once(world: World, create: Run) -> None:
    """Each repository serves it, as each had it."""
    copy = world.registry.create("copies/worker")
    image = content.push_image(copy, [BASE, layer("worker", 40_000)])
    assert image == world.images[WORKER]
    copy.tag(image, "1.4")
    world.spec(WORKER, "copies/worker:1.4", verify=SKIP)

    assert create().status == 0

    with (
        Petra(world.folder).serving(world.bundle, world.folder / "ours.pub") as host,
        RegistryClient() as client,
    ):
        for name in ("team/worker", "copies/worker"):
            assert client.repository(host, name).resolve("1.4") == image


def test_all_platforms_travel_unless_some_are_named(world: World, create: Run) -> None:
    world.spec(WEB)
    create()

    bundle = opened(world.bundle)

    assert platforms_of(bundle.image("web")) == ["linux/amd64", "linux/arm64", "linux/arm/v7"]
    assert platforms_of(bundle.image("web"), "absentPlatforms") == []
    for digest in children(world, WEB).values():
        assert bundle.blob(digest)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (["linux/amd64"], ["linux/amd64"]),
        (["linux/arm"], ["linux/arm/v7"]),  # any variant
        (["linux/arm64", "linux/amd64"], ["linux/amd64", "linux/arm64"]),
    ],
)
def test_only_the_named_platforms_travel(
    world: World, petra: Run, create: Run, wanted: list[str], kept: list[str]
) -> None:
    world.spec(WEB, platforms=wanted)
    assert create().status == 0

    bundle = opened(world.bundle)

    found = children(world, WEB)
    absent = [one for one in found if one not in kept]
    assert platforms_of(bundle.image("web")) == kept
    assert platforms_of(bundle.image("web"), "absentPlatforms") == absent
    # The index stays what it was, though some of what it names has stayed behind.
    assert bundle.image("web")["digest"] == world.images[WEB].digest
    assert bundle.blob(world.images[WEB].digest)
    for platform, digest in found.items():
        assert (digest.blob_path in bundle.files) is (platform in kept)
    shown = petra("bundle", "inspect", "-f", world.bundle, "--key", "ours.pub").out
    assert f"left out: {', '.join(absent)}" in shown


def test_a_platform_that_stayed_behind_is_not_served(world: World, create: Run) -> None:
    world.spec(WEB, platforms=["linux/amd64"])
    create()
    found = children(world, WEB)

    with (
        Petra(world.folder).serving(world.bundle, world.folder / "ours.pub") as host,
        RegistryClient() as client,
    ):
        repository = client.repository(host, "team/web")
        assert repository.resolve("1.4") == world.images[WEB]
        assert repository.resolve(found["linux/amd64"]).digest == found["linux/amd64"]
        with pytest.raises(NotFoundError):
            repository.resolve(found["linux/arm64"])


def test_a_platform_that_an_image_lacks_is_told(world: World, create: Run) -> None:
    world.spec(WEB, WORKER, platforms=["linux/amd64", "linux/arm64"])

    outcome = create()

    assert_refused(
        outcome, 1, "linux/arm64", world.reference(WORKER), "linux/amd64", "spec.platforms"
    )
    assert names(world.dist) == []


def test_buildkits_attestations_travel_with_their_platform(world: World, create: Run) -> None:
    """They stand in the index, under the platform unknown/unknown."""
    target = world.registry.create("team/built")
    images = [
        replace(content.push_image(target, [BASE, layer(str(one))], one), platform=one)
        for one in (AMD64, ARM64)
    ]
    notes = [_attestation(target, image.digest) for image in images]
    index = push_document(
        target,
        media_types.OCI_INDEX,
        {"manifests": [image.to_json() for image in images] + notes},
    )
    target.tag(index, "1.0")
    world.spec("team/built:1.0", platforms=["linux/amd64"], verify=SKIP)

    assert create().status == 0

    bundle = opened(world.bundle)
    assert platforms_of(bundle.image("built")) == ["linux/amd64"]
    kept = [Digest(note["digest"]).blob_path in bundle.files for note in notes]
    assert kept == [True, False]


def _attestation(target: MemoryTarget, subject: Digest) -> dict[str, Any]:
    note = content.push_document(
        target,
        media_types.OCI_MANIFEST,
        config=content.push(target, media_types.OCI_CONFIG, b"{}").to_json(),
        layers=[
            content.push(target, media_types.IN_TOTO, f'{{"of":"{subject}"}}'.encode()).to_json()
        ],
    )
    return {
        **note.to_json(),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject,
        },
    }


def test_a_signature_of_one_platforms_manifest_travels_too(world: World, create: Run) -> None:
    """But it does not vouch for the index."""
    target = world.repository(WEB)
    children_ = children(world, WEB)
    child = target.resolve(children_["linux/amd64"])
    content.sign_by_referrer(target, child, signer(VENDOR))
    world.spec(WEB)

    assert create().status == 0

    attachments = opened(world.bundle).image("web")["attachments"]
    assert {one["subject"] for one in attachments} == {world.images[WEB].digest, child.digest}


def test_a_signed_platform_does_not_vouch_for_an_unsigned_index(world: World, create: Run) -> None:
    target = world.registry.create("team/half")
    child = replace(content.push_image(target, [layer("half")]), platform=AMD64)
    content.sign_by_referrer(target, child, signer(VENDOR))
    index = push_document(target, media_types.OCI_INDEX, {"manifests": [child.to_json()]})
    target.tag(index, "1.0")
    world.spec("team/half:1.0")

    assert_refused(create(), 3, world.reference("team/half:1.0"), "not signed")
    assert names(world.dist) == []


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("a", WEB), ("a", WORKER)], "'a' stands twice"),
        ([("a", WEB), ("b", WEB)], "stands twice"),
        ([("a", "Team/Web:1.4")], "Team/Web"),
        ([("a", "team/web@sha256:12")], "sha256"),
        ([("a", "team/web:")], "team/web:"),
        ([("", WEB)], "name"),
    ],
)
def test_images_that_cannot_be_meant(
    world: World, create: Run, entries: list[tuple[str, str]], says: str
) -> None:
    images = [{"name": name, "image": world.reference(image)} for name, image in entries]
    world.spec(images=images)

    assert_refused(create(), 2, "bundle.yaml:", says)


def test_an_image_of_no_layers(world: World, petra: Run, create: Run) -> None:
    target = world.registry.create("team/empty")
    target.tag(content.push_image(target, []), "1.0")
    world.spec("team/empty:1.0", verify=SKIP)

    assert create().status == 0
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


def test_an_artifact_is_carried_like_an_image(world: World, create: Run) -> None:
    """A policy bundle, a Flux artifact: any manifest with layers, for no platform."""
    target = world.registry.create("team/policy")
    manifest = content.push_document(
        target,
        media_types.OCI_MANIFEST,
        artifactType="application/vnd.example.policy",
        config=content.push(target, media_types.OCI_EMPTY, b"{}").to_json(),
        layers=[content.push(target, "application/vnd.example.rego", b"package x").to_json()],
    )
    target.tag(manifest, "1.0")
    world.spec("team/policy:1.0", LEGACY, UNSIGNED, verify=SKIP, platforms=None)

    assert create().status == 0

    bundle = opened(world.bundle)
    assert platforms_of(bundle.image("policy")) == []
    assert bundle.blob(Digest.of(b"package x")) == b"package x"
    lock = yaml.safe_load(bundle.files["bundle.lock.yaml"])
    assert len(lock["images"]) == 3
