"""Attestations that the real cosign made with a key, in both forms, on a real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.content.stream import fetch_document
from petra.oci.referrers import attachments
from petra.oci.registry import RegistryClient
from petra.trust.documents import attestation_documents
from petra.trust.keys import load_public_key
from petra.trust.policy import KeyPolicy
from tests.support import signing
from tests.support.site import FORMS, UNLOGGED, Site, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.trust.attestation import AttestationVerdict
    from tests.support.docker_registry import DockerRegistry

_TYPES = {
    "spdxjson": "https://spdx.dev/Document",
    "cyclonedx": "https://cyclonedx.org/bom",
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
}
_PREDICATES = {
    "spdxjson": {"spdxVersion": "SPDX-2.3", "name": "web"},
    "cyclonedx": {"bomFormat": "CycloneDX", "specVersion": "1.6"},
    "slsaprovenance1": {
        "buildDefinition": {"buildType": "https://example.com/build", "externalParameters": {}},
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    },
}


@pytest.fixture(scope="module")
def site(
    tools: Callable[[str], Path],
    module_docker_registry: DockerRegistry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A connected side of this file's own, whose images are attested."""
    folder = tmp_path_factory.mktemp("attested")
    with running_site(module_docker_registry.host, tools, folder) as site:
        yield site


@pytest.fixture(scope="module")
def attested(site: Site) -> dict[str, Descriptor]:
    """An image for each form, attested once for each type of predicate."""
    images = dict(zip(FORMS, site.images.items(), strict=True))
    for form, (name, image) in images.items():
        reference = f"{site.host}/{name.split(':')[0]}@{image.digest}"
        for kind, predicate in _PREDICATES.items():
            (site.folder / "predicate.json").write_text(json.dumps(predicate))
            site.tool(
                *("cosign", "attest", "--key", "cosign.key", *UNLOGGED, *FORMS[form]),
                *("--type", kind, "--predicate", "predicate.json", reference),
            )
    return {form: image for form, (_, image) in images.items()}


def _verdict(
    site: Site, form: str, image: Descriptor, policy: KeyPolicy, *subjects: Digest
) -> AttestationVerdict:
    name = next(one for one, known in site.images.items() if known.digest == image.digest)
    with RegistryClient() as client:
        repository = client.repository(site.host, name.partition(":")[0])
        documents = attestation_documents(
            attachments(repository, image), lambda layer: fetch_document(repository, layer)
        )
    assert {one.scheme for one in documents} == {form}
    return policy.attested(subjects or (image.digest,), documents, where=name)


@pytest.mark.parametrize("form", FORMS)
def test_what_cosign_attested_verifies(
    site: Site, attested: dict[str, Descriptor], form: str
) -> None:
    key = load_public_key((site.folder / "cosign.pub").read_bytes(), where="cosign.pub")
    verdict = _verdict(site, form, attested[form], KeyPolicy((key,)))
    assert verdict.refused == ()
    found = {one.predicate_type: json.loads(one.statement) for one in verdict.statements}
    assert sorted(found) == sorted(_TYPES.values())
    bom = found[_TYPES["cyclonedx"]]["predicate"]
    assert bom["bomFormat"] == "CycloneDX"


@pytest.mark.parametrize("form", FORMS)
def test_what_cosign_attested_is_refused_for_another_key_or_image(
    site: Site, attested: dict[str, Descriptor], form: str
) -> None:
    stranger = KeyPolicy((signing.public(signing.key("stranger")),))
    verdict = _verdict(site, form, attested[form], stranger)
    assert verdict.statements == ()
    assert len(verdict.refused) == len(_TYPES)
    key = load_public_key((site.folder / "cosign.pub").read_bytes(), where="cosign.pub")
    other = signing.image("another image").digest
    assert _verdict(site, form, attested[form], KeyPolicy((key,)), other).statements == ()
