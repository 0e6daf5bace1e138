"""Images loaded by us, seen by other people's tools: a registry, containerd and a layout."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from petra.content.progress import NoProgress
from petra.errors import IncompleteError, ToolError
from petra.load.image_registry import RegistryDestination
from petra.load.images import ImageOptions, image_destination
from petra.load.mirrors import write_mirror_config
from petra.oci.registry import RegistryOptions
from tests.support.loading import opened_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from petra.load.destination import Loaded, OpenBundle
    from tests.support.containerd import Containerd
    from tests.support.docker_registry import DockerRegistry
    from tests.support.site import Site

PREFIX = "mirror/apps"
SOURCE = "registry.example.com"


@pytest.fixture(scope="module")
def opened(site: Site, bundle: Path) -> Iterator[OpenBundle]:
    with opened_bundle(bundle, site.folder / "cosign.pub") as found:
        yield found


@pytest.fixture(scope="module")
def loaded(opened: OpenBundle, module_docker_registry: DockerRegistry) -> Loaded:
    """The bundle, in a registry that has neither the referrers API nor what it was made from."""
    destination = image_destination(f"registry://{module_docker_registry}/{PREFIX}", opened)
    return destination.load(NoProgress())


@pytest.fixture(scope="module")
def elsewhere(site: Site, opened: OpenBundle) -> OpenBundle:
    """The same bundle as if its images came from a registry that is not there."""
    images = tuple(
        image.model_copy(update={"reference": image.reference.replace(site.host, SOURCE)})
        for image in opened.lock.images
    )
    return replace(opened, lock=opened.lock.model_copy(update={"images": images}))


def local(registry: DockerRegistry, image: str) -> str:
    return f"{registry}/{PREFIX}/{image}"


def test_crane_oras_and_skopeo_see_the_same_digests(
    site: Site, loaded: Loaded, module_docker_registry: DockerRegistry
) -> None:
    for image, root in site.images.items():
        there = local(module_docker_registry, image)
        assert site.tool("crane", "digest", there).stdout.strip() == root.digest
        site.tool("crane", "validate", "--remote", there)
        raw = site.tool("oras", "manifest", "fetch", "--plain-http", there).stdout
        assert raw == site.tool("crane", "manifest", f"{site.host}/{image}").stdout
        skopeo = site.tool("skopeo", "inspect", "--tls-verify=false", f"docker://{there}").stdout
        assert json.loads(skopeo)["Digest"] == root.digest
    assert [one.reference for one in loaded.placed] == [
        f"{local(module_docker_registry, image.partition(':')[0])}@{root.digest}"
        for image, root in site.images.items()
    ]


def test_cosign_verifies_each_image_there_in_both_forms(
    site: Site, loaded: Loaded, module_docker_registry: DockerRegistry
) -> None:
    assert len(loaded.placed) == 2
    for image, root in site.images.items():
        reference = f"{local(module_docker_registry, image.partition(':')[0])}@{root.digest}"
        verified = site.tool(
            *("cosign", "verify", "--key", "cosign.pub", "--insecure-ignore-tlog"),
            *("--allow-http-registry", reference),
        ).stdout
        assert root.digest in verified


def test_oras_discovers_what_refers_to_an_image(
    site: Site, opened: OpenBundle, loaded: Loaded, module_docker_registry: DockerRegistry
) -> None:
    assert len(loaded.placed) == 2
    image = next(one for one in opened.lock.images if one.name == "worker")
    reference = local(module_docker_registry, "shop/worker:1.4")
    found = site.tool("oras", "discover", "--plain-http", "--format", "json", reference).stdout
    digests = [one["digest"] for one in json.loads(found)["referrers"]]
    wanted = [one.digest for one in image.attachments if one.scheme == "referrer"]
    assert wanted
    assert digests == wanted


def test_the_second_load_sends_nothing(
    opened: OpenBundle, loaded: Loaded, module_docker_registry: DockerRegistry
) -> None:
    destination = image_destination(f"registry://{module_docker_registry}/{PREFIX}", opened)
    survey = destination.survey()
    again = destination.load(NoProgress())

    assert loaded.bytes_sent > 0
    assert (survey.present, survey.bytes_to_send) == (survey.items, 0)
    assert again.bytes_sent == 0


def test_a_real_registry_refuses_a_sparse_index_and_takes_its_child(
    site: Site, docker_registry: DockerRegistry
) -> None:
    spec = site.write_spec("shop/web:1.4", file="sparse.yaml", platforms=["linux/amd64"])
    arguments = ("-f", spec, "--key", "cosign.key", "--output-dir", "sparse")
    site.petra.run("bundle", "create", *arguments)
    path = site.folder / "sparse" / "shop-1.4.0.tar.zst"
    uri = f"registry://{docker_registry}/{PREFIX}"
    with opened_bundle(path, site.folder / "cosign.pub") as sparse:
        with pytest.raises(IncompleteError, match="MANIFEST_BLOB_UNKNOWN") as caught:
            image_destination(uri, sparse).load(NoProgress())
        options = ImageOptions(sparse_index="child")
        (placed,) = image_destination(uri, sparse, options).load(NoProgress()).placed

    assert "linux/arm64" in str(caught.value)
    there = local(docker_registry, "shop/web:1.4")
    assert site.tool("crane", "digest", there).stdout.strip() == placed.digest
    site.tool("crane", "validate", "--remote", there)
    assert site.images["shop/web:1.4"].digest in (placed.note or "")


def test_chunks_of_a_wanted_size_are_taken(
    site: Site, opened: OpenBundle, docker_registry: DockerRegistry
) -> None:
    options = ImageOptions(RegistryOptions(chunk_size=1024 * 1024))
    uri = f"registry://{docker_registry}/{PREFIX}"
    image_destination(uri, opened, options).load(NoProgress())

    for image in site.images:
        site.tool("crane", "validate", "--remote", local(docker_registry, image))


def test_containerd_pulls_by_the_sources_name_through_the_mirror_rules(
    site: Site,
    elsewhere: OpenBundle,
    docker_registry: DockerRegistry,
    containerd: Containerd,
    tmp_path: Path,
) -> None:
    destination = image_destination(f"registry://{docker_registry}/{PREFIX}", elsewhere)
    destination.load(NoProgress())
    assert isinstance(destination, RegistryDestination)
    write_mirror_config(tmp_path / "rules", destination.mirrors)
    root = site.images["shop/web:1.4"].digest

    assert site.host not in "".join(map(str, destination.mirrors))
    for reference in (f"{SOURCE}/shop/web@{root}", f"{SOURCE}/shop/web:1.4"):
        containerd.ctr(
            *("images", "pull", "--hosts-dir", tmp_path / "rules" / "certs.d"),
            *("--all-platforms", "--snapshotter", "native", reference),
            namespace="mirrored",
        )
        row = containerd.ctr("images", "ls", f"name=={reference}", namespace="mirrored").stdout
        assert row.splitlines()[1].split()[2] == root


def test_without_the_rules_that_name_leads_nowhere(
    site: Site, containerd: Containerd, tmp_path: Path
) -> None:
    root = site.images["shop/web:1.4"].digest
    pulled = containerd.ctr(
        *("images", "pull", "--hosts-dir", tmp_path, f"{SOURCE}/shop/web@{root}"),
        namespace="unmirrored",
        check=False,
    )
    assert pulled.returncode != 0


def test_containerd_has_each_image_by_tag_and_by_digest(
    site: Site, opened: OpenBundle, containerd: Containerd, tools: Callable[[str], Path]
) -> None:
    containerd.forget_images()
    options = ImageOptions(ctr=(str(tools("ctr")),))
    socket = f"containerd:{containerd.folder / 'sock'}"
    destination = image_destination(socket, opened, options)
    before = destination.survey()

    loaded = destination.load(NoProgress())
    again = image_destination(socket, opened, options).load(NoProgress())

    assert before.present == 0
    rows = containerd.ctr("images", "ls").stdout.splitlines()[1:]
    listed = {row.split()[0]: row.split()[2] for row in rows}
    for image, root in site.images.items():
        assert listed[f"{site.host}/{image}"] == root.digest
        assert listed[site.reference(image)] == root.digest
    checked = containerd.ctr("images", "check", "--snapshotter", "native").stdout.splitlines()[1:]
    assert all(" complete " in row for row in checked), checked
    assert [one.reference for one in loaded.placed] == [site.reference(i) for i in site.images]
    assert (all(one.sent for one in loaded.placed), again.bytes_sent) == (True, 0)


def test_a_sparse_index_goes_into_containerd(
    site: Site, containerd: Containerd, tools: Callable[[str], Path]
) -> None:
    spec = site.write_spec("shop/web:1.4", file="one.yaml", platforms=["linux/amd64"])
    arguments = ("-f", spec, "--key", "cosign.key", "--output-dir", "one")
    site.petra.run("bundle", "create", *arguments)
    containerd.forget_images()
    options = ImageOptions(ctr=(str(tools("ctr")),))
    with opened_bundle(
        site.folder / "one" / "shop-1.4.0.tar.zst", site.folder / "cosign.pub"
    ) as sparse:
        image_destination(f"containerd:{containerd.folder / 'sock'}", sparse, options).load(
            NoProgress()
        )

    listed = containerd.ctr("images", "ls", "-q").stdout.split()
    assert site.reference("shop/web:1.4") in listed


def test_what_ctr_says_without_containerd_is_told(
    opened: OpenBundle, tools: Callable[[str], Path], tmp_path: Path
) -> None:
    options = ImageOptions(ctr=(str(tools("ctr")),))
    with pytest.raises(ToolError, match="could not list images") as caught:
        image_destination(f"containerd:{tmp_path / 'no'}", opened, options).survey()
    assert "check that containerd runs" in str(caught.value)


def test_skopeo_and_crane_read_the_layout(
    site: Site, opened: OpenBundle, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    loaded = image_destination(f"layout:{tmp_path / 'layout'}", opened).load(NoProgress())

    for placed, (image, root) in zip(loaded.placed, site.images.items(), strict=True):
        inspected = site.tool("skopeo", "inspect", "--raw", placed.reference).stdout
        assert inspected == site.tool("crane", "manifest", f"{site.host}/{image}").stdout
        there = f"{docker_registry}/{image}"
        named = f"oci:{tmp_path / 'layout'}:{site.host}/{image}"
        site.tool("skopeo", "copy", "--all", "--dest-tls-verify=false", named, f"docker://{there}")
        assert site.tool("crane", "digest", there).stdout.strip() == root.digest
    site.tool("crane", "push", "--index", tmp_path / "layout", f"{docker_registry}/all:1")
    index = json.loads(site.tool("crane", "manifest", f"{docker_registry}/all:1").stdout)
    assert {one["digest"] for one in index["manifests"]} >= {
        root.digest for root in site.images.values()
    }


def test_the_tar_archive_for_k3s_is_one_that_containerd_imports(
    site: Site, opened: OpenBundle, containerd: Containerd, tmp_path: Path
) -> None:
    options = ImageOptions(images_only=True)
    image_destination(f"k3s:{tmp_path}", opened, options).load(NoProgress())
    (path,) = tmp_path.iterdir()

    with path.open("rb") as stream:
        containerd.ctr(
            *("images", "import", "--all-platforms", "--no-unpack", "-"),
            namespace="k3s-tar",
            stdin=stream,
        )

    listed = containerd.ctr("images", "ls", "-q", namespace="k3s-tar").stdout.split()
    assert {site.reference(image) for image in site.images} <= {*listed}
