"""Bundles that are properly signed and yet bad: every command refuses them and names the member."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from petra.archive import members, tar, zstd
from petra.cli.main import main
from petra.content.digest import Digest
from tests.support import archives
from tests.support.command import assert_refused, names
from tests.support.opened import opened
from tests.support.tampered import Frames, Parts, sign
from tests.support.world import NAME, OURS, WEB, WORKER, connected_side, signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Run

Tamper: TypeAlias = "Callable[[Parts], Frames]"

CHART = "charts/app-1.2.3.tgz"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of a good bundle, made by the command itself."""
    folder = tmp_path_factory.mktemp("good")
    with connected_side(folder) as world:
        spec = world.spec(WORKER, WEB, charts=[world.chart()])
        more = ("--key", f"{folder}/ours.key", "--output-dir", f"{folder}/dist")
        assert main(["bundle", "create", "-f", str(spec), "--quiet", *more]) == 0
        return opened(world.bundle).files


@pytest.fixture
def parts(good: dict[str, bytes], tmp_path: Path) -> Parts:
    (tmp_path / "ours.pub").write_bytes(signer(OURS).public_key.pem)
    return Parts(dict(good))


def refused(petra: Run, path: Path, *says: str, status: int = 3) -> None:
    """Check that each command refuses the bundle, and that it stays as it is."""
    sign(path)
    before = names(path.parent)
    for command in ("verify", "inspect", "serve"):
        outcome = petra("bundle", command, "-f", path, "--key", "ours.pub")
        assert_refused(outcome, status, path.name, *says)
    assert names(path.parent) == before
    # Whoever looks without a key is told that nobody checked, or is refused as well.
    looked = petra("bundle", "inspect", "-f", path)
    assert looked.status == 3 or looked.out.startswith("UNVERIFIED")
    assert "bug in petra" not in looked.err


# Members that have no place in a bundle. Each takes the good parts and gives the bad frames.


def _dots(parts: Parts) -> Frames:
    return parts.with_header(parts.blob, name="blobs/sha256/../../../etc/passwd")


def _absolute(parts: Parts) -> Frames:
    return parts.with_header(parts.blob, name="/etc/passwd")


def _kind(kind: bytes, **more: object) -> Tamper:
    return lambda parts: parts.with_header(parts.blob, type=kind, **more)


def _text_link(parts: Parts) -> Frames:
    return parts.with_header(members.SPEC, type=tarfile.SYMTYPE, linkname="/etc/shadow")


def _setuid(parts: Parts) -> Frames:
    return parts.with_header(parts.blob, mode=0o4755)


def _owner(parts: Parts) -> Frames:
    return parts.with_header(parts.blob, uid=1000)


def _size_too_small(parts: Parts) -> Frames:
    return parts.with_header(parts.blob, size=len(parts.files[parts.blob]) - 512)


def _size_too_large(parts: Parts) -> Frames:
    return parts.with_header(parts.blob, size=len(parts.files[parts.blob]) + 100_000)


def _huge_size(parts: Parts) -> Frames:
    return parts.with_header(parts.blob, size=0o77777777777)


def _listed_size(parts: Parts) -> Frames:
    value = json.loads(parts.files[members.METADATA])
    value["members"][-1]["size"] += 4096
    parts.files[members.METADATA] = json.dumps(value).encode()
    parts.sum_again()
    return parts.frames()


def _listed_twice(parts: Parts) -> Frames:
    value = json.loads(parts.files[members.METADATA])
    value["members"].append(value["members"][-1])
    parts.files[members.METADATA] = json.dumps(value).encode()
    parts.sum_again()
    frames = parts.frames()
    return [*frames, frames[-1]]


def _twice(parts: Parts) -> Frames:
    frames = parts.frames()
    return [*frames, frames[-1]]


def _twice_within_a_frame(parts: Parts) -> Frames:
    frames = parts.frames()
    return [*frames[:-1], (frames[-1][0] * 2, True)]


def _one_more(parts: Parts) -> Frames:
    return [*parts.frames(), (archives.tar_member("sbom/x.json", b"{}"), False)]


def _one_fewer(parts: Parts) -> Frames:
    return parts.frames()[:-1]


def _swapped(parts: Parts) -> Frames:
    *frames, last, end = parts.frames()
    return [*frames, end, last]


def _other_blob(parts: Parts) -> Frames:
    data = parts.files[parts.blob]
    content = archives.tar_member(parts.blob, bytes(len(data)))
    return parts.with_frame(parts.blob, content, stored=True)


def _other_chart(parts: Parts) -> Frames:
    content = archives.tar_member(CHART, bytes(len(parts.files[CHART])))
    return parts.with_frame(CHART, content, stored=True)


def _other_spec(parts: Parts) -> Frames:
    data = parts.files[members.SPEC].replace(b"1.4.0", b"9.9.9")
    return parts.with_frame(members.SPEC, archives.tar_member(members.SPEC, data))


def _data_in_padding(parts: Parts) -> Frames:
    content = parts.frames()[-1][0]
    return parts.with_frame(parts.blob, content[:-8] + b"smuggled", stored=True)


def _program(parts: Parts) -> Frames:
    blobs = [name for name in parts.files if name.startswith("blobs/")]
    moved = {name: parts.files.pop(name) for name in blobs}
    parts.files["platform/base/x.yaml"] = b"\x7fELF\x02\x01\x01" + bytes(100)
    parts.files.update(moved)
    parts.list_again()
    return parts.frames()


def _compressed_blob(parts: Parts) -> Frames:
    return parts.with_frame(parts.blob, parts.frames()[-1][0], stored=False)


def _sums(parts: Parts) -> Frames:
    parts.files[members.SUMS] = b"0" * 64 + b"  index.json\n"
    return parts.frames()


def _no_sums(parts: Parts) -> Frames:
    del parts.files[members.SUMS]
    return parts.frames()


@pytest.mark.parametrize("form", ["tar.zst", "tar.gz"])
@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (_dots, "../../../etc/passwd"),
        (_absolute, "/etc/passwd"),
        (_kind(tarfile.SYMTYPE, linkname="/etc/shadow"), "a symbolic link"),
        (_kind(tarfile.LNKTYPE, linkname="index.json"), "a hard link"),
        (_kind(tarfile.CHRTYPE, devmajor=1, devminor=3), "a character device"),
        (_kind(tarfile.BLKTYPE, devmajor=8), "a block device"),
        (_kind(tarfile.FIFOTYPE), "a FIFO"),
        (_kind(tarfile.DIRTYPE), "a directory"),
        (_text_link, "a symbolic link"),
        (_setuid, "another mode"),
        (_owner, "another uid"),
        (_size_too_small, "BLOB"),
        (_size_too_large, "BLOB"),
        (_huge_size, "BLOB"),
        (_listed_size, "BLOB"),
        (_listed_twice, "twice"),
        (_twice, "does not list"),
        (_twice_within_a_frame, "BLOB"),
        (_one_more, "does not list"),
        (_one_fewer, "BLOB"),
        (_swapped, "BLOB"),
        (_other_blob, "BLOB"),
        (_other_chart, CHART),
        (_other_spec, members.SPEC),
        (_data_in_padding, "behind"),
        (_program, "platform/base/x.yaml"),
        (_compressed_blob, "BLOB"),
        (_sums, members.SUMS),
        (_no_sums, members.SUMS),
    ],
)
def test_a_signed_bundle_with_a_bad_member(
    petra: Run, parts: Parts, tmp_path: Path, form: str, tamper: Tamper, says: str
) -> None:
    blob = parts.blob
    path = tmp_path / "in" / f"{NAME}.{form}"
    path.parent.mkdir()
    write = archives.by_hand if form == "tar.zst" else archives.by_hand_gzip
    write(path, tamper(parts))

    refused(petra, path, blob if says == "BLOB" else says)


def test_the_parts_are_good_until_tampered_with(petra: Run, parts: Parts, tmp_path: Path) -> None:
    parts.list_again()
    for form, write in (("zst", archives.by_hand), ("gz", archives.by_hand_gzip)):
        path = tmp_path / f"b.tar.{form}"
        write(path, parts.frames())
        assert petra("bundle", "verify", "-f", sign(path), "--key", "ours.pub").status == 0


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/cron.d/x",
        "/etc/passwd",
        "platform/./x.yaml",
        "platform/base/x y.yaml",
        "platform/1/2/3/4/5/6/7/8.yaml",
        "platform/" + "x" * 92,
        "blobs/sha256/short",
        "elsewhere/x",
    ],
)
def test_a_name_outside_the_rules(petra: Run, parts: Parts, tmp_path: Path, name: str) -> None:
    value = json.loads(parts.files[members.METADATA])
    value["members"].insert(4, {"name": name, "size": 2, "digest": Digest.of(b"{}")})
    parts.files[members.METADATA] = json.dumps(value).encode()
    parts.sum_again()
    frames = parts.frames()
    frames.insert(6, (archives.tar_member(name[:100], b"{}"), False))
    path = tmp_path / "b.tar.zst"
    archives.by_hand(path, frames)

    refused(petra, path, repr(name))


@pytest.mark.parametrize("form", ["tar.zst", "tar.gz"])
@pytest.mark.parametrize("extra", [b"x", b"more" * 300, bytes(1024)])
def test_bytes_behind_the_end(
    petra: Run, parts: Parts, tmp_path: Path, form: str, extra: bytes
) -> None:
    path = tmp_path / f"b.{form}"
    (archives.by_hand if form == "tar.zst" else archives.by_hand_gzip)(path, parts.frames())
    path.write_bytes(path.read_bytes() + extra)

    refused(petra, path)


@pytest.mark.parametrize("form", ["tar.zst", "tar.gz"])
@pytest.mark.parametrize("cut", [1, 9, 700, 30_000])
def test_a_file_that_was_cut_off_before_it_was_signed(
    petra: Run, parts: Parts, tmp_path: Path, form: str, cut: int
) -> None:
    path = tmp_path / f"b.{form}"
    (archives.by_hand if form == "tar.zst" else archives.by_hand_gzip)(path, parts.frames())
    path.write_bytes(path.read_bytes()[:-cut])

    refused(petra, path)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (members.INDEX, "tar.zst"),
        (members.METADATA, "tar.zst"),
        (members.METADATA, "tar.gz"),
        (members.LOCK, "tar.zst"),
        (members.SUMS, "tar.gz"),
    ],
)
def test_a_decompression_bomb(
    petra: Run, parts: Parts, tmp_path: Path, form: str, name: str
) -> None:
    """A few kilobytes that would be 80 MiB: refused by what is announced, nothing is expanded."""
    bomb = bytes(80 * MIB)
    if name == members.METADATA:
        frames = parts.with_frame(name, archives.tar_member(name, bomb))
    else:
        parts.files[name] = bomb
        value = json.loads(parts.files[members.METADATA])
        for one in value["members"]:
            if one["name"] == name:
                one.update(size=len(bomb), digest=Digest.of(bomb))
        parts.files[members.METADATA] = json.dumps(value).encode()
        frames = parts.frames()
    path = tmp_path / f"b.{form}"
    (archives.by_hand if form == "tar.zst" else archives.by_hand_gzip)(path, frames)
    del bomb, frames
    assert path.stat().st_size < 300_000

    refused(petra, path, *(() if name == members.METADATA else (name,)))


def test_a_frame_that_holds_more_than_the_seek_table_says(
    petra: Run, parts: Parts, tmp_path: Path
) -> None:
    frames, file = [], b""
    for number, (part, stored) in enumerate([*parts.frames(), (tar.END, False)]):
        frame = (
            archives.stored_frame(part)
            if stored
            else zstd.compress(part + bytes(10 * MIB) * (number == 3))
        )
        frames.append(zstd.Frame(len(frame), len(part)))
        file += frame
    path = tmp_path / "b.tar.zst"
    path.write_bytes(file + zstd.seek_table(frames))

    refused(petra, path, members.SPEC)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (members.METADATA, b"{", "metadata.json"),
        (members.METADATA, b"[]", "metadata.json"),
        (members.METADATA, b'{"members":1}', "metadata.json"),
        (members.METADATA, b'{"members":[],"members":[]}', "metadata.json"),
        (members.METADATA, b"[" * 200_000, "metadata.json"),
        (members.OCI_LAYOUT, b"{}", "oci-layout"),
    ],
)
def test_documents_that_are_none(
    petra: Run, parts: Parts, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    parts.files[name] = content
    if name != members.METADATA:
        # Listed as it is: it is the document itself that is wrong.
        parts.sum_again()
    path = tmp_path / "b.tar.zst"
    archives.by_hand(path, parts.frames())

    refused(petra, path, says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"apiVersion": "petra.sh/v2"}, "a format that this petra does not know"),
        ({"kind": "Pod"}, "kind"),
        ({"serial": "new"}, "serial"),
        ({"images": [{}]}, "images[0]"),
        ({"surprise": 1}, "surprise"),
        ({"checks": {}}, "checks"),
    ],
)
def test_metadata_of_another_shape(
    petra: Run, parts: Parts, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    parts.list_again(**change)
    path = tmp_path / "b.tar.zst"
    archives.by_hand(path, parts.frames())

    refused(petra, path, members.METADATA, says)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (members.LOCK, b"kind: BundleLock\n"),
        (members.LOCK, b"a: [1\n"),
        (members.INDEX, b"{}"),
        (members.INDEX, b'{"manifests":[{"digest":"x"}]}'),
    ],
)
def test_a_bundle_is_not_served_whose_own_documents_are_broken(
    petra: Run, parts: Parts, tmp_path: Path, name: str, content: bytes
) -> None:
    parts.files[name] = content
    parts.list_again()
    path = tmp_path / "b.tar.zst"
    archives.by_hand(path, parts.frames())

    outcome = petra("bundle", "serve", "-f", sign(path), "--key", "ours.pub")

    assert_refused(outcome, 3, name)
