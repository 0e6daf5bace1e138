"""Platform manifests into a registry: published first, and switched to last of all."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from demo import content as demo
from petra.content.progress import NoProgress
from petra.content.stream import fetch_document
from petra.errors import (
    FormatError,
    NotFoundError,
    PetraError,
    PolicyError,
    SignatureError,
    UsageError,
)
from petra.load.cosign import FORMS, sign, signed_forms
from petra.load.manifest_registry import ManifestRegistry, move_channel
from petra.load.rendering import LocalRegistry
from petra.oci.artifact import Artifact, Part
from petra.oci.media_types import FLUX_CONFIG, FLUX_CONTENT, OCI_CONFIG, OCI_LAYER_GZIP
from petra.oci.referrers import attachments
from petra.oci.registry import RegistryClient, RegistryOptions
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer
from tests.support import signing
from tests.support.cut_off import cut_off
from tests.support.load_bundles import open_bundle
from tests.support.world import OURS, STRANGER, signer

if TYPE_CHECKING:
    from pathlib import Path

    from petra.content.digest import Digest
    from petra.oci.repository import Repository

SOURCE = b"""apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: app}
spec: {url: "oci://${PETRA_CHARTS}/app"}
"""
OLD = {"platform/base/source.yaml": SOURCE}
NEW = {**OLD, "platform/base/more.yaml": b"kind: More\n"}
LOCAL = LocalRegistry("registry.local:5000/charts")
KEY, STRANGERS = (signing.public(signing.key(name)) for name in (OURS, STRANGER))
KEYS = [KEY]


class Site:
    """A registry, and bundles that go there."""

    def __init__(self, folder: Path, client: RegistryClient, host: str) -> None:
        self.folder, self.client, self.host = folder, client, host

    def manifests(
        self,
        files: dict[str, bytes] | None = None,
        version: str = "1.4.0",
        *,
        channel: str = "",
        by: str = OURS,
        **more: Any,
    ) -> ManifestRegistry:
        bundle = open_bundle(self.folder, platform=files or OLD, version=version)
        url = f"oci://{self.host}/platform{channel}"
        return ManifestRegistry(bundle, self.client, url, signer=signer(by), local=LOCAL, **more)

    @property
    def repository(self) -> Repository:
        return self.client.repository(self.host, "platform")


@pytest.fixture
def site(tmp_path: Path, client: RegistryClient, registry: str) -> Site:
    return Site(tmp_path, client, registry)


def tags(content: MemoryRepositories, name: str = "platform") -> dict[str, Digest]:
    target = content.create(name)
    return {tag: target.resolve(tag).digest for tag in target.tags()}


def signature_tag(digest: Digest) -> str:
    return f"sha256-{digest.hex}.sig"


def test_published_manifests_are_under_their_version_signed_and_no_channel_moves(
    site: Site, content: MemoryRepositories
) -> None:
    one = site.manifests()

    loaded = one.publish(NoProgress())

    digest = one.artifact.digest
    assert tags(content).keys() == {"1.4.0", signature_tag(digest)}
    assert tags(content)["1.4.0"] == digest
    assert signed_forms(site.repository, one.artifact.descriptor, KEY) == FORMS
    (placed,) = loaded.placed
    assert (placed.digest, placed.sent) == (digest, True)
    assert placed.reference == f"{site.host}/platform:1.4.0@{digest}"


def test_what_is_published_has_the_local_registry_in_it(site: Site) -> None:
    one = site.manifests()
    one.publish(NoProgress())

    manifest = site.repository.fetch_manifest("1.4.0")
    layer = fetch_document(site.repository, manifest.layers[0])
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as archive:
        file = archive.extractfile("base/source.yaml")
        assert file
        assert file.read() == SOURCE.replace(b"${PETRA_CHARTS}", b"registry.local:5000/charts")


def test_the_switch_moves_the_channel(site: Site, content: MemoryRepositories) -> None:
    one = site.manifests()
    one.publish(NoProgress())

    placed = one.switch()

    assert tags(content)["stable"] == one.artifact.digest
    assert placed.sent
    assert placed.reference == f"{site.host}/platform:stable@{one.artifact.digest}"
    assert not one.switch().sent


def test_another_channel_can_be_named(site: Site, content: MemoryRepositories) -> None:
    site.manifests(channel=":edge").load(NoProgress())

    assert "edge" in tags(content)
    assert "stable" not in tags(content)


def test_the_next_bundle_is_published_beside_the_one_that_the_channel_stands_for(
    site: Site, content: MemoryRepositories
) -> None:
    old, new = site.manifests(), site.manifests(NEW, "1.5.0")
    old.load(NoProgress())

    new.publish(NoProgress())

    assert tags(content)["stable"] == old.artifact.digest
    new.switch()
    assert tags(content)["stable"] == new.artifact.digest
    assert tags(content)["1.4.0"] == old.artifact.digest


def test_a_second_load_sends_nothing_and_keeps_the_signature(
    site: Site, content: MemoryRepositories
) -> None:
    site.manifests().load(NoProgress())
    before = tags(content)

    loaded = site.manifests().load(NoProgress())

    assert (loaded.bytes_sent, loaded.placed[0].sent) == (0, False)
    assert tags(content) == before


def test_a_survey_says_what_would_happen_and_changes_nothing(
    site: Site, content: MemoryRepositories
) -> None:
    one = site.manifests()

    survey = one.survey()

    assert (survey.items, survey.present) == (1, 0)
    assert survey.bytes_to_send == survey.bytes_total == one.artifact.size
    assert survey.notes == (f"the channel stable moves to {one.artifact.digest}",)
    assert tags(content) == {}
    one.load(NoProgress())
    again = one.survey()
    assert (again.present, again.bytes_to_send, again.notes) == (1, 0, ())


def test_manifests_whose_signature_is_missing_are_not_present(
    site: Site, content: MemoryRepositories
) -> None:
    one = site.manifests()
    one.artifact.push(site.repository)
    site.repository.tag(one.artifact.descriptor, "1.4.0")

    assert one.survey().present == 0
    assert one.publish(NoProgress()).placed[0].sent
    assert signed_forms(site.repository, one.artifact.descriptor, KEY) == FORMS


def test_other_manifests_of_the_same_version_are_refused_and_nothing_is_sent(
    site: Site, content: MemoryRepositories
) -> None:
    first, second = site.manifests(), site.manifests(NEW)
    first.load(NoProgress())
    before = tags(content)

    for step in (second.survey, lambda: second.publish(NoProgress())):
        with pytest.raises(PolicyError) as refused:
            step()
        assert refused.value.expected == second.artifact.digest
        assert refused.value.found == first.artifact.digest
    assert tags(content) == before
    assert second.artifact.missing(site.repository) > 0


def test_told_to_replace_the_version_s_tag_moves(site: Site, content: MemoryRepositories) -> None:
    site.manifests().load(NoProgress())
    second = site.manifests(NEW, replace=True)

    second.load(NoProgress())

    assert tags(content)["1.4.0"] == tags(content)["stable"] == second.artifact.digest


def test_the_channel_cannot_be_the_version(site: Site) -> None:
    with pytest.raises(UsageError, match="channel"):
        site.manifests(channel=":1.4.0")


def test_signatures_of_others_stay_beside_ours(site: Site) -> None:
    site.manifests(by=STRANGER).publish(NoProgress())

    one = site.manifests()
    one.publish(NoProgress())

    subject = one.artifact.descriptor
    assert signed_forms(site.repository, subject, KEY) == FORMS
    assert signed_forms(site.repository, subject, STRANGERS) == FORMS


@pytest.mark.parametrize("form", ["tag", "referrer"])
def test_a_form_of_the_signature_that_is_missing_is_added_and_the_other_one_stays(
    site: Site, content: MemoryRepositories, form: str
) -> None:
    one = site.manifests()
    subject, target = one.artifact.descriptor, content.create("platform")
    one.artifact.push(site.repository)
    if form == "tag":
        demo.sign_by_tag(target, subject, "any/name", signer(OURS))
    else:
        demo.sign_by_referrer(target, subject, signer(OURS))
    site.repository.tag(subject, "1.4.0")
    assert signed_forms(site.repository, subject, KEY) == {form}
    before = {found.manifest.descriptor for found in attachments(target, subject)}

    assert one.survey().present == 0
    one.publish(NoProgress())

    assert signed_forms(site.repository, subject, KEY) == FORMS
    after = {found.manifest.descriptor for found in attachments(target, subject)}
    assert before < after


# Moving a channel.


def test_the_channel_moves_back_to_a_version_by_tag_or_digest(
    site: Site, content: MemoryRepositories
) -> None:
    old, new = site.manifests(), site.manifests(NEW, "1.5.0")
    for one in (old, new):
        one.load(NoProgress())

    moved = move_channel(site.repository, "stable", "1.4.0", KEYS)

    assert (moved.digest, moved.before) == (old.artifact.digest, new.artifact.digest)
    assert moved.revision == f"stable@{old.artifact.digest}"
    assert tags(content)["stable"] == old.artifact.digest
    move_channel(site.repository, "stable", new.artifact.digest, KEYS)
    assert tags(content)["stable"] == new.artifact.digest


def test_nothing_is_switched_to_that_was_not_published(
    site: Site, content: MemoryRepositories
) -> None:
    with pytest.raises(NotFoundError):
        site.manifests().switch()

    assert tags(content) == {}


def test_the_channel_does_not_move_to_what_is_unsigned(
    site: Site, content: MemoryRepositories
) -> None:
    one = site.manifests()
    one.artifact.push(site.repository)

    with pytest.raises(SignatureError):
        one.switch()

    assert "stable" not in tags(content)


def test_the_channel_does_not_move_to_what_a_stranger_signed(
    site: Site, content: MemoryRepositories
) -> None:
    one = site.manifests(by=STRANGER)
    one.publish(NoProgress())

    with pytest.raises(SignatureError):
        move_channel(site.repository, "stable", "1.4.0", KEYS)

    assert "stable" not in tags(content)


def test_the_channel_does_not_move_to_what_is_no_manifests(site: Site) -> None:
    image = Artifact.of(Part(OCI_CONFIG, b"{}"), [Part(OCI_LAYER_GZIP, b"layer")])
    image.push(site.repository)
    sign(site.repository, image.descriptor, signer(OURS))

    with pytest.raises(FormatError):
        move_channel(site.repository, "stable", image.digest, KEYS)


def test_the_channel_does_not_move_to_manifests_that_lost_a_blob(
    site: Site, content: MemoryRepositories
) -> None:
    config, layer = Part(FLUX_CONFIG, b"{}"), Part(FLUX_CONTENT, b"layer")
    artifact = Artifact.of(config, [layer])
    target = content.create("platform")
    whole = Artifact(artifact.descriptor, artifact.raw, (config,))
    whole.push(target)
    sign(site.repository, artifact.descriptor, signer(OURS))

    with pytest.raises(NotFoundError) as refused:
        move_channel(site.repository, "stable", artifact.digest, KEYS)

    assert refused.value.expected == layer.descriptor.digest


@pytest.mark.parametrize("channel", ["", "sha256:x", "a/b"])
def test_a_channel_is_a_tag(site: Site, channel: str) -> None:
    with pytest.raises(UsageError):
        move_channel(site.repository, channel, "1.4.0", KEYS)


def test_what_is_written_comes_in_an_order_in_which_nothing_is_named_before_it_is_there(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    with (
        BundleServer(
            *("127.0.0.1", 0, MemoryRepositories()),
            writable=True,
            report=lambda access: asked.append(" ".join(str(access).split()[1:3])),
        ) as server,
        RegistryClient(environ={}) as client,
    ):
        one = Site(tmp_path, client, server.host).manifests()
        one.load(NoProgress())

    digest = one.artifact.digest
    manifests = [line.rpartition("/")[2] for line in asked if line.startswith("PUT /v2/platform/m")]
    first, last_blob = asked.index(f"PUT /v2/platform/manifests/{digest}"), "PUT /v2/platform/blobs"
    assert sum(line.startswith(last_blob) for line in asked[:first]) == len(one.artifact.parts)
    bundle, simple = (name for name in manifests if name.startswith("sha256:") and name != digest)
    assert manifests == [digest, "1.4.0", bundle, simple, signature_tag(digest), "stable"]


def test_cut_off_after_any_request_and_run_again_the_end_is_the_same(
    tmp_path: Path, client: RegistryClient, registry: str, content: MemoryRepositories
) -> None:
    bundle = open_bundle(tmp_path, platform=NEW, version="1.5.0")
    before = Artifact.of(Part(FLUX_CONFIG, b"{}"), [Part(FLUX_CONTENT, b"older manifests")])

    def load(host: str, name: str) -> Digest:
        with RegistryClient(RegistryOptions(retries=0), environ={}) as one:
            url = f"oci://{host}/{name}"
            manifests = ManifestRegistry(bundle, one, url, signer=signer(OURS), local=LOCAL)
            manifests.load(NoProgress())
            return manifests.artifact.digest

    with cut_off(registry) as cut:
        for requests in range(100):
            name = f"n{requests}"
            before.push(content.create(name))
            content.create(name).tag(before.descriptor, "stable")
            cut.allow(requests)
            try:
                load(cut.host, name)
            except PetraError:
                assert cut.reached
            if not cut.reached:
                break
            found = tags(content, name)
            assert found["stable"] == before.digest, "it moves with the last request only"
            after = load(registry, name)
            found = tags(content, name)
            assert found.keys() == {"stable", "1.5.0", signature_tag(after)}
            assert found["stable"] == found["1.5.0"] == after
            repository = client.repository(registry, name)
            assert signed_forms(repository, repository.resolve(after), KEY) == FORMS
    assert requests > 20
