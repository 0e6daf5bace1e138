"""Attestations of images in a connected side's registry, signed with a key, in both forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from petra.oci import media_types
from tests.support import signing
from tests.support.graphs import push_referrer, push_tagged
from tests.support.world import VENDOR

if TYPE_CHECKING:
    from petra.content.descriptor import Descriptor
    from tests.support.world import World

SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
SLSA = "https://slsa.dev/provenance/v1"
BUILDER = "https://example.com/builder"


def attest(
    world: World,
    repository: str,
    subject: Descriptor,
    predicate: Any,
    kind: str = SPDX,
    *,
    by: str = VENDOR,
    form: Literal["tag", "bundle"] = "bundle",
) -> Descriptor:
    """Attest something about an image; return the attachment's manifest.

    Args:
        world: whose registry holds it.
        repository: where the image is.
        subject: the image, or one of its platforms.
        predicate: what is stated.
        kind: the predicate's type.
        by: whose key signs.
        form: cosign's older form, or the newer.
    """
    statement = signing.statement(subject, predicateType=kind, predicate=predicate)
    envelope = signing.envelope(signing.key(by), statement)
    target = world.repository(repository)
    if form == "tag":
        content = json.dumps(envelope).encode()
        return push_tagged(target, subject, ".att", media_types.DSSE_ENVELOPE, content)
    bundle = signing.bundle(signing.key(by), dsseEnvelope=envelope)
    return push_referrer(
        target,
        subject,
        artifact_type=media_types.SIGSTORE_BUNDLE,
        layer_type=media_types.SIGSTORE_BUNDLE,
        content=json.dumps(bundle).encode(),
        annotations={
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": kind,
        },
    )


def built_by(builder: str = BUILDER) -> dict[str, Any]:
    """Return a provenance predicate."""
    return {
        "buildDefinition": {"buildType": "https://example.com/build", "externalParameters": {}},
        "runDetails": {"builder": {"id": builder}},
    }
