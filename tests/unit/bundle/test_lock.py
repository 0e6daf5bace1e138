from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from petra.bundle.lock import (
    Lock,
    LockedAttachment,
    LockedBlob,
    LockedChart,
    LockedFile,
    LockedImage,
    LockedTools,
    dump_lock,
    load_lock,
)
from petra.content.descriptor import Descriptor, Platform
from petra.content.digest import Digest
from petra.errors import DocumentError, FormatError

INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def _blob(text: str, media_type: str = LAYER) -> LockedBlob:
    return LockedBlob.of(Descriptor.of(media_type, text.encode()))


def _lock() -> Lock:
    first = LockedImage(
        name="a",
        reference="cgr.dev/x/a:1.0",
        root=_blob("index-a", INDEX),
        platforms=(Platform("linux", "amd64"),),
        absent_platforms=(Platform("linux", "arm64", "v8"),),
        documents=(_blob("index-a", INDEX), _blob("config-a")),
        layers=(_blob("base"), _blob("only-a")),
        attachments=(
            LockedAttachment(
                kind="signature",
                scheme="tag",
                subject=Digest.of(b"index-a"),
                media_type=INDEX,
                digest=Digest.of(b"signature"),
                size=9,
                tag=f"sha256-{Digest.of(b'index-a').hex}.sig",
            ),
        ),
    )
    second = LockedImage(
        name="b",
        reference="cgr.dev/x/b:1.0",
        root=_blob("index-b", INDEX),
        documents=(_blob("index-b", INDEX),),
        layers=(_blob("base"), _blob("only-b")),
    )
    return Lock(
        name="web",
        version="1.0",
        serial=1_700_000_000,
        created=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=1))),
        spec_digest=Digest.of(b"spec"),
        tools=LockedTools(petra="0.1.0", zstd="1.5.7"),
        platforms=(Platform("linux", "amd64"),),
        images=(first, second),
        charts=(
            LockedChart(
                name="c",
                version="1.0.0",
                repo="https://charts.example/",
                url="https://charts.example/c-1.0.0.tgz",
                digest=Digest.of(b"chart"),
                size=5,
            ),
        ),
        platform_files=(LockedFile(path="platform/base/a.yaml", digest=Digest.of(b"f"), size=1),),
    )


def test_a_lock_comes_back_as_it_was() -> None:
    lock = _lock()
    loaded = load_lock(dump_lock(lock), where="bundle.lock.yaml")
    assert loaded == lock
    assert isinstance(loaded.images[0].root.digest, Digest)
    assert loaded.created == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)


def test_a_dump_of_what_was_loaded_has_the_same_bytes() -> None:
    data = dump_lock(_lock())
    assert dump_lock(load_lock(data, where="bundle.lock.yaml")) == data


def test_the_file_reads_well() -> None:
    text = dump_lock(_lock()).decode()
    assert text.startswith(
        'apiVersion: petra.sh/v1alpha1\nkind: BundleLock\nname: web\nversion: "1.0"\n'
        'serial: 1700000000\ncreated: "2026-01-02T02:04:05Z"\nspecDigest: sha256:'
    )
    assert "\n  absentPlatforms:\n  - linux/arm64/v8\n" in text


def test_blobs_come_once_documents_first_then_layers_by_first_use() -> None:
    names = ["index-a", "config-a", "index-b", "base", "only-a", "only-b"]
    assert [blob.digest for blob in _lock().blobs()] == [Digest.of(name.encode()) for name in names]


def test_sizes_add_up() -> None:
    assert _lock().images[1].size == len("index-b" + "base" + "only-b")


def test_attachments_and_blobs_are_descriptors_elsewhere() -> None:
    image = _lock().images[0]
    assert image.root.descriptor == Descriptor.of(INDEX, b"index-a")
    assert image.attachments[0].descriptor.digest == Digest.of(b"signature")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("specDigest: sha256:", "specDigest: sha512:", "specDigest: not a sha256 digest"),
        ("serial: 1700000000", "serial: 1.5", "serial: wrong type"),
        ("kind: BundleLock", "kind: Bundle", "kind: not a value of this field"),
        ("  - linux/arm64/v8", "  - linux", "images[0].absentPlatforms[0]: not a platform"),
        ("tools:", "tool:", "tool: no such field"),
    ],
)
def test_a_damaged_lock_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    text = dump_lock(_lock()).decode()
    assert old in text
    data = text.replace(old, new, 1).encode()
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(DocumentError) as caught:
        load_lock(data, where="bundle.lock.yaml")
    assert caught.value.message == message
    assert caught.value.where == f"bundle.lock.yaml:{line}"
    with pytest.raises(FormatError) as refused:
        load_lock(data, where="bundle.lock.yaml", error=FormatError)
    assert refused.value.exit_status == 3
