import pytest

from petra.oci import media_types


def test_manifests_and_indexes_of_both_kinds() -> None:
    assert all(map(media_types.is_manifest, media_types.ACCEPTED_MANIFESTS))
    assert media_types.is_index(media_types.OCI_INDEX)
    assert media_types.is_index(media_types.DOCKER_LIST)
    assert not media_types.is_index(media_types.OCI_MANIFEST)
    assert not media_types.is_manifest(media_types.OCI_CONFIG)


def test_schema_1_is_no_manifest() -> None:
    assert media_types.is_schema1(media_types.DOCKER_SCHEMA1_SIGNED)
    assert not media_types.is_manifest(media_types.DOCKER_SCHEMA1_SIGNED)


def test_configs_and_layers() -> None:
    assert media_types.is_image_config(media_types.DOCKER_CONFIG)
    assert media_types.is_layer(media_types.OCI_LAYER_ZSTD)
    assert not media_types.is_layer(media_types.HELM_CHART)


@pytest.mark.parametrize(
    "text",
    [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    ],
)
def test_foreign_layers(text: str) -> None:
    assert media_types.is_foreign_layer(text)
    assert not media_types.is_layer(text)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (media_types.SIGSTORE_BUNDLE, True),
        ("application/vnd.dev.sigstore.bundle+json;version=0.2", True),
        ("text/spdx", True),
        ("text", False),
        ("a/b/c", False),
        ("a/b\r\nX: y", False),
        ("a/b\n", False),
        ("a/" + "b" * 200, False),
    ],
)
def test_form_of_media_types(text: str, *, good: bool) -> None:
    assert media_types.is_media_type(text) is good
