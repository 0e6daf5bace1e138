"""A bundle in chunks, by the command line: cut, carried, lost, rebuilt, read in place, joined."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from tests.functional.bundle.test_interrupts import running
from tests.support.chunk_folders import Chunked, flip, sign_manifest
from tests.support.command import assert_refused, names
from tests.support.petra_process import Petra
from tests.support.world import NAME, SIGNED, WORKER, World, layers_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Outcome, Run
    from tests.support.front import Front

FILE = f"{NAME}.tar.zst"
KEY = ("--key", "ours.pub")
COUNT, PARITY = 7, 2
DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "flipped": flip,
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.fixture
def bundle(world: World, create: Run) -> Path:
    world.spec(*SIGNED, charts=[world.chart()])
    outcome = create()
    assert outcome.status == 0, outcome.err
    return world.bundle


@pytest.fixture
def cut(petra: Run, bundle: Path) -> Callable[..., Outcome]:
    """Cut the bundle into seven chunks, into the folder `media`, with our key."""
    size = -(-bundle.stat().st_size // COUNT)

    def run(*more: str | Path, to: str = "media", file: Path = bundle) -> Outcome:
        options = ("--max-size", str(size), "--key", "ours.key", "--to", to)
        return petra("bundle", "chunk", "-f", file, *options, *more)

    return run


@pytest.fixture
def chunked(cut: Callable[..., Outcome], world: World, bundle: Path) -> Chunked:
    """The bundle in seven chunks and two of parity."""
    outcome = cut("--parity", str(PARITY))
    assert outcome.status == 0, outcome.err
    return Chunked(world.folder / "media", bundle)


@pytest.fixture
def verify(petra: Run) -> Callable[..., Outcome]:
    def run(chunked: Chunked, *more: str) -> Outcome:
        return petra("bundle", "verify", "-f", chunked.folder, *(more or KEY))

    return run


def test_the_chunks_one_after_the_other_are_the_bundle(chunked: Chunked) -> None:
    numbered = [f"{FILE}.{number:04}-of-0007" for number in range(1, COUNT + 1)]

    assert [path.name for path in chunked.chunks] == numbered
    assert chunked.joined() == chunked.bundle.read_bytes()
    assert names(chunked.folder) == sorted(
        [
            *numbered,
            *(f"{FILE}.{end}" for end in ("intoto.json", "p01", "p02", "sig", "sigstore.json")),
            *(f"manifest.json{end}" for end in ("", ".sig", ".sigstore.json")),
        ]
    )


def test_the_manifest_says_what_each_file_is(chunked: Chunked) -> None:
    manifest, data = chunked.manifest, chunked.bundle.read_bytes()

    assert manifest["bundle"] == {"name": FILE, "size": len(data), "digest": Digest.of(data)}
    group = manifest["parity"]["groups"][0]
    assert group["chunks"] == [*range(1, COUNT + 1)]
    for entry in (*manifest["chunks"], *group["parity"]):
        file = (chunked.folder / entry["name"]).read_bytes()
        assert (len(file), Digest.of(file)) == (entry["size"], entry["digest"])


def test_people_are_told_what_was_made(cut: Callable[..., Outcome]) -> None:
    out = cut("--parity", "2").out

    assert "folder    media\n" in out
    assert "chunks    7 of " in out
    assert "parity    2: as many lost chunks can be rebuilt" in out


def test_without_a_folder_it_goes_beside_the_bundle(bundle: Path, petra: Run) -> None:
    outcome = petra("bundle", "chunk", "-f", bundle, "--max-size", "fat32", "--key", "ours.key")

    assert outcome.status == 0, outcome.err
    assert f"{FILE}.0001-of-0001" in names(bundle.parent / f"{NAME}.chunks")


def test_what_lies_beside_the_bundle_goes_along(chunked: Chunked) -> None:
    for suffix in (".sig", ".sigstore.json", ".intoto.json"):
        beside = chunked.bundle.with_name(FILE + suffix)
        assert (chunked.folder / beside.name).read_bytes() == beside.read_bytes()


def test_provenance_is_checked_in_the_folder(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    assert verify(chunked, *KEY, "--provenance").status == 0

    (chunked.folder / f"{FILE}.intoto.json").unlink()

    assert verify(chunked, *KEY, "--provenance").status == 3


def test_a_whole_folder_is_verified_like_the_file(
    chunked: Chunked, verify: Callable[..., Outcome], petra: Run
) -> None:
    before = chunked.content()

    outcome = verify(chunked, *KEY, "--output", "json")

    file = petra("bundle", "verify", "-f", chunked.bundle, *KEY, "--output", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json == file.json | {"bundle": str(chunked.folder), "rebuilt": []}
    assert chunked.content() == before


@pytest.mark.parametrize("how", DAMAGE)
def test_as_many_as_there_is_parity_for_are_rebuilt(
    chunked: Chunked, verify: Callable[..., Outcome], how: str
) -> None:
    before = chunked.content()
    DAMAGE[how](chunked.chunks[2])
    DAMAGE[how](chunked.chunks[6])

    outcome = verify(chunked)

    assert outcome.status == 0, outcome.err
    assert f"rebuilt   {FILE}.0003-of-0007\nrebuilt   {FILE}.0007-of-0007\n" in outcome.out
    after = chunked.content()
    assert {name: after[name] for name in before} == before
    kept = [name for name in after if name not in before]
    ends = [] if how == "missing" else ["0003-of-0007.damaged", "0007-of-0007.damaged"]
    assert kept == [f"{FILE}.{end}" for end in ends]


def test_parity_is_rebuilt_too(chunked: Chunked, verify: Callable[..., Outcome]) -> None:
    before = chunked.content()
    chunked.parity[0].unlink()
    flip(chunked.parity[1])

    outcome = verify(chunked, *KEY, "--output", "json")

    assert outcome.json["rebuilt"] == [f"{FILE}.p01", f"{FILE}.p02"]
    assert {name: chunked.content()[name] for name in before} == before


def test_a_flipped_parity_chunk_alone_is_found(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    flip(chunked.parity[1])

    outcome = verify(chunked, *KEY, "--output", "json")

    assert outcome.json["rebuilt"] == [f"{FILE}.p02"]


def test_one_more_lost_than_parity_and_each_is_named(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    chunked.chunks[1].unlink()
    chunked.parity[0].unlink()
    flip(chunked.chunks[4])
    before = chunked.content()

    outcome = verify(chunked, *KEY, "--output", "json")

    assert outcome.status == 3
    assert outcome.json["error"]["code"] == "CHUNKS"
    assert outcome.json["error"]["missing"] == [f"{FILE}.0002-of-0007", f"{FILE}.p01"]
    assert outcome.json["error"]["damaged"] == [f"{FILE}.0005-of-0007"]
    assert chunked.content() == before


def test_without_parity_the_damaged_chunk_is_named(
    cut: Callable[..., Outcome], world: World, bundle: Path, verify: Callable[..., Outcome]
) -> None:
    cut()
    chunked = Chunked(world.folder / "media", bundle)
    flip(chunked.chunks[3])

    outcome = verify(chunked)

    assert_refused(outcome, 3, "missing or damaged", f"found: damaged {FILE}.0004-of-0007\n")


def test_swapped_chunks_are_both_named(
    cut: Callable[..., Outcome], world: World, bundle: Path, verify: Callable[..., Outcome]
) -> None:
    cut()
    chunked = Chunked(world.folder / "media", bundle)
    first, second = chunked.chunks[0], chunked.chunks[1]
    first.rename(world.folder / "kept")
    second.rename(first)
    (world.folder / "kept").rename(second)

    outcome = verify(chunked)

    assert_refused(outcome, 3, f"damaged {first.name}, {second.name}\n")


def test_damage_twice_keeps_both(chunked: Chunked, verify: Callable[..., Outcome]) -> None:
    for _ in range(2):
        flip(chunked.chunks[0])
        assert verify(chunked).status == 0

    kept = [name for name in names(chunked.folder) if ".damaged" in name]
    assert kept == [f"{FILE}.0001-of-0007.damaged", f"{FILE}.0001-of-0007.damaged-2"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    chunked.chunks[0].unlink()
    chunked.folder.chmod(0o555)

    assert_refused(verify(chunked), 1, "cannot write")


def test_a_changed_manifest_is_refused_before_it_is_believed(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    file = chunked.folder / "manifest.json"
    file.write_bytes(file.read_bytes() + b"\n")

    assert_refused(verify(chunked), 3, "manifest.json")


def test_a_manifest_without_signature_is_refused(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    (chunked.folder / "manifest.json.sig").unlink()
    (chunked.folder / "manifest.json.sigstore.json").unlink()

    assert_refused(verify(chunked), 3, "not signed", "manifest.json")


def test_a_strangers_manifest_is_refused(chunked: Chunked, verify: Callable[..., Outcome]) -> None:
    sign_manifest(chunked.folder, "stranger")

    assert_refused(verify(chunked), 3, "manifest.json.sig", "does not verify")


def test_another_key_is_refused(chunked: Chunked, verify: Callable[..., Outcome]) -> None:
    assert_refused(verify(chunked, "--key", "stranger.pub"), 3, "manifest.json.sig")


def test_a_signed_manifest_does_not_stand_for_the_bundles_signature(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    (chunked.folder / f"{FILE}.sig").unlink()
    (chunked.folder / f"{FILE}.sigstore.json").unlink()

    assert_refused(verify(chunked), 3, "not signed", f"{FILE}.sig")


@pytest.mark.parametrize(
    "name",
    [f"{FILE}.0008-of-0008", f"{FILE}.p03", "other-1.0.tar.zst.0001-of-0001", "manifest (1).json"],
)
def test_files_of_another_set_are_refused(
    chunked: Chunked, verify: Callable[..., Outcome], name: str
) -> None:
    (chunked.folder / name).write_bytes(b"x")

    assert_refused(verify(chunked), 3, "another chunk set", name)


def test_other_files_may_lie_there(chunked: Chunked, verify: Callable[..., Outcome]) -> None:
    for name in ("README.txt", "SHA256SUMS", "custody.jsonl", ".hidden"):
        (chunked.folder / name).write_text("for people")

    assert verify(chunked).status == 0


def test_a_chunk_of_another_bundle_is_named(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    """Same name, same size, another content: only the digest tells."""
    victim = chunked.chunks[0]
    victim.write_bytes(bytes(victim.stat().st_size))
    for path in chunked.parity:
        path.unlink()

    assert_refused(verify(chunked), 3, f"damaged {victim.name}")


def test_a_manifest_of_another_bundle_is_refused(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    """Signed with our key, and every chunk is what it says; only the whole is not."""
    manifest = chunked.manifest
    manifest["bundle"]["digest"] = Digest.of(b"another")
    (chunked.folder / "manifest.json").write_text(json.dumps(manifest))
    sign_manifest(chunked.folder, "ours")

    assert_refused(verify(chunked), 3, "not the bundle that the manifest names")


def test_what_is_rebuilt_must_be_what_the_manifest_says(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    """Signed with our key; the parity is good, and the manifest wrong about a lost chunk."""
    manifest = chunked.manifest
    manifest["chunks"][2]["digest"] = Digest.of(b"another")
    (chunked.folder / "manifest.json").write_text(json.dumps(manifest))
    sign_manifest(chunked.folder, "ours")
    (chunked.folder / f"{FILE}.0003-of-0007").unlink()
    before = chunked.content()

    assert_refused(verify(chunked), 3, "what parity gives", f"{FILE}.0003-of-0007")
    assert chunked.content() == before


def test_a_folder_without_manifest_is_no_chunk_folder(
    chunked: Chunked, verify: Callable[..., Outcome]
) -> None:
    (chunked.folder / "manifest.json").unlink()

    assert_refused(verify(chunked), 1, "no manifest.json")


def test_inspect_reads_the_folder(chunked: Chunked, petra: Run) -> None:
    for key in ((), KEY):
        folder = petra("bundle", "inspect", "-f", chunked.folder, *key, "--output", "json")
        file = petra("bundle", "inspect", "-f", chunked.bundle, *key, "--output", "json")
        assert folder.json == file.json | {"file": str(chunked.folder)}


def test_diff_reads_the_folder(chunked: Chunked, petra: Run) -> None:
    outcome = petra("bundle", "diff", chunked.bundle, chunked.folder, *KEY, "--output", "json")

    assert outcome.json["changes"] == []
    assert outcome.json["verified"] is True


@pytest.mark.parametrize("command", ["inspect", "diff", "serve"])
def test_readers_name_the_chunk_and_rebuild_nothing(
    chunked: Chunked, petra: Run, command: str
) -> None:
    flip(chunked.chunks[5])
    before = chunked.content()
    files = ("-f", chunked.folder) if command != "diff" else (chunked.folder, chunked.folder)

    outcome = petra("bundle", command, *files, *KEY)

    assert chunked.content() == before
    assert_refused(outcome, 3, f"damaged {FILE}.0006-of-0007", "petra bundle verify -f")


def test_serve_reads_the_folder(chunked: Chunked, world: World) -> None:
    arguments = ("-f", str(chunked.folder), *KEY, "--listen", "127.0.0.1:0", "--output", "json")
    digest = world.images[WORKER].digest

    with running(world, "bundle", "serve", *arguments, "--quiet") as process:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            said += process.stdout.readline()
        url = f"{json.loads(said)['registry']}/v2/team/worker/manifests/{digest}?ns={world.host}"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url, timeout=20) as answer:
            assert Digest.of(answer.read()) == digest


def test_load_reads_the_folder(chunked: Chunked, world: World, petra: Run) -> None:
    to = ("--images-to", f"layout:{world.folder / 'layout'}", "--charts-to", "charts")

    outcome = petra("bundle", "load", "-f", chunked.folder, *KEY, *to, "--allow-skipped", "scan")

    assert outcome.status == 0, outcome.err
    assert (world.folder / "layout" / world.images[WORKER].digest.blob_path).is_file()


def test_sign_signs_bundle_and_manifest(
    chunked: Chunked, petra: Run, verify: Callable[..., Outcome]
) -> None:
    assert petra("bundle", "sign", "-f", chunked.folder, "--key", "stranger.key").status == 0

    assert verify(chunked, "--key", "stranger.pub").status == 0
    assert verify(chunked).status == 3


def test_sign_refuses_a_damaged_folder(chunked: Chunked, petra: Run) -> None:
    flip(chunked.chunks[0])
    before = chunked.content()

    outcome = petra("bundle", "sign", "-f", chunked.folder, "--key", "ours.key")

    assert_refused(outcome, 3, f"damaged {FILE}.0001-of-0007")
    assert chunked.content() == before


def test_join_gives_the_file_and_its_signatures(chunked: Chunked, petra: Run) -> None:
    before = chunked.content()

    outcome = petra("bundle", "join", chunked.folder, "--to", "joined.tar.zst", *KEY)

    assert outcome.status == 0, outcome.err
    joined = chunked.folder.parent / "joined.tar.zst"
    assert joined.read_bytes() == chunked.bundle.read_bytes()
    assert petra("bundle", "verify", "-f", joined, *KEY).status == 0
    assert chunked.content() == before


def test_join_without_a_key_says_so(chunked: Chunked, petra: Run) -> None:
    outcome = petra("bundle", "join", chunked.folder, "--to", "joined.tar.zst")

    assert outcome.status == 0
    assert "UNVERIFIED" in outcome.err


@pytest.mark.parametrize("how", DAMAGE)
def test_join_rebuilds(chunked: Chunked, petra: Run, how: str) -> None:
    DAMAGE[how](chunked.chunks[0])

    outcome = petra("bundle", "join", chunked.folder, "--to", "joined.tar.zst", *KEY)

    assert outcome.status == 0, outcome.err
    assert "rebuilt   " in outcome.out
    joined = chunked.folder.parent / "joined.tar.zst"
    assert joined.read_bytes() == chunked.bundle.read_bytes()


def test_a_join_that_fails_leaves_nothing(chunked: Chunked, petra: Run) -> None:
    for path in chunked.chunks[:3]:
        flip(path)
    (chunked.folder.parent / "out").mkdir()

    outcome = petra("bundle", "join", chunked.folder, "--to", "out/joined.tar.zst", *KEY)

    assert_refused(outcome, 3, *(path.name for path in chunked.chunks[:3]))
    assert names(chunked.folder.parent / "out") == []


def test_join_with_a_strangers_key_leaves_nothing(chunked: Chunked, petra: Run) -> None:
    outcome = petra(
        "bundle", "join", chunked.folder, "--to", "out/joined.tar.zst", "--key", "stranger.pub"
    )

    assert_refused(outcome, 3, "does not verify")
    assert names(chunked.folder.parent / "out") == []


def test_a_chunk_folder_can_be_cut_anew(chunked: Chunked, petra: Run) -> None:
    arguments = ("--max-size", "20KiB", "--key", "ours.key", "--to", "smaller")

    assert petra("bundle", "chunk", "-f", chunked.folder, *arguments).status == 0

    smaller = Chunked(chunked.folder.parent / "smaller", chunked.bundle)
    assert smaller.joined() == chunked.bundle.read_bytes()
    assert petra("bundle", "verify", "-f", smaller.folder, *KEY).status == 0


def test_a_damaged_bundle_is_not_cut(
    cut: Callable[..., Outcome], bundle: Path, world: World
) -> None:
    flip(bundle)

    assert_refused(cut(), 3, FILE)
    assert names(world.folder / "media") == []
    assert not (world.folder / "media").exists()


def test_an_unsigned_bundle_is_not_cut(cut: Callable[..., Outcome], bundle: Path) -> None:
    bundle.with_name(f"{FILE}.sig").unlink()
    bundle.with_name(f"{FILE}.sigstore.json").unlink()

    assert_refused(cut(), 3, "not signed")


def test_a_bundle_of_another_signer_needs_their_key(
    cut: Callable[..., Outcome], bundle: Path, petra: Run
) -> None:
    petra("bundle", "sign", "-f", bundle, "--key", "stranger.key")

    assert_refused(cut(), 3, "does not verify")
    assert cut("--bundle-key", "stranger.pub").status == 0


def test_a_folder_with_chunks_is_not_written_over(
    chunked: Chunked, cut: Callable[..., Outcome]
) -> None:
    before = chunked.content()

    assert_refused(cut(), 1, "holds chunks already", "media")
    assert chunked.content() == before


@pytest.mark.parametrize("size", ["0", "12 parsecs", "-4", "MiB"])
def test_sizes_that_are_none(petra: Run, bundle: Path, size: str) -> None:
    options = ("--key", "ours.key", "--to", "media")

    outcome = petra("bundle", "chunk", "-f", bundle, f"--max-size={size}", *options)

    assert_refused(outcome, 2, "--max-size", "fat32")


def test_too_many_chunks_are_refused(petra: Run, bundle: Path, world: World) -> None:
    options = ("--max-size", "1", "--key", "ours.key", "--to", "media")

    assert_refused(petra("bundle", "chunk", "-f", bundle, *options), 2, "too many chunks", "9999")
    assert not (world.folder / "media").exists()


def test_too_much_parity_is_refused(cut: Callable[..., Outcome]) -> None:
    assert_refused(cut("--parity", "128"), 2, "--parity", "127")


def test_a_bundle_with_a_name_that_media_cannot_hold(
    petra: Run, bundle: Path, cut: Callable[..., Outcome]
) -> None:
    odd = bundle.with_name("my bundle.tar.zst")
    for suffix in ("", ".sig", ".sigstore.json"):
        shutil.copy(f"{bundle}{suffix}", f"{odd}{suffix}")

    assert_refused(cut(file=odd), 2, "my bundle.tar.zst", "rename")


def test_groups_of_parity_share_neighbours_out(
    petra: Run, bundle: Path, world: World, verify: Callable[..., Outcome]
) -> None:
    """More chunks than one group holds: each group has its own parity, a run of lost ones is ok."""
    size = -(-bundle.stat().st_size // 300)
    options = ("--max-size", str(size), "--parity", "3", "--key", "ours.key", "--to", "media")
    assert petra("bundle", "chunk", "-f", bundle, *options).status == 0
    chunked = Chunked(world.folder / "media", bundle)
    assert len(chunked.manifest["parity"]["groups"]) == 2
    for path in chunked.chunks[100:106]:
        path.unlink()

    assert verify(chunked).status == 0
    assert chunked.joined() == bundle.read_bytes()

    for path in chunked.chunks[100:107]:  # four of the one group, three of the other
        path.unlink()
    outcome = verify(chunked, *KEY, "--output", "json")
    assert outcome.status == 3
    assert outcome.json["error"]["missing"] == [path.name for path in chunked.chunks[100:107:2]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_cut_leaves_nothing_under_a_final_name(
    world: World, bundle: Path, number: signal.Signals
) -> None:
    """Stopped where it writes the second chunk: a process of its own that stops itself there."""
    script = f"""
import os, sys
from petra.transfer import aside
from petra.cli.main import main
write = aside.write_all
def stop(fd, offset, data):
    write(fd, offset, data)
    if os.readlink(f"/proc/self/fd/{{fd}}").endswith("0002-of-0007"):
        os.kill(os.getpid(), {int(number)})
        import time
        time.sleep(20)
aside.write_all = stop
sys.exit(main(sys.argv[1:]))
"""
    size = -(-bundle.stat().st_size // COUNT)
    arguments = ["bundle", "chunk", "-f", str(bundle), "--max-size", str(size), "--to", "media"]

    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--key", "ours.key"],
        cwd=world.folder,
        env=Petra(world.folder).environment,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert done.returncode in (130, 143, -9), done.stderr
    left = names(world.folder / "media")
    if number == signal.SIGKILL:  # only the hidden folder, which the next run does not mind
        assert all(name.startswith(".petra-") for name in left)
    else:
        assert left == []


def test_a_chain_of_custody_over_both_sides(
    chunked: Chunked, petra: Run, cut: Callable[..., Outcome], world: World
) -> None:
    """Cut on one side, verified and joined on the other, and one refusal between them."""
    log = ("--custody", "custody.jsonl")
    receiver = (*log, "--custody-key", "vendor.key")
    assert cut("--parity", "1", *log, to="sent").status == 0
    sent = Chunked(world.folder / "sent", chunked.bundle)
    refused = petra("bundle", "verify", "-f", sent.folder, "--key", "stranger.pub", *receiver)
    assert refused.status == 3
    assert petra("bundle", "verify", "-f", sent.folder, *KEY, *receiver).status == 0
    assert petra("bundle", "join", sent.folder, "--to", "j.tar.zst", *KEY, *receiver).status == 0
    keys = ("--key", "ours.pub", "--key", "vendor.pub")

    outcome = petra("custody", "verify", "custody.jsonl", *keys, "--output", "json")

    assert outcome.status == 0, outcome.err
    entries = [entry for stage in outcome.json["stages"] for entry in stage["entries"]]
    digest = Digest.of(chunked.bundle.read_bytes())
    manifest = Digest.of((sent.folder / "manifest.json").read_bytes())
    assert [(one["action"], one["verdict"]) for one in entries] == [
        ("chunk", "ok"),
        ("verify", "refused"),
        ("verify", "ok"),
        ("join", "ok"),
    ]
    assert entries[0]["digests"] == {FILE: digest, "manifest.json": manifest}
    assert entries[2]["digests"] == entries[3]["digests"] == {FILE: digest}
    assert "signature does not verify" in entries[1]["reason"]

    assert "sealed by sha256:" in petra("custody", "verify", "custody.jsonl", *keys).out
    assert_refused(petra("custody", "verify", "custody.jsonl", *KEY), 3, "key that counts")


def test_a_custody_log_that_nobody_seals_is_warned_of(chunked: Chunked, petra: Run) -> None:
    outcome = petra("bundle", "verify", "-f", chunked.folder, *KEY, "--custody", "c.jsonl")

    assert outcome.status == 0
    assert "warning: the custody log is not sealed" in outcome.err
    assert_refused(petra("custody", "verify", "c.jsonl", *KEY), 3, "not sealed")


@pytest.fixture
def locked(world: World, petra: Run) -> World:
    """A spec and its lock: what is made of them is always the same bytes."""
    world.spec(*SIGNED, charts=[world.chart()])
    assert petra("bundle", "lock", "-f", "bundle.yaml").status == 0
    return world


def test_create_writes_the_very_chunks_in_its_own_pass(
    locked: World, create: Run, verify: Callable[..., Outcome]
) -> None:
    assert create("--locked").status == 0
    whole = locked.bundle.read_bytes()
    shutil.rmtree(locked.dist)
    size = str(-(-len(whole) // COUNT))

    outcome = create(
        "--locked", "--chunks-to", "media", "--max-size", size, "--parity", "2", "--output", "json"
    )

    assert outcome.status == 0, outcome.err
    made = Chunked(locked.folder / "media", locked.bundle)
    assert outcome.json["bundle"] == "media"
    assert outcome.json["digest"] == Digest.of(whole)
    assert made.joined() == whole
    assert len(made.chunks) == COUNT
    for entry in made.manifest["chunks"]:
        assert Digest.of((made.folder / entry["name"]).read_bytes()) == entry["digest"]
    assert names(locked.dist) == []
    assert verify(made, *KEY, "--provenance").status == 0
    for path in made.chunks[:2]:
        path.unlink()
    assert verify(made).status == 0
    assert made.joined() == whole


def test_a_gzip_bundle_is_cut_in_the_pass_too(
    locked: World, create: Run, verify: Callable[..., Outcome]
) -> None:
    options = ("--format", "tar.gz", "--chunks-to", "media", "--max-size", "20KiB")

    assert create("--locked", *options).status == 0

    made = Chunked(locked.folder / "media", locked.bundle)
    assert made.manifest["bundle"]["name"] == f"{NAME}.tar.gz"
    assert verify(made).status == 0


def test_the_spec_may_ask_for_chunks(
    world: World, create: Run, verify: Callable[..., Outcome]
) -> None:
    world.spec(WORKER, output={"chunks": {"maxSize": "20KiB", "parity": 1}})

    assert create().status == 0

    made = Chunked(world.dist / f"{NAME}.chunks", world.bundle)
    assert names(world.dist) == [f"{NAME}.chunks"]
    assert len(made.parity) == 1
    assert verify(made).status == 0


def test_flags_go_before_the_spec(world: World, create: Run) -> None:
    world.spec(WORKER, output={"chunks": {"maxSize": "fat32", "parity": 1}})

    assert create("--max-size", "30KiB", "--parity", "0", "--chunks-to", "media").status == 0

    made = Chunked(world.folder / "media", world.bundle)
    assert len(made.chunks) > 1
    assert made.parity == []


@pytest.mark.parametrize(
    "flags", [("--chunks-to", "media"), ("--max-size", "1MiB"), ("--parity", "1")]
)
def test_flags_that_lack_their_others(world: World, create: Run, flags: tuple[str, ...]) -> None:
    world.spec(WORKER)

    assert_refused(create(*flags), 2, "--chunks-to DIR --max-size SIZE")


def test_a_size_in_the_spec_that_is_none(world: World, create: Run) -> None:
    world.spec(WORKER, output={"chunks": {"maxSize": "some"}})

    assert_refused(create(), 2, "spec.output.chunks.maxSize", "fat32")


def test_unsigned_chunks_are_not_made(world: World, create: Run) -> None:
    world.spec(WORKER, output={"sign": False})

    assert_refused(create("--chunks-to", "media", "--max-size", "fat32"), 2, "spec.output.sign")


def test_a_create_that_fails_leaves_no_chunks(world: World, front: Front, create: Run) -> None:
    world.spec(WORKER, host=front.host)
    layer = layers_of(world, WORKER)[-1].digest
    front.fault(f"GET .*{layer}", lambda _, good: replace(good, body=good.body[:-1] + b"x"))

    outcome = create("--chunks-to", "media", "--max-size", "20KiB")

    assert_refused(outcome, 3, layer)
    assert not (world.folder / "media").exists()


def test_create_keeps_the_custody_log(world: World, create: Run, petra: Run) -> None:
    world.spec(WORKER)

    created = create("--custody", "c.jsonl", "--output", "json")
    assert create("--chunks-to", "m", "--max-size", "no", "--custody", "c.jsonl").status == 2

    (stage,) = petra("custody", "verify", "c.jsonl", *KEY, "--output", "json").json["stages"]
    (entry,) = stage["entries"]
    assert entry["digests"] == {FILE: created.json["digest"]}
    assert (entry["stage"], entry["action"], entry["verdict"]) == ("connected", "create", "ok")
