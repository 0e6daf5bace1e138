"""Keys, folders and the rest: by flag, else variable, else file; and the error that names all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.command import assert_refused, names
from tests.support.opened import opened
from tests.support.world import NAME, STRANGER, WEB, WORKER, World, signer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Run
    from tests.support.front import Front

WAYS = ("flag", "variable", "file")
Give: TypeAlias = Callable[..., tuple[str, ...]]


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], None]:
    """Write the configuration file that is found by itself."""

    def write(text: str) -> None:
        path = tmp_path / "home" / ".config" / "petra" / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch, config: Callable[[str], None], tmp_path: Path) -> Give:
    """Give a setting in one of the three ways; returns the flags to add to the call."""

    def one(way: str, value: str, flag: str, variable: str, key: str) -> tuple[str, ...]:
        if way == "flag":
            return (flag, value)
        if way == "variable":
            monkeypatch.setenv(variable, value)
        else:
            # Relative paths in the file are the file's own.
            config(f"{key}: {tmp_path / value}\n")
        return ()

    return one


@pytest.mark.parametrize("way", WAYS)
def test_the_signing_key(world: World, petra: Run, give: Give, way: str) -> None:
    world.spec(WEB)

    more = give(way, "ours.key", "--key", "PETRA_KEY", "key")

    assert petra("bundle", "create", "-f", "bundle.yaml", *more).status == 0
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub").status == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", ["verify", "inspect", "diff"])
def test_the_senders_key(
    world: World, petra: Run, create: Run, give: Give, way: str, command: str
) -> None:
    world.spec(WEB)
    create()

    more = give(way, "ours.pub", "--key", "PETRA_VERIFY_KEY", "verifyKey")

    files = (world.bundle, world.bundle) if command == "diff" else ("-f", world.bundle)
    outcome = petra("bundle", command, *files, *more, "--output", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["verified"] is True


@pytest.mark.parametrize("way", WAYS)
def test_the_images_key(world: World, create: Run, give: Give, way: str) -> None:
    world.spec(WEB, verify=None)

    more = give(way, "vendor.pub", "--image-key", "PETRA_IMAGE_KEY", "imageKey")

    assert create(*more).status == 0
    assert opened(world.bundle).image("web")["signatures"]["status"] == "done"


@pytest.mark.parametrize("way", WAYS)
def test_the_output_folder(world: World, create: Run, give: Give, way: str) -> None:
    world.spec(WEB, output={"dir": "of-the-spec"})

    more = give(way, "elsewhere", "--output-dir", "PETRA_OUTPUT_DIR", "outputDir")

    assert create(*more).status == 0
    assert f"{NAME}.tar.zst" in names(world.folder / "elsewhere")
    assert not (world.folder / "of-the-spec").exists()


def test_a_flag_goes_before_a_variable_and_that_before_the_file(
    world: World,
    create: Run,
    config: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.spec(WEB, output={"dir": "of-the-spec"})

    def made(*more: str) -> str:
        path: str = create(*more, "--output", "json").json["bundle"]
        return path.split("/")[-2]

    assert made() == "of-the-spec"
    config(f"outputDir: {world.folder / 'of-the-file'}\n")
    assert made() == "of-the-file"
    monkeypatch.setenv("PETRA_OUTPUT_DIR", "of-the-variable")
    assert made() == "of-the-variable"
    assert made("--output-dir", "of-the-flag") == "of-the-flag"


@pytest.mark.parametrize(
    ("arguments", "what", "three"),
    [
        (("create", "-f", "bundle.yaml"), "signing key", ("--key", "PETRA_KEY", "`key:`")),
        (
            ("create", "-f", "bundle.yaml", "--key", "ours.key"),
            "public key for images",
            ("--image-key", "PETRA_IMAGE_KEY", "`imageKey:`"),
        ),
        (
            ("verify", "-f", "b.tar.zst"),
            "public key of the bundle's sender",
            ("--key", "PETRA_VERIFY_KEY", "`verifyKey:`"),
        ),
        (
            ("serve", "-f", "b.tar.zst"),
            "public key of the bundle's sender",
            ("--key", "PETRA_VERIFY_KEY", "`verifyKey:`"),
        ),
        (("sign", "-f", "b.tar.zst"), "signing key", ("--key", "PETRA_KEY", "`key:`")),
    ],
)
def test_a_missing_key_is_told_with_all_three_ways(
    world: World,
    front: Front,
    petra: Run,
    arguments: tuple[str, ...],
    what: str,
    three: tuple[str, ...],
) -> None:
    world.spec(WEB, host=front.host, verify=None)
    (world.folder / "b.tar.zst").write_bytes(b"")

    outcome = petra("bundle", *arguments)

    config = world.folder / "home" / ".config" / "petra" / "config.yaml"
    assert_refused(outcome, 2, f"no {what}", *three, str(config))
    # Nobody waits for a registry to learn that.
    assert front.server.requests == []
    assert names(world.dist) == []


@pytest.mark.parametrize("bad", ["missing.pub", "bundle.yaml", "ours.key", "gcpkms://x"])
def test_an_unusable_images_key_is_told_before_anything_is_asked(
    world: World, front: Front, create: Run, bad: str
) -> None:
    world.spec(WEB, host=front.host, verify={"key": bad})

    outcome = create()

    assert_refused(outcome, 1 if bad == "missing.pub" else 2, bad.partition(":")[0])
    assert front.server.requests == []


@pytest.mark.parametrize("bad", ["missing.key", "bundle.yaml", "ours.pub", "gcpkms://x"])
def test_an_unusable_signing_key_leaves_nothing(world: World, petra: Run, bad: str) -> None:
    world.spec(WEB)

    outcome = petra("bundle", "create", "-f", "bundle.yaml", "--key", bad)

    assert_refused(outcome, 1 if bad == "missing.key" else 2, bad.partition(":")[0])
    assert names(world.dist) == []


def test_an_encrypted_key_opens_with_the_password_in_the_variable(
    world: World, petra: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "made up")
    assert petra("keygen", "--prefix", "mine").status == 0
    world.spec(WEB)
    create = ("bundle", "create", "-f", "bundle.yaml", "--key", "mine.key")

    assert petra(*create).status == 0
    assert petra("bundle", "verify", "-f", world.bundle, "--key", "mine.pub").status == 0

    monkeypatch.setenv("COSIGN_PASSWORD", "another")
    assert_refused(petra(*create, "--output-dir", "refused"), 2, "mine.key", "COSIGN_PASSWORD")
    assert names(world.folder / "refused") == []


def test_keys_of_the_spec_lie_relative_to_the_spec(world: World, petra: Run) -> None:
    world.spec(WEB, file="specs/bundle.yaml", verify={"key": "keys/vendor.pub"})
    (world.folder / "specs" / "keys").mkdir()
    (world.folder / "vendor.pub").rename(world.folder / "specs" / "keys" / "vendor.pub")

    outcome = petra("bundle", "create", "-f", "specs/bundle.yaml", "--key", "ours.key")

    assert outcome.status == 0, outcome.err
    # Output is the caller's: relative to where the call is made.
    assert names(world.dist) != []


def test_one_of_several_keys_is_enough_and_an_image_may_have_its_own(
    world: World, create: Run
) -> None:
    entries = world.entries([WEB, WORKER, "team/foreign:1.0"])
    entries[2]["verify"] = {"key": "stranger.pub"}
    world.spec(images=entries, verify={"keys": ["ours.pub", "vendor.pub"]})

    assert create().status == 0

    bundle = opened(world.bundle)
    (verified,) = bundle.image("foreign")["signatures"]["verified"]
    assert verified["key"] == signer(STRANGER).public_key.fingerprint


def test_the_configuration_names_registries(
    world: World, front: Front, create: Run, config: Callable[[str], None]
) -> None:
    config(f'registries:\n  mirrors:\n    "{world.host}": {front.host}\n')
    world.spec(WEB)

    outcome = create("--output", "json")

    assert outcome.status == 0, outcome.err
    assert outcome.json["images"][0]["reference"] == world.reference(WEB)
    assert front.asked("GET /v2/team/web/blobs/")


def test_a_wrong_configuration_file_is_told_with_its_line(
    world: World, create: Run, config: Callable[[str], None]
) -> None:
    config("key: x\noutputdir: y\n")
    world.spec(WEB)

    assert_refused(create(), 2, "config.yaml:2", "outputDir")
