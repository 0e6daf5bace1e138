"""What a layout does beyond what every Target does (tests/contract/test_target.py)."""

from __future__ import annotations

import errno
import json
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import BytesStream, fetch_document
from petra.errors import (
    ContentRefusedError,
    DigestMismatchError,
    FormatError,
    NoSpaceError,
    NotFoundError,
    StorageError,
)
from petra.oci._files import FileStream, NewFile, storage_error
from petra.oci.layout import REF_NAME, LayoutTarget
from petra.oci.media_types import DOCKER_SCHEMA1, OCI_LAYER, OCI_MANIFEST
from tests.support.graphs import push, push_image, push_index, push_referrer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> LayoutTarget:
    return LayoutTarget(tmp_path / "layout")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_files_of_a_layout(layout: LayoutTarget) -> None:
    image = push_image(layout, layers=[b"one"])
    layout.tag(image, "v1")

    index = json.loads((layout.path / "index.json").read_bytes())
    assert (layout.path / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    assert index["manifests"] == [{**image.to_json(), "annotations": {REF_NAME: "v1"}}]
    assert Digest.of(b"one").blob_path in files(layout.path)
    assert len(files(layout.path)) == 2 + 3
    assert {path.stat().st_mode & 0o777 for path in layout.path.rglob("*") if path.is_file()} == {
        0o644
    }


def test_reading_makes_no_files(tmp_path: Path) -> None:
    layout = LayoutTarget(tmp_path / "absent")

    assert layout.tags() == []
    assert layout.entries() == []
    with pytest.raises(NotFoundError):
        layout.resolve("v1")
    assert not (tmp_path / "absent").exists()


def test_a_second_look_finds_everything(layout: LayoutTarget) -> None:
    index = push_index(layout)
    layout.tag(index, "cgr.dev/some/image:v1")
    sbom = push_referrer(layout, index)

    again = LayoutTarget(str(layout.path))

    assert again.resolve("cgr.dev/some/image:v1") == index
    assert again.referrers(index) == [sbom]
    assert again.exists(sbom)
    assert again.tags() == ["cgr.dev/some/image:v1"]


def test_a_referrer_is_listed_once_and_without_a_name(layout: LayoutTarget) -> None:
    image = push_image(layout)
    push_referrer(layout, image)
    push_referrer(layout, image)

    (entry,) = layout.entries()
    assert entry.annotations == {}
    assert entry.artifact_type == "application/spdx+json"


def test_a_referrer_whose_listing_was_lost_does_not_exist(layout: LayoutTarget) -> None:
    image = push_image(layout)
    sbom = push_referrer(layout, image)
    (layout.path / "index.json").unlink()

    assert not layout.exists(sbom)
    push_referrer(layout, image)
    assert layout.referrers(image) == [sbom]


def test_a_tag_keeps_what_it_does_not_know(layout: LayoutTarget) -> None:
    image = push_image(layout)
    layout.tag(image, "v1")
    index = json.loads((layout.path / "index.json").read_bytes())
    index["annotations"] = {"someone": "else"}
    index["manifests"][0]["x-field"] = 1
    (layout.path / "index.json").write_text(json.dumps(index))

    layout.tag(image, "v2")

    changed = json.loads((layout.path / "index.json").read_bytes())
    assert changed["annotations"] == {"someone": "else"}
    assert changed["manifests"][0]["x-field"] == 1
    assert layout.tags() == ["v1", "v2"]


def test_a_damaged_blob_is_found_out_by_its_reader_and_can_be_discarded(
    layout: LayoutTarget,
) -> None:
    blob = push(layout, OCI_LAYER, b"content")
    (layout.path / blob.digest.blob_path).write_bytes(b"CONTENT")

    with pytest.raises(DigestMismatchError):
        fetch_document(layout, blob)
    layout.discard(blob.digest)
    assert not layout.exists(blob)
    push(layout, OCI_LAYER, b"content")
    assert fetch_document(layout, blob) == b"content"


def test_a_blob_of_another_size_is_written_again(layout: LayoutTarget) -> None:
    blob = push(layout, OCI_LAYER, b"content")
    (layout.path / blob.digest.blob_path).write_bytes(b"cont")

    assert not layout.exists(blob)
    push(layout, OCI_LAYER, b"content")
    assert fetch_document(layout, blob) == b"content"


def test_a_damaged_manifest_does_not_exist(layout: LayoutTarget) -> None:
    image = push_image(layout)
    again = LayoutTarget(layout.path)
    path = layout.path / image.digest.blob_path
    path.write_bytes(path.read_bytes()[:-1] + b" ")

    assert not again.exists(image)
    push_image(again)
    assert LayoutTarget(layout.path).exists(image)


def test_a_digest_made_by_hand_does_not_lead_out_of_the_layout(
    layout: LayoutTarget, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    push(layout, OCI_LAYER, b"x")

    with pytest.raises(FormatError):
        layout.fetch(Descriptor(OCI_LAYER, Digest("sha256:../../../secret"), 6))


def test_what_is_no_regular_file_is_refused(layout: LayoutTarget) -> None:
    blob = push(layout, OCI_LAYER, b"content")
    path = layout.path / blob.digest.blob_path
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(StorageError, match="not a regular file"):
        layout.fetch(blob)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError):
        layout.fetch(blob)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "unknown version"),
        ("oci-layout", b"[]", "unknown version"),
        ("oci-layout", b"{", "not JSON"),
        ("index.json", b"[]", "not the index"),
        ("index.json", b'{"manifests":{}}', "not the index"),
        ("index.json", b'{"manifests":[{}]}', "without a mediaType"),
        ("index.json", b"{" + b" " * (16 << 20), "too large"),
    ],
)
def test_damaged_documents_are_named(
    layout: LayoutTarget, name: str, content: bytes, message: str
) -> None:
    push(layout, OCI_LAYER, b"x")
    (layout.path / name).write_bytes(content)

    with pytest.raises(FormatError, match=message) as caught:
        LayoutTarget(layout.path).entries()
    assert name in str(caught.value)


def test_an_entry_of_something_else_is_passed_over(layout: LayoutTarget) -> None:
    image = push_image(layout)
    sbom = push_referrer(layout, image)
    index = json.loads((layout.path / "index.json").read_bytes())
    absent = Descriptor.of(OCI_MANIFEST, b"absent")
    index["manifests"] += [absent.to_json(), push(layout, OCI_LAYER, b"blob").to_json()]
    (layout.path / "index.json").write_text(json.dumps(index))

    assert layout.referrers(image) == [sbom]


def test_a_tag_that_looks_like_a_digest_is_refused(layout: LayoutTarget) -> None:
    image = push_image(layout)

    with pytest.raises(FormatError):
        layout.tag(image, image.digest)
    with pytest.raises(FormatError):
        layout.tag(image, "")


def test_schema_1_is_not_kept(layout: LayoutTarget) -> None:
    raw = json.dumps({"schemaVersion": 1, "mediaType": DOCKER_SCHEMA1}).encode()
    disguised = Descriptor.of(OCI_MANIFEST, raw)

    with pytest.raises(ContentRefusedError):
        layout.push(disguised, BytesStream(raw))
    assert files(layout.path) == set() or not layout.exists(disguised)


def test_a_manifest_beyond_the_limit_is_refused(layout: LayoutTarget) -> None:
    huge = Descriptor(OCI_MANIFEST, Digest.of(b"x"), 1 << 30)

    with pytest.raises(FormatError, match="too large"):
        layout.push(huge, BytesStream(b"x"))


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Files can grow to 1 MiB; a write beyond fails as one to a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_a_write_that_fails_leaves_nothing(layout: LayoutTarget) -> None:
    data = b"x" * (3 << 20)
    blob = Descriptor.of(OCI_LAYER, data)

    with pytest.raises(StorageError, match="disk"):
        layout.push(blob, BytesStream(data))

    assert not layout.exists(blob)
    assert files(layout.path / "blobs") == set()


def test_a_full_disk_has_an_error_of_its_own(tmp_path: Path) -> None:
    error = storage_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path)

    assert isinstance(error, NoSpaceError)
    assert str(tmp_path) in str(error)
    assert isinstance(storage_error(OSError(errno.EDQUOT, "quota"), tmp_path), NoSpaceError)
    assert not isinstance(storage_error(OSError(errno.EIO, "I/O"), tmp_path), NoSpaceError)


def test_two_processes_that_tag_at_once_lose_nothing(layout: LayoutTarget) -> None:
    image = push_image(layout)

    # Another LayoutTarget has a lock of its own, as another process does: flock alone keeps order.
    def tag(number: int) -> None:
        target = LayoutTarget(layout.path)
        for i in range(10):
            target.tag(image, f"v{number}-{i}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tag, range(4)))

    assert len(layout.tags()) == 40


def test_ingest_for_content_of_unknown_digest(layout: LayoutTarget) -> None:
    with layout.ingest() as file:
        file.write(b"con")
        file.write(memoryview(b"tent"))
        file.commit(Digest.of(b"content").hex)

    assert fetch_document(layout, Descriptor.of(OCI_LAYER, b"content")) == b"content"
    with pytest.raises(ValueError, match="before"):
        file.commit("again")


def test_what_a_killed_process_left_long_ago_is_removed(layout: LayoutTarget) -> None:
    push(layout, OCI_LAYER, b"x")
    old, new = (layout.path / "blobs" / "sha256" / name for name in (".new-old", ".new-new"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))

    push(LayoutTarget(layout.path), OCI_LAYER, b"y")

    assert not old.exists()
    assert new.exists()


def test_a_new_file_that_is_not_committed_vanishes(tmp_path: Path) -> None:
    with NewFile(tmp_path) as file:
        file.write(b"half")

    assert files(tmp_path) == set()


def test_a_file_stream_reads_within_its_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    with FileStream.open(path, 2, 5) as stream:
        assert stream.read(2) == b"23"
        buffer = bytearray(10)
        assert stream.readinto(memoryview(buffer)) == 3
        assert bytes(buffer[:3]) == b"456"
        assert stream.read() == b""
    with FileStream.open(path, 8) as stream:
        assert stream.read() == b"89"
    with pytest.raises(NotFoundError):
        FileStream.open(tmp_path / "absent")


def test_a_document_is_no_larger_than_its_reader_can_hold(layout: LayoutTarget) -> None:
    blob = Descriptor.of(OCI_LAYER, b"content")
    layout.push(blob, BytesStream(b"content"))
    assert fetch_document(layout, blob, limit=7) == b"content"
    with pytest.raises(FormatError, match="document too large"):
        fetch_document(layout, blob, limit=6)
