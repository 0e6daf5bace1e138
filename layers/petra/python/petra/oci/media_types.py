"""Media types of OCI and Docker, and of what refers to images."""

from __future__ import annotations

import re
from typing import Final

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"

DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD: Final = "application/vnd.docker.image.rootfs.diff.tar.zstd"
DOCKER_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"

HELM_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HELM_PROVENANCE: Final = "application/vnd.cncf.helm.chart.provenance.v1.prov"

FLUX_CONFIG: Final = "application/vnd.cncf.flux.config.v1+json"
FLUX_CONTENT: Final = "application/vnd.cncf.flux.content.v1.tar+gzip"

COSIGN_SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
COSIGN_SIGNATURE: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
COSIGN_ATTESTATION: Final = "application/vnd.dev.cosign.artifact.att.v1+json"
COSIGN_SBOM: Final = "application/vnd.dev.cosign.artifact.sbom.v1+json"
SIGSTORE_BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
DSSE_ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
IN_TOTO: Final = "application/vnd.in-toto+json"

OCTET_STREAM: Final = "application/octet-stream"
JSON: Final = "application/json"

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
IMAGE_MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
SCHEMA1: Final = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
#: For the Accept header of a request for a manifest, in order of preference.
ACCEPTED_MANIFESTS: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

_CONFIGS: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_LAYERS: Final = frozenset(
    {
        OCI_LAYER,
        OCI_LAYER_GZIP,
        OCI_LAYER_ZSTD,
        DOCKER_LAYER,
        DOCKER_LAYER_GZIP,
        DOCKER_LAYER_ZSTD,
    }
)
_FOREIGN: Final = re.compile(
    r"application/vnd\.(oci\.image\.layer\.nondistributable\.v1\.tar"
    r"|docker\.image\.rootfs\.foreign\.diff\.tar)([.+](gzip|zstd))?"
)
# RFC 6838, section 4.2; some signers put a parameter (";version=0.2") into theirs.
_FORM: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
    r"(; ?[A-Za-z0-9_.-]{1,64}=[A-Za-z0-9_.+-]{1,64}){0,4}"
)


def is_index(media_type: str) -> bool:
    """Say whether `media_type` is an OCI index or a Docker manifest list."""
    return media_type in INDEXES


def is_manifest(media_type: str) -> bool:
    """Say whether `media_type` lives under ``/manifests/``: an image manifest or an index."""
    return media_type in IMAGE_MANIFESTS or media_type in INDEXES


def is_schema1(media_type: str) -> bool:
    """Say whether `media_type` is Docker's schema 1, which nothing here accepts."""
    return media_type in SCHEMA1


def is_image_config(media_type: str) -> bool:
    """Say whether `media_type` is the config of something that a container can run."""
    return media_type in _CONFIGS


def is_layer(media_type: str) -> bool:
    """Say whether `media_type` is a file system layer whose bytes the registry itself holds."""
    return media_type in _LAYERS


def is_foreign_layer(media_type: str) -> bool:
    """Say whether `media_type` is a layer that only its owner may give out."""
    return _FOREIGN.fullmatch(media_type) is not None


def is_media_type(text: str) -> bool:
    """Say whether `text` has the form of a media type (RFC 6838, section 4.2)."""
    return _FORM.fullmatch(text) is not None
