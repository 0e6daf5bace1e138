"""A bundle from real input, read by those that never heard of Petra."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from petra.content.digest import Digest
from tests.support.site import FORMS, UNLOGGED, Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.containerd import Containerd
    from tests.support.docker_registry import DockerRegistry

_VERIFICATION_FAILED = 3


@pytest.fixture(scope="module")
def plain(site: Site, bundle: Path) -> Path:
    """The bundle without compression, as runtimes of old want it."""
    target = site.folder / "plain.tar"
    site.tool("zstd", "-q", "-d", bundle, "-o", target)
    return target


def test_zstd_finds_it_whole(site: Site, bundle: Path) -> None:
    assert site.tool("zstd", "-t", bundle).returncode == 0


@pytest.mark.parametrize("format_", ["tar.zst", "tar.gz"])
def test_tar_and_sha256sum_are_enough(
    site: Site, tools: Callable[[str], Path], tmp_path: Path, format_: str
) -> None:
    spec = site.write_spec(*site.images, file=f"{format_}.yaml")
    arguments = ("--key", "cosign.key", "--format", format_, "--output-dir", tmp_path / "made")
    site.petra.run("bundle", "create", "-f", spec, *arguments)
    (tmp_path / "open").mkdir()
    file = tmp_path / "made" / f"shop-1.4.0.{format_}"
    option = "--zstd" if format_ == "tar.zst" else "--gzip"
    subprocess.run([tools("tar"), option, "-xf", file, "-C", tmp_path / "open"], check=True)
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"],
        cwd=tmp_path / "open",
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    files = sum(path.is_file() for path in (tmp_path / "open").rglob("*"))
    assert checked.stdout.count(": OK") == files - 1


def test_two_creates_of_one_lock_are_the_same_bytes(site: Site, tmp_path: Path) -> None:
    spec = site.write_spec(*site.images, file="twice.yaml")
    lock = site.petra.run("bundle", "lock", "-f", spec)
    assert lock.returncode == 0
    digests = set()
    for number in range(2):
        folder = tmp_path / str(number)
        arguments = ("--locked", "--key", "cosign.key", "--output-dir", folder)
        site.petra.run("bundle", "create", "-f", spec, *arguments)
        digests.add(Digest.of((folder / "shop-1.4.0.tar.zst").read_bytes()))
    assert len(digests) == 1


def test_skopeo_copies_images_out_of_the_archive(site: Site, plain: Path, tmp_path: Path) -> None:
    for image, descriptor in site.images.items():
        target = tmp_path / descriptor.digest.hex
        source = f"oci-archive:{plain}:{site.host}/{image}"
        site.tool("skopeo", "copy", "--all", "--preserve-digests", source, f"dir:{target}")
        assert Digest.of((target / "manifest.json").read_bytes()) == descriptor.digest


def test_skopeo_carries_an_image_to_another_registry(
    site: Site, plain: Path, docker_registry: DockerRegistry
) -> None:
    there = f"{docker_registry}/shop/web:1.4"
    source = f"oci-archive:{plain}:{site.host}/shop/web:1.4"
    site.tool("skopeo", "copy", "--all", "--dest-tls-verify=false", source, f"docker://{there}")
    found = site.tool("crane", "digest", there).stdout.strip()
    assert found == site.images["shop/web:1.4"].digest


def test_containerd_imports_it_and_lists_names_and_digests(
    site: Site, plain: Path, containerd: Containerd
) -> None:
    with plain.open("rb") as stream:
        containerd.ctr(
            *("images", "import", "--all-platforms", "--snapshotter", "native", "-"),
            namespace="bundle",
            stdin=stream,
        )
    rows = containerd.ctr("images", "ls", namespace="bundle").stdout.splitlines()[1:]
    listed = {row.split()[0]: row.split()[2] for row in rows}
    expected = {
        name: str(descriptor.digest)
        for image, descriptor in site.images.items()
        for name in (f"{site.host}/{image}", site.reference(image))
    }
    assert listed == expected


def test_containerd_checks_every_blob_of_it(
    site: Site, plain: Path, containerd: Containerd
) -> None:
    with plain.open("rb") as stream:
        containerd.ctr(
            *("images", "import", "--all-platforms", "--no-unpack", "-"),
            namespace="bundle-check",
            stdin=stream,
        )
    checked = containerd.ctr(
        "images", "check", "--snapshotter", "native", namespace="bundle-check"
    ).stdout
    rows = checked.splitlines()[1:]
    assert len(rows) == 2 * len(site.images)
    assert all(" complete " in row for row in rows), checked


@pytest.mark.parametrize("form", ["signature", "bundle"])
def test_cosign_accepts_our_signature_and_we_refuse_what_it_refuses(
    site: Site, bundle: Path, tmp_path: Path, form: str
) -> None:
    ending = {"signature": ".sig", "bundle": ".sigstore.json"}[form]
    signature = bundle.with_name(bundle.name + ending)
    changed = tmp_path / "changed.tar.zst"
    data = bytearray(bundle.read_bytes())
    data[-1000] ^= 1
    changed.write_bytes(data)
    for file, good in ((bundle, True), (changed, False)):
        theirs = site.tool(
            *("cosign", "verify-blob", "--key", "cosign.pub", f"--{form}", signature),
            *("--insecure-ignore-tlog", file),
            check=False,
        )
        assert (theirs.returncode == 0) is good, theirs.stderr
        site.petra.run(
            *("bundle", "verify", "-f", file, "--key", "cosign.pub", "--signature", signature),
            status=0 if good else _VERIFICATION_FAILED,
        )


def test_cosign_accepts_our_provenance_and_refuses_it_for_another_file(
    site: Site, bundle: Path, tmp_path: Path
) -> None:
    envelope = bundle.with_name(bundle.name + ".intoto.json")
    changed = tmp_path / bundle.name
    data = bytearray(bundle.read_bytes())
    data[-1000] ^= 1
    changed.write_bytes(data)
    for file, kind, good in (
        (bundle, "slsaprovenance1", True),
        (bundle, "spdxjson", False),
        (changed, "slsaprovenance1", False),
    ):
        theirs = site.tool(
            *("cosign", "verify-blob-attestation", "--key", "cosign.pub"),
            *("--signature", envelope, "--type", kind, "--insecure-ignore-tlog", file),
            check=False,
        )
        assert (theirs.returncode == 0) is good, theirs.stderr
    ours = ("bundle", "verify", "-f", bundle, "--key", "cosign.pub", "--provenance")
    assert site.petra.run(*ours).returncode == 0


def test_we_accept_a_signature_that_cosign_made(site: Site, bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / bundle.name
    file.write_bytes(bundle.read_bytes())
    site.tool(
        *("cosign", "sign-blob", "--key", "cosign.key", *UNLOGGED[:2], "--yes"),
        *("--bundle", f"{file}.sigstore.json", file),
    )
    verified = site.petra.run("bundle", "verify", "-f", file, "--key", "cosign.pub")
    assert verified.returncode == 0


@pytest.mark.parametrize("image", ["shop/web:1.4", "shop/worker:1.4"])
def test_an_image_signed_by_another_key_is_refused_by_both(
    site: Site, tmp_path: Path, image: str
) -> None:
    other = tmp_path / "other.pub"
    site.petra.run("keygen", "--prefix", "other", "--output-dir", tmp_path)
    theirs = site.tool(
        *("cosign", "verify", "--key", other, "--insecure-ignore-tlog", "--allow-http-registry"),
        site.reference(image),
        check=False,
    )
    assert theirs.returncode != 0
    spec = site.write_spec(image, file="other.yaml", verify={"key": str(other)})
    refused = tmp_path / "refused"
    site.petra.run(
        *("bundle", "create", "-f", spec, "--key", "cosign.key", "--output-dir", refused),
        status=_VERIFICATION_FAILED,
    )
    assert not list(refused.glob("*"))


def test_an_unsigned_image_is_refused(site: Site, tmp_path: Path) -> None:
    spec = site.write_spec("shop/unsigned:1.4", file="unsigned.yaml")
    refused = tmp_path / "refused"
    result = site.petra.run(
        *("bundle", "create", "-f", spec, "--key", "cosign.key", "--output-dir", refused),
        status=_VERIFICATION_FAILED,
    )
    assert "not signed" in result.stderr
    assert not list(refused.glob("*"))


def test_a_key_of_ours_signs_for_cosign(site: Site, tmp_path: Path) -> None:
    site.petra.run("keygen", "--prefix", "ours", "--output-dir", tmp_path)
    (tmp_path / "file").write_text("anything")
    signature = f"{tmp_path / 'file'}.sigstore.json"
    key = ("--key", tmp_path / "ours.key")
    site.tool(
        "cosign",
        "sign-blob",
        *key,
        *UNLOGGED[:2],
        "--yes",
        "--bundle",
        signature,
        tmp_path / "file",
    )
    verified = site.tool(
        *("cosign", "verify-blob", "--key", tmp_path / "ours.pub", "--bundle", signature),
        *("--insecure-ignore-tlog", tmp_path / "file"),
    )
    assert verified.returncode == 0


def test_digests_are_the_same_whoever_copied(site: Site, bundle: Path) -> None:
    inspected = json.dumps(site.petra.json("bundle", "inspect", "-f", bundle))
    for image, descriptor in site.images.items():
        reference = f"{site.host}/{image}"
        crane = site.tool("crane", "digest", reference).stdout.strip()
        oras = site.tool("oras", "resolve", "--plain-http", reference).stdout.strip()
        raw = site.tool("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}")
        assert {crane, oras, Digest.of(raw.stdout.encode())} == {descriptor.digest}
        assert descriptor.digest in inspected


def test_containerd_pulls_by_digest_from_the_one_file(
    site: Site, served: str, containerd: Containerd, tmp_path: Path
) -> None:
    folder = tmp_path / "hosts" / site.host
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(
        'server = "https://unreachable.invalid"\n'
        f'[host."http://{served}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    for image in site.images:
        reference = site.reference(image)
        containerd.ctr(
            *("images", "pull", "--hosts-dir", tmp_path / "hosts", "--platform", "linux/amd64"),
            *("--snapshotter", "native", reference),
            namespace="served",
        )
        listed = containerd.ctr("images", "ls", f"name=={reference}", namespace="served").stdout
        assert str(site.images[image].digest) in listed.splitlines()[1].split()[2]


def test_cosign_verifies_images_as_they_are_served(site: Site, served: str) -> None:
    for form, image in zip(FORMS, site.images, strict=True):
        reference = site.reference(image).replace(site.host, served)
        verified = site.tool(
            *("cosign", "verify", "--key", "cosign.pub", "--insecure-ignore-tlog", *FORMS[form]),
            *("--allow-http-registry", reference),
        )
        assert str(site.images[image].digest) in verified.stdout


def test_helm_renders_a_chart_from_the_one_file(site: Site, served: str) -> None:
    rendered = site.tool(
        *("helm", "template", "shop", "shop", "--repo", f"http://{served}/charts"),
        *("--version", "1.4.0"),
    ).stdout
    (deployment,) = yaml.safe_load_all(rendered)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{site.host}/shop/web:1.4"
