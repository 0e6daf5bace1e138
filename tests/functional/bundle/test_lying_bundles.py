"""Bundles whose parts say different things: what policy looked at is loaded, or nothing is.

Each is properly signed, by a sender who may send, and every member has its digest. Yet one part
says of an image what another part does not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import yaml

from petra.archive import members
from petra.cli.main import main
from petra.encoding.yaml import dump_yaml
from tests.support import archives
from tests.support.command import assert_refused
from tests.support.opened import opened
from tests.support.sites import SKIPPED, There
from tests.support.tampered import Parts, sign
from tests.support.world import NAME, OURS, VENDOR, WEB, WORKER, connected_side, signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Outcome

#: ``metadata.json``, the lock and ``index.json``, to be changed.
Documents: TypeAlias = "tuple[dict[str, Any], dict[str, Any], dict[str, Any]]"
Lie: TypeAlias = "Callable[[Documents], None]"

RUNTIME = "io.containerd.image.name"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], bytes]:
    """The members of a bundle of two signed images, and a policy that it keeps."""
    with connected_side(tmp_path_factory.mktemp("good")) as world:
        spec = world.spec(WEB, WORKER)
        more = ("--key", f"{world.folder}/ours.key", "--output-dir", f"{world.folder}/dist")
        assert main(["bundle", "create", "-f", str(spec), "--quiet", *more]) == 0
        rule = world.rule("**", key="vendor.pub")
        policy = world.policy(rule, bundle={"allowSkipped": [SKIPPED]})
        return opened(world.bundle).files, policy.read_bytes()


@pytest.fixture
def send(good: tuple[dict[str, bytes], bytes], there: There) -> Callable[..., Outcome]:
    """Tell a lie in the bundle, and load it under the policy."""

    def run(lie: Lie, command: str = "load") -> Outcome:
        files, policy = good
        (there.folder / "policy.yaml").write_bytes(policy)
        for name in (OURS, VENDOR):
            (there.folder / f"{name}.pub").write_bytes(signer(name).public_key.pem)
        path = _with(lie, Parts(dict(files)), there.folder / "in")
        places = ("--images-to", f"registry://{there.host}/mirror", "--ledger", there.ledger)
        call = ("-f", path, "--key", "ours.pub", "--policy", "policy.yaml")
        return there.petra("bundle", command, *call, *(places if command == "load" else ()))

    return run


def _with(lie: Lie, parts: Parts, folder: Path) -> Path:
    metadata = json.loads(parts.files[members.METADATA])
    lock = yaml.safe_load(parts.files[members.LOCK])
    index = json.loads(parts.files[members.INDEX])
    lie((metadata, lock, index))
    parts.files[members.LOCK] = dump_yaml(lock)
    parts.files[members.INDEX] = json.dumps(index).encode()
    parts.files[members.METADATA] = json.dumps(metadata).encode()
    parts.list_again()
    folder.mkdir()
    path = folder / f"{NAME}.tar.zst"
    archives.by_hand(path, parts.frames())
    return sign(path)


def _nothing(documents: Documents) -> None:
    """Leave it as it is, written anew."""


def _lock_swaps(documents: Documents) -> None:
    """By the lock each image is the other one."""
    first, second = documents[1]["images"]
    for key in ("root", "documents", "layers", "attachments", "platforms"):
        first[key], second[key] = second.get(key, []), first.get(key, [])


def _lock_swaps_roots(documents: Documents) -> None:
    first, second = documents[1]["images"]
    first["root"], second["root"] = second["root"], first["root"]


def _lock_of_another(documents: Documents) -> None:
    documents[1]["serial"] += 1


def _lock_leaves_out(documents: Documents) -> None:
    documents[1]["images"].pop()


def _runtimes_see_another(documents: Documents) -> None:
    """containerd goes by a name of its own before it looks at the layout's."""
    first, *_, last = [one for one in documents[2]["manifests"] if "annotations" in one]
    names = [one["annotations"][RUNTIME] for one in (first, last)]
    last["annotations"][RUNTIME], first["annotations"][RUNTIME] = names


def _runtimes_see_one_more(documents: Documents) -> None:
    """An entry that looks like a signature's, and has a name for containerd alone."""
    entries = documents[2]["manifests"]
    entries[-1]["annotations"] = {RUNTIME: entries[0]["annotations"][RUNTIME]}


def _named_twice(documents: Documents) -> None:
    """Some readers take the first of one name, and some the last."""
    entries = documents[2]["manifests"]
    named = [one for one in entries if "annotations" in one]
    entries.insert(0, named[-1] | {"annotations": dict(named[0]["annotations"])})


LOCK = "the lock says of the bundle what its metadata do not"
INDEX = "the bundle names other images than its metadata describe"


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (_lock_swaps, LOCK),
        (_lock_swaps_roots, LOCK),
        (_lock_of_another, LOCK),
        (_lock_leaves_out, LOCK),
        (_runtimes_see_another, INDEX),
        (_runtimes_see_one_more, INDEX),
        (_named_twice, INDEX),
    ],
)
def test_nothing_is_loaded_where_two_parts_disagree(
    send: Callable[..., Outcome], there: There, lie: Lie, says: str
) -> None:
    outcome = send(lie)

    assert_refused(outcome, 3, says, "do not use it")
    assert there.tags() == {}


def test_the_same_bundle_loads_without_a_lie(send: Callable[..., Outcome], there: There) -> None:
    outcome = send(_nothing)

    assert outcome.status == 0, outcome.err
    assert set(there.tags()) == {"mirror/team/web", "mirror/team/worker"}


@pytest.mark.parametrize("command", ["verify", "serve"])
@pytest.mark.parametrize(("lie", "says"), [(_lock_swaps, LOCK), (_runtimes_see_another, INDEX)])
def test_nobody_else_takes_it_either(
    send: Callable[..., Outcome], command: str, lie: Lie, says: str
) -> None:
    assert_refused(send(lie, command=command), 3, says)


# What is attached has the tag of what it is attached to, and no other.


def _attached(**changed: Any) -> Lie:
    """Change the first attachment, by the metadata and by the lock."""

    def lie(documents: Documents) -> None:
        for document in documents[:2]:
            found = [one for image in document["images"] for one in image["attachments"]]
            next(one for one in found if one["scheme"] == "tag").update(changed)

    return lie


@pytest.mark.parametrize(
    "lie",
    [
        _attached(tag="9.9"),
        _attached(tag=f"sha256-{'0' * 64}.sig"),
        _attached(tag=None),
        _attached(scheme="referrer"),
    ],
)
def test_an_attachment_cannot_take_another_images_tag(
    send: Callable[..., Outcome], there: There, lie: Lie
) -> None:
    assert_refused(send(lie), 3, "attachments", "tag")
    assert there.tags() == {}


def test_an_attachment_is_attached_to_its_own_image(
    send: Callable[..., Outcome], there: There
) -> None:
    """Or it would take the place of the signature of an image that is there already."""
    stranger = "0" * 64

    def lie(documents: Documents) -> None:
        for document in documents[:2]:
            attachments = document["images"][0]["attachments"]
            more = {"subject": f"sha256:{stranger}", "tag": f"sha256-{stranger}.sig"}
            attachments.append(attachments[0] | more)

    assert_refused(send(lie), 3, "attached to something else", "sha256:000")
    assert there.tags() == {}
