"""Every filter of the guard refuses something that no other does, and lets good bundles pass."""

# ruff: noqa: E501  # a case is one line

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from petra.archive.source import FileSource
from petra.content.progress import NoProgress
from petra.encoding.yaml import dump_yaml
from petra.errors import DocumentError, NotFoundError, PolicyError
from petra.transfer.guard import contents, walk
from petra.transfer.guard.filters import Outer
from petra.transfer.guard.pipeline import FILTERS, LintVerdict, lint
from petra.transfer.guard.profile import SHIPPED, Profile, load_profile
from petra.transfer.guard.stop import StopError
from tests.support.charts import chart
from tests.support.guarded import One, blob, good, pack, plain, sums, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _check(path: Path, profile: Profile | None = None, *beside: Outer) -> LintVerdict:
    with FileSource(path) as source:
        return lint(profile or _wide(), source, path.name, beside, NoProgress())


def _wide(**changes: Any) -> Profile:
    """Return a profile that lets much pass, so that a rule stands alone; `changes` by section."""
    spec: dict[str, Any] = {
        "files": {"name": "[a-z0-9.-]+", "maxBytes": 10_000_000},
        "members": {"maxCount": 100, "maxBytes": 10_000_000, "maxDepth": 8, "name": "[a-zA-Z0-9./_-]+"},
        "expansion": {"maxBytes": 100_000_000, "maxRatio": 100, "layers": True},
        "kinds": [
            {"members": ["other/*"], "kinds": ["other", "empty"]},
            {"members": ["blobs/*", "charts/*", "zipped/*"], "kinds": ["json", "gzip", "zip", "zstd"]},
            {"members": ["*"], "kinds": ["json", "yaml", "text", "empty"]},
        ],
        "compressed": ["charts/*.tgz", "blobs/*"],
    }  # fmt: skip
    for section, change in changes.items():
        spec[section] = {**spec[section], **change} if isinstance(change, dict) else change
    document = {"apiVersion": "petra.sh/v1alpha1", "kind": "GuardProfile"}
    return Profile.model_validate({**document, "metadata": {"name": "wide"}, "spec": spec})


def _refusing(verdict: LintVerdict) -> list[str]:
    return [one.name for one in verdict.filters if one.result == "refused"]


@dataclass(frozen=True)
class Case:
    """An archive that one filter alone refuses, and what its finding names."""

    filter: str
    make: Callable[[Path], Path]
    says: str
    profile: Profile | None = None
    beside: tuple[Outer, ...] = ()


def _with(*more: One, name: str = "app-1.0.tar.gz", **options: Any) -> Callable[[Path], Path]:
    return lambda folder: write(folder / name, good(*more), **options)


def _raw(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    """Return what writes a good archive whose compressed bytes are changed."""

    def make(folder: Path) -> Path:
        path = write(folder / "app-1.0.tar.gz", good())
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def _unlisted(folder: Path) -> Path:
    whole = good()
    archive = plain([*whole, One("platform/extra.txt", b"hello\n"), sums(whole)])
    return pack(folder / "app-1.0.tar.gz", archive)


def _bad_blob(folder: Path) -> Path:
    one = One(f"blobs/sha256/{'0' * 64}", b'{"a":1}')
    return write(folder / "app-1.0.tar.gz", good(one))


def _without_end(folder: Path) -> Path:
    archive = plain(good()).rstrip(b"\0")
    return pack(folder / "a.tar.gz", archive + bytes(-len(archive) % tarfile.BLOCKSIZE))


def _link(kind: bytes) -> One:
    return One("platform/link", b"", {"type": kind, "linkname": "bundle.yaml"})


_TWICE = One("platform/twice.txt", b"same\n")
_BOMB = blob(gzip.compress(bytes(40_000_000), mtime=0))
_ZSTD_BOMB = blob(zstandard.compress(bytes(40_000_000)))
_HARMFUL = chart(more={"bin/tool": b"\x7fELF\x02\x01\x01"})


def _changed(place: int, data: bytes) -> Callable[[Path], Path]:
    """Return what writes a good archive with some bytes of its first header changed."""

    def make(folder: Path) -> Path:
        whole = good()
        archive = bytearray(plain([*whole, sums(whole)]))
        archive[place : place + len(data)] = data
        header = archive[: tarfile.BLOCKSIZE]
        header[148:156] = b" " * 8
        archive[148:156] = b"%06o\0 " % sum(header)
        return pack(folder / "app-1.0.tar.gz", bytes(archive))

    return make


def _before(*headers: bytes) -> Callable[[Path], Path]:
    """Return what writes a good archive with `headers` before its first member."""

    def make(folder: Path) -> Path:
        whole = good()
        return pack(folder / "app-1.0.tar.gz", b"".join((*headers, plain([*whole, sums(whole)]))))

    return make


def _header(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    info = tarfile.TarInfo("header")
    info.type, info.mode, info.size = kind, 0o644, len(data) if size is None else size
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _records(**records: str) -> bytes:
    """Return the pax records of a sparse file."""
    lines = (f"GNU.sparse.{name}={value}\n" for name, value in records.items())
    return "".join(f"{len(line) + 3} {line}" for line in lines).encode()


def _zstd(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    """Return what writes a good archive, with a checksum at its end, whose bytes are changed."""

    def make(folder: Path) -> Path:
        whole = good()
        archive = plain([*whole, sums(whole)]) + bytes(1_000_000)  # in blocks of their own
        data = zstandard.ZstdCompressor(write_checksum=True).compress(archive)
        (folder / "app-1.0.tar.zst").write_bytes(change(data))
        return folder / "app-1.0.tar.zst"

    return make


def _skippable(magic: int, data: bytes) -> bytes:
    return magic.to_bytes(4, "little") + len(data).to_bytes(4, "little") + data


_HOLES = _records(major="1", minor="0", name="a")
_LONG_MAP = b"%d\n" % 10**6 + b"1\n" * 10**6
CASES = [
    Case("file-names", _with(name="app_1.0.tar.gz"), "app_1.0.tar.gz"),
    Case("file-names", _with(), "notes (1).txt", beside=(Outer("notes (1).txt", 3),)),
    Case("file-size", _with(), "app-1.0.tar.gz.sig", beside=(Outer("app-1.0.tar.gz.sig", 10**9),)),
    Case("container", _with(name="app-1.0.tar.zst"), "tar.zst", _wide(files={"formats": ["tar.gz"]})),
    Case("container", _raw(lambda data: data + b"more"), "follows the end of the compressed"),
    Case("container", _raw(lambda data: data + gzip.compress(b"x")), "follows the end of the compressed"),
    Case("container", _raw(lambda data: data[:-40]), "breaks off"),
    Case("container", _without_end, "breaks off"),
    Case("container", lambda folder: pack(folder / "a.tar.gz", plain(good()) + b"x" * 512), "follows"),
    Case("container", lambda folder: pack(folder / "a.tar.gz", b"no archive" * 100), "cannot be read"),
    Case("expansion", _with(_BOMB), _BOMB.name),
    Case("expansion", _with(_ZSTD_BOMB), _ZSTD_BOMB.name),
    Case("expansion", _with(One("other/zeros", bytes(30_000_000))), "expands too far", _wide(members={"maxBytes": 10**9})),
    Case("expansion", _with(blob(b"\x1f\x8b no gzip")), "cannot be expanded"),
    Case("count", _with(), "too many", _wide(members={"maxCount": 5})),
    Case("member-size", _with(One("platform/big.txt", b"x" * 5000)), "platform/big.txt", _wide(members={"maxBytes": 4000})),
    Case("headers", _with(One("platform/a.txt", b"", {"pax_headers": {"comment": "hidden"}})), "comment"),
    Case("headers", _with(One("platform/a.txt", b"", {"pax_headers": {"comment": "x" * 70_000}})), "too long"),
    Case("headers", _before(*[_header(tarfile.XHDTYPE, b"")] * 2000), "in a row"),
    Case("headers", _before(_header(tarfile.GNUTYPE_LONGNAME, b"a.txt\0")), "GNU tar's own"),
    Case("headers", _before(_header(tarfile.GNUTYPE_SPARSE, b"")), "GNU tar's own"),
    Case("headers", _before(_header(tarfile.XHDTYPE, _HOLES), _header(tarfile.REGTYPE, _LONG_MAP)), "too long"),
    Case("headers", _changed(20, b"hidden"), "hidden in a header"),
    Case("headers", _changed(505, b"hidden"), "hidden in a header"),
    Case("headers", _changed(257, b"ustar  \0"), "no ustar header"),
    Case("regular-files", _before(_header(tarfile.XHDTYPE, _records(size="1")), _header(tarfile.REGTYPE, b"")), "a sparse file"),
    Case("container", _changed(1000, b"hidden"), "hidden in the padding"),
    Case("container", _before(_header(tarfile.XHDTYPE, b"9" * 90 + b" a=b\n")), "cannot be read"),
    Case("container", _zstd(lambda data: data[:-4]), "breaks off"),
    Case("container", _zstd(lambda data: data + _skippable(0x184D2A50, b"hidden")), "no content"),
    Case("container", _zstd(lambda data: data + _skippable(0x184D2A5E, b"x" * 1000)), "seek table too long"),
    Case("container", _zstd(lambda data: data + _skippable(0x184D2A5E, b"") + zstandard.compress(b"")), "no content"),
    Case("encoding", _with(One("platform/a.txt", b"a" * 600 + b"\x1b[2J")), "byte 600"),
    Case("regular-files", _with(_link(tarfile.SYMTYPE)), "symbolic link"),
    Case("regular-files", _with(_link(tarfile.LNKTYPE)), "hard link"),
    Case("regular-files", _with(_link(tarfile.CHRTYPE)), "character device"),
    Case("regular-files", _with(_link(tarfile.FIFOTYPE)), "FIFO"),
    Case("regular-files", _with(_link(tarfile.DIRTYPE)), "folder"),
    Case("permissions", _with(One("platform/a.txt", b"x", {"mode": 0o4644})), "4644"),
    Case("permissions", _with(One("platform/a.txt", b"x", {"mode": 0o755})), "0755"),
    Case("permissions", _with(One("platform/a.txt", b"x", {"uname": "root"})), "root"),
    Case("paths", _with(One("platform/../../etc/x.txt", b"x")), "platform/../../etc/x.txt"),
    Case("paths", _with(One("/etc/x.txt", b"x")), "/etc/x.txt"),
    Case("names", _with(One("platform/a b.txt", b"x")), "platform/a b.txt"),
    Case("depth", _with(One("platform/1/2/3/4/5/6/7/8.txt", b"x")), "platform/1/2"),
    Case("case", _with(One("platform/Base/App.yaml", b"kind: A\n"), One("platform/base/App.yaml", b"kind: A\n")), "platform/base/App.yaml"),
    Case("duplicates", _with(_TWICE, _TWICE), "platform/twice.txt"),
    Case("kinds", _with(One("platform/data.bin", b"\0\1\2")), "platform/data.bin"),
    Case("kinds", _with(One("stray/a.tar", plain([]))), "stray/a.tar"),
    Case("nesting", _with(One("zipped/a.zip", b"PK\x03\x04 and so on")), "zipped/a.zip"),
    Case("encoding", _with(One("platform/a.txt", "grün".encode("latin-1"))), "platform/a.txt"),
    Case("encoding", _with(One("platform/a.txt", b"\xef\xbb\xbfhello")), "byte order mark"),
    Case("encoding", _with(One("platform/a.txt", "gru\u0308n".encode())), "NFC"),
    Case("json", _with(One("scan/a.json", b'{"a":1,"a":2}')), "stands twice"),
    Case("json", _with(blob(b'{"a":NaN}')), "blobs/sha256/"),
    Case("yaml", _with(One("platform/a.yaml", b"a: 1\na: 2\n")), "platform/a.yaml:2"),
    Case("yaml", _with(One("platform/a.yaml", b"a: &x 1\nb: *x\n")), "platform/a.yaml:1"),
    Case("yaml", _with(One("platform/a.yaml", b"a: !!python/none x\n")), "platform/a.yaml:1"),
    Case("programs", _with(One("platform/run.txt", b"#!/bin/sh\n")), "platform/run.txt"),
    Case("programs", _with(One("other/tool", b"\x7fELF\x02\x01\x01\0")), "ELF"),
    Case("charts", _with(One("charts/tool-1.0.tgz", _HARMFUL)), "bin/tool"),
    Case("digests", _bad_blob, "another digest"),
    Case("digests", _unlisted, "platform/extra.txt"),
    Case("digests", _with(listed=False), "no list of checksums"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{c.filter}" for n, c in enumerate(CASES)])
def test_only_one_filter_refuses(tmp_path: Path, case: Case) -> None:
    verdict = _check(case.make(tmp_path), case.profile, *case.beside)
    assert _refusing(verdict) == [case.filter]
    told = json.dumps([one.to_json() for one in verdict.filters], ensure_ascii=False)
    assert case.says in told
    refusal = verdict.refusal("x")
    assert isinstance(refusal, PolicyError)
    assert f"{case.filter}: " in str(refusal)


def test_every_filter_has_such_an_input() -> None:
    assert {case.filter for case in CASES} == {kind.name for kind in FILTERS}


@pytest.mark.parametrize("name", ["app-1.0.tar.gz", "app-1.0.tar.zst"])
def test_a_good_archive_passes_every_filter(tmp_path: Path, name: str) -> None:
    verdict = _check(write(tmp_path / name, good()))
    assert verdict.passed
    assert verdict.refusal("x") is None
    assert {one.name: one.checked > 0 for one in verdict.filters} == {
        kind.name: True for kind in FILTERS
    }


def test_a_walk_that_ends_early_leaves_no_filter_passed(tmp_path: Path) -> None:
    path = write(tmp_path / "app-1.0.tar.gz", good())
    path.write_bytes(path.read_bytes()[:-40])
    assert "passed" not in {one.result for one in _check(path).filters}


def test_a_bomb_is_not_expanded_far(tmp_path: Path) -> None:
    seen: list[int] = []
    path = pack(tmp_path / "bomb.tar.gz", plain([One("other/zeros", bytes(200_000_000))]))
    with FileSource(path) as source, pytest.raises(StopError):
        for _ in walk.walk(source, _wide().spec.expansion, seen.append):
            pass
    assert sum(seen) <= path.stat().st_size


@pytest.mark.parametrize(
    ("name", "data", "filters"),
    [
        ("platform/a.txt", b"#" * 100_000, ["encoding"]),
        ("platform/a.yaml", b"a: &x 1\n#" + b"#" * 100_000, ["encoding", "yaml"]),
        ("scan/a.json", b'{"a":1,"a":2' + b" " * 100_000 + b"}", ["encoding", "json"]),
    ],
)
def test_what_is_too_large_to_be_looked_into_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, filters: list[str]
) -> None:
    monkeypatch.setattr(walk, "WHOLE_LIMIT", 90_000)
    path = write(tmp_path / "app-1.0.tar.gz", good(One(name, data)))
    assert _refusing(_check(path)) == filters


@pytest.mark.parametrize(
    ("name", "data"),
    [("scan/a.json", b"[" + b"[]," * 500 + b"[]]"), ("platform/a.yaml", b"- []\n" * 600)],
)
def test_a_document_of_very_many_parts_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes
) -> None:
    path = write(tmp_path / "app-1.0.tar.gz", good(One(name, data)))
    assert _check(path).passed
    monkeypatch.setattr(contents, "_PARTS_LIMIT", 1000)
    assert _refusing(_check(path)) == [name.rpartition(".")[2]]


def test_findings_beyond_the_first_are_counted(tmp_path: Path) -> None:
    many = [One(f"platform/{n} x.txt", b"x") for n in range(30)]
    names = next(
        one
        for one in _check(write(tmp_path / "a.tar.gz", good(*many))).filters
        if one.name == "names"
    )
    assert (names.count, len(names.findings)) == (30, 20)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_is_whole_and_called_after_its_file(name: str) -> None:
    assert load_profile(name).metadata.name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_lets_a_good_archive_pass(tmp_path: Path, name: str) -> None:
    verdict = _check(write(tmp_path / "app-1.0.tar.gz", good()), load_profile(name))
    assert verdict.passed, verdict.refusal("x")


def test_strict_takes_no_zstd(tmp_path: Path) -> None:
    path = write(tmp_path / "app-1.0.tar.zst", good())
    assert _refusing(_check(path, load_profile("strict"))) == ["container"]


def test_a_profile_of_ones_own_is_a_file(tmp_path: Path) -> None:
    document = _wide().model_dump(mode="json", by_alias=True, exclude_none=True)
    path = tmp_path / "own.yaml"
    path.write_bytes(dump_yaml(document))
    assert load_profile(str(path)) == _wide()


def test_a_wrong_field_of_a_profile_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("apiVersion: petra.sh/v1alpha1\nkind: GuardProfile\nmetadata: {nam: x}\n")
    with pytest.raises(DocumentError, match="did you mean 'name'") as caught:
        load_profile(str(path))
    assert f"{path}:3" in str(caught.value)


def test_a_bad_pattern_is_a_fault_of_the_profile(tmp_path: Path) -> None:
    document = _wide().model_dump(mode="json", by_alias=True, exclude_none=True)
    document["spec"]["members"]["name"] = "["
    path = tmp_path / "own.yaml"
    path.write_bytes(dump_yaml(document))
    with pytest.raises(DocumentError, match="regular expression"):
        load_profile(str(path))


def test_an_unknown_profile_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'strict'"):
        load_profile("strikt")


def test_the_walk_sees_what_tarfile_wrote(tmp_path: Path) -> None:
    path = write(tmp_path / "app-1.0.tar.zst", good())
    with FileSource(path) as source:
        names = [one.name for one in walk.walk(source, _wide().spec.expansion, lambda _: None)]
    with tarfile.open(fileobj=io.BytesIO(plain([*good(), sums(good())]))) as archive:
        assert names == archive.getnames()
