"""Graphs of content for tests: images, indexes and what refers to them, small and made up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from petra.content.descriptor import Descriptor, Platform
from petra.content.stream import BytesStream
from petra.oci import media_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.content.protocols import Storage

PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64", "v8"))


def push(target: Storage, media_type: str, data: bytes) -> Descriptor:
    """Push `data` and return its descriptor."""
    descriptor = Descriptor.of(media_type, data)
    target.push(descriptor, BytesStream(data))
    return descriptor


def push_document(target: Storage, media_type: str, document: Mapping[str, Any]) -> Descriptor:
    """Push a manifest or index."""
    whole = {"schemaVersion": 2, "mediaType": media_type, **document}
    return push(target, media_type, json.dumps(whole, indent=3).encode())


def push_image(
    target: Storage,
    name: str = "app",
    layers: Sequence[bytes] = (b"base", b"top"),
    platform: Platform = PLATFORMS[0],
) -> Descriptor:
    """Push an image whose config names `name`; returns its manifest's descriptor."""
    config = {
        "os": platform.os,
        "architecture": platform.architecture,
        "config": {"Labels": {"name": name}},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    parts = {
        "config": push(target, media_types.OCI_CONFIG, json.dumps(config).encode()).to_json(),
        "layers": [push(target, media_types.OCI_LAYER_GZIP, data).to_json() for data in layers],
    }
    return push_document(target, media_types.OCI_MANIFEST, parts)


def push_index(target: Storage, name: str = "app") -> Descriptor:
    """Push an image for two platforms that share their first layer; returns its index."""
    children = [
        replace(
            push_image(target, name, (b"shared", str(platform).encode()), platform),
            platform=platform,
        )
        for platform in PLATFORMS
    ]
    return push_document(
        target, media_types.OCI_INDEX, {"manifests": [child.to_json() for child in children]}
    )


def push_referrer(
    target: Storage,
    subject: Descriptor,
    *,
    artifact_type: str | None = "application/spdx+json",
    content: bytes = b'{"spdx":1}',
    layer_type: str = "application/spdx+json",
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Push something that refers to `subject`; returns its manifest's descriptor."""
    document: dict[str, Any] = {
        "config": push(target, media_types.OCI_EMPTY, b"{}").to_json(),
        "layers": [push(target, layer_type, content).to_json()],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
    }
    if artifact_type:
        document["artifactType"] = artifact_type
    if annotations:
        document["annotations"] = dict(annotations)
    return push_document(target, media_types.OCI_MANIFEST, document)


def push_tagged(
    target: Any, subject: Descriptor, ending: str, layer_type: str, content: bytes
) -> Descriptor:
    """Push what cosign keeps under ``sha256-HEX.ending``; returns its manifest's descriptor."""
    document = {
        "config": push(target, media_types.OCI_CONFIG, b"{}").to_json(),
        "layers": [push(target, layer_type, content).to_json()],
    }
    descriptor = push_document(target, media_types.OCI_MANIFEST, document)
    target.tag(descriptor, f"sha256-{subject.digest.hex}{ending}")
    return descriptor
