import json
from typing import Any

import pytest

from petra.content.descriptor import Descriptor, Platform
from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import ContentRefusedError, FormatError
from petra.oci import media_types
from petra.oci.manifest import SUCCESSOR_LIMIT, parse_manifest


def descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {**Descriptor.of(media_type, data).to_json(), **more}


def image(**changes: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": descriptor(media_types.OCI_CONFIG, b"{}"),
        "layers": [
            descriptor(media_types.OCI_LAYER_GZIP, b"one"),
            descriptor(media_types.OCI_LAYER_GZIP, b"two"),
        ],
        **changes,
    }


def index(**changes: Any) -> dict[str, Any]:
    platform = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    return {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [descriptor(media_types.OCI_MANIFEST, b"child", platform=platform)],
        **changes,
    }


def raw(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_an_image_manifest() -> None:
    data = b"\n " + raw(image(annotations={"a": "b"}))

    manifest = parse_manifest(data, media_types.OCI_MANIFEST, where="x")

    assert manifest.raw == data
    assert manifest.descriptor == Descriptor.of(media_types.OCI_MANIFEST, data)
    assert manifest.config is not None
    assert manifest.config.digest == Digest.of(b"{}")
    assert [layer.digest for layer in manifest.layers] == [Digest.of(b"one"), Digest.of(b"two")]
    assert manifest.successors() == (manifest.config, *manifest.layers)
    assert manifest.annotations == {"a": "b"}
    assert not manifest.is_index
    assert manifest.effective_artifact_type == media_types.OCI_CONFIG


def test_an_index() -> None:
    manifest = parse_manifest(raw(index()), where="x")

    assert manifest.is_index
    assert manifest.config is None
    assert manifest.successors() == manifest.manifests
    assert manifest.manifests[0].platform == Platform("linux", "arm64", "v8")
    assert manifest.effective_artifact_type is None


@pytest.mark.parametrize(
    "media_type", [media_types.DOCKER_MANIFEST, media_types.DOCKER_LIST], ids=["image", "list"]
)
def test_dockers_forms(media_type: str) -> None:
    document = image() if media_type == media_types.DOCKER_MANIFEST else index()

    manifest = parse_manifest(raw({**document, "mediaType": media_type}), media_type, where="x")

    assert manifest.descriptor.media_type == media_type
    assert len(manifest.successors()) in (1, 3)


@pytest.mark.parametrize(
    ("document", "media_type"),
    [(image(), media_types.OCI_MANIFEST), (index(), media_types.OCI_INDEX)],
)
def test_without_a_media_type_the_content_decides(document: Any, media_type: str) -> None:
    del document["mediaType"]

    assert parse_manifest(raw(document), where="x").descriptor.media_type == media_type


def test_parameters_of_the_announced_media_type_are_passed_over() -> None:
    announced = f"{media_types.OCI_INDEX}; charset=utf-8"

    assert parse_manifest(raw(index()), announced, where="x").is_index


def test_a_referrer() -> None:
    subject = descriptor(media_types.OCI_MANIFEST, b"subject")
    document = image(subject=subject, artifactType="application/spdx+json", annotations={"k": "v"})

    manifest = parse_manifest(raw(document), where="x")

    assert manifest.subject is not None
    assert manifest.subject.digest == Digest.of(b"subject")
    shown = manifest.referrer_descriptor()
    assert shown == manifest.descriptor
    assert (shown.artifact_type, shown.annotations) == ("application/spdx+json", {"k": "v"})


def test_a_layer_can_stand_twice() -> None:
    layer = descriptor(media_types.OCI_LAYER_GZIP, b"one")

    assert len(parse_manifest(raw(image(layers=[layer, layer])), where="x").layers) == 2


def test_a_list_that_go_never_filled_is_empty() -> None:
    assert parse_manifest(raw(image(layers=None)), where="x").layers == ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a manifest"),
        ({}, "schemaVersion"),
        (image(schemaVersion=3), "schemaVersion"),
        (image(mediaType=7), "mediaType is not text"),
        (image(mediaType="application/json"), "not a manifest that Petra knows"),
        (image(config=None), "not a descriptor"),
        (image(layers={}), "list of layers"),
        ({"schemaVersion": 2}, "not a descriptor"),
        (image(layers=[{}]), "without a mediaType"),
        (image(layers=[descriptor("nonsense", b"")]), "not a media type"),
        (image(layers=[descriptor("a/b", b"", size=-1)]), "usable size"),
        (image(layers=[descriptor("a/b", b"", size=True)]), "usable size"),
        (image(layers=[descriptor("a/b", b"", size=1 << 60)]), "impossible size"),
        (image(layers=[descriptor("a/b", b"", digest="md5:00")]), "not a sha256 digest"),
        (image(layers=[descriptor("a/b", b"x"), descriptor("a/b", b"x", size=9)]), "two sizes"),
        (image(layers=[descriptor("a/b", b"")] * (SUCCESSOR_LIMIT + 1)), "too many layers"),
        (image(layers=[descriptor(media_types.OCI_MANIFEST, b"")]), "claims to be a manifest"),
        (image(config=descriptor(media_types.OCI_INDEX, b"")), "claims to be a manifest"),
        (image(manifests=[]), "two ways"),
        (index(layers=[]), "two ways"),
        (index(config={}), "two ways"),
        (index(manifests=None, fsLayers=[]), "two ways"),
        (image(annotations=[]), "annotations"),
        (image(annotations={"a": 1}), "annotations"),
        (image(artifactType=1), "artifactType"),
        (image(subject="x"), "not a descriptor"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(document: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        parse_manifest(raw(document), where="cgr.dev/x/y:v1")

    assert "cgr.dev/x/y:v1" in str(caught.value)


def test_another_media_type_than_announced_is_refused() -> None:
    with pytest.raises(FormatError, match="announced as one media type"):
        parse_manifest(raw(image()), media_types.OCI_INDEX, where="x")


def test_duplicate_keys_are_refused() -> None:
    with pytest.raises(FormatError):
        parse_manifest(raw(image())[:-1] + b',"layers":[]}', where="x")


def test_bytes_that_are_no_json_are_refused() -> None:
    with pytest.raises(FormatError):
        parse_manifest(b"\x7fELF", where="x")


def test_a_document_beyond_the_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="too large"):
        parse_manifest(b" " * (DOCUMENT_LIMIT + 1), where="x")


@pytest.mark.parametrize(
    ("document", "announced"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, None),
        ({"schemaVersion": 1}, media_types.DOCKER_SCHEMA1),
        (image(mediaType=media_types.DOCKER_SCHEMA1_SIGNED), None),
        (index(manifests=[descriptor(media_types.DOCKER_SCHEMA1, b"")]), None),
    ],
)
def test_schema_1_is_refused_by_name(document: Any, announced: str | None) -> None:
    with pytest.raises(ContentRefusedError, match="schema 1"):
        parse_manifest(raw(document), announced, where="x")


@pytest.mark.parametrize(
    "layer",
    [
        descriptor(media_types.OCI_LAYER_GZIP, b"", urls=["https://owner.example/layer"]),
        descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b""),
    ],
)
def test_layers_that_others_must_deliver_are_refused(layer: Any) -> None:
    with pytest.raises(ContentRefusedError, match="owner"):
        parse_manifest(raw(image(layers=[layer])), where="x")
