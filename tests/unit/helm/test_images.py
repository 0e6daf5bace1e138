from typing import Any

import pytest

from petra.errors import UsageError
from petra.helm.documents import load_documents
from petra.helm.images import (
    ChartImage,
    images_in_annotations,
    images_in_manifests,
    images_in_values,
    missing_images,
)

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64

MANIFESTS = b"""\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  template:
    spec:
      initContainers: [{name: init, image: "busybox:1.36"}]
      containers:
      - name: main
        image: quay.io/team/agent:v1@sha256:%(digest)s
        args: ["--reloader=quay.io/team/reloader:v2", "--url=https://quay.io/team/x:y",
               "--solver-image=solver:v3", "--image-pull-policy=Always", "--v=2",
               "--listen=host.example:8080/metrics"]
        env:
        - {name: RELATED_IMAGE_X, value: "quay.io/team/related:v4"}
        - {name: ADDRESS, value: "host.example:8080"}
      ephemeralContainers: [{name: debug, image: alpine}]
      volumes:
      - {name: model, image: {reference: "quay.io/team/model:v5"}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: again}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: alpine}]}}}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: prom}
spec: {image: "quay.io/prometheus/prometheus:v3", other: {image: not-an-image}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {sidecar-image: "quay.io/team/sidecar:v6", text: "quay.io/team/no:v7"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crd}
spec: {example: {image: "quay.io/team/no:v8"}}
""" % {b"digest": b"a" * 64}


def test_every_image_that_manifests_name_is_found_once_with_its_place() -> None:
    found = images_in_manifests(load_documents(MANIFESTS, where="f"))

    assert [image.reference for image in found.images] == [
        "docker.io/library/busybox:1.36",
        f"quay.io/team/agent:v1@{DIGEST}",
        "quay.io/team/reloader:v2",
        "docker.io/library/solver:v3",
        "quay.io/team/related:v4",
        "docker.io/library/alpine:latest",
        "quay.io/team/model:v5",
        "quay.io/prometheus/prometheus:v3",
        "quay.io/team/sidecar:v6",
    ]
    assert found.images[1].path == "DaemonSet/agent spec.template.spec.containers[0].image"
    assert found.unreadable == ()


def test_an_unreadable_image_of_a_container_is_told() -> None:
    manifest = {"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "::"}]}}

    found = images_in_manifests([manifest, None, "text"])

    assert found.images == ()
    assert found.unreadable == (("Pod/ spec.containers[0].image", "::"),)


def test_annotations_of_another_shape_declare_nothing() -> None:
    annotations = {"images": "a: b", "artifacthub.io/images": "- name: x\n- y\n", "other": "z"}

    found = images_in_annotations(annotations, where="chart")

    assert found.images == ()


@pytest.mark.parametrize(
    ("values", "references"),
    [
        ({"repository": "a.example/x", "tag": "1"}, ["a.example/x:1"]),
        ({"repository": "a.example/x", "tag": ""}, ["a.example/x:9.9"]),
        ({"repository": "team/x", "registry": "r.example", "tag": "1"}, ["r.example/team/x:1"]),
        ({"repository": "a.example/x", "tag": "1", "digest": DIGEST}, [f"a.example/x:1@{DIGEST}"]),
        (
            {"repository": "a.example/x", "tag": "1", "digest": DIGEST, "useDigest": False},
            ["a.example/x:1"],
        ),
        ({"repository": "a.example/x", "tag": f"1@{DIGEST}"}, [f"a.example/x:1@{DIGEST}"]),
        ({"image": "a.example/x:1"}, ["a.example/x:1"]),
        ({"image": "a.example/x", "tag": "2"}, ["a.example/x:2"]),
        ({"deep": [{"image": {"repository": "x", "tag": "1"}}]}, ["docker.io/library/x:1"]),
        ({"image": "word", "repository": "https://git.example"}, []),
        (None, []),
    ],
)
def test_values_give_away_images_in_the_usual_forms(values: Any, references: list[str]) -> None:
    found = images_in_values(values, "9.9", where="values")

    assert [image.reference for image in found.images] == references


@pytest.mark.parametrize(
    ("needed", "listed", "covered"),
    [
        ("nginx:1", "docker.io/library/nginx:1", True),
        ("nginx", "nginx:latest", True),
        ("nginx:1", "nginx:2", False),
        ("nginx:1", "quay.io/library/nginx:1", False),
        (f"a.example/x:1@{DIGEST}", f"a.example/x@{DIGEST}", True),
        (f"a.example/x:1@{DIGEST}", f"a.example/x:2@{DIGEST}", True),
        (f"a.example/x:1@{DIGEST}", "a.example/x:1", True),
        ("a.example/x:1", f"a.example/x:1@{DIGEST}", True),
        (f"a.example/x:1@{DIGEST}", f"a.example/x:1@{OTHER}", False),
        (f"a.example/x@{DIGEST}", "a.example/x:1", False),
        ("a.example/x:1", f"a.example/x@{DIGEST}", False),
    ],
)
def test_an_image_is_covered_by_its_digest_or_else_its_tag(
    needed: str,
    listed: str,
    covered: bool,  # noqa: FBT001
) -> None:
    assert missing_images([needed], ["other.example/y:1", listed]) == ([] if covered else [needed])


def test_what_is_missing_comes_back_as_it_was_given() -> None:
    image = ChartImage("a.example/x:1", "rendered", "Pod/a")

    assert missing_images([image], []) == [image]
    with pytest.raises(UsageError):
        missing_images(["::"], [])
