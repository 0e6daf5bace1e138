"""Signatures and attestations as an OCI layout that cosign verifies without a network."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from petra.content.digest import Digest
from tests.support.keyless import MANIFEST, SUBJECT, Form

if TYPE_CHECKING:
    from pathlib import Path

    from petra.trust.documents import SignatureDocument
    from petra.trust.identity import Identity
    from petra.trust.root import TrustedRoot

_KIND = "dev.cosignproject.cosign"
_KINDS = {"tag": "sigs", "attestation tag": "atts"}


def write_layout(folder: Path, form: Form, document: SignatureDocument) -> Path:
    """Write the image and what is attached to it. Returns the layout."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifest = document.manifest
    for data in (MANIFEST.encode(), b"{}", manifest.raw, *document.payloads.values()):
        (blobs / Digest.of(data).hex).write_bytes(data)
    listed = [SUBJECT.to_json() | {"annotations": {"kind": f"{_KIND}/image"}}]
    kind = _KINDS.get(form)
    listed.append(
        manifest.descriptor.to_json()
        | ({"annotations": {"kind": f"{_KIND}/{kind}"}} if kind else {})
    )
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
    return folder


def ask_cosign(
    cosign: Path,
    folder: Path,
    form: Form,
    document: SignatureDocument,
    root: TrustedRoot,
    signer: Identity,
) -> subprocess.CompletedProcess[str]:
    """Have cosign verify an image's signature, or its attestation. Returns how it ended.

    Args:
        cosign: the program.
        folder: where to write, empty.
        form: of the document.
        document: what is attached to the image.
        root: the trusted root.
        signer: who may sign.
    """
    layout = write_layout(folder / "layout", form, document)
    (folder / "root.json").write_bytes(root.data)
    attested = form in ("attestation tag", "attestation bundle")
    command = ["verify-attestation", "--type", "spdx"] if attested else ["verify"]
    return subprocess.run(
        [
            cosign,
            *command,
            "--local-image",
            "--offline",
            f"--trusted-root={folder / 'root.json'}",
            f"--certificate-identity={signer.identity}",
            f"--certificate-oidc-issuer={signer.issuer}",
            layout,
        ],
        check=False,
        capture_output=True,
        text=True,
        env={"HOME": str(folder), "PATH": "", "SIGSTORE_NO_CACHE": "1"},
    )
