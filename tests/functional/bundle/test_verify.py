"""`petra bundle verify` and `sign`: who signed, what was signed, and nothing else."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from tests.support.command import assert_refused, names
from tests.support.world import NAME, OURS, SIGNED, WEB, World, signer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Run

FILE = f"{NAME}.tar.zst"
MADE = (FILE, f"{FILE}.sig", f"{FILE}.sigstore.json")


@pytest.fixture
def bundle(world: World, create: Run) -> Path:
    world.spec(*SIGNED, charts=[world.chart()])
    outcome = create()
    assert outcome.status == 0, outcome.err
    return world.bundle


def test_a_good_bundle_is_verified(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "verify", "-f", bundle, "--key", "ours.pub", "--output", "json")

    data = bundle.read_bytes()
    serial = outcome.json["serial"]
    members = outcome.json["members"]
    assert outcome.status == 0
    assert outcome.json == {
        "verified": True,
        "bundle": str(bundle),
        "name": "shop",
        "version": "1.4.0",
        "serial": serial,
        "digest": Digest.of(data),
        "size": len(data),
        "key": signer(OURS).public_key.fingerprint,
        "members": members,
        "skipped": {"scan": ["neither the spec nor a policy asks for a scan"]},
        "base": None,
    }
    assert isinstance(serial, int)
    assert members > len(SIGNED)
    # What the sender left out is said in so many words.
    assert "warning: the sender skipped: scan" in outcome.err


def test_people_are_told_the_same(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "verify", "-f", bundle, "--key", "ours.pub")

    assert f"verified  {bundle}\n" in outcome.out
    assert signer(OURS).public_key.fingerprint in outcome.out
    assert Digest.of(bundle.read_bytes()) in outcome.out


@pytest.mark.parametrize("kept", MADE[1:])
def test_either_form_of_the_signature_is_enough(bundle: Path, petra: Run, kept: str) -> None:
    for name in set(MADE[1:]) - {kept}:
        (bundle.parent / name).unlink()

    assert petra("bundle", "verify", "-f", bundle, "--key", "ours.pub").status == 0

    moved = bundle.parent.parent / "moved"
    (bundle.parent / kept).rename(moved)
    without = petra("bundle", "verify", "-f", bundle, "--key", "ours.pub")
    assert_refused(without, 3, "not signed", "--signature")
    named = petra("bundle", "verify", "-f", bundle, "--key", "ours.pub", "--signature", moved)
    assert named.status == 0


@pytest.mark.parametrize("bad", MADE[1:])
def test_where_both_forms_lie_there_both_must_be_good(
    world: World, bundle: Path, petra: Run, create: Run, bad: str
) -> None:
    (world.folder / "old").mkdir()
    for name in MADE:
        shutil.copy(bundle.parent / name, world.folder / "old" / name)
    world.spec(WEB)
    create()
    shutil.copy(world.folder / "old" / bad, bundle.parent / bad)

    outcome = petra("bundle", "verify", "-f", bundle, "--key", "ours.pub")

    assert_refused(outcome, 3, bad)


def test_another_key_is_refused(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "verify", "-f", bundle, "--key", "stranger.pub")

    assert_refused(outcome, 3, FILE, "does not verify", "the signer's public key")


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("command", ["verify", "inspect", "serve"])
def test_one_changed_bit_is_refused(bundle: Path, petra: Run, where: str, command: str) -> None:
    data = bytearray(bundle.read_bytes())
    data[{"first": 0, "middle": len(data) // 2, "last": -1}[where]] ^= 1
    bundle.write_bytes(data)

    arguments = ("--listen", "127.0.0.1:0") if command == "serve" else ()
    outcome = petra("bundle", command, "-f", bundle, "--key", "ours.pub", *arguments)

    assert_refused(outcome, 3, FILE, "changed after signing")


@pytest.mark.parametrize(
    ("ending", "content", "says"),
    [
        (".sig", b"!!! not base64 !!!", "base64"),
        (".sig", b"", "signature"),
        (".sig", b"AAAA" * 3_000_000, "too large"),
        (".sigstore.json", b"{}", "sigstore.json"),
        (".sigstore.json", b"[1", "JSON"),
        (".sigstore.json", b"{" * 100_000, "sigstore.json"),
    ],
)
def test_signature_files_that_are_none(
    bundle: Path, petra: Run, ending: str, content: bytes, says: str
) -> None:
    bundle.with_name(FILE + ending).write_bytes(content)

    outcome = petra("bundle", "verify", "-f", bundle, "--key", "ours.pub")

    assert_refused(outcome, 3, FILE + ending, says)


def test_a_bundle_whose_time_is_over_is_refused(world: World, petra: Run, create: Run) -> None:
    world.spec(WEB, notAfter="2020-01-01T00:00:00Z")
    assert create().status == 0

    for command in ("verify", "inspect", "serve"):
        outcome = petra("bundle", command, "-f", world.bundle, "--key", "ours.pub")
        assert_refused(outcome, 3, "expired", "2020-01-01", "shop 1.4.0", "newer bundle")
    as_json = petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub", "--output", "json")
    assert as_json.json["error"]["code"] == "POLICY"


def test_files_that_are_not_there_or_no_files(world: World, petra: Run) -> None:
    key = ("--key", "ours.pub")
    assert_refused(petra("bundle", "verify", "-f", "nope.tar.zst", *key), 1, "nope.tar.zst")
    assert_refused(petra("bundle", "verify", "-f", world.folder, *key), 1, str(world.folder))
    assert_refused(petra("bundle", "inspect", "-f", "nope.tar.zst"), 1, "nope.tar.zst")
    (world.folder / "b").write_bytes(b"x")
    signature = ("--signature", "nope.sig")
    assert_refused(petra("bundle", "verify", "-f", "b", *key, *signature), 1, "nope.sig")


def test_sign_signs_what_is_there(world: World, petra: Run) -> None:
    world.spec(WEB, output={"sign": False})
    petra("bundle", "create", "-f", "bundle.yaml")
    assert names(world.dist) == [FILE]

    outcome = petra("bundle", "sign", "-f", world.bundle, "--key", "ours.key", "--output", "json")

    assert outcome.status == 0, outcome.err
    assert outcome.json == {
        "file": str(world.bundle),
        "digest": Digest.of(world.bundle.read_bytes()),
        "key": signer(OURS).public_key.fingerprint,
        "signature": f"{world.bundle}.sig",
        "bundle": f"{world.bundle}.sigstore.json",
    }
    assert names(world.dist) == [*MADE]
    verdict = petra("bundle", "verify", "-f", world.bundle, "--key", "ours.pub")
    assert verdict.status == 0
    # The metadata say what the creator did; a later signature does not change them.
    assert "output.sign is false" in verdict.err


def test_sign_replaces_older_signatures_and_leaves_them_when_it_fails(
    bundle: Path, petra: Run
) -> None:
    before = {name: (bundle.parent / name).read_bytes() for name in MADE}

    assert_refused(petra("bundle", "sign", "-f", bundle, "--key", "nope.key"), 1, "nope.key")
    assert {name: (bundle.parent / name).read_bytes() for name in MADE} == before

    assert petra("bundle", "sign", "-f", bundle, "--key", "stranger.key").status == 0
    assert names(bundle.parent) == sorted([*MADE, f"{FILE}.intoto.json"])
    assert petra("bundle", "verify", "-f", bundle, "--key", "stranger.pub").status == 0
    assert petra("bundle", "verify", "-f", bundle, "--key", "ours.pub").status == 3


def test_errors_are_json_where_json_was_asked_for(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "verify", "-f", bundle, "--key", "stranger.pub", "--output", "json")

    assert outcome.status == 3
    error = json.loads(outcome.out)["error"]
    assert error["code"] == "SIGNATURE"
    assert {"message", "where", "expected", "next"} <= set(error)
