import gzip
import tarfile
import tracemalloc
from typing import Literal

import pytest

from petra.errors import ContentRefusedError, FormatError, PetraError
from petra.helm import tarball
from petra.helm.tarball import read_members
from tests.support.charts import chart, member, packed


def _read(data: bytes) -> dict[str, bytes]:
    return {item.name: item.read(item.size) for item in read_members(data, where="x.tgz")}


def test_files_come_with_their_content_and_folders_are_passed_over() -> None:
    data = packed(member("app/", type=tarfile.DIRTYPE), member("app/a", b"one"), member("app/b/c"))

    assert _read(data) == {"app/a": b"one", "app/b/c": b""}


def test_content_that_is_not_read_is_skipped() -> None:
    data = packed(member("app/a", b"x" * 100_000), member("app/b", b"two"))

    assert [item.name for item in read_members(data, where="x.tgz")] == ["app/a", "app/b"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_both_kinds_are_read(form: Literal[1, 2]) -> None:
    name = "app/" + "long/" * 50 + "ünicode"
    info = tarfile.TarInfo(name)
    info.size = 3

    data = packed(info.tobuf(form, "utf-8") + b"abc" + bytes(509))

    assert _read(data) == {name: b"abc"}


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (member("app/l", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "symbolic link"),
        (member("app/l", type=tarfile.LNKTYPE, linkname="app/a"), "hard link"),
        (member("app/d", type=tarfile.CHRTYPE), "character device"),
        (member("app/d", type=tarfile.BLKTYPE), "block device"),
        (member("app/d", type=tarfile.FIFOTYPE), "FIFO"),
        (member("app/d", type=tarfile.CONTTYPE), "tar type"),
        (member("app/d", type=tarfile.GNUTYPE_SPARSE), "sparse"),
        (member("/etc/passwd", b"x"), "outside"),
        (member("app/../../x", b"x"), "outside"),
        (member("app/./x", b"x"), "outside"),
        (member("app//x", b"x"), "outside"),
        (member("app/a\\b", b"x"), "no use for"),
        (member("c:/x", b"x"), "no use for"),
        (member("app/a\nb", b"x"), "no use for"),
        (member("app/s", b"x", mode=0o4755), "set-user-id"),
        (member("app/s", b"x", mode=0o2644), "set-user-id"),
        (member("other/x", b"x"), "outside the chart"),
        (member("loose", b"x"), "outside the chart"),
        (member("app/Chart.yaml", b"x"), "two members"),
    ],
)
def test_what_could_trick_an_unpacker_is_refused_by_name(bad: bytes, found: str) -> None:
    data = packed(member("app/Chart.yaml", b"a: b"), bad)

    with pytest.raises(ContentRefusedError, match=found) as caught:
        _read(data)

    assert (caught.value.where or "").startswith("x.tgz: ")
    assert caught.value.exit_status == 3


def _global_pax(record: bytes) -> bytes:
    return member("pax_global_header", record, type=tarfile.XGLTYPE)


def test_a_global_comment_as_git_writes_it_is_passed_over() -> None:
    record = b"52 comment=0123456789012345678901234567890123456789\n"

    assert _read(packed(_global_pax(record), member("app/a", b"x"))) == {"app/a": b"x"}


@pytest.mark.parametrize(
    "bad",
    [
        _global_pax(b"14 path=app/a\n"),
        _global_pax(b"99 path=app/a\n"),
        _global_pax(b"x"),
        _global_pax(b"3 x"),
        member("p", b"11 size=99\n", type=tarfile.XHDTYPE) + member("app/a", b"x"),
        member("app/a", b"x", size=-5),
        b"no header at all".ljust(512, b"\xff"),
        member("app/\udcff", b"x"),
    ],
)
def test_broken_headers_are_refused(bad: bytes) -> None:
    with pytest.raises(FormatError, match=r"two sizes|header|one name|negative"):
        _read(packed(bad, member("app/b", b"x")))


def test_a_large_extension_header_is_refused_before_it_is_read() -> None:
    bad = member("x", bytes(70_000), type=tarfile.GNUTYPE_LONGNAME)

    with pytest.raises(ContentRefusedError, match="larger"):
        _read(packed(bad))


def test_a_sparse_file_in_pax_form_is_refused() -> None:
    bad = member("p", b"22 GNU.sparse.major=1\n", type=tarfile.XHDTYPE)

    with pytest.raises(ContentRefusedError, match="sparse"):
        _read(packed(bad, member("app/a", b"x")))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        chart()[:-1],
        chart()[:200],
        chart()[:-6] + b"\0\0\0\0" + chart()[-2:],
        chart() + b"x",
        chart() + bytes(512),
        chart() + chart(),
        packed(member("app/a", b"x"), end=bytes(1024) + b"x"),
        packed(member("app/a", b"x"), end=b"x" * 511),
        packed(member("app/a", b"x" * 600)[:700], end=b""),
        packed(member("app/a", b"x", size=100_000)),
    ],
    ids=range(12),
)
def test_damage_and_trailing_data_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        _read(data)


def test_a_lying_size_is_refused_with_the_members_name() -> None:
    data = packed(member("app/a", b"x", size=100_000), end=b"")

    with pytest.raises(FormatError, match="cut short") as caught:
        _read(data)

    assert caught.value.where == "x.tgz: app/a"


def test_a_bomb_is_refused_by_its_ratio_before_memory_is_filled() -> None:
    bomb = gzip.compress(member("app/a", size=63 << 20) + bytes(63 << 20))
    assert len(bomb) < 100_000

    tracemalloc.start()
    try:
        with pytest.raises(ContentRefusedError, match="larger than any chart"):
            list(read_members(bomb, where="x.tgz"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("limit", "value"), [("COMPRESSED_LIMIT", 10), ("EXPANDED_LIMIT", 1000), ("MEMBER_LIMIT", 2)]
)
def test_each_limit_holds(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, limit, value)

    with pytest.raises(ContentRefusedError, match="larger than any chart"):
        _read(chart())


def test_any_damaged_byte_is_an_error_of_ours_or_of_no_effect() -> None:
    good = chart()
    for place in range(0, len(good), 3):
        bad = bytearray(good)
        bad[place] ^= 0x55
        try:
            files = _read(bytes(bad))
        except PetraError:
            continue
        # Only gzip's own header has bytes that mean nothing here (time, system).
        assert files == _read(good)
        assert place < 10
