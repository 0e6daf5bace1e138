"""Sources that lie, lack, or are damaged: refused by name, and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from demo import content
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.oci import media_types
from tests.support import signing
from tests.support.command import Outcome, assert_refused, names
from tests.support.front import Front, flipped, shorter, status
from tests.support.graphs import push_document, push_referrer
from tests.support.scripted_server import Received, Reply
from tests.support.world import (
    BASE,
    FOREIGN,
    LEGACY,
    NAME,
    UNSIGNED,
    VENDOR,
    WEB,
    WORKER,
    World,
    layer,
    layers_of,
    signer,
)

if TYPE_CHECKING:
    from petra.oci.memory import MemoryTarget
    from tests.support.command import Run

FILES = [f"{NAME}.tar.zst{end}" for end in ("", ".intoto.json", ".sig", ".sigstore.json")]
SKIP = {"skip": "not what this test is about"}
Refused: TypeAlias = Callable[..., Outcome]


@pytest.fixture
def refused(world: World, create: Run) -> Refused:
    """Check that `create` refuses, and leaves the folder as it is, empty or with a bundle."""

    def check(expected: int, *says: str) -> Outcome:
        outcome = create()
        assert_refused(outcome, expected, *says)
        assert names(world.dist) == []

        world.dist.mkdir(exist_ok=True)
        older = {name: f"older {name}".encode() for name in FILES}
        for name, data in older.items():
            (world.dist / name).write_bytes(data)
        assert create().status == expected
        assert {path.name: path.read_bytes() for path in world.dist.iterdir()} == older
        return outcome

    return check


def manifest_of(world: World, image: str) -> Any:
    with world.repository(image).fetch(world.images[image]) as stream:
        return json.loads(stream.read())


def part_of(world: World, image: str, what: str) -> str:
    """Return the digest of a layer, the config or a child."""
    manifest = manifest_of(world, image)
    part = {
        "layer": lambda: manifest["layers"][0],
        "config": lambda: manifest["config"],
        "child": lambda: manifest["manifests"][0],
    }[what]()
    return str(part["digest"])


# What is not there.


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("team/web:9.9", "team/web:9.9"),
        ("team/absent:1.0", "team/absent:1.0"),
        ("team/web", "team/web:latest"),
        (f"team/web@{Digest.of(b'nothing')}", f"team/web@{Digest.of(b'nothing')}"),
    ],
)
def test_an_unknown_tag_or_digest(world: World, refused: Refused, image: str, full: str) -> None:
    world.spec(WORKER, image)

    refused(1, f"{world.reference(full)} is not there", "check the name")


@pytest.mark.parametrize("what", ["layer", "config", "child"])
def test_a_part_of_an_image_that_is_gone(
    world: World, front: Front, refused: Refused, what: str
) -> None:
    image = WEB if what == "child" else WORKER
    manifest = manifest_of(world, image)
    parts = {"layer": "layers", "child": "manifests"}
    digest = (
        manifest["config"]["digest"] if what == "config" else manifest[parts[what]][0]["digest"]
    )
    front.fault(digest, status(404))
    world.spec(image, host=front.host)

    refused(1, f"{front.host}/{image.partition(':')[0]}", digest)


def test_a_digest_of_the_wrong_kind_of_thing(world: World, refused: Refused) -> None:
    """A layer is no image, though its digest is there."""
    world.spec(f"team/worker@{layers_of(world, WORKER)[0].digest}")

    refused(1, "team/worker@sha256:")


# What is another thing than it says.


def test_a_manifest_of_another_digest_than_the_tags(
    world: World, front: Front, refused: Refused
) -> None:
    front.fault("GET .*/manifests/", flipped)
    world.spec(WORKER, host=front.host)

    refused(3, world.images[WORKER].digest, f"{front.host}/team/worker")


def test_a_registry_that_announces_another_digest(
    world: World, front: Front, refused: Refused
) -> None:
    def lie(_: Received, good: Reply) -> Reply:
        good.headers["Docker-Content-Digest"] = Digest.of(b"another")
        return good

    front.fault("HEAD .*/manifests/sha256:", lie)
    world.spec(f"team/worker@{world.images[WORKER].digest}", host=front.host)

    refused(3, world.images[WORKER].digest, Digest.of(b"another"))


@pytest.mark.parametrize("what", ["layer", "config", "child"])
def test_content_of_another_digest(world: World, front: Front, refused: Refused, what: str) -> None:
    image = WEB if what == "child" else WORKER
    manifest = manifest_of(world, image)
    parts = {"layer": "layers", "child": "manifests"}
    digest = (
        manifest["config"]["digest"] if what == "config" else manifest[parts[what]][0]["digest"]
    )
    front.fault(f"GET .*{digest}", flipped)
    world.spec(image, host=front.host)

    refused(3, digest, f"{front.host}/{image.partition(':')[0]}")


def test_a_truncated_blob(world: World, front: Front, refused: Refused) -> None:
    digest = layers_of(world, WORKER)[-1].digest
    front.fault(f"GET .*{digest}", shorter(1000))
    world.spec(WORKER, host=front.host)

    refused(3, digest, f"{front.host}/team/worker", "bytes")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_blob_that_goes_on_too_long(
    world: World, front: Front, refused: Refused, *, announced: bool
) -> None:
    digest = layers_of(world, WORKER)[-1].digest

    def fault(_: Received, good: Reply) -> Reply:
        return Reply(good.status, good.body + b"more", good.headers, chunked=not announced)

    front.fault(f"GET .*{digest}", fault)
    world.spec(WORKER, host=front.host)

    refused(3, digest, "bytes")


def test_a_small_document_that_goes_on_for_ever(
    world: World, front: Front, refused: Refused
) -> None:
    digest = manifest_of(world, WORKER)["config"]["digest"]
    front.fault(f"GET .*{digest}", lambda _r, _g: Reply(200, b"x" * 65536, endless=True))
    world.spec(WORKER, host=front.host)

    refused(3, digest)
    assert front.server.sent < 64 * 1024 * 1024


# What is no image.


def _schema1(_: MemoryTarget) -> tuple[str, bytes]:
    value = {"schemaVersion": 1, "name": "team/odd", "tag": "1", "fsLayers": [], "history": []}
    return media_types.DOCKER_SCHEMA1, json.dumps(value).encode()


def _garbage(_: MemoryTarget) -> tuple[str, bytes]:
    return media_types.OCI_MANIFEST, b"<html>proxy login</html>"


def _no_layers(_: MemoryTarget) -> tuple[str, bytes]:
    value = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST}
    return media_types.OCI_MANIFEST, json.dumps(value).encode()


def _says_another(target: MemoryTarget) -> tuple[str, bytes]:
    value = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}
    return media_types.OCI_MANIFEST, json.dumps(value).encode()


def _foreign(target: MemoryTarget) -> tuple[str, bytes]:
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    one = Descriptor.of(kind, b"elsewhere").to_json() | {"urls": ["https://elsewhere.example/x"]}
    return media_types.DOCKER_MANIFEST, _manifest(target, media_types.DOCKER_MANIFEST, [one])


def _two_sizes(target: MemoryTarget) -> tuple[str, bytes]:
    one = content.push(target, media_types.OCI_LAYER_GZIP, BASE.data).to_json()
    other = {**one, "size": one["size"] + 1}
    return media_types.OCI_MANIFEST, _manifest(target, media_types.OCI_MANIFEST, [one, other])


def _negative(target: MemoryTarget) -> tuple[str, bytes]:
    one = content.push(target, media_types.OCI_LAYER_GZIP, BASE.data).to_json() | {"size": -1}
    return media_types.OCI_MANIFEST, _manifest(target, media_types.OCI_MANIFEST, [one])


def _sha512(target: MemoryTarget) -> tuple[str, bytes]:
    one = content.push(target, media_types.OCI_LAYER_GZIP, BASE.data).to_json()
    one["digest"] = f"sha512:{'0' * 128}"
    return media_types.OCI_MANIFEST, _manifest(target, media_types.OCI_MANIFEST, [one])


def _escaping(target: MemoryTarget) -> tuple[str, bytes]:
    one = content.push(target, media_types.OCI_LAYER_GZIP, BASE.data).to_json()
    one["digest"] = "sha256:../../../../etc/passwd"
    return media_types.OCI_MANIFEST, _manifest(target, media_types.OCI_MANIFEST, [one])


def _too_large(target: MemoryTarget) -> tuple[str, bytes]:
    value = {"schemaVersion": 2, "annotations": {"x": "y" * 5_000_000}}
    return media_types.OCI_MANIFEST, json.dumps(value).encode()


def _too_deep(target: MemoryTarget) -> tuple[str, bytes]:
    return media_types.OCI_MANIFEST, b'{"schemaVersion":2,"layers":' + b"[" * 100_000


def _manifest(target: MemoryTarget, kind: str, layers: list[Any]) -> bytes:
    config = content.push(target, media_types.OCI_CONFIG, b"{}").to_json()
    value = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_schema1, "schema"),
        (_garbage, "JSON"),
        (_no_layers, "config"),
        (_says_another, "media type"),
        (_foreign, "foreign"),
        (_two_sizes, "two sizes"),
        (_negative, "size"),
        (_sha512, "sha256"),
        (_escaping, "sha256"),
        (_too_large, "large"),
        (_too_deep, "nested"),
    ],
)
def test_a_manifest_that_is_none(
    world: World,
    front: Front,
    refused: Refused,
    make: Callable[[MemoryTarget], tuple[str, bytes]],
    says: str,
) -> None:
    kind, body = make(world.repository(WORKER))
    headers = {"Content-Type": kind, "Docker-Content-Digest": Digest.of(body)}
    front.fault("/manifests/1.4", lambda _r, _g: Reply(200, body, headers))
    front.fault(f"/manifests/{Digest.of(body)}", lambda _r, _g: Reply(200, body, headers))
    world.spec(WORKER, host=front.host, verify=SKIP)

    refused(3, says, "team/worker")


def test_an_index_within_itself_or_too_deep(world: World, refused: Refused) -> None:
    target = world.registry.create("team/deep")
    inner = content.push_image(target, [BASE])
    for _ in range(40):
        inner = push_document(target, media_types.OCI_INDEX, {"manifests": [inner.to_json()]})
    target.tag(inner, "1.0")
    world.spec("team/deep:1.0", verify=SKIP)

    refused(3, "team/deep")


# Signatures.


def test_an_unsigned_image(world: World, refused: Refused) -> None:
    world.spec(WEB, UNSIGNED)

    refused(3, f"unsigned ({world.reference(UNSIGNED)})", "not signed")


def test_an_image_signed_by_another_key(world: World, refused: Refused) -> None:
    world.spec(WEB, FOREIGN)

    refused(3, f"foreign ({world.reference(FOREIGN)})", "none of the given keys")


@pytest.mark.parametrize("image", [WEB, WORKER])
def test_a_signature_that_was_moved_from_another_image(
    world: World, refused: Refused, image: str
) -> None:
    """Under the right tag, or with the right subject, but over another digest."""
    target = world.registry.create("team/victim")
    victim = content.push_image(target, [layer("victim")])
    target.tag(victim, "1.0")
    other = content.push_image(target, [layer("other")])
    if image == WEB:
        content.sign_by_tag(target, other, "team/victim", signer(VENDOR))
        moved = target.resolve(f"sha256-{other.digest.hex}.sig")
        target.tag(moved, f"sha256-{victim.digest.hex}.sig")
    else:
        key, statement = signing.key(VENDOR), signing.statement(other)
        value = signing.bundle(key, dsseEnvelope=signing.envelope(key, statement))
        kind = media_types.SIGSTORE_BUNDLE
        data = json.dumps(value).encode()
        more = {"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"}
        push_referrer(
            target, victim, artifact_type=kind, content=data, layer_type=kind, annotations=more
        )
    world.spec("team/victim:1.0")

    refused(3, f"victim ({world.reference('team/victim:1.0')})", "another image")


def test_a_signature_whose_payload_was_changed(
    world: World, front: Front, refused: Refused
) -> None:
    manifest = world.repository(WEB).resolve(f"sha256-{world.images[WEB].digest.hex}.sig")
    with world.repository(WEB).fetch(manifest) as stream:
        payload = json.loads(stream.read())["layers"][0]["digest"]
    front.fault(f"blobs/{payload}", flipped)
    world.spec(WEB, host=front.host)

    refused(3, payload)


def test_a_list_of_referrers_that_is_garbage(world: World, front: Front, refused: Refused) -> None:
    headers = {"Content-Type": media_types.OCI_INDEX}
    front.fault("/referrers/", lambda _r, _g: Reply(200, b"[]", headers))
    world.spec(WORKER, host=front.host)

    refused(3, "referrers", world.images[WORKER].digest)


def test_one_bad_image_of_many_stops_it_all(world: World, refused: Refused) -> None:
    world.spec(WEB, WORKER, LEGACY, UNSIGNED)

    outcome = refused(3, "unsigned")

    assert "team/web" not in outcome.err


def test_errors_are_json_where_json_was_asked_for(world: World, create: Run) -> None:
    world.spec(UNSIGNED)

    outcome = create("--output", "json")

    assert outcome.status == 3
    error = outcome.json["error"]
    assert error["code"] == "SIGNATURE"
    assert world.reference(UNSIGNED) in error["where"]
    assert error["next"]
