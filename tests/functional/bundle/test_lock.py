"""`petra bundle lock`, and `create --locked`, which keeps to it and refuses any drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from demo import content
from petra.content.digest import Digest
from tests.support.chart_server import Page
from tests.support.charts import chart
from tests.support.command import assert_refused, names
from tests.support.front import shorter, status
from tests.support.opened import opened
from tests.support.world import (
    NAME,
    SIGNED,
    VENDOR,
    WEB,
    WORKER,
    World,
    layer,
    layers_of,
    signer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command import Outcome, Run
    from tests.support.front import Front

LOCK = "bundle.lock.yaml"


@pytest.fixture
def lock(petra: Run) -> Run:
    def run(*more: str) -> Outcome:
        return petra("bundle", "lock", "-f", "bundle.yaml", *more)

    return run


def edit(world: World, change: Callable[[Any], None]) -> None:
    """Change the lock as a person would with an editor."""
    path = world.folder / LOCK
    value = yaml.safe_load(path.read_text())
    change(value)
    path.write_text(yaml.safe_dump(value, sort_keys=False))


def test_a_lock_says_what_everything_is_and_fetches_no_layer(
    world: World, front: Front, lock: Run
) -> None:
    world.spec(*SIGNED, host=front.host, charts=[world.chart()])

    outcome = lock("--output", "json")

    assert outcome.status == 0, outcome.err
    written = yaml.safe_load((world.folder / LOCK).read_text())
    assert [image["root"]["digest"] for image in written["images"]] == [
        world.images[image].digest for image in SIGNED
    ]
    data = world.charts.pages["/charts/app-1.2.3.tgz"].body
    assert written["charts"][0]["digest"] == Digest.of(data)
    for key in ("apiVersion", "kind", "serial", "created", "specDigest", "tools"):
        assert written[key], key
    layers = {one.digest for image in (WORKER,) for one in layers_of(world, image)}
    assert layers <= {one["digest"] for one in written["images"][1]["layers"]}
    assert not [one for one in front.asked("/blobs/") if one.path.rpartition("/")[2] in layers]
    assert outcome.json["lock"] == LOCK
    assert outcome.json["missingImages"] == []
    assert [image["name"] for image in outcome.json["images"]] == ["web", "worker", "legacy"]
    assert outcome.json["bytes"] > 50_000
    assert names(world.dist) == []


def test_the_lock_lies_beside_the_spec(world: World, petra: Run) -> None:
    world.spec(WEB, file="specs/other.yaml")

    outcome = petra("bundle", "lock", "-f", "specs/other.yaml")

    assert outcome.status == 0
    assert names(world.folder / "specs") == ["other.lock.yaml", "other.yaml"]
    assert "specs/other.lock.yaml" in outcome.out
    assert world.images[WEB].digest in outcome.out


def test_a_locked_bundle_carries_the_lock_itself(world: World, lock: Run, create: Run) -> None:
    world.spec(*SIGNED, charts=[world.chart()])
    lock()

    assert create("--locked").status == 0

    bundle = opened(world.bundle)
    assert bundle.files[LOCK] == (world.folder / LOCK).read_bytes()
    assert bundle.metadata["serial"] == yaml.safe_load(bundle.files[LOCK])["serial"]


def test_a_tag_that_moved_since_changes_nothing(world: World, lock: Run, create: Run) -> None:
    world.spec(WORKER)
    lock()
    target = world.repository(WORKER)
    moved = content.push_image(target, [layer("newer")])
    content.sign_by_referrer(target, moved, signer(VENDOR))
    target.tag(moved, "1.4")

    assert create("--locked", "--output", "json").json["images"][0]["digest"] == (
        world.images[WORKER].digest
    )
    assert create("--output", "json").json["images"][0]["digest"] == moved.digest


def test_a_signature_that_came_later_is_not_taken_up(world: World, lock: Run, create: Run) -> None:
    """Only what the lock names travels: the bundle follows from it alone."""
    world.spec(WORKER)
    lock()
    create("--locked")
    before = world.bundle.read_bytes()
    content.attach_sbom(world.repository(WORKER), world.images[WORKER], "another")

    assert create("--locked").status == 0

    assert world.bundle.read_bytes() == before


def test_locked_needs_a_lock(world: World, create: Run) -> None:
    world.spec(WEB)

    assert_refused(create("--locked"), 1, LOCK, "petra bundle lock -f bundle.yaml")
    assert names(world.dist) == []


def test_a_spec_that_changed_since(world: World, lock: Run, create: Run) -> None:
    world.spec(WEB)
    lock()
    world.spec(WEB, WORKER)

    assert_refused(create("--locked"), 3, "the spec has changed", "petra bundle lock")
    assert names(world.dist) == []


def test_a_chart_that_was_published_anew(world: World, lock: Run, create: Run) -> None:
    world.spec(WEB, charts=[world.chart()])
    lock()
    world.add_chart("app", "1.2.3", chart(appVersion="other"))

    assert_refused(create("--locked"), 3, "chart app-1.2.3.tgz differs", "petra bundle lock")
    assert names(world.dist) == []


def test_a_chart_that_was_withdrawn(world: World, lock: Run, create: Run) -> None:
    world.spec(WEB, charts=[world.chart()])
    lock()
    world.charts.pages["/charts/app-1.2.3.tgz"] = Page(b"gone", 404)

    assert_refused(create("--locked"), 1, "app-1.2.3.tgz")
    assert names(world.dist) == []


@pytest.mark.parametrize("what", ["manifests", "blobs"])
def test_content_that_was_deleted_from_the_registry(
    world: World, front: Front, lock: Run, create: Run, what: str
) -> None:
    world.spec(WORKER, host=front.host)
    lock()
    gone = world.images[WORKER].digest
    if what == "blobs":
        gone = layers_of(world, WORKER)[-1].digest
    front.fault(f"{what}/{gone}", status(404))

    assert_refused(create("--locked"), 1, f"{front.host}/team/worker", gone)
    assert names(world.dist) == []


def test_a_locked_signature_that_was_deleted(
    world: World, front: Front, lock: Run, create: Run
) -> None:
    world.spec(WEB, host=front.host)
    lock()
    tag = f"sha256-{world.images[WEB].digest.hex}.sig"
    signature = world.repository(WEB).resolve(tag).digest
    front.fault(f"manifests/({signature}|{tag})", status(404))

    assert_refused(create("--locked"), 3, "signature", signature, "petra bundle lock")
    assert names(world.dist) == []


def test_a_manifest_that_is_served_as_another(
    world: World, front: Front, lock: Run, create: Run
) -> None:
    world.spec(WORKER, host=front.host)
    lock()
    front.fault(f"GET .*manifests/{world.images[WORKER].digest}", shorter(1))

    assert_refused(create("--locked"), 3, world.images[WORKER].digest)
    assert names(world.dist) == []


def _other_root(value: Any) -> None:
    value["images"][0]["root"]["digest"] = f"sha256:{'0' * 64}"


def _other_size(value: Any) -> None:
    value["images"][0]["layers"][0]["size"] += 1


def _other_layer(value: Any) -> None:
    value["images"][0]["layers"].pop()


def _other_tool(value: Any) -> None:
    value["tools"]["zstd"] = "0.0.1"


def _other_spec(value: Any) -> None:
    value["specDigest"] = f"sha256:{'1' * 64}"


def _other_serial(value: Any) -> None:
    value["serial"] = 7


@pytest.mark.parametrize(
    ("change", "status_", "says"),
    [
        (_other_root, 1, "0" * 64),
        (_other_size, 3, "image worker differs"),
        (_other_layer, 3, "image worker differs"),
        (_other_tool, 3, "tool zstd differs"),
        (_other_spec, 3, "the spec has changed"),
    ],
)
def test_a_lock_that_was_edited(
    world: World,
    lock: Run,
    create: Run,
    change: Callable[[Any], None],
    status_: int,
    says: str,
) -> None:
    world.spec(WORKER)
    lock()
    edit(world, change)

    assert_refused(create("--locked"), status_, says)
    assert names(world.dist) == []


def test_a_serial_may_be_edited_in_a_lock_unless_the_spec_has_one(
    world: World, lock: Run, create: Run
) -> None:
    world.spec(WORKER)
    lock()
    edit(world, _other_serial)
    assert create("--locked", "--output", "json").json["serial"] == 7

    world.spec(WORKER, serial=5)
    lock()
    edit(world, _other_serial)
    assert_refused(create("--locked", "--output-dir", "new"), 3, "serial")
    assert names(world.folder / "new") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: BundleLock\nnope: 1\n", f"{LOCK}:2"),
        ("apiVersion: petra.sh/v1alpha9\n", "v1alpha1"),
        ("a: b: c\n", f"{LOCK}:1"),
        ("", LOCK),
    ],
)
def test_a_file_that_is_no_lock(world: World, create: Run, text: str, says: str) -> None:
    world.spec(WEB)
    (world.folder / LOCK).write_text(text)

    assert_refused(create("--locked"), 2, says)
    assert names(world.dist) == []


def test_a_lock_that_could_not_be_made_leaves_the_old_one(world: World, lock: Run) -> None:
    world.spec(WEB)
    lock()
    before = (world.folder / LOCK).read_bytes()
    world.spec(WEB, "team/absent:1.0")

    assert_refused(lock(), 1, "team/absent:1.0")

    assert (world.folder / LOCK).read_bytes() == before
    assert f".{LOCK}" not in "".join(names(world.folder))


def test_create_without_locked_does_not_look_at_the_lock(world: World, create: Run) -> None:
    world.spec(WEB)
    (world.folder / LOCK).write_text("old and wrong")

    assert create().status == 0
    assert (world.folder / LOCK).read_text() == "old and wrong"
    ends = ("", ".intoto.json", ".sig", ".sigstore.json")
    assert names(world.dist) == [f"{NAME}.tar.zst{end}" for end in ends]
