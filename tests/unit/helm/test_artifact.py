"""A chart as an artifact: as helm pushes it, and a function of the chart alone."""

from __future__ import annotations

import json

import pytest

from petra.content.digest import Digest
from petra.errors import FormatError
from petra.helm.artifact import chart_artifact, chart_tag
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import HELM_CHART, HELM_CONFIG, HELM_PROVENANCE
from petra.oci.memory import MemoryTarget
from tests.support.charts import chart

DATA = chart("app", "1.2.3", appVersion="1.10", description="An app")


def test_the_layer_is_the_archive_byte_for_byte() -> None:
    artifact = chart_artifact(DATA, where="chart")
    manifest = parse_manifest(artifact.raw, where="manifest")

    assert manifest.config
    assert manifest.config.media_type == HELM_CONFIG
    (layer,) = manifest.layers
    assert (layer.media_type, layer.digest, layer.size) == (HELM_CHART, Digest.of(DATA), len(DATA))


def test_the_config_is_what_the_chart_says_of_itself_as_text() -> None:
    config = json.loads(chart_artifact(DATA, where="chart").parts[0].data)

    assert config == {
        "apiVersion": "v2",
        "appVersion": "1.10",
        "description": "An app",
        "name": "app",
        "version": "1.2.3",
    }


def test_the_same_chart_gives_the_same_manifest() -> None:
    first, second = (chart_artifact(DATA, where=name) for name in ("one", "two"))

    assert first.raw == second.raw
    assert first.digest == Digest.of(first.raw)


def test_provenance_is_a_second_layer() -> None:
    artifact = chart_artifact(DATA, b"signed", where="chart")

    kinds = [layer.media_type for layer in parse_manifest(artifact.raw, where="m").layers]
    assert kinds == [HELM_CHART, HELM_PROVENANCE]
    assert artifact.digest != chart_artifact(DATA, where="chart").digest


def test_what_is_no_chart_is_refused() -> None:
    with pytest.raises(FormatError):
        chart_artifact(b"no chart", where="charts/x.tgz")


def test_a_plus_sign_becomes_an_underscore_in_the_tag() -> None:
    assert chart_tag("1.2.3+build.5") == "1.2.3_build.5"


def test_only_what_a_target_lacks_is_sent() -> None:
    target, artifact = MemoryTarget(), chart_artifact(DATA, where="chart")
    assert artifact.missing(target) == artifact.size

    assert artifact.push(target) == artifact.size

    assert artifact.missing(target) == 0
    assert artifact.push(target) == 0
    assert target.resolve(artifact.digest) == artifact.descriptor
