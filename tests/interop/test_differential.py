"""A differential bundle into a real registry: other people's tools pull what it left out."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from demo import content
from petra.content.digest import Digest
from petra.oci.copy import copy_graph
from petra.oci.memory import MemoryTarget
from petra.oci.registry import RegistryClient
from tests.support.site import UNLOGGED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.docker_registry import DockerRegistry
    from tests.support.site import Site

SHARED = content.Layer.of({"srv/shared": os.urandom(1_000_000)})
OWN = content.Layer.of({"srv/own": os.urandom(1_000_000)})


@pytest.fixture
def push(site: Site) -> Any:
    """Push an image of these layers to the connected side's registry, and sign it with cosign."""

    def pushed(name: str, *layers: content.Layer) -> str:
        memory = MemoryTarget()
        image = content.push_image(memory, [*layers])
        repository, tag = name.split(":")
        with RegistryClient() as client:
            target = client.repository(site.host, repository)
            copy_graph(memory, target, image)
            target.tag(image, tag)
        reference = f"{site.host}/{repository}@{image.digest}"
        site.tool("cosign", "sign", "--key", "cosign.key", *UNLOGGED, reference)
        return image.digest

    return pushed


def create(site: Site, serial: int, *images: str, base: tuple[str, ...] = ()) -> Path:
    spec = site.write_spec(*images, file=f"d{serial}.yaml", serial=serial)
    folder = f"differential-{serial}"
    key = ("--key", "cosign.key", "--output-dir", folder)
    site.petra.run("bundle", "create", "-f", spec, *key, *base)
    return site.folder / folder / "shop-1.4.0.tar.zst"


def load(site: Site, registry: DockerRegistry, bundle: Path, ledger: Path) -> Any:
    return site.petra.json(
        *("bundle", "load", "-f", bundle, "--key", "cosign.pub", "--ledger", ledger),
        *("--images-to", f"registry://{registry}/mirror", "--allow-skipped", "scan"),
    )


def test_crane_and_cosign_see_whole_images_after_a_differential_load(
    site: Site, push: Any, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    ledger, key = tmp_path / "ledger", ("--key", "cosign.pub", "--insecure-ignore-tlog")
    push("shop/base:1", SHARED, OWN)
    load(site, docker_registry, create(site, 1, "shop/base:1"), ledger)
    inventory = ("--key", "cosign.key", "--to", "inventory.json", "--ledger", ledger)
    site.petra.run("inventory", *inventory)
    signed = ("--bundle", "inventory.json.sigstore.json", "inventory.json")
    assert "Verified OK" in site.tool("cosign", "verify-blob", *key, *signed).stderr
    # One image keeps its layers and has another name; the other has one new layer.
    digests = {
        "shop/moved:1": push("shop/moved:1", SHARED, OWN),
        "shop/base:2": push("shop/base:2", SHARED, content.Layer.of({"srv/new": os.urandom(9000)})),
    }

    base = ("--base", "inventory.json", "--base-key", "cosign.pub")
    bundle = create(site, 2, *digests, base=base)
    report = load(site, docker_registry, bundle, ledger)

    assert bundle.stat().st_size < 100_000
    assert report["bytesSent"] < 100_000
    assert "all 2 layers that the bundle leaves out are at hand" in json.dumps(report)
    for name, digest in digests.items():
        there = f"{docker_registry}/mirror/{name}"
        assert site.tool("crane", "digest", there).stdout.strip() == digest
        site.tool("crane", "validate", "--remote", there)
        reference = f"{there.rpartition(':')[0]}@{digest}"
        site.tool("cosign", "verify", *key, "--allow-http-registry", reference)


def test_a_registry_that_lost_a_layer_is_named_and_mended_from_the_older_bundle(
    site: Site, push: Any, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    push("shop/one:1", SHARED, OWN)
    old = create(site, 11, "shop/one:1")
    partial = create(site, 12, "shop/one:1", base=("--base", str(old)))
    arguments = (
        *("bundle", "load", "-f", partial, "--key", "cosign.pub"),
        *("--ledger", tmp_path / "ledger", "--allow-skipped", "scan"),
        *("--images-to", f"registry://{docker_registry}/mirror"),
    )

    refused = site.petra.outcome(*arguments)
    assert refused.status == 1
    assert all(Digest.of(one.data) in refused.err for one in (SHARED, OWN))
    assert site.tool("crane", "catalog", str(docker_registry)).stdout == ""

    site.petra.run(*arguments, "--base-from", old)
    site.tool("crane", "validate", "--remote", f"{docker_registry}/mirror/shop/one:1")
