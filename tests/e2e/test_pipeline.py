"""The whole pipeline on the embedded cloud: the real templates, machines and handlers.

One deployment for all tests. Each has a bundle of its own with an image of its own, so that what
one test loads says nothing about another's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.oci.registry import RegistryClient
from tests.support.cloud_site import SLOW, CloudSite, forged

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.trust.signer import LocalSigner

pytestmark = pytest.mark.timeout(SLOW)


def test_a_spec_that_is_uploaded_is_loaded_on_the_other_side(site: CloudSite) -> None:
    source = site.source
    images = [f"{source.host}/{image}" for image in source.images]
    charts = [{"name": "shop", "repo": source.charts, "version": "1.4.0"}]
    made = site.make("whole", *images, charts=charts)
    assert made.state == "succeeded", json.dumps(dict(made.value))
    loaded = site.carry("whole")
    assert loaded.state == "succeeded", json.dumps(dict(loaded.value))
    with RegistryClient() as client:
        for image, descriptor in source.images.items():
            repository, _, tag = image.partition(":")
            found = client.repository(site.target, f"mirror/{repository}").resolve(tag)
            assert found.digest == descriptor.digest
    calls = [json.loads(line) for line in site.hook.read_text().splitlines() if "{" in line]
    assert [call["status"] for call in calls if "whole" in call["body"]] == [200]
    assert site.told("Operators", "whole") == 2
    assert site.metric(site.pipeline.classified, "RunSucceeded") >= 1


def test_a_bundle_that_arrives_in_any_order_is_loaded(site: CloudSite) -> None:
    site.make("order")
    files = sorted(site.waiting("order"), key=len, reverse=True)
    assert site.carry("order", files).state == "succeeded"
    assert site.is_loaded("order")


def _refused(
    site: CloudSite, name: str, error: str, change: Callable[[str, bytes], bytes | None]
) -> None:
    """Let a changed bundle arrive: it is refused, put away, counted and told, and not loaded."""
    classified = site.pipeline.classified
    failures = site.metric(classified, "VerificationFailed")
    status = site.carry(name, change=change)
    assert status.state == "refused", json.dumps(dict(status.value))
    assert status.value["error"]["type"] == error
    assert not site.is_loaded(name)
    assert any(f"{name}-1.4.0" in key for key in site.quarantined())
    assert site.metric(classified, "VerificationFailed") > failures
    assert "VerificationFailed" in site.alarms(classified)
    assert site.told("Security", name) >= 1


def _flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def test_a_bundle_that_was_tampered_with_is_refused(site: CloudSite) -> None:
    site.make("bent")

    def bend(file: str, data: bytes) -> bytes:
        return _flipped(data) if file.endswith(".tar.zst") else data

    _refused(site, "bent", "SignatureError", bend)


def test_a_bundle_signed_with_another_key_is_refused(
    site: CloudSite, another_key: LocalSigner
) -> None:
    site.make("forged")
    (bundle,) = [one for one in site.waiting("forged") if one.endswith(".tar.zst")]
    whole = site.pipeline.diode.read("forged-1.4.0", bundle)

    def forge(file: str, data: bytes) -> bytes | None:
        return forged(another_key, file, data, whole)

    _refused(site, "forged", "SignatureError", forge)


def test_a_bundle_without_its_signatures_waits_and_is_not_loaded(site: CloudSite) -> None:
    site.make("mute")
    site.carry("mute", change=lambda file, data: data if file.endswith(".tar.zst") else None)
    assert not site.is_loaded("mute")
    assert site.told("Security", "mute") == 0


def test_a_spec_that_weakens_the_policy_is_refused(site: CloudSite) -> None:
    status = site.make("poison", output={"sign": False})
    assert (status.state, status.value["error"]["type"]) == ("refused", "PolicyError")
    assert site.waiting("poison") == []
    assert site.told("Security", "poison") == 1
    assert "VerificationFailed" in site.alarms(site.pipeline.connected)


def test_a_spec_that_names_another_registry_is_refused(site: CloudSite) -> None:
    status = site.make("far", "registry.example.com/shop/web:1.4")
    assert (status.state, status.value["error"]["type"]) == ("refused", "PolicyError")
    assert site.waiting("far") == []


def test_an_image_that_nobody_signed_is_refused(site: CloudSite) -> None:
    status = site.make("unsigned", site.image("unsigned", sign=False))
    assert status.state == "refused", json.dumps(dict(status.value))
    assert status.value["failures"][0]["type"] == "SignatureError"
    assert site.waiting("unsigned") == []


def test_an_image_that_is_not_there_fails_the_run(site: CloudSite) -> None:
    status = site.make("missing", f"{site.source.host}/shop/none:1.4")
    assert (status.state, status.value["error"]["type"]) == ("failed", "NotFoundError")
    assert "RunFailed" in site.alarms(site.pipeline.connected)


def test_a_function_that_is_killed_in_mid_flight_is_tried_again(site: CloudSite) -> None:
    site.kill_functions("AssembleBundle")  # those of other tests
    site.submit("killed", site.image("killed"))
    site.kill_next("AssembleBundle")
    assert site.ended("killed").state == "succeeded"
    assert site.errors("killed") == ["Runtime.ExitError"]


def test_a_bundle_that_comes_again_changes_nothing(site: CloudSite) -> None:
    site.make("replay")
    assert site.carry("replay").state == "succeeded"
    calls = site.hook.read_text().count("replay")
    again = site.carry("replay")
    assert again.state in ("succeeded", "refused"), json.dumps(dict(again.value))
    assert site.hook.read_text().count("replay") - calls in (0, 1)
    assert site.is_loaded("replay")


def test_a_registry_that_is_down_fails_the_load_and_the_next_arrival_is_loaded(
    site: CloudSite,
) -> None:
    site.make("down")
    with site.registry_down():
        status = site.carry("down")
        assert status.state == "failed", json.dumps(dict(status.value))
    assert "RunFailed" in site.alarms(site.pipeline.classified)
    assert site.carry("down").state == "succeeded"
    assert site.is_loaded("down")
