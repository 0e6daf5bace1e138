"""Images into containerd: a script stands for ctr, and fails as ctr can."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from petra.content.progress import NoProgress
from petra.errors import DigestMismatchError, ToolError
from petra.load.images import ImageOptions, image_destination
from tests.support.loading import Listener, changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from petra.load.destination import Destination, OpenBundle

#: A ctr of sorts: it keeps names and digests in a file, and checks every blob that it gets.
SCRIPT = """\
import hashlib, json, pathlib, sys, tarfile
folder = pathlib.Path({folder!r})
state = folder / "state.json"
arguments = sys.argv[1:]
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
names = json.loads(state.read_text()) if state.exists() else {{}}
if arguments[-2:] == ["images", "list"]:
    print("REF TYPE DIGEST SIZE PLATFORMS LABELS")
    for name, digest in names.items():
        print(f"{{name:60}} application/x+json {{digest}} 1.0 KiB linux/amd64 -")
    sys.exit(0)
{fault}
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    for member in archive:
        data = archive.extractfile(member).read()
        if member.name == "index.json":
            index = json.loads(data)
        if member.name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == member.name.rpartition("/")[2]
for entry in index["manifests"]:
    name = entry.get("annotations", {{}}).get("io.containerd.image.name")
    if name:
        names[name] = entry["digest"]
{late}
state.write_text(json.dumps(names))
"""


@pytest.fixture
def node(tmp_path: Path, bundle: OpenBundle) -> Callable[..., Destination]:
    """Return a node whose ctr behaves as asked."""

    whole = bundle

    def make(
        fault: str = "", late: str = "", address: str = "", bundle: OpenBundle = whole
    ) -> Destination:
        script = tmp_path / "ctr.py"
        script.write_text(SCRIPT.format(folder=str(tmp_path), fault=fault, late=late))
        options = ImageOptions(ctr=(sys.executable, str(script)))
        return image_destination(f"containerd{address and ':'}{address}", bundle, options)

    return make


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def test_each_image_is_there_by_tag_and_by_digest(
    node: Callable[..., Destination], bundle: OpenBundle, tmp_path: Path
) -> None:
    listener = Listener()
    loaded = node(address="/run/c.sock").load(listener)

    names = json.loads((tmp_path / "state.json").read_text())
    wanted = {name: entry.digest for name, entry in bundle.archive.names.items()}
    assert names == wanted
    assert [(one.name, one.sent) for one in loaded.placed] == [
        (image.reference, True) for image in bundle.lock.images
    ]
    assert all(one.reference in names and "@sha256:" in one.reference for one in loaded.placed)
    assert listener.count == loaded.bytes_sent
    assert calls(tmp_path)[1] == [
        *("--address", "/run/c.sock", "--namespace", "k8s.io"),
        *("images", "import", "--no-unpack", "--all-platforms", "-"),
    ]


def test_the_second_load_imports_nothing(node: Callable[..., Destination], tmp_path: Path) -> None:
    destination = node()
    assert destination.survey().present == 0
    destination.load(NoProgress())
    survey = destination.survey()
    before = len(calls(tmp_path))

    loaded = destination.load(NoProgress())

    assert (survey.present, survey.bytes_to_send) == (3, 0)
    assert loaded.bytes_sent == 0
    assert not any(one.sent for one in loaded.placed)
    assert [call[-1] for call in calls(tmp_path)[before:]] == ["list"]


@pytest.mark.parametrize(
    "fault",
    [
        "sys.exit('ctr: failed to dial /run/containerd/containerd.sock: permission denied')",
        "sys.stdin.buffer.read(100_000); sys.exit('ctr: no space left: permission denied')",
        "sys.stdin.buffer.read(); sys.exit('ctr: unrecognized image format, permission denied')",
    ],
)
def test_what_ctr_says_is_told(node: Callable[..., Destination], fault: str) -> None:
    with pytest.raises(ToolError, match="could not import images") as caught:
        node(fault=fault).load(NoProgress())

    assert "permission denied" in str(caught.value)
    assert "ctr:" in (caught.value.found or "")


@pytest.mark.parametrize(
    "late", ["names.popitem()", "names |= {next(iter(names)): f'sha256:{0:064}'}"]
)
def test_an_import_that_leaves_something_out_is_found_out(
    node: Callable[..., Destination], late: str
) -> None:
    with pytest.raises(ToolError, match="1 of 6 names are not in containerd"):
        node(late=late).load(NoProgress())


def test_a_program_that_is_not_there_is_named(bundle: OpenBundle) -> None:
    destination = image_destination("containerd", bundle, ImageOptions(ctr=("no-such-ctr",)))

    with pytest.raises(ToolError, match="no-such-ctr is not there"):
        destination.survey()


def test_a_blob_that_was_damaged_since_never_arrives_whole(
    bundle: OpenBundle, tmp_path: Path, node: Callable[..., Destination]
) -> None:
    layer = bundle.lock.images[1].layers[0]
    place = bundle.reader.find(layer.digest.blob_path).extents[0].offset + 2000

    with pytest.raises(DigestMismatchError, match="another digest"):
        node(bundle=changed(bundle, {place: 1})).load(NoProgress())
    assert not (tmp_path / "state.json").exists()


def test_of_a_sparse_index_only_the_nodes_platform_is_asked_for(
    node: Callable[..., Destination], sparse: OpenBundle, tmp_path: Path
) -> None:
    node(bundle=sparse).load(NoProgress())

    assert calls(tmp_path)[1][2:] == ["images", "import", "--no-unpack", "-"]


def test_attached_manifests_come_without_names(
    node: Callable[..., Destination], tmp_path: Path, bundle: OpenBundle
) -> None:
    late = f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text(str(len(index['manifests'])))"

    node(late=late).load(NoProgress())

    attached = sum(len(image.attachments) for image in bundle.lock.images)
    assert int((tmp_path / "seen").read_text()) == 6 + attached
