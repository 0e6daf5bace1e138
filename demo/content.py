"""Small real content, made here: OCI images, their signatures in both of cosign's forms, a chart.

The same calls give the same bytes, but for the signatures: ECDSA has a random part.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.content.descriptor import Descriptor, Platform
from petra.content.digest import Digest
from petra.content.stream import BytesStream
from petra.encoding.yaml import dump_yaml
from petra.oci import media_types
from petra.trust.dsse import pae
from petra.trust.image import (
    CRITICAL_TYPE,
    SIGN_PREDICATE,
    SIGNATURE_ANNOTATION,
    STATEMENT_TYPE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from petra.content.protocols import Target
    from petra.trust.signer import Signer

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
_MODE = 0o644
_SBOM_TYPE = "application/spdx+json"


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return `files`, contents by path, as an uncompressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), _MODE
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def compressed(data: bytes) -> bytes:
    """Return `data` under gzip, without a time stamp."""
    return gzip.compress(data, mtime=0)


@dataclass(frozen=True)
class Layer:
    """A layer: its compressed bytes, and the digest of the plain ones that a config lists."""

    data: bytes
    diff_id: Digest

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Layer:
        """Return the layer that holds `files`."""
        plain = archive(files)
        return cls(compressed(plain), Digest.of(plain))


def push(target: Target, media_type: str, data: bytes) -> Descriptor:
    """Push `data`; return its descriptor."""
    descriptor = Descriptor.of(media_type, data)
    target.push(descriptor, BytesStream(data))
    return descriptor


def push_document(target: Target, media_type: str, **parts: Any) -> Descriptor:
    """Push a manifest or an index of these parts."""
    document = {"schemaVersion": 2, "mediaType": media_type, **parts}
    return push(target, media_type, json.dumps(document, separators=(",", ":")).encode())


def push_image(target: Target, layers: Iterable[Layer], platform: Platform = AMD64) -> Descriptor:
    """Push an image for one platform; return its manifest's descriptor."""
    layers = list(layers)
    config = {
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {"Cmd": ["/srv/app"], "Labels": {"org.opencontainers.image.vendor": "Demo"}},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    return push_document(
        target,
        media_types.OCI_MANIFEST,
        config=push(target, media_types.OCI_CONFIG, json.dumps(config).encode()).to_json(),
        layers=[push(target, media_types.OCI_LAYER_GZIP, layer.data).to_json() for layer in layers],
    )


def push_index(target: Target, images: Mapping[Platform, Descriptor]) -> Descriptor:
    """Push an index of images by platform; return its descriptor."""
    children = [
        {
            **image.to_json(),
            "platform": {"os": platform.os, "architecture": platform.architecture},
        }
        for platform, image in images.items()
    ]
    return push_document(target, media_types.OCI_INDEX, manifests=children)


def sign_by_tag(target: Target, image: Descriptor, name: str, signer: Signer) -> None:
    """Sign `image` in cosign's older form: a manifest under the tag ``sha256-HEX.sig``."""
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": image.digest},
        "type": CRITICAL_TYPE,
    }
    payload = json.dumps({"critical": critical, "optional": None}).encode()
    layer = push(target, media_types.COSIGN_SIMPLE_SIGNING, payload).to_json()
    layer["annotations"] = {SIGNATURE_ANNOTATION: _text(signer.sign_digest(Digest.of(payload)))}
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    manifest = push_document(
        target,
        media_types.OCI_MANIFEST,
        config=push(target, media_types.OCI_CONFIG, config).to_json(),
        layers=[layer],
    )
    target.tag(manifest, f"sha256-{image.digest.hex}.sig")


def sign_by_referrer(target: Target, image: Descriptor, signer: Signer) -> None:
    """Sign `image` in cosign's newer form: a Sigstore bundle whose manifest refers to it."""
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"digest": {"sha256": image.digest.hex}}],
        "predicateType": SIGN_PREDICATE,
        "predicate": {},
    }
    payload = json.dumps(statement).encode()
    signature = signer.sign_digest(Digest.of(pae(media_types.IN_TOTO, payload)))
    bundle = {
        "mediaType": media_types.SIGSTORE_BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": signer.public_key.hint}},
        "dsseEnvelope": {
            "payload": _text(payload),
            "payloadType": media_types.IN_TOTO,
            "signatures": [{"sig": _text(signature)}],
        },
    }
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": SIGN_PREDICATE,
    }
    attach(target, image, media_types.SIGSTORE_BUNDLE, json.dumps(bundle).encode(), annotations)


def attach_sbom(target: Target, image: Descriptor, name: str) -> None:
    """Attach a (very short) SPDX list of parts to `image`, as an OCI referrer."""
    sbom = {"spdxVersion": "SPDX-2.3", "name": name, "packages": []}
    attach(target, image, _SBOM_TYPE, json.dumps(sbom).encode())


def attach(
    target: Target,
    image: Descriptor,
    kind: str,
    data: bytes,
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Attach `data` of a media type to `image`, as an OCI referrer; return its manifest."""
    return push_document(
        target,
        media_types.OCI_MANIFEST,
        artifactType=kind,
        config=push(target, media_types.OCI_EMPTY, b"{}").to_json(),
        layers=[push(target, kind, data).to_json()],
        subject=Descriptor(image.media_type, image.digest, image.size).to_json(),
        annotations=dict(annotations or {}),
    )


def chart(name: str, version: str, image: str) -> bytes:
    """Return the ``.tgz`` of a chart that runs `image`, a reference."""
    metadata = {
        "apiVersion": "v2",
        "name": name,
        "version": version,
        "appVersion": version,
        "description": "One deployment, for the demo.",
        "type": "application",
    }
    files = {
        "Chart.yaml": dump_yaml(metadata),
        "values.yaml": dump_yaml({"image": image, "replicas": 2}),
        "templates/deployment.yaml": _DEPLOYMENT.encode(),
    }
    return compressed(archive({f"{name}/{path}": data for path, data in files.items()}))


_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: "{{ .Release.Name }}"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}"}}
    spec:
      containers:
        - {name: main, image: "{{ .Values.image }}"}
"""


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def release(chart: str, version: str, repository: str) -> list[dict[str, Any]]:
    """Return Flux manifests that run a chart: where it is, and the HelmRelease."""
    source = {"kind": "HelmRepository", "name": "charts"}
    return [
        {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmRepository",
            "metadata": {"name": "charts", "namespace": "flux-system"},
            "spec": {"interval": "1h", "url": repository},
        },
        {
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease",
            "metadata": {"name": chart, "namespace": "flux-system"},
            "spec": {
                "interval": "1h",
                "chart": {"spec": {"chart": chart, "version": version, "sourceRef": source}},
            },
        },
    ]
