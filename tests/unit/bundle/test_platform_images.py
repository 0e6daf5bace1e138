"""The images that manifests need are told, and those that the spec lacks are named."""

from __future__ import annotations

import pytest

from petra.bundle.platform import (
    NeededImages,
    PlatformFiles,
    find_missing,
    missing_report,
    needed_images,
    paste_ready,
    require_images,
)
from petra.bundle.spec import load_spec
from petra.content.digest import Digest
from petra.errors import IncompleteError
from petra.oci.reference import Reference
from tests.support.charts import chart

DIGEST = Digest.of(b"one")
RELEASE = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: app
  namespace: team
  annotations:
    petra.sh/chart: app
    petra.sh/chart-version: 1.2.3
    petra.sh/chart-source: https://charts.example.org
    petra.sh/images-not-needed: quay.io/x/unused, busybox
spec:
  interval: 10m
  chartRef: {kind: OCIRepository, name: app}
  values:
    image: quay.io/x/values:1
  postRenderers: POST
"""
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: check}
spec:
  template:
    spec:
      initContainers:
        - {name: a, image: busybox}
      containers:
        - {name: b, image: "docker.io/aquasec/kube-bench:v1"}
"""


def files(*texts: str) -> PlatformFiles:
    return PlatformFiles({"platform/base/all.yaml": "---\n".join(texts).encode()})


def declaring(*images: str) -> dict[tuple[str, str], bytes]:
    text = "".join(f"- name: x\n  image: {image}\n" for image in images)
    return {("app", "1.2.3"): chart(annotations={"artifacthub.io/images": text})}


def release(post: str = "[]") -> str:
    return RELEASE.replace("POST", post)


def test_without_helm_the_declared_images_count_and_guesses_are_kept_apart() -> None:
    charts = declaring("quay.io/x/app:1", "quay.io/x/unused:1", "docker.io/library/busybox:2")

    (needed,) = needed_images(files(release()), charts, use_helm=False)

    assert needed.owner == "HelmRelease team/app"
    assert needed.file == "platform/base/all.yaml"
    assert (needed.how, needed.images) == ("declared", ("quay.io/x/app:1",))
    assert needed.guessed == ("registry.example/team/app:1.0",)


def test_plain_workloads_name_their_images_themselves() -> None:
    (needed,) = needed_images(files(JOB), {}, use_helm=False)

    assert (needed.owner, needed.how) == ("Job default/check", "manifest")
    assert needed.images == (
        "docker.io/library/busybox:latest",
        "docker.io/aquasec/kube-bench:v1",
    )


def test_what_post_renderers_make_of_an_image_is_what_is_needed() -> None:
    post = f"""
    - kustomize:
        images:
          - {{name: quay.io/x/app, newTag: "2"}}
          - {{name: quay.io/x/moved, newName: r.example/moved}}
          - {{name: "quay.io/x/pinned", digest: "{DIGEST}"}}"""
    charts = declaring("quay.io/x/app:1", "quay.io/x/moved:1", "quay.io/x/pinned:1")

    (needed,) = needed_images(files(release(post)), charts, use_helm=False)

    assert needed.images == ("quay.io/x/app:2", "r.example/moved:1", f"quay.io/x/pinned@{DIGEST}")


def test_a_chart_that_is_not_in_the_bundle_is_named_with_its_source() -> None:
    with pytest.raises(IncompleteError, match=r"chart app 1\.2\.3") as caught:
        needed_images(files(release()), {}, use_helm=False)

    assert "https://charts.example.org" in str(caught.value)


def needs(owner: str, *images: str) -> NeededImages:
    return NeededImages(owner, "platform/base/x.yaml", "rendered", images)


def test_an_image_stands_for_another_by_tag_or_by_digest() -> None:
    needed = [needs("A", "docker.io/library/nginx:1", f"quay.io/x/y:1@{DIGEST}", "quay.io/x/z:1")]

    missing = find_missing(
        needed, ["nginx:1", Reference.parse(f"quay.io/x/y@{DIGEST}"), "quay.io/x/z:2"]
    )

    assert [item.reference for item in missing] == ["quay.io/x/z:1"]


def test_a_moved_tag_does_not_stand_for_a_digest() -> None:
    other = Digest.of(b"other")

    missing = find_missing([needs("A", f"q.io/x:1@{DIGEST}")], [f"q.io/x:1@{other}"])

    assert [item.reference for item in missing] == [f"q.io/x:1@{DIGEST}"]


def test_the_report_names_every_image_its_users_and_what_to_paste() -> None:
    needed = [needs("A", "q.io/x/b:1", "q.io/x/a:1"), needs("B", "q.io/x/b:1")]

    report = missing_report(find_missing(needed, []))

    assert "q.io/x/a:1\n    for A" in report
    assert "q.io/x/b:1\n    for A, B" in report
    assert report.index("q.io/x/a:1") < report.index("q.io/x/b:1")
    assert "    - name: a\n      image: q.io/x/a:1\n" in report


def test_what_is_to_be_pasted_is_a_spec_with_names_of_its_own() -> None:
    references = (
        "docker.io/library/nginx:1.27",
        "q.io/nginx:1.27",
        "q.io/other/nginx:1.27",
        "q.io/other/nginx:1.28",
        f"q.io/other/nginx@{DIGEST}",
        "q.io/with_under/Score_d-x".lower() + ":1",
    )
    missing = find_missing([needs("A", *references)], [])

    pasted = paste_ready(missing, taken=["nginx"])
    text = (
        "apiVersion: petra.sh/v1alpha1\nkind: Bundle\nmetadata: {name: a, version: '1'}\n"
        "spec:\n  images:\n    - name: nginx\n      image: mine\n" + pasted
    )
    spec = load_spec(text.encode(), where="bundle.yaml")

    assert [image.image for image in spec.spec.images][1:] == sorted(references)
    assert len({image.name for image in spec.spec.images}) == 1 + len(references)


def test_missing_images_stop_the_work_unless_allowed() -> None:
    needed = [needs("HelmRelease a/b", "q.io/x/y:1")]

    with pytest.raises(IncompleteError, match=r"spec\.images lacks") as caught:
        require_images(needed, [])

    assert "HelmRelease a/b" in str(caught.value)
    assert "image: q.io/x/y:1" in str(caught.value)
    assert "allowMissingImages" in str(caught.value)
    assert [item.reference for item in require_images(needed, [], allow_missing=True)] == [
        "q.io/x/y:1"
    ]
    assert require_images(needed, ["q.io/x/y:1"]) == []
