"""Differential bundles: what the receiver holds stays out, and is proven to be there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from demo import content
from petra.archive.members import LOCK, METADATA, SUMS, is_stored
from petra.archive.plan import Text
from petra.archive.reader import ArchiveReader
from petra.archive.source import FileSource
from petra.archive.sums import checksums
from petra.bundle.signatures import write_document, write_signatures
from petra.content.digest import Digest
from petra.encoding.json import dump_json
from tests.support import archives
from tests.support.command import Outcome, Run, assert_refused, names
from tests.support.world import OURS, VENDOR, World, layer, layers_of, signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.sites import There

MEGA = 1024 * 1024
#: Three images that share a base of megabytes, each with a layer of its own.
IMAGES = ("team/one:1", "team/two:1", "team/three:1")


def put(world: World, name: str, *texts: str) -> None:
    """Push a signed image of layers of a megabyte each, and let its tag stand for it."""
    target = world.repository(name)
    image = content.push_image(target, [layer(text, MEGA) for text in texts])
    content.sign_by_tag(target, image, world.reference(name.partition(":")[0]), signer(VENDOR))
    target.tag(image, name.partition(":")[2])
    world.images[name] = image


@pytest.fixture
def images(world: World) -> World:
    for name in IMAGES:
        put(world, name, "shared", f"{name} 1")
    return world


class Make:
    """Makes bundles of these images, each with a serial of its own."""

    def __init__(self, world: World, petra: Run) -> None:
        self.world = world
        self._petra = petra

    def run(self, serial: int, *more: str | Path, names: tuple[str, ...] = IMAGES) -> Outcome:
        version = f"1.{serial}.0"
        spec = self.world.spec(*names, version=version, file=f"{version}.yaml", serial=serial)
        return self._petra("bundle", "create", "-f", spec, "--key", "ours.key", *more)

    def __call__(
        self,
        serial: int,
        *more: str | Path,
        names: tuple[str, ...] = IMAGES,
        folder: str = "dist",
    ) -> Path:
        made = self.run(serial, "--output-dir", folder, *more, names=names)
        assert made.status == 0, made.err
        return self.world.folder / folder / f"shop-1.{serial}.0.tar.zst"


@pytest.fixture
def make(images: World, petra: Run) -> Make:
    return Make(images, petra)


def load(there: There, file: Path, *more: str | Path) -> Outcome:
    to = ("--images-to", f"registry://{there.host}/mirror")
    return there.petra("bundle", "load", "-f", file, *there.options(), *to, *more)


def inventory(there: There, file: str = "inventory.json") -> Path:
    """Let the other side sign what it holds, by its own key."""
    path = there.folder / file
    ledger = ("--ledger", there.ledger)
    made = there.petra(
        "inventory", "--key", "vendor.key", "--receiver", "east", "--to", path, *ledger
    )
    assert made.status == 0, made.err
    return path


def member(bundle: Path, name: str) -> bytes:
    with ArchiveReader(FileSource(bundle)) as reader:
        return reader.read(name)


def metadata(bundle: Path) -> Any:
    return json.loads(member(bundle, METADATA))


def drop(there: There, image: str, digest: str) -> None:
    """Let the registry lose a blob of an image."""
    target = there.content.create(f"mirror/{image.partition(':')[0]}")
    del target._blobs[Digest(digest)]


def against(base: Path) -> tuple[str | Path, ...]:
    return ("--base", base, "--base-key", "vendor.pub")


def test_one_changed_image_costs_its_changed_blobs(
    there: There, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load(there, make(1)).status == 0
    held = inventory(there)
    put(make.world, IMAGES[0], "shared", "changed")

    whole, partial = make(2), make(2, *against(held), folder="partial")

    changed = len(layer("changed", MEGA).data)
    size = partial.stat().st_size
    figures = (
        f"{size} bytes for {changed} changed, {size / changed:.3f} (whole: {whole.stat().st_size})"
    )
    with capsys.disabled():
        print(f"\ndifferential: {figures}")  # noqa: T201  # the figure is what this is about
    assert size <= 1.05 * changed, figures
    loaded = load(there, partial)
    assert loaded.status == 0, loaded.err
    assert "differential: all 3 layers" in loaded.out


def test_a_lost_bundle_desynchronises_nothing(there: There, make: Make) -> None:
    assert load(there, make(1)).status == 0
    first = inventory(there)
    put(make.world, IMAGES[0], "shared", "second")
    make(2, *against(first))  # sent, and lost on the way
    put(make.world, IMAGES[1], "shared", "third")
    third = make(3, *against(first))

    outcome = load(there, third)

    assert outcome.status == 0, outcome.err
    for name in IMAGES:
        target = there.content.create(f"mirror/{name.partition(':')[0]}")
        wanted = make.world.images[name]
        assert target.resolve(name.partition(":")[2]).digest == wanted.digest
        assert all(target.exists(one) for one in layers_of(make.world, name))


def test_the_next_inventory_has_what_came_and_grows_in_serial(there: There, make: Make) -> None:
    load(there, make(1))
    first = json.loads(inventory(there).read_bytes())
    put(make.world, IMAGES[0], "shared", "second")
    load(there, make(2, *against(there.folder / "inventory.json")))
    second = json.loads(inventory(there).read_bytes())

    new = layers_of(make.world, IMAGES[0])[1]
    assert first["serial"] < second["serial"]
    assert [one["serial"] for one in second["bundles"]] == [1, 2]
    assert {one["digest"] for one in first["blobs"]} < {one["digest"] for one in second["blobs"]}
    assert {"digest": new.digest, "size": new.size} in second["blobs"]


def test_metadata_list_what_is_absent_and_keep_all_else(there: There, make: Make) -> None:
    load(there, make(1))
    held = inventory(there)
    whole, partial = metadata(make(2)), metadata(make(2, *against(held), folder="partial"))

    base, absent = partial["base"], partial["base"]["absent"]
    assert (base["kind"], base["name"]) == ("inventory", "east")
    assert base["digest"] == Digest.of(held.read_bytes())
    left = {f"blobs/sha256/{one['digest'][7:]}": one["size"] for one in absent}
    carried = {one["name"]: one["size"] for one in partial["members"]}
    assert carried | left == {one["name"]: one["size"] for one in whole["members"]}
    layers = {one.digest for name in IMAGES for one in layers_of(make.world, name)}
    assert {one["digest"] for one in absent} == layers
    assert whole["base"] is None


def test_the_lock_is_the_whole_bundles_and_locked_gives_the_same_bytes(
    there: There, make: Make, petra: Run
) -> None:
    load(there, make(1))
    held = inventory(there)
    spec = make.world.spec(*IMAGES, version="1.2.0", serial=2)
    assert petra("bundle", "lock", "-f", spec).status == 0
    locked = ("bundle", "create", "-f", spec, "--key", "ours.key", "--locked")

    outcomes = [
        petra(*locked, *more, "--output-dir", folder)
        for folder, more in (("a", against(held)), ("b", against(held)), ("whole", ()))
    ]

    assert [one.status for one in outcomes] == [0, 0, 0], outcomes
    a, b, whole = (make.world.folder / each / "shop-1.2.0.tar.zst" for each in ("a", "b", "whole"))
    assert a.read_bytes() == b.read_bytes()
    assert a.stat().st_size < whole.stat().st_size
    assert member(a, LOCK) == member(whole, LOCK)


def test_an_older_bundle_serves_as_the_base(there: There, make: Make) -> None:
    old = make(1)
    put(make.world, IMAGES[0], "shared", "changed")
    partial = make(2, "--base", old)

    assert metadata(partial)["base"]["kind"] == "bundle"
    assert load(there, old).status == 0
    assert load(there, partial).status == 0


def test_a_differential_bundle_is_a_base_with_what_it_left_out(there: There, make: Make) -> None:
    first = make(1)
    put(make.world, IMAGES[0], "shared", "second")
    second = make(2, "--base", first)
    put(make.world, IMAGES[1], "shared", "third")
    third = make(3, "--base", second)

    assert len(metadata(third)["base"]["absent"]) == 3
    assert [load(there, one).status for one in (first, second, third)] == [0, 0, 0]


def test_a_chunk_folder_is_a_base_too(make: Make, petra: Run) -> None:
    old = make(1)
    cut = petra(
        "bundle", "chunk", "-f", old, "--max-size", "1MiB", "--key", "ours.key", "--to", "c"
    )
    assert cut.status == 0, cut.err
    assert len(metadata(make(2, "--base", "c"))["base"]["absent"]) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.with_name(f"{path.name}.sig").unlink(), None),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"east", b"west")), "signature"),
    ],
)
def test_one_form_of_signature_suffices_and_a_changed_inventory_is_refused(
    there: There, make: Make, change: Any, says: str | None
) -> None:
    load(there, make(1))
    held = inventory(there)
    change(held)
    outcome = make.run(2, *against(held))
    if says is None:
        assert outcome.status == 0, outcome.err
    else:
        assert_refused(outcome, 3, says, "inventory.json")


def test_an_unsigned_inventory_is_refused(there: There, make: Make) -> None:
    load(there, make(1))
    held = inventory(there)
    bare = held.with_name("bare.json")
    bare.write_bytes(held.read_bytes())
    assert_refused(make.run(2, *against(bare)), 3, "not signed", "bare.json")


def test_an_inventory_by_another_key_is_refused(there: There, make: Make) -> None:
    load(there, make(1))
    held = inventory(there)
    outcome = make.run(2, "--base", held, "--base-key", "ours.pub")
    assert_refused(outcome, 3, "signature does not verify")


def test_an_inventory_needs_a_key(there: There, make: Make) -> None:
    load(there, make(1))
    assert_refused(make.run(2, "--base", inventory(there)), 2, "--base-key", "PETRA_BASE_KEY")


def test_an_inventory_with_a_blob_of_another_size_is_refused(there: There, make: Make) -> None:
    load(there, make(1))
    path = there.folder / "inventory.json"
    value = json.loads(inventory(there).read_bytes())
    blob = layers_of(make.world, IMAGES[0])[1]
    next(one for one in value["blobs"] if one["digest"] == blob.digest)["size"] += 1
    write_document(path, dump_json(value), signer(VENDOR))

    outcome = make.run(2, *against(path))

    assert_refused(outcome, 3, "another size", blob.digest, f"{blob.size} bytes")


def test_a_receiver_that_lost_a_blob_is_named_and_nothing_is_touched(
    there: There, make: Make
) -> None:
    load(there, make(1))
    held = inventory(there)
    put(make.world, IMAGES[0], "shared", "changed")
    partial = make(2, *against(held))
    lost = layers_of(make.world, IMAGES[2])[1]
    drop(there, IMAGES[2], lost.digest)
    before = there.tags()

    outcome = load(there, partial)

    assert outcome.status == 1
    for text in ("differential", lost.digest, "of three", "--base-from", "mirror"):
        assert text in outcome.err
    assert there.tags() == before
    again = there.petra(
        "inventory", "--key", "vendor.key", "--to", "new.json", "--ledger", there.ledger
    )
    assert (again.status, lost.digest in again.err) == (0, True)
    assert lost.digest not in (make.world.folder / "new.json").read_text()


def test_what_is_lost_is_brought_from_a_bundle_that_is_named(there: There, make: Make) -> None:
    old = make(1)
    load(there, old)
    partial = make(2, *against(inventory(there)))
    lost = layers_of(make.world, IMAGES[2])[1]
    drop(there, IMAGES[2], lost.digest)

    outcome = load(there, partial, "--base-from", old)

    assert outcome.status == 0, outcome.err
    assert "1 of them from elsewhere" in outcome.out
    target = there.content.create("mirror/team/three")
    assert target.exists(lost)


def test_what_an_old_repository_has_is_taken_over_by_the_new_one(there: There, make: Make) -> None:
    load(there, make(1, names=IMAGES[:1]))
    held = inventory(there)
    put(make.world, "team/renamed:1", "shared", f"{IMAGES[0]} 1")
    partial = make(2, *against(held), names=("team/renamed:1",))

    outcome = load(there, partial)

    assert outcome.status == 0, outcome.err
    assert len(metadata(partial)["base"]["absent"]) == 2
    target = there.content.create("mirror/team/renamed")
    assert all(target.exists(one) for one in layers_of(make.world, "team/renamed:1"))
    assert any("mount=" in one for one in there.requests), there.requests


def test_a_layout_is_read_and_a_damaged_blob_is_not_believed(there: There, make: Make) -> None:
    layout, old = there.folder / "layout", make(1)
    to = ("--images-to", f"layout:{layout}")
    load_to = ("bundle", "load", *there.options(), *to, "-f")
    assert there.petra(*load_to, old).status == 0
    partial = make(2, *against(inventory(there)))
    blob = layout / layers_of(make.world, IMAGES[2])[1].digest.blob_path
    data = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(data[:-1] + b"?")

    refused = there.petra(*load_to, partial)
    left = blob.read_bytes()
    mended = there.petra(*load_to, partial, "--base-from", old)

    assert refused.status == 1
    assert "sha256:" + blob.name in refused.err
    assert left != data
    assert mended.status == 0, mended.err
    assert blob.read_bytes() == data


def test_another_layout_completes_a_registry(there: There, make: Make) -> None:
    old = make(1)
    layout = f"layout:{there.folder / 'layout'}"
    there.petra("bundle", "load", *there.options(), "--images-to", layout, "-f", old)
    partial = make(2, *against(inventory(there)))

    refused = load(there, partial)
    outcome = load(there, partial, "--base-from", layout)

    assert (refused.status, outcome.status) == (1, 0), outcome.err
    assert "4 of the 4 layers" in refused.err


def test_another_registry_completes_a_layout(there: There, make: Make) -> None:
    load(there, make(1))
    partial = make(2, *against(inventory(there)))
    to = ("--images-to", f"layout:{there.folder / 'layout'}")
    source = ("--base-from", f"registry://{there.host}/mirror")
    outcome = there.petra("bundle", "load", *there.options(), *to, "-f", partial, *source)
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("where", ["k3s", "containerd"])
def test_a_node_refuses_a_differential_bundle(there: There, make: Make, where: str) -> None:
    partial = make(2, "--base", make(1))
    to = ("--images-to", f"k3s:{there.folder / 'agent'}" if where == "k3s" else where)
    outcome = there.petra("bundle", "load", *there.options(), *to, "-f", partial)
    assert_refused(outcome, 3, "differential", "needs a whole one", where)
    assert names(there.folder / "agent") == []


def test_serve_refuses_a_differential_bundle(make: Make, petra: Run) -> None:
    partial = make(2, "--base", make(1))
    outcome = petra(
        "bundle", "serve", "-f", partial, "--key", "ours.pub", "--listen", "127.0.0.1:0"
    )
    assert_refused(outcome, 3, "differential", "serve needs a whole one")


def test_verify_inspect_and_diff_say_against_what(make: Make, petra: Run) -> None:
    old = make(1)
    put(make.world, IMAGES[0], "shared", "changed")
    partial = make(2, "--base", old)
    says = "3 layers, 3.0 MiB, that bundle shop 1.1.0, serial 1 has"

    verified = petra("bundle", "verify", "-f", partial, "--key", "ours.pub", "--provenance")
    inspected = petra("bundle", "inspect", "-f", partial, "--key", "ours.pub")
    diff = petra("bundle", "diff", old, partial, "--key", "ours.pub")

    assert (verified.status, inspected.status, diff.status) == (0, 0, 0), verified.err
    assert f"left out  {says}" in verified.out
    assert f"differential: {says}" in inspected.out
    assert f"{partial} is differential: {says}" in diff.out
    assert "3.0 MiB shared, 1.0 MiB added" in diff.out


@pytest.mark.parametrize("form", ["chunks", "tar.gz"])
def test_every_form_of_a_bundle_can_be_differential(there: There, make: Make, form: str) -> None:
    load(there, make(1))
    put(make.world, IMAGES[0], "shared", "changed")
    cut = ("--chunks-to", "cut", "--max-size", "400KiB")
    more = cut if form == "chunks" else ("--format", "tar.gz")

    made = make.run(2, *against(inventory(there)), *more)
    path = make.world.folder / ("cut" if form == "chunks" else "dist/shop-1.2.0.tar.gz")
    loaded = load(there, path)

    assert (made.status, loaded.status) == (0, 0), made.err + loaded.err
    assert "all 3 layers that the bundle leaves out are at hand" in loaded.out


def test_papers_and_report_say_so(make: Make, petra: Run) -> None:
    partial = make(2, "--base", make(1))
    key = ("--key", "ours.pub")

    assert petra("transfer", "media", "-f", partial, *key, "--to", "medium").status == 0
    assert petra("bundle", "report", "-f", partial, *key, "--to", "page.html").status == 0

    release = (make.world.folder / "medium" / "shop-1.2.0" / "RELEASE.txt").read_text()
    assert "differential 4 layers left out, which bundle shop 1.1.0, serial 1 has" in release
    page = (make.world.folder / "page.html").read_text()
    assert "4 layers are left out that the receiver has by bundle shop 1.1.0" in page


def resigned(bundle: Path, change: Callable[[Any], object]) -> Path:
    """Write the bundle with other metadata, signed by the sender's key all the same."""
    with ArchiveReader(FileSource(bundle)) as reader:
        content: dict[str, bytes] = {}
        for name in reader.members:
            stored = is_stored(name)
            content[name] = reader.open(name).read() if stored else reader.read(name)
    value = json.loads(content[METADATA])
    change(value)
    content[METADATA] = dump_json(value)
    listed = ((name, Digest.of(data)) for name, data in content.items() if name != SUMS)
    content[SUMS] = checksums(listed)
    path = bundle.with_name("changed.tar.zst")
    members = (
        archives.blob(data) if is_stored(name) else Text(name, data)
        for name, data in content.items()
    )
    packed = archives.write(path, [*members])
    write_signatures(path, packed.digest, signer(OURS))
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: None, None),
        (lambda base: base["absent"].pop(), "lacks a blob that it does not list as absent"),
        (lambda base: base["absent"][0].update(size=1), "another size than in the lock"),
        (
            lambda base: base["absent"].append({"digest": Digest.of(b"more"), "size": 4}),
            "listed as absent that is no layer",
        ),
    ],
)
def test_a_list_of_absent_blobs_that_was_changed_is_caught_though_it_is_signed(
    make: Make, petra: Run, change: Any, says: str | None
) -> None:
    path = resigned(make(2, "--base", make(1)), lambda value: change(value["base"]))
    outcome = petra("bundle", "verify", "-f", path, "--key", "ours.pub")
    if says is None:
        assert outcome.status == 0, outcome.err
    else:
        assert_refused(outcome, 3, says)


def test_a_whole_bundle_that_lacks_a_layer_of_its_images_is_refused(make: Make, petra: Run) -> None:
    path = resigned(make(2, "--base", make(1)), lambda value: value.update(base=None))
    outcome = petra("bundle", "verify", "-f", path, "--key", "ours.pub")
    assert_refused(outcome, 3, "lacks a blob that it does not list as absent")
