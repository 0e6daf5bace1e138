"""Images into folders: k3s's agent image directory and an OCI layout."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.content.stream import fetch_document
from petra.errors import DigestMismatchError, NoSpaceError, UsageError
from petra.load import image_k3s
from petra.load.images import ImageOptions, image_destination
from petra.oci.copy import copy_graph
from petra.oci.layout import LayoutTarget
from petra.oci.memory import MemoryTarget
from tests.support.command import names
from tests.support.graphs import push_image
from tests.support.loading import Listener, changed
from tests.support.world import SIGNED

if TYPE_CHECKING:
    from petra.load.destination import Destination, OpenBundle
    from tests.functional.load.conftest import Bundles


def to_k3s(bundle: OpenBundle, folder: Path, **options: object) -> Destination:
    return image_destination(f"k3s:{folder}", bundle, ImageOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "images"


class TestK3s:
    def test_the_bundle_itself_lies_there_under_a_name_of_its_own(
        self, bundles: Bundles, bundle: OpenBundle, folder: Path
    ) -> None:
        listener = Listener()
        loaded = to_k3s(bundle, folder).load(listener)

        name = f"shop-1.4.0-{bundle.digest.hex[:12]}.tar.zst"
        assert names(folder) == [name]
        assert (folder / name).read_bytes() == bundles.whole.read_bytes()
        assert [(one.name, one.reference, one.sent) for one in loaded.placed] == [
            (bundles.world.reference(image), str(folder / name), True) for image in SIGNED
        ]
        assert loaded.bytes_sent == listener.count == bundles.whole.stat().st_size
        assert loaded.notes == (f"the node will import 3 image(s) under 6 names from {name}",)

    def test_what_lies_there_stays_and_the_same_file_is_not_written_again(
        self, bundle: OpenBundle, folder: Path
    ) -> None:
        folder.mkdir(parents=True)
        for name in ("other.tar.zst", ".cache.json"):
            (folder / name).write_text("mine")
        to_k3s(bundle, folder).load(NoProgress())
        (written,) = set(folder.iterdir()) - {folder / "other.tar.zst", folder / ".cache.json"}
        before = written.stat()

        loaded = to_k3s(bundle, folder).load(NoProgress())

        assert (written.stat().st_ino, written.stat().st_mtime_ns) == (
            before.st_ino,
            before.st_mtime_ns,
        )
        assert loaded.bytes_sent == 0
        assert not any(one.sent for one in loaded.placed)
        assert (folder / "other.tar.zst").read_text() == "mine"
        assert (folder / ".cache.json").read_text() == "mine"

    def test_a_file_of_that_name_and_size_with_other_bytes_is_replaced(
        self, bundles: Bundles, bundle: OpenBundle, folder: Path
    ) -> None:
        to_k3s(bundle, folder).load(NoProgress())
        (written,) = folder.iterdir()
        written.write_bytes(bytes(written.stat().st_size))

        assert to_k3s(bundle, folder).survey().present == 0
        to_k3s(bundle, folder).load(NoProgress())

        assert written.read_bytes() == bundles.whole.read_bytes()

    def test_the_images_alone_are_a_plain_layout_in_a_tar_archive(
        self, bundle: OpenBundle, folder: Path
    ) -> None:
        loaded = to_k3s(bundle, folder, images_only=True).load(NoProgress())
        again = to_k3s(bundle, folder, images_only=True).load(NoProgress())

        (written,) = folder.iterdir()
        assert written.name.endswith(".tar")
        assert loaded.bytes_sent == written.stat().st_size
        assert again.bytes_sent == 0
        with tarfile.open(fileobj=io.BytesIO(written.read_bytes())) as archive:
            found = {
                one.name: file.read()
                for one in archive.getmembers()
                if (file := archive.extractfile(one))
            }
        assert {*found} == {
            "oci-layout",
            "index.json",
            *(blob.digest.blob_path for blob in bundle.lock.blobs()),
        }
        for blob in bundle.lock.blobs():
            assert Digest.of(found[blob.digest.blob_path]) == blob.digest

    def test_a_bundle_whose_windows_k3s_cannot_read_gives_its_images_alone(
        self, bundle: OpenBundle, folder: Path
    ) -> None:
        blob = bundle.reader.find(bundle.lock.images[1].layers[0].digest.blob_path)
        place = blob.extents[0].offset + 5
        for exponent, suffix in ((15, ".zst"), (16, ".tar")):
            wider = changed(bundle, {place: (7 << 3) ^ (exponent << 3)})
            assert image_k3s.largest_window(wider) == 1 << (10 + exponent)

            destination = to_k3s(replace(wider, digest=_digest_of(wider)), folder)
            (placed, *_) = destination.load(NoProgress()).placed

            assert placed.reference.endswith(suffix)

    def test_a_survey_changes_nothing(self, bundle: OpenBundle, folder: Path) -> None:
        destination = to_k3s(bundle, folder)
        before = destination.survey()
        assert not folder.exists()
        destination.load(NoProgress())
        after = destination.survey()

        assert (before.items, before.present) == (3, 0)
        assert before.bytes_to_send == before.bytes_total == bundle.reader.source.size
        assert any("is this a k3s node?" in note for note in before.notes)
        assert (after.present, after.bytes_to_send) == (3, 0)

    def test_the_cache_is_made_where_that_is_asked_for(
        self, bundle: OpenBundle, folder: Path
    ) -> None:
        to_k3s(bundle, folder, touch_cache=True).load(NoProgress())

        assert (folder / ".cache.json").read_bytes() == b""

    def test_a_bundle_that_changed_under_way_leaves_nothing(
        self, bundle: OpenBundle, folder: Path
    ) -> None:
        other = replace(bundle, digest=Digest.of(b"another"))

        with pytest.raises(DigestMismatchError, match="changed since"):
            to_k3s(other, folder).load(NoProgress())
        assert names(folder) == []

    def test_too_little_room_is_found_out_first(
        self, bundle: OpenBundle, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))

        destination = to_k3s(bundle, folder)

        with pytest.raises(NoSpaceError, match="no room"):
            destination.survey()
        with pytest.raises(NoSpaceError, match="no room"):
            destination.load(NoProgress())
        assert names(folder) == []


def _digest_of(bundle: OpenBundle) -> Digest:
    data = bytearray(bundle.reader.source.size)
    bundle.reader.source.read_into(0, memoryview(data))
    return Digest.of(data)


class TestLayout:
    def test_names_and_referrers_are_as_in_the_bundle(
        self, bundles: Bundles, bundle: OpenBundle, tmp_path: Path
    ) -> None:
        listener = Listener()
        loaded = image_destination(f"layout:{tmp_path / 'l'}", bundle).load(listener)

        layout = LayoutTarget(tmp_path / "l")
        assert [one.to_json() for one in layout.entries()] == [
            one.to_json() for one in bundle.archive.entries
        ]
        for image in bundle.lock.images:
            for blob in (*image.documents, *image.layers):
                if len(image.platforms) == 1 and blob.size < 1_000_000:
                    assert Digest.of(fetch_document(layout, blob.descriptor)) == blob.digest
            assert layout.resolve(image.reference).digest == image.root.digest
        assert listener.count == loaded.bytes_sent == sum(b.size for b in bundle.lock.blobs())
        worker = bundles.world.images[SIGNED[1]]
        assert len(layout.referrers(worker)) == 2

    def test_what_the_folder_has_already_stays(self, bundle: OpenBundle, tmp_path: Path) -> None:
        layout = LayoutTarget(tmp_path)
        other, old = push_image(layout, "other"), push_image(layout, "old")
        layout.tag(other, "kept")
        layout.tag(old, bundle.lock.images[0].reference)

        image_destination(f"layout:{tmp_path}", bundle).load(NoProgress())

        assert layout.resolve("kept").digest == other.digest
        assert layout.resolve(bundle.lock.images[0].reference).digest == (
            bundle.lock.images[0].root.digest
        )
        assert layout.exists(old)

    def test_the_second_load_writes_nothing(self, bundle: OpenBundle, tmp_path: Path) -> None:
        destination = image_destination(f"layout:{tmp_path}", bundle)
        assert destination.survey().present == 0
        destination.load(NoProgress())
        blobs = {path: path.stat().st_ino for path in (tmp_path / "blobs/sha256").iterdir()}
        index = (tmp_path / "index.json").read_bytes()

        assert (destination.survey().present, destination.survey().bytes_to_send) == (3, 0)
        loaded = destination.load(NoProgress())

        assert loaded.bytes_sent == 0
        assert not any(one.sent for one in loaded.placed)
        assert blobs == {path: path.stat().st_ino for path in (tmp_path / "blobs/sha256").iterdir()}
        assert (tmp_path / "index.json").read_bytes() == index

    def test_a_blob_that_is_there_and_damaged_is_written_anew(
        self, bundle: OpenBundle, tmp_path: Path
    ) -> None:
        destination = image_destination(f"layout:{tmp_path}", bundle)
        destination.load(NoProgress())
        layer = bundle.lock.images[1].layers[0]
        path = tmp_path / layer.digest.blob_path
        path.write_bytes(bytes(layer.size))

        loaded = destination.load(NoProgress())

        assert Digest.of(path.read_bytes()) == layer.digest
        assert loaded.bytes_sent == layer.size

    def test_a_sparse_index_comes_as_it_is(self, sparse: OpenBundle, tmp_path: Path) -> None:
        image_destination(f"layout:{tmp_path}", sparse).load(NoProgress())

        layout = LayoutTarget(tmp_path)
        root = layout.resolve(sparse.lock.images[0].reference)
        index = json.loads(fetch_document(layout, root))
        present = [one for one in index["manifests"] if layout.exists(_described(one))]
        assert len(index["manifests"]) == 3
        assert [one["platform"]["architecture"] for one in present] == ["amd64"]
        copied = MemoryTarget()
        copy_graph(layout, copied, _described(present[0]))
        assert copied.exists(_described(present[0]))

    def test_too_little_room_is_found_out_first(
        self, bundle: OpenBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
        destination = image_destination(f"layout:{tmp_path / 'l'}", bundle)

        with pytest.raises(NoSpaceError, match="no room"):
            destination.survey()
        with pytest.raises(NoSpaceError, match="no room"):
            destination.load(NoProgress())
        assert names(tmp_path / "l") == []


def _described(value: object) -> Descriptor:
    return Descriptor.from_json(value, where="index")


@pytest.mark.parametrize("uri", ["", "layout:", "docker://x/y", "https://x/y", "k4s:/x"])
def test_another_uri_is_refused(bundle: OpenBundle, uri: str) -> None:
    with pytest.raises(UsageError, match="not a place for images"):
        image_destination(uri, bundle)


def test_k3s_has_a_usual_folder(bundle: OpenBundle) -> None:
    if Path("/var/lib/rancher").exists():
        pytest.skip("this machine is a k3s node")

    survey = image_destination("k3s", bundle).survey()

    assert "/var/lib/rancher/k3s/agent/images is not there" in "".join(survey.notes)
