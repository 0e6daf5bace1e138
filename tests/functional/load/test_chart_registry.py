"""Charts into an OCI registry, by the real client and over sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.content.stream import BytesStream
from petra.errors import PetraError, PolicyError, UsageError
from petra.helm.artifact import chart_artifact
from petra.helm.registry import fetch_oci_chart
from petra.load.chart_registry import ChartRegistry
from petra.oci.artifact import Artifact, Part
from petra.oci.media_types import HELM_CHART, HELM_CONFIG, OCI_CONFIG, OCI_LAYER_GZIP
from petra.oci.registry import RegistryClient, RegistryOptions
from tests.support.charts import chart
from tests.support.cut_off import cut_off
from tests.support.load_bundles import open_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from petra.load.destination import OpenBundle
    from petra.oci.repository import Repository
    from petra.serve.repositories import MemoryRepositories

APP, DB = chart("app", "1.2.3"), chart("db", "0.1.0+build.5")
OTHER = chart("app", "1.2.3", description="changed")


@pytest.fixture
def bundle(tmp_path: Path) -> OpenBundle:
    return open_bundle(tmp_path, charts=[APP, DB], provenance={"app-1.2.3.tgz": b"signed"})


@pytest.fixture
def charts(bundle: OpenBundle, client: RegistryClient, registry: str) -> ChartRegistry:
    return ChartRegistry(bundle, client, f"oci://{registry}/charts")


@pytest.fixture
def app(client: RegistryClient, registry: str) -> Repository:
    return client.repository(registry, "charts/app")


def push(repository: Repository, artifact: Artifact, tag: str) -> None:
    artifact.push(repository)
    repository.tag(artifact.descriptor, tag)


def state(content: MemoryRepositories) -> dict[str, dict[str, Digest]]:
    """Return the digest of each tag, by repository."""
    found: dict[str, dict[str, Digest]] = {}
    for name in content.names():
        target = content.create(name)
        found[name] = {tag: target.resolve(tag).digest for tag in target.tags()}
    return found


def test_each_chart_is_found_under_its_version_byte_for_byte(
    charts: ChartRegistry, client: RegistryClient, registry: str
) -> None:
    loaded = charts.load(NoProgress())

    found = fetch_oci_chart(client, f"oci://{registry}/charts/app:1.2.3")
    assert found.data == APP
    assert found.provenance == b"signed"
    assert fetch_oci_chart(client, f"oci://{registry}/charts/db:0.1.0_build.5").data == DB
    first = loaded.placed[0]
    assert (first.name, first.sent) == ("app 1.2.3", True)
    assert first.digest == found.manifest_digest
    assert first.reference == f"{registry}/charts/app@{found.manifest_digest}"
    assert loaded.bytes_sent > len(APP) + len(DB)


def test_charts_go_to_the_registry_s_root_where_no_folder_is_named(
    bundle: OpenBundle, client: RegistryClient, registry: str
) -> None:
    ChartRegistry(bundle, client, f"oci://{registry}").load(NoProgress())

    assert fetch_oci_chart(client, f"oci://{registry}/app:1.2.3").data == APP


def test_a_survey_says_what_would_be_sent_and_sends_nothing(
    charts: ChartRegistry, content: MemoryRepositories, app: Repository
) -> None:
    push(app, chart_artifact(APP, b"signed", where="chart"), "1.2.3")
    before = state(content)

    survey = charts.survey()

    assert (survey.items, survey.present) == (2, 1)
    assert (survey.bytes_total, survey.bytes_to_send) == (len(APP) + len(DB), len(DB))
    assert {name: tags for name, tags in state(content).items() if tags} == before


def test_a_second_load_sends_nothing(charts: ChartRegistry) -> None:
    first = charts.load(NoProgress())

    second = charts.load(NoProgress())

    assert second.bytes_sent == 0
    assert [one.sent for one in second.placed] == [False, False]
    assert [one.digest for one in second.placed] == [one.digest for one in first.placed]


def test_the_same_chart_pushed_by_others_is_present_under_their_manifest(
    charts: ChartRegistry, app: Repository
) -> None:
    theirs = Artifact.of(Part(HELM_CONFIG, b"{}"), [Part(HELM_CHART, APP)], {"by": "helm"})
    push(app, theirs, "1.2.3")

    placed = charts.load(NoProgress()).placed[0]

    assert (placed.digest, placed.sent) == (theirs.digest, False)
    assert app.resolve("1.2.3").digest == theirs.digest


def test_another_chart_under_the_same_version_is_refused(
    charts: ChartRegistry, app: Repository
) -> None:
    theirs = chart_artifact(OTHER, where="chart")
    push(app, theirs, "1.2.3")

    for step in (charts.survey, lambda: charts.load(NoProgress())):
        with pytest.raises(PolicyError) as refused:
            step()
        assert (refused.value.expected, refused.value.found) == (Digest.of(APP), Digest.of(OTHER))
    assert app.resolve("1.2.3").digest == theirs.digest


def test_something_that_is_no_chart_is_refused_too(charts: ChartRegistry, app: Repository) -> None:
    image = Artifact.of(Part(OCI_CONFIG, b"{}"), [Part(OCI_LAYER_GZIP, b"layer")])
    push(app, image, "1.2.3")

    with pytest.raises(PolicyError) as refused:
        charts.load(NoProgress())

    assert refused.value.found == image.digest


def test_told_to_replace_it_does(
    bundle: OpenBundle, client: RegistryClient, registry: str, app: Repository
) -> None:
    push(app, chart_artifact(OTHER, where="chart"), "1.2.3")

    charts = ChartRegistry(bundle, client, f"oci://{registry}/charts", replace=True)
    assert charts.survey().present == 0
    charts.load(NoProgress())

    assert fetch_oci_chart(client, f"oci://{registry}/charts/app:1.2.3").data == APP


def test_a_chart_whose_blob_the_registry_lost_is_sent_again(
    charts: ChartRegistry, content: MemoryRepositories, client: RegistryClient, registry: str
) -> None:
    artifact = chart_artifact(APP, b"signed", where="chart")
    # The registry holds manifest and config; the chart itself is gone.
    target = content.create("charts/app")
    for part in (artifact.parts[0], artifact.parts[2]):
        target.push(part.descriptor, BytesStream(part.data))
    target.push(artifact.descriptor, BytesStream(artifact.raw))
    target.tag(artifact.descriptor, "1.2.3")
    assert charts.survey().present == 0

    assert charts.load(NoProgress()).placed[0].sent

    assert fetch_oci_chart(client, f"oci://{registry}/charts/app:1.2.3").data == APP


@pytest.mark.parametrize("url", ["oci://", "oci://host", "oci://user:secret@h.example/charts"])
def test_a_malformed_place_is_refused_without_showing_secrets(
    bundle: OpenBundle, client: RegistryClient, url: str
) -> None:
    with pytest.raises(UsageError) as refused:
        ChartRegistry(bundle, client, url)

    assert "secret" not in str(refused.value)


def test_cut_off_after_any_request_and_run_again_the_end_is_the_same(
    bundle: OpenBundle, registry: str, content: MemoryRepositories
) -> None:
    def load(host: str, folder: str) -> dict[str, dict[str, Digest]]:
        options = RegistryOptions(retries=0)
        with RegistryClient(options, environ={}) as client:
            ChartRegistry(bundle, client, f"oci://{host}/{folder}").load(NoProgress())
        return {
            name.removeprefix(f"{folder}/"): tags
            for name, tags in state(content).items()
            if name.startswith(f"{folder}/")
        }

    whole = load(registry, "whole")
    with cut_off(registry) as cut:
        for requests in range(100):
            cut.allow(requests)
            try:
                load(cut.host, f"n{requests}")
            except PetraError:
                assert cut.reached
            if not cut.reached:
                break
            assert load(registry, f"n{requests}") == whole, f"after {requests} requests"
    assert requests > 20
