"""What counts as arrived, and when: files that are still written, come again, or never come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import ChunksError, NoSpaceError, NotFoundError, SignatureError
from petra.transfer.landing import Incoming, Landing
from petra.transfer.manifest import FileRecord, dump_manifest, make_manifest
from petra.transfer.names import MANIFEST, chunk_name, of_bundle, wire_name
from petra.transfer.watch import Patience, Watch
from tests.support.chunk_folders import sign_manifest
from tests.support.clock import Clock
from tests.support.world import OURS, STRANGER, signer

if TYPE_CHECKING:
    from pathlib import Path

    from petra.errors import PetraError

BUNDLE = "shop-1.tar.zst"
CONTENT = [b"first-chunk", b"second-chunk"[:11], b"end"]
NAMES = [chunk_name(BUNDLE, number, 3) for number in (1, 2, 3)]
SETTLE = 4.0


@dataclass
class Told:
    """Keeps what a watch tells, and takes in what it is given."""

    taken: list[str] = field(default_factory=list)
    waiting: list[Incoming] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    error: PetraError | None = None

    def take(self, one: Incoming) -> None:
        if self.error:
            raise self.error
        self.taken.append(one.bundle)

    def on_waiting(self, one: Incoming) -> None:
        self.waiting.append(one)

    def on_refused(self, one: Incoming, error: PetraError) -> None:
        self.refused.append((one.bundle, error.code))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """The files of a bundle on the wire."""
    folder = tmp_path / "sent"
    folder.mkdir()
    records = [
        FileRecord(name=name, size=len(data), digest=Digest.of(data))
        for name, data in zip(NAMES, CONTENT, strict=True)
    ]
    whole = b"".join(CONTENT)
    bundle = FileRecord(name=BUNDLE, size=len(whole), digest=Digest.of(whole))
    (folder / MANIFEST).write_bytes(dump_manifest(make_manifest(bundle, records, [])))
    sign_manifest(folder, OURS)
    beside = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {
        **dict(zip(NAMES, CONTENT, strict=True)),
        **{wire_name(BUNDLE, name): data for name, data in beside.items()},
        f"{BUNDLE}.sigstore.json": b"{}",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "landing"
    made.mkdir()
    return made


def arrive(folder: Path, files: dict[str, bytes], *but: str) -> None:
    for name, data in files.items():
        if name not in but:
            (folder / name).write_bytes(data)


def landing(folder: Path, clock: Clock, key: str = OURS) -> Landing:
    return Landing(folder, [signer(key).public_key], SETTLE, NoProgress(), clock)


def look(place: Landing) -> Incoming:
    (one,) = place.look()
    return one


def test_all_that_is_named_and_good_is_taken_in(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    place = landing(folder, clock)
    arrive(folder, files)
    (folder / f"{BUNDLE}.0009-of-0009").write_bytes(b"of another cut")
    look(place)
    clock.sleep(SETTLE)

    arrival = look(place).arrival

    assert arrival is not None
    assert {name: path.name for name, path in arrival.files.items()} == {
        **{name: name for name in (*NAMES, f"{BUNDLE}.sigstore.json")},
        **{
            f"{MANIFEST}{end}": f"{BUNDLE}.{MANIFEST}{end}"
            for end in ("", ".sig", ".sigstore.json")
        },
    }


def test_it_is_not_taken_in_while_signatures_may_still_come(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    place = landing(folder, clock)
    arrive(folder, files)
    look(place)
    clock.sleep(SETTLE / 2)
    assert look(place).arrival is None

    (folder / f"{BUNDLE}.intoto.json").write_bytes(b"{}")
    look(place)
    clock.sleep(SETTLE / 2)
    assert look(place).arrival is None

    clock.sleep(SETTLE / 2)
    arrival = look(place).arrival
    assert arrival is not None
    assert f"{BUNDLE}.intoto.json" in arrival.files


def test_rounds_that_write_the_same_again_do_not_keep_it_from_being_taken_in(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    place = landing(folder, clock)
    for _ in range(5):
        arrive(folder, files)
        found = look(place)
        clock.sleep(SETTLE / 3)

    assert found.arrival is not None


def test_half_a_file_is_missing_and_only_damaged_when_it_does_not_grow(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    place = landing(folder, clock)
    arrive(folder, files, NAMES[1])
    (folder / NAMES[1]).write_bytes(CONTENT[1][:4])
    assert (look(place).missing, look(place).damaged) == ((NAMES[1],), ())

    clock.sleep(SETTLE / 2)
    (folder / NAMES[1]).write_bytes(CONTENT[1][:8])
    look(place)
    clock.sleep(SETTLE / 2)
    assert (look(place).missing, look(place).damaged) == ((NAMES[1],), ())

    clock.sleep(SETTLE / 2)
    assert (look(place).missing, look(place).damaged) == ((), (NAMES[1],))

    (folder / NAMES[1]).write_bytes(CONTENT[1])
    assert (look(place).missing, look(place).damaged) == ((), ())


def test_a_file_of_the_right_size_and_other_content_is_damaged(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    place = landing(folder, clock)
    arrive(folder, files | {NAMES[0]: CONTENT[0].upper()})
    look(place)
    clock.sleep(SETTLE)

    assert (look(place).missing, look(place).damaged) == ((), (NAMES[0],))


def test_half_a_manifest_is_no_reason_to_refuse_before_it_settles(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    place = landing(folder, clock)
    name = wire_name(BUNDLE, MANIFEST)
    arrive(folder, files | {name: files[name][:20]})
    assert (look(place).error, look(place).arrival) == (None, None)

    clock.sleep(SETTLE)
    assert isinstance(look(place).error, SignatureError)


def test_a_manifest_by_a_stranger_says_nothing(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    place = landing(folder, clock, STRANGER)
    arrive(folder, files, NAMES[0])
    look(place)
    clock.sleep(SETTLE)

    found = look(place)

    assert isinstance(found.error, SignatureError)
    assert found.missing == ()


def test_without_its_manifest_chunks_are_seen_and_the_manifest_is_named(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    arrive(folder, {NAMES[1]: CONTENT[1]})
    found = look(landing(folder, clock))

    manifest = wire_name(BUNDLE, MANIFEST)
    assert [*found.seen] == [NAMES[1]]
    assert found.missing == (manifest, f"{manifest}.sigstore.json", f"{BUNDLE}.sigstore.json")


def test_a_chunk_folder_as_it_is_names_its_manifest_as_it_is(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    below = folder / "shop"
    below.mkdir()
    for name, data in files.items():
        (below / name.replace(f"{BUNDLE}.manifest", "manifest")).write_bytes(data)
    (below / f"{MANIFEST}.sig").unlink()
    (below / f"{MANIFEST}.sigstore.json").unlink()

    assert look(landing(folder, clock)).missing == (f"{MANIFEST}.sigstore.json",)


def test_hidden_files_are_not_looked_at(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    arrive(folder, {f".{name}": data for name, data in files.items()})

    assert landing(folder, clock).look() == []


@pytest.mark.parametrize("name", ["manifest.json", "README.txt", ".x.tar.zst.sig", "a.zip"])
def test_some_files_belong_to_no_bundle(name: str) -> None:
    assert of_bundle(name) is None


def watch(folder: Path, clock: Clock, told: Told, patience: Patience, key: str = OURS) -> Watch:
    return Watch(folder, landing(folder, clock, key), told.take, told, patience, clock=clock)


ONCE = Patience(SETTLE, give_up=60, once=True)
PATIENT = Patience(SETTLE, give_up=60)


def test_a_watch_ends_when_all_that_came_is_taken_in(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    told = Told()
    arrive(folder, files)

    watch(folder, clock, told, ONCE).run()

    assert told.taken == [BUNDLE]
    assert clock.now < PATIENT.settle * 2


def test_a_watch_gives_up_with_the_names_and_not_before_its_time(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    told = Told()
    arrive(folder, files, NAMES[0], NAMES[2])

    with pytest.raises(ChunksError) as caught:
        watch(folder, clock, told, PATIENT).run()

    assert caught.value.missing == (NAMES[0], NAMES[2])
    assert 60 <= clock.now < 62
    assert [one.missing for one in told.waiting] == [(NAMES[0], NAMES[2])]  # told once


def test_nothing_at_all_is_said_to_have_come(folder: Path, clock: Clock) -> None:
    with pytest.raises(NotFoundError, match="nothing has arrived"):
        watch(folder, clock, Told(), ONCE).run()


def test_what_is_refused_is_not_tried_again_until_it_changes(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    told = Told(error=SignatureError("bad"))
    arrive(folder, files)

    with pytest.raises(SignatureError):
        watch(folder, clock, told, PATIENT).run()

    assert told.refused == [(BUNDLE, "SIGNATURE")]


def test_an_inbox_that_is_full_ends_the_watch(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    arrive(folder, files)

    with pytest.raises(NoSpaceError):
        watch(folder, clock, Told(error=NoSpaceError("full")), PATIENT).run()


def test_another_bundle_is_taken_in_though_one_is_refused(
    folder: Path, files: dict[str, bytes], clock: Clock
) -> None:
    told = Told()
    arrive(folder, files)
    (folder / "a.tar.gz.manifest.json").write_bytes(b"{}")
    for end in (".manifest.json.sig", ".sig"):
        (folder / f"a.tar.gz{end}").write_bytes(b"AA==")

    with pytest.raises(SignatureError):
        watch(folder, clock, told, ONCE).run()

    assert (told.taken, told.refused) == ([BUNDLE], [("a.tar.gz", "SIGNATURE")])
