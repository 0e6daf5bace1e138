"""A real registry that has the referrers API: what is attached is found through it, and kept.

docker-registry and `crane registry serve` have none, so elsewhere the tag scheme is what is tested.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import urllib3

from petra.oci.copy import copy_graph
from petra.oci.registry import RegistryClient
from tests.support.processes import Server
from tests.support.site import Site, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SBOM = "application/spdx+json"
_SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_WORKER = "shop/worker:1.4"  # signed as a referrer; see tests.support.site.FORMS


@pytest.fixture(scope="module")
def referrers_registry(
    tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """HOST:PORT of the registry."""
    command = [str(tools("referrers-registry")), "127.0.0.1:0"]
    log = tmp_path_factory.mktemp("referrers-registry") / "registry.log"
    with Server("referrers-registry", command, log) as server:
        yield server.wait_for_log(r"(127\.0\.0\.1:\d+)")


@pytest.fixture(scope="module")
def attached(
    referrers_registry: str, tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A connected side there: cosign signed the images, and oras attached an SBOM to one."""
    folder = tmp_path_factory.mktemp("attached")
    with running_site(referrers_registry, tools, folder) as site:
        (folder / "sbom.json").write_text('{"spdxVersion":"SPDX-2.3"}')
        site.tool(
            "oras", "attach", "--plain-http", "--artifact-type", _SBOM,
            site.reference(_WORKER), f"sbom.json:{_SBOM}",
        )  # fmt: skip
        # The registry does not say OCI-Subject when it takes a referrer, so the clients keep the
        # fallback tag too. Without it only the API is left.
        _delete_tag(site.host, "shop/worker", f"sha256-{site.images[_WORKER].digest.hex}")
        yield site


def _delete_tag(host: str, repository: str, tag: str) -> None:
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    assert urllib3.request("DELETE", url, timeout=10).status == 202


def _tags(host: str, repository: str) -> list[str]:
    answer = urllib3.request("GET", f"http://{host}/v2/{repository}/tags/list", timeout=10)
    tags: list[str] = answer.json()["tags"]
    return tags


def _discovered(site: Site, reference: str) -> set[str]:
    """Return the digests of what oras finds attached.

    Not the types: this registry lists the config's media type as every referrer's artifact type.
    """
    found = site.tool("oras", "discover", "--plain-http", "--format", "json", reference)
    return {one["digest"] for one in json.loads(found.stdout)["referrers"]}


def test_what_cosign_and_oras_attached_is_found_through_the_api_alone(attached: Site) -> None:
    digest = attached.images[_WORKER].digest
    with RegistryClient() as client:
        repository = client.repository(attached.host, "shop/worker")
        found = repository.referrers(repository.resolve(str(digest)))
    assert {str(one.digest) for one in found} == _discovered(attached, attached.reference(_WORKER))
    assert len(found) == len((_SIGNATURE, _SBOM))
    assert _tags(attached.host, "shop/worker") == ["1.4"]


def test_a_bundle_carries_what_the_api_lists(attached: Site) -> None:
    bundle = attached.create()
    listed = attached.petra.json("bundle", "inspect", "-f", bundle)
    texts = set(_texts(listed))
    assert _discovered(attached, attached.reference(_WORKER)) <= texts
    assert {_SIGNATURE, _SBOM} <= texts  # from the manifests themselves
    attached.petra.json("bundle", "verify", "-f", bundle, "--key", "cosign.pub")


def test_what_we_push_with_a_subject_is_discovered_by_oras(attached: Site) -> None:
    digest = str(attached.images[_WORKER].digest)
    expected = _discovered(attached, attached.reference(_WORKER))
    with RegistryClient() as client:
        source = client.repository(attached.host, "shop/worker")
        target = client.repository(attached.host, "copied/worker")
        image = source.resolve(digest)
        for one in (image, *source.referrers(image)):
            copy_graph(source, target, one)
    copied = f"{attached.host}/copied/worker@{digest}"
    assert _discovered(attached, copied) == expected
    attached.tool(
        "cosign", "verify", "--key", "cosign.pub", "--insecure-ignore-tlog",
        "--allow-http-registry", copied,
    )  # fmt: skip


def _texts(value: object) -> list[str]:
    """Return every text in a JSON value."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []
