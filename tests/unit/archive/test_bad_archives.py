"""Archives that nobody should believe, each signed all the same: refused by name, with a reason."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from petra.archive import members, tar, zstd
from petra.archive.plan import Text
from petra.archive.source import FileSource
from petra.archive.verify import verify_archive
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import (
    DigestMismatchError,
    FormatError,
    PetraError,
    SignatureError,
    VerificationError,
)
from tests.support import archives

if TYPE_CHECKING:
    from pathlib import Path

BLOB = archives.blob(b"layer" * 1000)


def good() -> list[tuple[bytes, bool]]:
    return archives.frames_of(archives.content(BLOB))


def refused(path: Path, kind: type[PetraError] = FormatError) -> str:
    with pytest.raises(kind) as caught:
        archives.verify(path)
    assert isinstance(caught.value, VerificationError)
    assert caught.value.exit_status == 3
    return str(caught.value)


def test_the_hand_made_archive_is_good_until_tampered_with(tmp_path: Path) -> None:
    path = tmp_path / "b"
    archives.by_hand(path, good())
    assert archives.verify(path).reader.open(BLOB.name).read() == b"layer" * 1000


def header(**fields: object) -> bytes:
    info = tarfile.TarInfo(BLOB.name)
    info.size, info.mtime, info.mode = BLOB.size, archives.TIME, 0o644
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/shadow"}, "a symbolic link"),
        ({"type": tarfile.LNKTYPE, "linkname": "index.json"}, "a hard link"),
        ({"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, "a character device"),
        ({"type": tarfile.FIFOTYPE}, "a FIFO"),
        ({"type": tarfile.DIRTYPE}, "a directory"),
        ({"mode": 0o4755}, "another mode"),
        ({"uid": 1000}, "another uid"),
        ({"uname": "root"}, "another owner"),
        ({"mtime": archives.TIME + 1}, "another time"),
        ({"name": "blobs/sha256/../../../etc/passwd"}, "another member stands"),
        ({"name": "/etc/passwd"}, "another member stands"),
    ],
)
def test_a_header_that_is_not_canonical(
    tmp_path: Path, fields: dict[str, object], says: str
) -> None:
    frames = good()
    frames[-1] = (header(**fields) + frames[-1][0][512:], True)
    path = tmp_path / "b"
    archives.by_hand(path, frames)
    text = refused(path)
    assert says in text
    assert "blobs/sha256" in text


def test_a_lying_size(tmp_path: Path) -> None:
    frames = good()
    frames[-1] = (header(size=BLOB.size - 10) + frames[-1][0][512:], True)
    path = tmp_path / "b"
    archives.by_hand(path, frames)
    text = refused(path)
    assert "behind the end of a member" in text
    assert BLOB.name in text


def test_another_blob_than_the_name_says(tmp_path: Path) -> None:
    frames = good()
    frames[-1] = (archives.tar_member(BLOB.name, b"LAYER" * 1000), True)
    path = tmp_path / "b"
    archives.by_hand(path, frames)
    text = refused(path, DigestMismatchError)
    assert BLOB.name in text
    assert Digest.of(b"LAYER" * 1000) in text


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/cron.d/x",
        "/etc/passwd",
        "platform/./x.yaml",
        "platform//x.yaml",
        "platform/base/x y.yaml",
        "platform/1/2/3/4/5/6/7/8.yaml",
        "platform/" + "x" * 92,
        "blobs/sha256/short",
        "elsewhere/x",
        ".hidden",
    ],
)
def test_a_name_outside_the_rules(tmp_path: Path, name: str) -> None:
    whole = archives.content(BLOB)
    bad = Text(name, b"{}")
    listed = [m for m in whole if m.name not in (members.METADATA, members.SUMS)]
    whole[2] = archives.metadata([*listed[:4], bad, *listed[4:]])
    frames = archives.frames_of(whole)
    frames.insert(6, (archives.tar_member(name[:100], b"{}"), False))
    path = tmp_path / "b"
    archives.by_hand(path, frames)
    assert repr(name[:200]) in refused(path)


def test_a_duplicate_member(tmp_path: Path) -> None:
    whole = archives.content(BLOB)
    listed = [m for m in whole if m.name not in (members.METADATA, members.SUMS)]
    whole[2] = archives.metadata([*listed, BLOB])
    path = tmp_path / "b"
    archives.by_hand(path, archives.frames_of([*whole, BLOB]))
    assert "twice" in refused(path)


def test_a_member_that_the_metadata_does_not_list(tmp_path: Path) -> None:
    path = tmp_path / "b"
    archives.by_hand(path, [*good(), (archives.tar_member("sbom/x.json", b"{}"), False)])
    assert "does not list" in refused(path)


def test_a_member_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "b"
    archives.by_hand(path, good()[:-1])
    text = refused(path)
    assert BLOB.name in text


def test_a_blob_that_is_compressed(tmp_path: Path) -> None:
    frames = good()
    frames[-1] = (frames[-1][0], False)
    path = tmp_path / "b"
    archives.by_hand(path, frames)
    assert "not stored" in refused(path)


def test_a_program_among_the_manifests(tmp_path: Path) -> None:
    path = tmp_path / "b"
    program = Text("platform/base/x.yaml", b"\x7fELF" + bytes(60))
    archives.by_hand(path, archives.frames_of(archives.content(BLOB, texts=[program])))
    text = refused(path)
    assert "platform/base/x.yaml" in text
    assert "ELF" in text


def test_sums_that_say_something_else(tmp_path: Path) -> None:
    frames = good()
    sums = b"0" * 64 + b"  index.json\n"
    frames[5] = (archives.tar_member(members.SUMS, sums), False)
    path = tmp_path / "b"
    archives.by_hand(path, frames)
    assert "SHA256SUMS" in refused(path)


@pytest.mark.parametrize("form", ["tar.zst", "tar.gz"])
def test_trailing_data(tmp_path: Path, form: str) -> None:
    path = tmp_path / "b"
    archives.write(path, archives.content(BLOB), form=form)
    with path.open("ab") as file:
        file.write(b"more")
    assert str(path) in refused(path)


@pytest.mark.parametrize("form", ["tar.zst", "tar.gz"])
@pytest.mark.parametrize("cut", [1, 9, 600, 4000])
def test_a_file_cut_off(tmp_path: Path, form: str, cut: int) -> None:
    path = tmp_path / "b"
    archives.write(path, archives.content(BLOB), form=form)
    path.write_bytes(path.read_bytes()[:-cut])
    refused(path)


def test_no_archive_at_all(tmp_path: Path) -> None:
    path = tmp_path / "b"
    for data in (b"", b"x", b"PK\x03\x04 not a bundle", zstd.MAGIC, b"\x1f\x8b"):
        path.write_bytes(data)
        assert "not" in refused(path)


def test_a_decompression_bomb_takes_no_memory(tmp_path: Path) -> None:
    bomb = bytes(200 * 1024 * 1024)
    frames = good()
    frames[3] = (archives.tar_member(members.SPEC, bomb), False)
    path = tmp_path / "b"
    archives.by_hand(path, frames)
    del bomb
    assert path.stat().st_size < 200_000
    assert members.SPEC in refused(path)


def test_a_frame_that_lies_about_its_content(tmp_path: Path) -> None:
    whole = archives.frames_of(archives.content(BLOB))
    frames, file = [], b""
    for number, (part, stored) in enumerate([*whole, (tar.END, False)]):
        frame = archives.stored_frame(part) if stored else zstd.compress(part)
        lie = 512 if number == 2 else 0
        frames.append(zstd.Frame(len(frame), len(part) + lie))
        file += frame
    path = tmp_path / "b"
    path.write_bytes(file + zstd.seek_table(frames))
    assert "another number of bytes" in refused(path)


def test_nothing_is_interpreted_before_the_signature(tmp_path: Path) -> None:
    """Even hopeless input is refused for its signature, not for its content."""
    path = tmp_path / "b"
    for data in (b"", b"garbage", zstd.MAGIC * 50):
        path.write_bytes(data)

        def refuse(digest: Digest) -> None:
            raise SignatureError("no", found=digest)

        with pytest.raises(SignatureError):
            verify_archive(FileSource(path), refuse, _never, NoProgress())


def _never(_: object) -> None:
    pytest.fail("policy was asked before the signature was found good")


def test_a_bit_flip_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "b"
    packed = archives.write(path, archives.content(BLOB))
    data = bytearray(path.read_bytes())

    def check(digest: Digest) -> None:
        if digest != packed.digest:
            raise SignatureError("digest differs")

    for place in range(0, len(data), 97):
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(SignatureError):
            verify_archive(FileSource(path), check, lambda _: None, NoProgress())
        data[place] ^= 1


@pytest.mark.parametrize("form", ["tar.zst", "tar.gz"])
def test_a_bit_flip_that_was_signed_is_found_too(tmp_path: Path, form: str) -> None:
    """Members are checked one by one, and what frames them: no byte may be another."""
    path = tmp_path / "b"
    archives.write(path, archives.content(BLOB), form=form)
    data = bytearray(path.read_bytes())
    missed = []
    for place in range(0, len(data), 61):
        data[place] ^= 4
        path.write_bytes(data)
        try:
            archives.verify(path)
            missed.append(place)
        except VerificationError:
            pass
        data[place] ^= 4
    assert missed == []


def test_gzip_that_was_packed_again(tmp_path: Path) -> None:
    import gzip

    path, again = tmp_path / "b", tmp_path / "c"
    archives.write(path, archives.content(BLOB), form="tar.gz")
    again.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())))
    assert "packed again" in refused(again)


def test_gzip_with_a_wrong_checksum(tmp_path: Path) -> None:
    path = tmp_path / "b"
    archives.write(path, archives.content(BLOB), form="tar.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    assert "gzip checksum" in refused(path)


def test_plain_tar_finds_no_second_meaning(tmp_path: Path) -> None:
    """The members that a plain reader sees are those that petra verified, no more and no fewer."""
    import gzip

    path = tmp_path / "b"
    archives.write(path, archives.content(BLOB), form="tar.gz")
    names = list(archives.verify(path).reader.members)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(path.read_bytes()))) as archive:
        assert archive.getnames() == names
