"""A custody log proves its own order and content; whatever is changed in it is found."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.encoding.json import canonical_json
from petra.errors import FormatError, NotFoundError, PetraError, SignatureError, StorageError
from petra.transfer.custody import CustodyLog, verify_custody
from tests.support.world import OURS, STRANGER, VENDOR, signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DIGESTS = {"shop.tar.zst": Digest.of(b"bundle")}
KEYS = [signer(OURS).public_key, signer(VENDOR).public_key]


def log(path: Path, **more: Any) -> CustodyLog:
    return CustodyLog(path, who="ana@build", now=lambda: NOW, **more)


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A log of two sealed stages."""
    path = tmp_path / "sent.jsonl"
    log(path).append("connected", "create", DIGESTS)
    log(path).append("connected", "chunk", DIGESTS)
    log(path).seal("connected", signer(OURS))
    log(path).append("media", "write", DIGESTS)
    log(path).seal("media", signer(OURS))
    return path


def test_a_chain_says_who_did_what_when(sent: Path) -> None:
    connected, media = verify_custody([sent], KEYS)

    assert [(one.action, one.verdict, one.who) for one in connected.entries] == [
        ("create", "ok", "ana@build"),
        ("chunk", "ok", "ana@build"),
    ]
    assert connected.entries[0].digests == DIGESTS
    assert connected.entries[0].time == NOW
    assert (media.seal.stage, media.key.fingerprint) == ("media", KEYS[0].fingerprint)


def test_the_other_side_goes_on_in_a_log_of_its_own(sent: Path, tmp_path: Path) -> None:
    received = tmp_path / "received.jsonl"
    log(received, continues=sent).append("receive", "verify", DIGESTS)
    log(received, continues=sent).append("receive", "load", {}, "refused", reason="replay")
    log(received, continues=sent).seal("receive", signer(VENDOR))

    stages = verify_custody([sent, received], KEYS)

    assert [stage.seal.stage for stage in stages] == ["connected", "media", "receive"]
    assert stages[2].entries[1].reason == "replay"
    with pytest.raises(FormatError, match="chain is broken"):
        verify_custody([received], KEYS)
    with pytest.raises(FormatError, match="chain is broken"):
        verify_custody([received, sent], KEYS)
    with pytest.raises(SignatureError):
        verify_custody([sent, received], KEYS[:1])


def test_the_other_side_goes_on_in_a_copy(sent: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(sent.read_bytes())
    log(copy).append("receive", "verify", DIGESTS)
    log(copy).seal("receive", signer(VENDOR))

    assert len(verify_custody([copy], KEYS)) == 3


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _swap(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def _edit(place: int, /, **fields: Any) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        value = json.loads(lines[place]) | fields
        return [*lines[:place], canonical_json(value) + b"\n", *lines[place + 1 :]]

    return change


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "an entry left out": lambda lines: lines[1:],
    "an entry in the middle left out": lambda lines: [lines[0], *lines[2:]],
    "a seal left out": lambda lines: [*lines[:2], *lines[3:]],
    "entries swapped": _swap,
    "an entry twice": lambda lines: [lines[0], *lines],
    "another verdict": _edit(1, verdict="refused"),
    "another digest": _edit(0, digests={"shop.tar.zst": Digest.of(b"other")}),
    "another person": _edit(3, who="eve@build"),
    "another time in a seal": _edit(4, time="2020-01-01T00:00:00Z"),
    "another stage in a seal": _edit(4, stage="receive"),
    "another number": _edit(1, number=7),
    "another key in a seal": _edit(4, key=KEYS[1].fingerprint),
    "a field too many": _edit(1, more="x"),
    "a word that is no verdict": _edit(1, verdict="fine"),
    "spaces": lambda lines: [lines[0].replace(b",", b", ", 1), *lines[1:]],
    "an empty line": lambda lines: [lines[0], b"\n", *lines[1:]],
    "no JSON": lambda lines: [b"x\n", *lines[1:]],
    "a list": lambda lines: [b"[]\n", *lines[1:]],
    "the end cut within a line": lambda lines: [*lines[:-1], lines[-1][:-1]],
    "the end not sealed": lambda lines: lines[:-1],
    "nothing at all": lambda _: [],
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_what_is_changed_is_found(sent: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    sent.write_bytes(b"".join(change(_lines(sent))))

    with pytest.raises(PetraError, match=r"sent\.jsonl") as caught:
        verify_custody([sent], KEYS)
    assert caught.value.exit_status == 3


def test_a_strangers_seal_does_not_count(sent: Path) -> None:
    log(sent).append("media", "write", {})
    log(sent).seal("media", signer(STRANGER))

    with pytest.raises(SignatureError, match="key that counts"):
        verify_custody([sent], KEYS)


def test_a_seal_is_a_plain_signature_over_its_own_line(sent: Path) -> None:
    """As the format says: the line without `signature`, in canonical form."""
    import base64

    value = json.loads(_lines(sent)[2])
    signature = base64.b64decode(value.pop("signature"))

    assert KEYS[0].verifies(signature, canonical_json(value))


def test_nothing_to_seal(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="nothing to seal"):
        log(tmp_path / "a.jsonl").seal("connected", signer(OURS))


def test_a_log_that_was_cut_within_a_line_is_not_written_on(sent: Path) -> None:
    data = sent.read_bytes()[:-5]
    sent.write_bytes(data)

    with pytest.raises(FormatError, match="within a line"):
        log(sent).append("media", "write", {})
    assert sent.read_bytes() == data


def test_a_log_to_continue_must_be_there_and_hold_something(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        log(tmp_path / "b", continues=tmp_path / "a").append("receive", "verify", {})
    (tmp_path / "a").touch()
    with pytest.raises(FormatError, match="empty"):
        log(tmp_path / "b", continues=tmp_path / "a").append("receive", "verify", {})


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError):
        log(tmp_path / "a").append("receive", "verify", {})


def test_several_writers_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def write() -> None:
        for _ in range(5):
            log(path).append("connected", "create", DIGESTS)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log(path).seal("connected", signer(OURS))

    (stage,) = verify_custody([path], KEYS)
    assert len(stage.entries) == 20


def test_a_log_of_many_lines_is_written_on_from_its_last_one(tmp_path: Path) -> None:
    """The end of the file alone is read; it may hold a part of a line before."""
    path = tmp_path / "a.jsonl"
    many = {f"chunk-{number:04}": Digest.of(b"x") for number in range(1000)}
    for _ in range(5):
        log(path).append("connected", "chunk", many)
    log(path).seal("connected", signer(OURS))

    assert path.stat().st_size > 256 * 1024
    assert len(verify_custody([path], KEYS)[0].entries) == 5


def test_a_line_that_is_too_long_is_refused_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(FormatError, match="too long"):
        log(path).append("connected", "create", {"x" * 300_000: Digest.of(b"x")})
    assert path.read_bytes() == b""
