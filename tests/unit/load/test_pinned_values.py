"""Digests in a chart's values, each in the place that the chart has for it."""

from __future__ import annotations

from typing import Any

import pytest

from petra.bundle.platform import PlatformFiles, releases
from petra.content.digest import Digest
from petra.load.pinned_values import pin_values, release_pins

D1, D2 = Digest.of(b"one"), Digest.of(b"two")
PINS = {("q.io/x/app", "v1"): D1, ("docker.io/library/busybox", "1"): D2}


def pinned(defaults: dict[str, Any], values: dict[str, Any] | None = None) -> dict[str, Any]:
    return pin_values(values or {}, defaults, PINS, "v1")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"image": "q.io/x/app", "tag": "v1"}, {"tag": f"v1@{D1}"}),
        ({"repository": "q.io/x/app", "tag": "v1"}, {"tag": f"v1@{D1}"}),
        ({"registry": "q.io", "repository": "x/app", "tag": "v1"}, {"tag": f"v1@{D1}"}),
        ({"repository": "q.io/x/app", "tag": ""}, {"tag": f"v1@{D1}"}),
        ({"repository": "busybox", "tag": "1"}, {"tag": f"1@{D2}"}),
        ({"repository": "q.io/x/app", "tag": "v1", "digest": ""}, {"digest": str(D1)}),
        ({"repository": "q.io/x/app", "tag": "v1", "digest": str(D2)}, {"digest": str(D1)}),
        (
            {"repository": "q.io/x/app", "tag": "v1", "digest": "", "useDigest": False},
            {"digest": str(D1), "useDigest": True},
        ),
        ({"repository": "q.io/x/app", "tag": "v1", "sha": ""}, {"sha": D1.hex}),
        ({"image": "q.io/x/app:v1"}, {"image": f"q.io/x/app:v1@{D1}"}),
    ],
)
def test_a_digest_goes_where_the_chart_has_a_place_for_it(
    image: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert pinned({"deep": {"er": image}}) == {"deep": {"er": expected}}


@pytest.mark.parametrize(
    "defaults",
    [
        {"image": {"repository": "q.io/x/other", "tag": "v1"}},
        {"image": {"repository": "q.io/x/app", "tag": "v2"}},
        {"image": {"repository": "q.io/x/app"}},
        {"image": {"repository": "", "tag": "v1"}},
        {"image": {"repository": "not a name", "tag": "v1"}},
        {"images": [{"repository": "q.io/x/app", "tag": "v1"}]},
        {"image": "q.io/x/app"},
    ],
)
def test_other_images_are_left_alone(defaults: dict[str, Any]) -> None:
    assert pinned(defaults) == {}


def test_the_release_s_own_values_stay_and_decide_which_image_it_is() -> None:
    defaults = {"app": {"image": "q.io/x/app", "tag": "v0"}, "more": 1}
    values = {"app": {"tag": "v1", "replicas": 2}}

    found = pinned(defaults, values)

    assert found == {"app": {"tag": f"v1@{D1}", "replicas": 2}}
    assert values == {"app": {"tag": "v1", "replicas": 2}}


def test_a_tag_that_has_a_digest_gets_the_lock_s() -> None:
    values = {"cli": {"image": "q.io/x/app", "tag": f"v1@{D2}"}}

    assert pinned({}, values)["cli"]["tag"] == f"v1@{D1}"


def test_pins_are_what_create_wrote_into_the_release() -> None:
    text = f"""apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: app
  annotations: {{petra.sh/chart: app, petra.sh/chart-version: 1.0.0, petra.sh/chart-source: "x"}}
spec:
  chartRef: {{kind: OCIRepository, name: app}}
  postRenderers:
    - kustomize:
        images:
          - {{name: q.io/x/app, newTag: v1, digest: "{D1}"}}
          - {{name: "busybox:1", newTag: "1", digest: "{D2}"}}
          - {{name: q.io/x/renamed, newName: q.io/y}}
    - other: {{}}
"""
    (release,) = releases(PlatformFiles({"platform/base/app.yaml": text.encode()}))

    assert release_pins(release) == PINS
