"""Thirty small images, each signed and with a signed SBOM, and what to scan them with."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml

from demo import content
from petra.content.digest import Digest
from petra.oci import media_types
from petra.oci.copy import copy_graph
from petra.oci.memory import MemoryTarget
from petra.oci.registry import RegistryClient
from petra.trust.dsse import sign_envelope
from tests.support.grype_db import DEBIAN, write_database
from tests.support.scans import RECORDS, debian_layer, spdx
from tests.support.world import VENDOR, signer

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.descriptor import Descriptor

IMAGES = 30
_PACKAGES = 800
_SPDX = "https://spdx.dev/Document"


@dataclass(frozen=True)
class Evidence:
    """A folder with all that the case needs.

    Attributes:
        folder: ``vendor.pub``, the two specs, ``db`` and ``sboms``.
        with_checks: the spec that verifies and scans.
        without: the spec that does neither.
    """

    folder: Path
    with_checks: Path
    without: Path

    def grype(self, program: Path, workers: int) -> str:
        """Return the shell command that lets grype look at its database and scan every SBOM."""
        call = shlex.quote(str(program))
        sboms = shlex.quote(str(self.folder / "sboms"))
        scan = f"xargs -P{workers} -I{{}} {call} sbom:{{}} -o json -q"
        return (
            f"{call} version -o json && {call} db status -o json && "
            f"find {sboms} -name '*.json' | {scan} > /dev/null"
        )

    @property
    def environment(self) -> dict[str, str]:
        """Where grype's database is, and that it stays offline."""
        return {
            "GRYPE_DB_CACHE_DIR": str(self.folder / "db"),
            "GRYPE_DB_AUTO_UPDATE": "false",
            "GRYPE_CHECK_FOR_APP_UPDATE": "false",
            "GRYPE_DB_VALIDATE_AGE": "false",
        }


def evidence(folder: Path, host: str) -> Evidence:
    """Push the images to the registry at `host`, and write the rest into `folder`."""
    (folder / "sboms").mkdir(parents=True, exist_ok=True)
    who = signer(VENDOR)
    (folder / "vendor.pub").write_bytes(who.public_key.pem)
    write_database(folder / "db", RECORDS, datetime.now(UTC))
    names = [f"evidence/image-{number}" for number in range(IMAGES)]
    with RegistryClient() as client:
        for number, name in enumerate(names):
            sbom = _sbom(number)
            (folder / "sboms" / f"{number}.json").write_bytes(sbom)
            _push(client, host, name, sbom)
    images = [{"name": name[9:], "image": f"{host}/{name}:1"} for name in names]
    checked = {"verify": {"key": "vendor.pub"}, "scan": {"gate": {"failOn": "none"}}}
    unchecked = {"output": {"verify": False}}
    return Evidence(
        folder,
        _spec(folder / "with.yaml", {"images": images, **checked}),
        _spec(folder / "without.yaml", {"images": images, **unchecked}),
    )


def _sbom(number: int) -> bytes:
    packages = {f"package-{number}-{one}": "1.0-1" for one in range(_PACKAGES)}
    purls = [DEBIAN.purl(*pair, "amd64") for pair in {**packages, "bash": "5.1-1"}.items()]
    return spdx(*purls).data


def _push(client: RegistryClient, host: str, name: str, sbom: bytes) -> None:
    memory, who = MemoryTarget(), signer(VENDOR)
    image = content.push_image(memory, [debian_layer({name[9:]: "1"})])
    content.sign_by_tag(memory, image, f"{host}/{name}", who)
    attestation = _attest(memory, image, sbom)
    repository = client.repository(host, name)
    for one, tag in ((image, "1"), (attestation, f"sha256-{image.digest.hex}.att")):
        copy_graph(memory, repository, one)
        repository.tag(one, tag)
    signature = memory.resolve(f"sha256-{image.digest.hex}.sig")
    copy_graph(memory, repository, signature)
    repository.tag(signature, f"sha256-{image.digest.hex}.sig")


def _attest(memory: MemoryTarget, image: Descriptor, sbom: bytes) -> Descriptor:
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": [{"name": "image", "digest": {"sha256": image.digest.hex}}],
        "predicateType": _SPDX,
        "predicate": json.loads(sbom),
    }
    payload = json.dumps(statement).encode()
    envelope = sign_envelope(media_types.IN_TOTO, payload, signer(VENDOR))
    layer = content.push(memory, media_types.DSSE_ENVELOPE, envelope)
    config = content.push(memory, media_types.OCI_CONFIG, Digest.of(envelope).encode())
    return content.push_document(
        memory, media_types.OCI_MANIFEST, config=config.to_json(), layers=[layer.to_json()]
    )


def _spec(path: Path, spec: dict[str, Any]) -> Path:
    document = {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "Bundle",
        "metadata": {"name": "evidence", "version": path.stem},
        "spec": spec,
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
