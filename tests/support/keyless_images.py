"""Images with keyless signatures, in a connected side's registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from demo import content
from petra.oci import media_types
from tests.support.fake_sigstore import IDENTITY, ISSUER, trusted_root
from tests.support.graphs import push, push_document, push_referrer
from tests.support.keyless import SPDX, make
from tests.support.world import BASE, layer

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.oci.memory import MemoryTarget
    from tests.support.world import World

SIGNER = {"issuer": ISSUER, "identity": IDENTITY}
#: What a document says of images by that signer.
KEYLESS: dict[str, Any] = {"identities": [SIGNER]}
_STATEMENT = {
    "dev.sigstore.bundle.content": "dsse-envelope",
    "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
}


def write_root(world: World, file: str = "trusted_root.json") -> Path:
    """Write the trusted root of the instance that signs here."""
    path = world.folder / file
    path.write_bytes(trusted_root().data)
    return path


def add_keyless(
    world: World, name: str, form: Literal["tag", "bundle"] = "bundle", **signing: Any
) -> Descriptor:
    """Push an image, ``REPOSITORY:TAG``, with a keyless signature; `signing` is how it is made."""
    target = world.repository(name)
    image = content.push_image(target, [BASE, layer(name)])
    sign_keyless(target, image, form, **signing)
    target.tag(image, name.partition(":")[2])
    world.images[name] = image
    return image


def sign_keyless(
    target: MemoryTarget,
    image: Descriptor,
    form: Literal["tag", "bundle", "attestation bundle"],
    **signing: Any,
) -> None:
    """Sign an image as cosign does without a key, in the older form (tag) or the newer.

    An attestation, in the newer form, says what `signing` has for its content.
    """
    document = make(form, **({"subject": image, "refers_to": image} | signing))
    (data,) = document.payloads.values()
    if form != "tag":
        kind = media_types.SIGSTORE_BUNDLE
        attested = {**_STATEMENT, "dev.sigstore.bundle.predicateType": SPDX}
        push_referrer(
            target,
            image,
            artifact_type=kind,
            layer_type=kind,
            content=data,
            annotations=_STATEMENT if form == "bundle" else attested,
        )
        return
    (described,) = document.manifest.layers
    push(target, described.media_type, data)
    value = {
        "config": push(target, media_types.OCI_CONFIG, b"{}").to_json(),
        "layers": [described.to_json()],
    }
    manifest = push_document(target, media_types.OCI_MANIFEST, value)
    target.tag(manifest, f"sha256-{image.digest.hex}.sig")
