"""`petra bundle create`: what it writes, what it says, and that the same lock gives one file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from petra.content.digest import Digest
from tests.support.command import assert_refused, names
from tests.support.opened import opened
from tests.support.world import (
    BASE,
    LEGACY,
    NAME,
    SIGNED,
    UNSIGNED,
    VENDOR,
    WEB,
    WORKER,
    World,
    signer,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Run

FILES = [f"{NAME}.tar.zst{end}" for end in ("", ".intoto.json", ".sig", ".sigstore.json")]


def test_one_command_makes_a_signed_bundle(world: World, create: Run) -> None:
    world.spec(*SIGNED, charts=[world.chart()])

    outcome = create("--output", "json")

    assert outcome.status == 0, outcome.err
    assert names(world.dist) == FILES
    data = world.bundle.read_bytes()
    chart = world.charts.pages["/charts/app-1.2.3.tgz"].body
    serial = outcome.json["serial"]
    assert outcome.json == {
        "bundle": f"dist/{FILES[0]}",
        "digest": Digest.of(data),
        "size": len(data),
        "signatures": [f"dist/{name}" for name in FILES[2:]],
        "provenance": f"dist/{FILES[1]}",
        "base": None,
        "name": "shop",
        "version": "1.4.0",
        "serial": serial,
        "images": [
            {
                "name": image.partition(":")[0].removeprefix("team/"),
                "reference": world.reference(image),
                "digest": world.images[image].digest,
            }
            for image in SIGNED
        ],
        "charts": [{"name": "app", "version": "1.2.3", "digest": Digest.of(chart)}],
    }
    assert isinstance(serial, int)


def test_people_are_told_the_same(world: World, create: Run) -> None:
    world.spec(*SIGNED)

    outcome = create()

    assert outcome.status == 0, outcome.err
    assert f"bundle     dist/{FILES[0]}\n" in outcome.out
    assert Digest.of(world.bundle.read_bytes()) in outcome.out
    assert "3 images, 0 charts" in outcome.out
    for name in FILES[2:]:
        assert f"signature  dist/{name}\n" in outcome.out
    assert f"provenance dist/{FILES[1]}\n" in outcome.out
    assert "resolving" in outcome.err
    assert create("--quiet").err == ""


def test_the_members_are_those_of_the_format_in_its_order(world: World, create: Run) -> None:
    world.spec(*SIGNED, charts=[world.chart()])
    create()

    bundle = opened(world.bundle)

    head = ["oci-layout", "index.json", "metadata.json", "bundle.yaml", "bundle.lock.yaml"]
    assert bundle.names[:6] == [*head, "SHA256SUMS"]
    assert bundle.names[6:8] == ["charts/app-1.2.3.tgz", "charts/index.yaml"]
    assert all(name.startswith("blobs/sha256/") for name in bundle.names[8:])
    assert len(set(bundle.names)) == len(bundle.names)
    for member in bundle.members:
        assert member.isreg()
        assert (member.mode, member.uid, member.gid, member.uname) == (0o644, 0, 0, "")
    assert len({member.mtime for member in bundle.members}) == 1


def test_every_byte_is_vouched_for_twice(world: World, create: Run) -> None:
    world.spec(*SIGNED, charts=[world.chart()])
    create()

    bundle = opened(world.bundle)

    lines = [line.split("  ") for line in bundle.files["SHA256SUMS"].decode().splitlines()]
    sums = {name: digest for digest, name in lines}
    found = {name: Digest.of(data).hex for name, data in bundle.files.items()}
    assert {"SHA256SUMS": found["SHA256SUMS"], **sums} == found
    listed = {one["name"]: one["digest"] for one in bundle.metadata["members"]}
    assert set(bundle.names) - set(listed) == {"metadata.json", "SHA256SUMS"}
    assert all(digest == f"sha256:{found[name]}" for name, digest in listed.items())
    assert all(
        Digest.of(data).blob_path == name
        for name, data in bundle.files.items()
        if name.startswith("blobs/")
    )


def test_images_and_charts_are_what_their_sources_had(world: World, create: Run) -> None:
    world.spec(*SIGNED, charts=[world.chart()])
    create()

    bundle = opened(world.bundle)

    for image in SIGNED:
        target = world.repository(image)
        with target.fetch(world.images[image]) as stream:
            assert bundle.blob(world.images[image].digest) == stream.read()
    assert bundle.names.count(Digest.of(BASE.data).blob_path) == 1
    assert bundle.files["charts/app-1.2.3.tgz"] == world.charts.pages["/charts/app-1.2.3.tgz"].body
    assert bundle.files["bundle.yaml"] == (world.folder / "bundle.yaml").read_bytes()
    index = yaml.safe_load(bundle.files["charts/index.yaml"])
    (entry,) = index["entries"]["app"]
    assert entry["urls"] == ["app-1.2.3.tgz"]
    assert entry["digest"] == Digest.of(bundle.files["charts/app-1.2.3.tgz"]).hex


def test_runtimes_find_each_image_by_tag_and_by_digest(world: World, create: Run) -> None:
    world.spec(WEB, WORKER)
    create()

    manifests = json.loads(opened(world.bundle).files["index.json"])["manifests"]

    named = {
        (one["annotations"]["org.opencontainers.image.ref.name"], one["digest"])
        for one in manifests
        if "annotations" in one
    }
    expected = set()
    for image in (WEB, WORKER):
        digest = world.images[image].digest
        expected.add((world.reference(image), digest))
        expected.add((f"{world.reference(image)}@{digest}", digest))
    assert {digest for _, digest in named} == {digest for _, digest in expected}
    assert len(named) == 4
    nameless = [one for one in manifests if "annotations" not in one]
    assert len(nameless) == 3  # a signature by tag, one by referrer, an SBOM


def test_the_metadata_say_how_each_image_was_verified(world: World, create: Run) -> None:
    world.spec(*SIGNED)
    create()

    bundle = opened(world.bundle)

    fingerprint = signer(VENDOR).public_key.fingerprint
    for name, scheme in (("web", "tag"), ("worker", "referrer"), ("legacy", "tag")):
        signatures = bundle.image(name)["signatures"]
        assert signatures["status"] == "done"
        (verified,) = signatures["verified"]
        assert (verified["key"], verified["scheme"]) == (fingerprint, scheme)
        assert bundle.blob(verified["digest"])
    kinds = [one["kind"] for one in bundle.image("worker")["attachments"]]
    assert sorted(kinds) == ["sbom", "signature"]
    checks = bundle.metadata["checks"]
    assert checks["sign"] == {"status": "done"}
    assert checks["verify"] == {"status": "done"}
    assert checks["scan"]["status"] == "skipped"
    assert checks["scan"]["reason"]


def test_docker_media_types_stay_what_they_are(world: World, create: Run) -> None:
    world.spec(LEGACY)
    create()

    bundle = opened(world.bundle)

    docker = "application/vnd.docker.distribution.manifest.v2+json"
    assert bundle.image("legacy")["mediaType"] == docker
    assert json.loads(bundle.blob(world.images[LEGACY].digest))["mediaType"] == docker


@pytest.mark.parametrize("where", ["flag", "spec"])
def test_gzip_on_request(world: World, petra: Run, create: Run, where: str) -> None:
    world.spec(*SIGNED, output={"format": "tar.gz"} if where == "spec" else None)

    outcome = create(*(("--format", "tar.gz") if where == "flag" else ()))

    assert outcome.status == 0, outcome.err
    assert names(world.dist) == [name.replace(".zst", ".gz") for name in FILES]
    file = world.dist / f"{NAME}.tar.gz"
    assert opened(file).metadata["name"] == "shop"
    assert petra("bundle", "verify", "-f", file, "--key", "ours.pub").status == 0


def test_the_flag_for_the_format_goes_before_the_spec(world: World, create: Run) -> None:
    world.spec(WEB, output={"format": "tar.gz"})

    create("--format", "tar.zst")

    assert names(world.dist) == FILES


def test_two_creates_of_one_lock_are_the_same_bytes(
    world: World, petra: Run, create: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.spec(*SIGNED, charts=[world.chart()])
    assert petra("bundle", "lock", "-f", "bundle.yaml").status == 0
    monkeypatch.delenv("PETRA_HELM")

    made = set()
    for folder in ("one", "two"):
        assert create("--locked", "--output-dir", folder).status == 0
        made.add((world.folder / folder / FILES[0]).read_bytes())
        monkeypatch.setenv("PETRA_HELM", "")

    assert len(made) == 1


def test_an_older_bundle_of_the_name_is_replaced(world: World, petra: Run, create: Run) -> None:
    world.spec(WEB)
    create()
    before = world.bundle.read_bytes()
    world.spec(WEB, WORKER)

    create()

    assert world.bundle.read_bytes() != before
    assert names(world.dist) == FILES
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


def test_an_unsigned_bundle_says_so(world: World, petra: Run, create: Run) -> None:
    world.spec(WEB)
    create()
    assert names(world.dist) == FILES
    world.spec(WEB, output={"sign": False})

    outcome = petra("bundle", "create", "-f", "bundle.yaml", "--output", "json")

    assert outcome.status == 0, outcome.err
    assert outcome.json["signatures"] == []
    # Those of the signed bundle that stood there would say something false.
    assert names(world.dist) == FILES[:1]
    check = opened(world.bundle).metadata["checks"]["sign"]
    assert check == {"status": "skipped", "reason": "output.sign is false in the spec"}
    assert_refused(
        petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub"), 3, "not signed"
    )
    text = petra("bundle", "create", "-f", "bundle.yaml").out
    assert "none: output.sign is false in the spec" in text


def test_unverified_images_are_recorded_as_such(world: World, petra: Run, create: Run) -> None:
    world.spec(WEB, UNSIGNED, verify=None, output={"verify": False})

    assert create().status == 0

    bundle = opened(world.bundle)
    reason = "output.verify is false in the spec"
    for name in ("web", "unsigned"):
        assert bundle.image(name)["signatures"] == {
            "status": "skipped",
            "reason": reason,
            "verified": [],
        }
    assert bundle.metadata["checks"]["verify"] == {"status": "skipped", "reason": reason}
    shown = petra("bundle", "inspect", "-f", world.bundle, "--key", "ours.pub")
    assert f"skipped: verify ({reason})" in shown.out
    # What hangs on the image travels, verified or not.
    assert [one["kind"] for one in bundle.image("web")["attachments"]] == ["signature"]


def test_one_image_is_spared_for_a_reason(world: World, create: Run) -> None:
    entries = world.entries([WEB, UNSIGNED])
    entries[1]["verify"] = {"skip": "built here, minutes ago"}
    world.spec(images=entries)

    assert create().status == 0

    bundle = opened(world.bundle)
    assert bundle.image("web")["signatures"]["status"] == "done"
    skipped = {"status": "skipped", "reason": "built here, minutes ago", "verified": []}
    assert bundle.image("unsigned")["signatures"] == skipped


def test_times_come_from_the_environment(
    world: World, create: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    world.spec(WEB)

    assert create("--output", "json").json["serial"] == 1_700_000_000

    bundle = opened(world.bundle)
    assert {member.mtime for member in bundle.members} == {1_700_000_000}
    assert bundle.metadata["created"] == "2023-11-14T22:13:20Z"
    first = world.bundle.read_bytes()
    create()
    assert world.bundle.read_bytes() == first


@pytest.mark.parametrize("text", ["yesterday", "-1", "1e9", "99999999999"])
def test_a_time_that_is_none_is_refused(
    world: World, create: Run, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    world.spec(WEB)

    assert_refused(create(), 2, "SOURCE_DATE_EPOCH", text, "seconds since 1970")
    assert names(world.dist) == []


def test_serial_and_expiry_are_the_specs(world: World, create: Run) -> None:
    world.spec(WEB, serial=41, notAfter="2099-01-02T03:04:05+01:00")

    assert create("--output", "json").json["serial"] == 41

    metadata = opened(world.bundle).metadata
    assert (metadata["serial"], metadata["notAfter"]) == (41, "2099-01-02T02:04:05Z")


def test_no_spec_no_bundle(world: World, create: Run) -> None:
    assert_refused(create(), 1, "bundle.yaml")
    assert names(world.dist) == []


def test_a_wrong_field_is_told_with_its_line_and_the_nearest_name(
    world: World, create: Run
) -> None:
    world.spec(WEB, plattforms=["linux/amd64"])

    lines = (world.folder / "bundle.yaml").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "plattforms" in text)
    assert_refused(create(), 2, f"bundle.yaml:{line}", "plattforms", "platforms")
    assert names(world.dist) == []


def test_an_empty_spec_makes_an_empty_bundle(world: World, petra: Run, create: Run) -> None:
    world.spec()

    assert create().status == 0

    bundle = opened(world.bundle)
    assert len(bundle.names) == 6
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


def test_the_output_folder_is_made(world: World, create: Run, tmp_path: Path) -> None:
    world.spec(WEB)
    folder = tmp_path / "some" / "where"

    assert create("--output-dir", folder).status == 0

    assert names(folder) == FILES
    assert not world.dist.exists()
