"""The good run, through all handlers of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.aws.pipeline.status import by_bundle, by_spec
from petra.oci.registry import RegistryClient
from tests.support.pipeline import DEPOT, EVIDENCE, OUTBOX, SPEC_KEY, STAGING, STEM, invoke
from tests.support.world import WEB, WORKER

if TYPE_CHECKING:
    from tests.support.pipeline import Pipeline

BESIDE = (".intoto.json", ".sig", ".sigstore.json")
FILES = [f"out/{STEM}/{STEM}.tar.zst{more}" for more in ("", *BESIDE)]


def test_a_spec_becomes_a_signed_bundle_in_the_outbox(pipeline: Pipeline) -> None:
    spec = pipeline.world.spec(WEB, WORKER, charts=[pipeline.world.chart()])
    start = pipeline.upload(spec)
    plan = pipeline.assemble(start)
    assert (plan["name"], plan["version"], plan["images"]) == ("shop", "1.4.0", 2)
    assert (plan["route"], plan["assembled"]) == ("lambda", False)
    assert pipeline.keys(OUTBOX) == FILES
    pipeline.finish(start)
    status = pipeline.json(STAGING, by_spec(SPEC_KEY))
    assert (status["state"], status["stage"], status["bundle"]) == ("succeeded", "done", STEM)
    assert pipeline.json(STAGING, by_bundle(STEM)) == status
    kept = [key.rpartition("/")[2] for key in pipeline.keys(EVIDENCE, f"evidence/{STEM}/")]
    assert kept == ["bundle.lock.yaml", "metadata.json", "signatures.json", "status.json"]


def test_what_crossed_is_loaded_and_published(pipeline: Pipeline) -> None:
    world = pipeline.world
    start = pipeline.upload(world.spec(WEB, WORKER, charts=[world.chart()]))
    pipeline.assemble(start)
    pipeline.finish(start)
    started = pipeline.cross()
    run = pipeline.arrive(started)
    plan = pipeline.load(run)
    assert (plan["name"], plan["images"]) == ("shop", 2)
    polled = invoke("poll_releases", {"run": run})
    assert (polled["done"], polled["succeeded"], polled["watched"]) == (True, True, False)
    invoke("report_load", {**started[0], "run": run, "outcome": "succeeded"})
    with RegistryClient() as client:
        for name in (WEB, WORKER):
            path, _, tag = name.partition(":")
            found = client.repository(world.host, f"inside/{path}").resolve(tag)
            assert found.digest == world.images[name].digest
        chart = client.repository(world.host, "inside/charts/app").resolve("1.2.3")
        assert chart.size > 0
    assert pipeline.json(DEPOT, by_bundle(STEM))["state"] == "succeeded"
