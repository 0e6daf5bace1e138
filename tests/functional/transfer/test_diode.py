"""A bundle through a hot-folder diode that loses, cuts, repeats and mixes: rebuilt, or named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from tests.support.command import Outcome, Run, assert_refused, names, runner
from tests.support.diode import ScriptedDiode
from tests.support.petra_process import Petra
from tests.support.sent import COUNT, FILE, PARITY, Sent, make_sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STEM = "shop-1.4.0"
MANIFEST = f"{FILE}.manifest.json"
CHUNKS = [f"{FILE}.{number:04}-of-0007" for number in range(1, COUNT + 1)]
PARITIES = [f"{FILE}.p{number:02}" for number in range(1, PARITY + 1)]
WATCH = ("--watch", "--settle", "0.2")


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return make_sent(tmp_path_factory.mktemp("sent"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def diode(tmp_path: Path) -> ScriptedDiode:
    return ScriptedDiode(tmp_path / "hot", tmp_path / "landing", seed=1)


@pytest.fixture
def send(run: Run, sent: Sent, diode: ScriptedDiode) -> Callable[..., Outcome]:
    def sending(*more: str | Path, file: Path = sent.chunked.folder) -> Outcome:
        options = ("-f", file, "--key", sent.key, "--to", diode.hot, "--rate", "0", "--seed", "1")
        return run("transfer", "diode", *options, *more, "--output", "json", "-q")

    return sending


@pytest.fixture
def receive(run: Run, sent: Sent, diode: ScriptedDiode, tmp_path: Path) -> Callable[..., Outcome]:
    def receiving(*more: str) -> Outcome:
        where = (diode.landing, "--to", tmp_path / "inbox", "--key", sent.key)
        return run("receive", *where, *WATCH, *more, "--output", "json", "-q")

    return receiving


def events(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


def digest_in(inbox: Path, sent: Sent) -> str:
    arguments = ("bundle", "verify", "-f", inbox / STEM, "--key", sent.key)
    return str(Petra(sent.folder).json(*arguments)["digest"])


def test_what_is_sent_appears_whole_with_the_bundles_name_on_each_file(
    send: Callable[..., Outcome], diode: ScriptedDiode, sent: Sent
) -> None:
    value = send().json

    expected = {
        f"{FILE}.{name}" if name.startswith("manifest") else name: data
        for name, data in sent.chunked.content().items()
    }
    assert {path.name: path.read_bytes() for path in diode.hot.iterdir()} == expected
    assert value["rounds"] == [{"written": len(expected), "stayed": 0}]
    assert value["digest"] == sent.digest


def test_what_was_taken_is_sent_again_and_what_lies_there_is_not(
    send: Callable[..., Outcome], diode: ScriptedDiode
) -> None:
    send()
    (diode.hot / CHUNKS[2]).unlink()
    (diode.hot / MANIFEST).unlink()
    before = {path.name: path.stat().st_mtime_ns for path in diode.hot.iterdir()}

    assert send().json["rounds"] == [{"written": 2, "stayed": len(before)}]

    after = {path.name: path.stat().st_mtime_ns for path in diode.hot.iterdir()}
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {CHUNKS[2], MANIFEST}


def test_something_else_in_the_hot_folder_is_not_touched(
    send: Callable[..., Outcome], diode: ScriptedDiode
) -> None:
    diode.hot.mkdir()
    (diode.hot / CHUNKS[1]).write_bytes(b"mine")

    outcome = send()

    assert (outcome.status, outcome.json["error"]["code"]) == (1, "STORAGE")
    assert (diode.hot / CHUNKS[1]).read_bytes() == b"mine"


def test_files_are_written_aside_in_a_folder_of_their_own(
    send: Callable[..., Outcome], diode: ScriptedDiode, tmp_path: Path
) -> None:
    assert send("--aside", tmp_path / "aside").status == 0

    assert names(tmp_path / "aside") == []
    assert MANIFEST in names(diode.hot)


def test_each_round_waits_until_all_is_taken(
    send: Callable[..., Outcome], diode: ScriptedDiode
) -> None:
    with diode:
        value = send("--repeat", "3", "--wait-taken").json

    assert [one["stayed"] for one in value["rounds"]] == [0, 0, 0]
    assert set(diode.taken.values()) == {3}
    assert names(diode.hot) == []


def test_a_whole_bundle_crosses_as_it_is(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    sent: Sent,
    tmp_path: Path,
) -> None:
    send(file=sent.chunked.bundle)
    diode.carry()

    (received,) = events(receive("--once", "--give-up", "30s"))

    assert (received["event"], received["digest"]) == ("received", sent.digest)
    there = tmp_path / "inbox" / STEM / FILE
    assert Digest.of(there.read_bytes()) == sent.digest


def test_a_bundle_is_cut_first_and_the_same_chunks_are_sent_again(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    sent: Sent,
    tmp_path: Path,
) -> None:
    mine = sent.copy(tmp_path / "mine")
    more = ("--max-size", "40KiB", "--parity", "1", "--sign-key", mine.folder / "ours.key")

    first = send(*more, file=mine.chunked.bundle).json
    again = send(*more, file=mine.chunked.bundle).json

    assert names(mine.chunked.bundle.with_name(f"{STEM}.chunks")) == sorted(
        one["name"] for one in first["files"]
    )
    assert again["rounds"] == [{"written": 0, "stayed": len(first["files"])}]
    lost = next(one["name"] for one in first["files"] if "-of-" in one["name"])
    diode.lose = frozenset({lost})
    diode.carry()
    (received,) = events(receive("--once", "--give-up", "30s"))
    assert (received["digest"], received["rebuilt"]) == (sent.digest, [lost])


def test_chunks_that_are_cut_need_a_key(send: Callable[..., Outcome], sent: Sent) -> None:
    outcome = send("--max-size", "40KiB", file=sent.chunked.bundle)

    assert (outcome.status, outcome.json["error"]["code"]) == (2, "SETTING")


@pytest.mark.parametrize("fault", ["lose", "cut", "flip"])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_lost_within_parity_is_rebuilt(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    sent: Sent,
    tmp_path: Path,
    fault: str,
    seed: int,
) -> None:
    diode = ScriptedDiode(diode.hot, diode.landing, seed=seed)
    gone = frozenset({CHUNKS[seed], CHUNKS[5]})
    setattr(diode, fault, gone)
    diode.twice = True
    send()
    diode.carry()

    (received,) = events(receive("--once", "--give-up", "30s"))

    assert (received["event"], received["digest"]) == ("received", sent.digest)
    assert received["rebuilt"] == sorted(gone)
    assert digest_in(tmp_path / "inbox", sent) == sent.digest


@pytest.mark.parametrize("more", [CHUNKS[0], PARITIES[0]])
def test_one_more_lost_is_named(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    tmp_path: Path,
    more: str,
) -> None:
    diode.lose = frozenset({CHUNKS[3], more})
    diode.cut = frozenset({CHUNKS[6]})
    send()
    diode.carry()

    outcome = receive("--give-up", "1s")

    waiting, error = events(outcome)
    assert outcome.status == 3
    assert waiting["event"] == "waiting"
    for told in (waiting, error["error"]):
        assert sorted(told["missing"]) == sorted(diode.lose)
        assert told["damaged"] == [CHUNKS[6]]
    assert error["error"]["code"] == "CHUNKS"
    assert names(tmp_path / "inbox") == []
    assert (diode.landing / CHUNKS[6]).exists()  # nothing of the folder is taken away


def test_what_is_missing_is_told_in_text_too(
    run: Run, send: Callable[..., Outcome], diode: ScriptedDiode, sent: Sent, tmp_path: Path
) -> None:
    diode.lose = frozenset(CHUNKS[:3])
    send()
    diode.carry()

    where = (diode.landing, "--to", tmp_path / "inbox", "--key", sent.key)
    outcome = run("receive", *where, *WATCH, "--give-up", "1s")

    assert outcome.status == 3
    for name in CHUNKS[:3]:
        assert f"missing   {name}\n" in outcome.out
        assert name in outcome.err
    assert "\n  next: " in outcome.err


def test_a_later_round_brings_what_the_first_lost(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    sent: Sent,
) -> None:
    diode.lose = frozenset(CHUNKS[:4])
    send()
    diode.carry()
    assert receive("--give-up", "1s").status == 3

    diode.lose = frozenset(CHUNKS[4:])
    send()
    diode.carry()

    (received,) = events(receive("--once", "--give-up", "30s"))
    assert (received["digest"], received["rebuilt"]) == (sent.digest, [])


@pytest.mark.parametrize("lost", [MANIFEST, f"{MANIFEST}.sigstore.json"])
def test_a_manifest_that_never_comes_is_waited_for_by_name(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    lost: str,
) -> None:
    diode.lose = frozenset({lost, f"{MANIFEST}.sig"})
    send()
    diode.carry()

    outcome = receive("--give-up", "1s")

    waiting, error = events(outcome)
    assert outcome.status == 3
    assert set(CHUNKS) < set(waiting["seen"])
    assert waiting["missing"] == error["error"]["missing"] == [lost]


def test_a_bundle_by_a_stranger_is_refused(
    run: Run, send: Callable[..., Outcome], diode: ScriptedDiode, sent: Sent, tmp_path: Path
) -> None:
    send()
    diode.carry()

    where = (diode.landing, "--to", tmp_path / "inbox", "--key", sent.folder / "vendor.pub")
    outcome = run("receive", *where, *WATCH, "--once", "--output", "json", "-q")

    refused, error = events(outcome)
    assert outcome.status == 3
    assert (refused["event"], refused["error"]["code"]) == ("refused", "SIGNATURE")
    assert error["error"]["code"] == "SIGNATURE"
    assert names(tmp_path / "inbox") == []


def test_a_bundle_is_taken_in_once(
    send: Callable[..., Outcome], receive: Callable[..., Outcome], diode: ScriptedDiode
) -> None:
    send()
    diode.carry()

    first, again = (events(receive("--once", "--give-up", "30s")) for _ in range(2))

    assert [one["wasThere"] for one in (*first, *again)] == [False, True]


def test_both_ends_keep_the_custody_log(
    run: Run,
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    sent: Sent,
    tmp_path: Path,
) -> None:
    log = tmp_path / "custody.jsonl"
    kept = ("--custody", str(log), "--custody-key", str(sent.folder / "ours.key"))
    send(*kept)
    diode.carry()
    receive("--once", "--give-up", "30s", *kept)

    assert run("custody", "verify", log, "--key", sent.key, "-q").status == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    entries = [line for line in lines if line["kind"] == "entry"]
    assert [(one["stage"], one["action"], one["verdict"]) for one in entries] == [
        ("diode", "transfer", "ok"),
        ("receive", "receive", "ok"),
    ]
    assert all(sent.digest in one["digests"].values() for one in entries)


def test_several_bundles_arrive_at_once(
    run: Run, diode: ScriptedDiode, sent: Sent, tmp_path: Path, receive: Callable[..., Outcome]
) -> None:
    other = make_sent_as(tmp_path / "other", "1.5.0")
    for each in (sent, other):
        where = ("-f", each.chunked.folder, "--key", each.key, "--to", diode.hot, "-q")
        assert run("transfer", "diode", *where).status == 0
    diode.carry()

    received = events(receive("--once", "--give-up", "30s"))

    assert {one["digest"] for one in received} == {sent.digest, other.digest}
    assert names(tmp_path / "inbox") == ["shop-1.4.0", "shop-1.5.0"]


def make_sent_as(folder: Path, version: str) -> Sent:
    folder.mkdir()
    return make_sent(folder, version)


def test_a_receiver_that_is_killed_goes_on(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    sent: Sent,
    tmp_path: Path,
) -> None:
    diode.lose = frozenset(CHUNKS[:3])
    send()
    diode.carry()
    where = (str(diode.landing), "--to", str(tmp_path / "inbox"), "--key", str(sent.key))
    with _running(sent, "receive", *where, *WATCH, "--output", "json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "waiting"
        process.send_signal(signal.SIGKILL)
    diode.lose = frozenset(CHUNKS[2:3])
    send()
    diode.carry()

    (received,) = events(receive("--once", "--give-up", "30s"))

    assert (received["digest"], received["rebuilt"]) == (sent.digest, CHUNKS[2:3])
    assert names(tmp_path / "inbox") == [STEM]


def test_a_sender_that_is_killed_goes_on(
    send: Callable[..., Outcome],
    receive: Callable[..., Outcome],
    diode: ScriptedDiode,
    sent: Sent,
) -> None:
    where = ("-f", str(sent.chunked.folder), "--key", str(sent.key), "--to", str(diode.hot))
    with _running(sent, "transfer", "diode", *where, "--rate", "100KB/s") as process:
        _until(lambda: any(name.startswith(FILE) for name in names(diode.hot)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    there = names(diode.hot)
    assert MANIFEST not in there
    assert all(
        (sent.chunked.folder / name).read_bytes() == (diode.hot / name).read_bytes()
        for name in there
    )

    assert send().json["rounds"][0]["stayed"] == len(there)
    diode.carry()
    (received,) = events(receive("--once", "--give-up", "30s"))
    assert received["digest"] == sent.digest


def test_watching_needs_an_inbox(run: Run, tmp_path: Path) -> None:
    assert_refused(run("receive", tmp_path, "--watch", "--key", "k"), 2, "--to DIR")


@pytest.mark.parametrize("flag", [("--once",), ("--give-up", "1s")])
def test_patience_is_for_a_watch(run: Run, tmp_path: Path, flag: tuple[str, ...]) -> None:
    assert_refused(run("receive", tmp_path, "--key", "k", *flag), 2, "--watch")


@pytest.mark.parametrize("ways", [(), ("--to", "hot", "--stream", "127.0.0.1")])
def test_one_way_has_to_be_named(run: Run, ways: tuple[str, ...]) -> None:
    outcome = run("transfer", "diode", "-f", "x", *ways)
    assert_refused(outcome, 2, "exactly one of --to and --stream")


def test_without_watching_a_shared_folder_is_taken_in_too(
    run: Run, send: Callable[..., Outcome], diode: ScriptedDiode, sent: Sent, tmp_path: Path
) -> None:
    send()
    diode.carry()

    where = (diode.landing, "--to", tmp_path / "inbox", "--key", sent.key)
    value = run("receive", *where, "--output", "json", "-q").json

    assert [one["digest"] for one in value["received"]] == [sent.digest]


@contextmanager
def _running(sent: Sent, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run petra as a process of its own until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "petra", *arguments],
        cwd=sent.folder,
        env=Petra(sent.folder).environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.02)
