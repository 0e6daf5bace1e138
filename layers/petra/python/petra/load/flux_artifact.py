"""Platform manifests as the OCI artifact that Flux's OCIRepository reads."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from petra.archive import tar
from petra.archive.framing import GzipFraming
from petra.archive.zstd import Frame
from petra.bundle.fields import time_text
from petra.content.digest import Digest
from petra.encoding.json import canonical_json
from petra.oci.artifact import Artifact, Part
from petra.oci.media_types import FLUX_CONFIG, FLUX_CONTENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.bundle.platform import PlatformFiles
    from petra.load.destination import OpenBundle

_FOLDER = "platform/"


def manifests_tree(files: PlatformFiles) -> dict[str, bytes]:
    """Return the manifests by their path in what Flux reads: ``base/…`` and ``observability/…``."""
    return {name.removeprefix(_FOLDER): data for name, data in sorted(files.files.items())}


def tree_digest(files: PlatformFiles) -> Digest:
    """Return the digest of the manifests, as one archive of them has it."""
    return Digest.of(_tar(manifests_tree(files)))


def flux_artifact(files: PlatformFiles, bundle: OpenBundle) -> Artifact:
    """Return the manifests as an artifact, a pure function of them and of the bundle.

    The layer depends on the manifests alone. It is stored, not deflated, since another zlib would
    give other bytes, and Flux accepts it all the same.

    Args:
        files: the manifests, with the local registry in them.
        bundle: where they are from; the annotations name it.

    Source: Flux, "OCI artifacts" (media types and annotations of ``flux push artifact``).
    """
    plain = _tar(manifests_tree(files))
    metadata = bundle.metadata
    # What readers of images look for in a config; Flux itself passes it over.
    config = {
        "architecture": "",
        "config": {},
        "created": time_text(metadata.created),
        "os": "",
        "rootfs": {"diff_ids": [Digest.of(plain)], "type": "layers"},
    }
    return Artifact.of(
        Part(FLUX_CONFIG, canonical_json(config)),
        [Part(FLUX_CONTENT, stored_gzip(plain))],
        {
            "org.opencontainers.image.created": time_text(metadata.created),
            "org.opencontainers.image.revision": f"{metadata.version}@{bundle.digest}",
            "org.opencontainers.image.source": f"{metadata.name}-{metadata.version}",
        },
    )


def _tar(files: Mapping[str, bytes]) -> bytes:
    members = (
        tar.header(name, len(data), 0) + data + bytes(tar.padding(len(data)))
        for name, data in files.items()
    )
    return b"".join(members) + tar.END


def stored_gzip(content: bytes) -> bytes:
    """Return `content` as one gzip member of stored blocks: the same bytes on any machine."""
    framing = GzipFraming()
    blocks = (content[at : at + framing.block] for at in range(0, len(content), framing.block))
    stored = b"".join(framing.open_block(len(one), last=False) + one for one in blocks)
    end = framing.close_file([Frame(len(stored), len(content))], zlib.crc32(content))
    return framing.open_file() + stored + end
