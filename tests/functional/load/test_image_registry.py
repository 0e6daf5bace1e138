"""Images into a registry: the embedded one, behind a front that misbehaves on request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from petra.content.progress import NoProgress
from petra.content.stream import fetch_document
from petra.errors import (
    AccessError,
    IncompleteError,
    NoSpaceError,
    NotFoundError,
    PetraError,
    TransportError,
    UsageError,
)
from petra.oci.media_types import is_manifest
from petra.oci.referrers import attachments
from petra.oci.registry import RegistryClient
from tests.functional.load.conftest import PREFIX, Bundles, Target
from tests.support import front as faults
from tests.support.loading import Listener, state_of
from tests.support.scripted_server import Received, Reply
from tests.support.world import LEGACY, SIGNED, WEB, WORKER

if TYPE_CHECKING:
    from petra.load.destination import OpenBundle
    from tests.support.front import Front

BLOB_PUT = r"^PUT /v2/.*/blobs/uploads/"
MANIFEST_PUT = r"^PUT /v2/.*/manifests/"


def path_of(image: str) -> str:
    return f"{PREFIX}/{image.partition(':')[0]}"


def test_each_image_is_there_by_tag_and_digest_with_what_refers_to_it(
    bundles: Bundles, bundle: OpenBundle, target: Target
) -> None:
    loaded = target.destination(bundle).load(NoProgress())

    assert target.content.names() == sorted(path_of(image) for image in SIGNED)
    with RegistryClient() as client:
        for image in SIGNED:
            repository = client.repository(target.front.host, path_of(image))
            root = repository.resolve(image.partition(":")[2])
            assert root == bundles.world.images[image]
            ours = attachments(repository, root)
            theirs = attachments(bundles.world.repository(image), root)
            assert [a.manifest for a in ours] == [a.manifest for a in theirs]
            assert [a.scheme for a in ours] == [a.scheme for a in theirs]
            for one in ours:
                assert fetch_document(repository, one.manifest.descriptor) == one.manifest.raw
    assert [(one.name, one.digest, one.sent) for one in loaded.placed] == [
        (bundles.world.reference(image), bundles.world.images[image].digest, True)
        for image in SIGNED
    ]
    worker = bundles.world.images[WORKER].digest
    assert loaded.placed[1].reference == f"{target.front.host}/{path_of(WORKER)}@{worker}"
    assert loaded.notes == ("signatures, attestations and other referrers in place with them: 4",)


def test_a_tag_comes_after_all_that_it_stands_for(bundle: OpenBundle, target: Target) -> None:
    target.destination(bundle).load(NoProgress())

    for image in SIGNED:
        puts = [one.path for one in target.front.asked(rf"PUT /v2/{path_of(image)}/manifests/")]
        assert puts[-1].endswith(image.partition(":")[2])
        assert puts.count(puts[-1]) == 1


def test_a_shared_blob_is_sent_once(bundle: OpenBundle, target: Target) -> None:
    loaded = target.destination(bundle).load(NoProgress())

    sent = [one.target.rpartition("digest=")[2] for one in target.front.asked(BLOB_PUT)]
    blobs = [blob for blob in bundle.lock.blobs() if not is_manifest(blob.media_type)]
    assert sorted(sent) == sorted(blob.digest for blob in blobs)
    assert loaded.bytes_sent == sum(blob.size for blob in bundle.lock.blobs())


def test_the_second_load_sends_nothing_and_says_so(bundle: OpenBundle, target: Target) -> None:
    destination = target.destination(bundle)
    destination.load(NoProgress())
    before = state_of(target.content)
    target.front.server.requests.clear()

    loaded = destination.load(NoProgress())

    assert target.front.asked("^(POST|PUT|PATCH|DELETE)") == []
    assert loaded.bytes_sent == 0
    assert not any(one.sent for one in loaded.placed)
    assert state_of(target.content) == before


def test_a_newer_bundle_sends_only_what_changed(bundles: Bundles, target: Target) -> None:
    with bundles.open(bundles.whole) as older:
        target.destination(older).load(NoProgress())
    with bundles.open(bundles.newer) as newer:
        survey = target.destination(newer).survey()
        loaded = target.destination(newer).load(NoProgress())

    unsigned = newer.lock.images[-1]
    known = {blob.digest for blob in older.lock.blobs()}
    new = sum(b.size for b in (*unsigned.documents, *unsigned.layers) if b.digest not in known)
    assert loaded.bytes_sent == new
    assert new <= survey.bytes_to_send < survey.bytes_total
    assert (survey.items, survey.present) == (3, 2)
    assert [one.sent for one in loaded.placed] == [False, False, True]


def test_a_survey_changes_nothing_and_is_right(bundle: OpenBundle, target: Target) -> None:
    destination = target.destination(bundle)
    total = sum(blob.size for blob in bundle.lock.blobs())

    before = destination.survey()
    assert target.content.names() == []
    destination.load(NoProgress())
    after = destination.survey()

    assert (before.items, before.present) == (3, 0)
    assert (before.bytes_total, before.bytes_to_send) == (total, total)
    assert (after.present, after.bytes_to_send) == (3, 0)


def test_an_image_whose_tag_is_elsewhere_is_not_in_place(
    bundles: Bundles, bundle: OpenBundle, target: Target
) -> None:
    destination = target.destination(bundle)
    destination.load(NoProgress())
    repository = target.content.create(path_of(WEB))
    other = repository.resolve(next(t for t in repository.tags() if t.endswith(".sig")))
    repository.tag(other, "1.4")

    assert destination.survey().present == 2
    loaded = destination.load(NoProgress())

    assert repository.resolve("1.4") == bundles.world.images[WEB]
    assert loaded.placed[0].sent
    assert f":1.4 stood for {other.digest} before" in loaded.notes[-1]


def test_progress_comes_to_its_total(bundle: OpenBundle, target: Target) -> None:
    target.front.fault(BLOB_PUT, faults.status(503), times=1)
    for _ in range(2):
        listener = Listener()
        target.destination(bundle).load(listener)

        ((_, total),) = listener.phases
        assert listener.count == total
        assert listener.done == 1


@pytest.mark.parametrize(
    "fault",
    [faults.status(500), faults.status(503, Retry_After="1"), faults.status(429), faults.lost],
    ids=["500", "503", "429", "lost"],
)
@pytest.mark.parametrize("where", [BLOB_PUT, MANIFEST_PUT, "^HEAD", "^POST", "^PUT .*/1.4"])
def test_a_passing_fault_is_overcome(
    bundle: OpenBundle, target: Target, where: str, fault: faults.Fault
) -> None:
    target.front.fault(where, fault, times=2)

    target.destination(bundle).load(NoProgress())

    assert target.destination(bundle).survey().present == 3


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, AccessError, "refuses access"),
        (403, AccessError, "refuses access"),
        (404, NotFoundError, "repositories to be made first"),
        (429, TransportError, "limits the rate"),
        (500, TransportError, "HTTP 500"),
        (507, NoSpaceError, "no room"),
    ],
)
def test_a_lasting_fault_is_told_with_what_is_in_place(
    bundle: OpenBundle, target: Target, status: int, kind: type[PetraError], says: str
) -> None:
    listener = Listener()
    target.front.fault(rf"^POST /v2/{path_of(LEGACY)}/", faults.status(status))

    with pytest.raises(kind) as caught:
        target.destination(bundle, workers=1).load(listener)

    assert says in str(caught.value)
    assert "2 of 3 images are in place, and the same call goes on from there" in str(caught.value)
    assert WEB in listener.notes[0]
    assert WORKER in listener.notes[0]
    assert LEGACY in listener.notes[1]
    assert listener.done == 0


def test_a_registry_without_mounts_gets_each_blob(bundle: OpenBundle, target: Target) -> None:
    def unmounted(received: Received, good: Reply) -> Reply:
        return Reply(405) if "mount=" in received.target else good

    target.front.fault("^POST", unmounted)

    target.destination(bundle).load(NoProgress())

    assert target.destination(bundle).survey().present == 3
    assert len([one for one in target.front.asked("^POST") if "mount=" in one.target]) <= 4


def without_referrers(received: Received, good: Reply) -> Reply:
    good.headers.pop("OCI-Subject", None)
    return Reply(404) if "/referrers/" in received.path else good


def test_a_registry_without_the_referrers_api_gets_the_fallback_tag(
    bundles: Bundles, bundle: OpenBundle, target: Target
) -> None:
    target.front.fault("/referrers/|^PUT .*/manifests/", without_referrers)

    target.destination(bundle).load(NoProgress())

    image = bundles.world.images[WORKER]
    repository = target.content.create(path_of(WORKER))
    listed = repository.resolve(f"sha256-{image.digest.hex}")
    index = json.loads(fetch_document(repository, listed))
    locked = bundle.lock.images[1].attachments
    assert [one["digest"] for one in index["manifests"]] == [one.digest for one in locked]


@pytest.mark.parametrize("what", ["blobs", "manifests"])
def test_what_is_said_to_be_there_and_is_not_is_sent_all_the_same(
    bundle: OpenBundle, target: Target, what: str
) -> None:
    sizes: dict[str, int] = {blob.digest: blob.size for blob in bundle.lock.blobs()}
    web = bundle.lock.images[0]

    def lying(received: Received, good: Reply) -> Reply:
        digest = received.path.rpartition("/")[2]
        if good.status == 404 and digest in sizes and digest != web.root.digest:
            return Reply(200, length=sizes[digest])
        return good

    target.front.fault(rf"^HEAD /v2/{path_of(WEB)}/{what}/", lying)

    target.destination(bundle).load(NoProgress())

    repository = target.content.create(path_of(WEB))
    assert repository.resolve("1.4").digest == web.root.digest
    for blob in (*web.documents, *web.layers):
        assert repository.exists(blob.descriptor), blob


def test_parts_of_the_wanted_size(bundle: OpenBundle, target: Target) -> None:
    target.destination(bundle, chunk_size=1024 * 1024).load(NoProgress())

    assert target.front.asked("^PATCH")
    assert target.destination(bundle).survey().present == 3


class TestSparse:
    """An index of which the bundle carries one platform of three."""

    def test_a_refusal_is_explained(self, sparse: OpenBundle, target: Target) -> None:
        with pytest.raises(IncompleteError) as caught:
            target.destination(sparse).load(NoProgress())

        text = str(caught.value)
        assert "linux/arm64" in text
        assert "linux/arm/v7" in text
        assert "--sparse-index child" in text
        assert target.content.create(path_of(WEB)).tags() == []

    def test_the_child_stands_for_it_where_that_is_allowed(
        self, sparse: OpenBundle, target: Target
    ) -> None:
        for sent in (True, False):
            loaded = target.destination(sparse, sparse_index="child").load(NoProgress())

            (placed,) = loaded.placed
            web = target.content.create(path_of(WEB))
            assert web.resolve("1.4").digest == placed.digest
            index = sparse.lock.images[0].root.digest
            children = sparse.archive.manifest(sparse.lock.images[0].root.descriptor).manifests
            assert [one.digest for one in children if sparse.archive.exists(one)] == [placed.digest]
            assert placed.note is not None
            assert f"child {placed.digest} for linux/amd64 of index {index}" in placed.note
            assert placed.sent is sent

    def test_a_registry_that_takes_it_gets_it(
        self, bundles: Bundles, sparse: OpenBundle, target: Target
    ) -> None:
        # The other platforms came with an earlier bundle.
        with bundles.open(bundles.whole) as whole:
            target.destination(whole).load(NoProgress())
        web = target.content.create(path_of(WEB))
        web._manifests.pop(bundles.world.images[WEB].digest)

        (placed,) = target.destination(sparse).load(NoProgress()).placed

        assert (placed.digest, placed.note) == (bundles.world.images[WEB].digest, None)

    @pytest.mark.parametrize("status", [401, 429, 500])
    def test_another_refusal_is_not_taken_for_one(
        self, sparse: OpenBundle, target: Target, status: int
    ) -> None:
        index = sparse.lock.images[0].root.digest
        target.front.fault(f"^PUT .*/manifests/{index}", faults.status(status))

        with pytest.raises((AccessError, TransportError)):
            target.destination(sparse, sparse_index="child").load(NoProgress())

    def test_a_whole_index_that_is_refused_is_not_taken_for_one(
        self, bundle: OpenBundle, target: Target
    ) -> None:
        index = bundle.lock.images[0].root.digest
        target.front.fault(f"^PUT .*/manifests/{index}", faults.status(400))

        with pytest.raises(TransportError, match="HTTP 400"):
            target.destination(bundle, sparse_index="child").load(NoProgress())


def stop_after(front: Front, count: int) -> None:
    """Let the registry do `count` more requests, lose the last answer, and be gone."""
    done = 0

    def stopping(received: Received) -> Reply:
        nonlocal done
        done += 1
        if done > count:
            return Reply(lost=True)
        good = front._answer(received)
        return Reply(lost=True) if done == count else good

    front.server.otherwise = stopping


@pytest.mark.parametrize("referrers", [True, False], ids=["api", "fallback"])
def test_a_load_that_was_stopped_anywhere_and_run_again_ends_as_one_that_was_not(
    tiny: OpenBundle, target: Target, *, referrers: bool
) -> None:
    front = target.front
    if not referrers:
        front.fault("/referrers/|^PUT .*/manifests/", without_referrers)
    destination = target.destination(tiny, retries=0, workers=1)
    destination.load(NoProgress())
    whole = state_of(target.content)
    requests = len(front.server.requests)
    assert requests > 30

    # Each place once with the longer way, and some with the other.
    for count in range(1, requests, 5 if referrers else 1):
        target.content._targets.clear()
        stop_after(front, count)
        with pytest.raises(TransportError, match="no answer"):
            destination.load(NoProgress())
        front.server.otherwise = front._answer
        destination.load(NoProgress())
        assert state_of(target.content) == whole, f"stopped after request {count}"


def test_two_registries_images_in_one_repository_are_refused(
    bundle: OpenBundle, target: Target
) -> None:
    images = [bundle.lock.images[0], bundle.lock.images[1]]
    lock = bundle.lock.model_copy(
        update={
            "images": (
                images[0].model_copy(update={"reference": "cgr.dev/team/web:1"}),
                images[1].model_copy(update={"reference": "docker.io/team/web:1"}),
            )
        }
    )

    with pytest.raises(UsageError, match="one repository"):
        target.destination(replace(bundle, lock=lock))
