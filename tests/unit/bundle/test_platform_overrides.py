"""The lock's digests are written into manifests, and nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from petra.bundle.platform import NeededImages, PlatformFiles, apply_overrides
from petra.content.digest import Digest
from petra.encoding.yaml import load_all_yaml
from petra.errors import DocumentError, FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
FILE = "platform/base/app/release.yaml"
RELEASE = """\
# Why it is there.
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: app
  namespace: team
  annotations: {}
spec:
  interval: 10m
  chartRef: {kind: OCIRepository, name: app}
"""
OWNER = "HelmRelease team/app"


def applied(text: str, images: Mapping[str, str], *needed: str, owner: str = OWNER) -> Any:
    """Return the one object of the file after the overrides."""
    files = PlatformFiles({FILE: text.encode()})
    needs = [NeededImages(owner, FILE, "rendered", needed)]
    changed = apply_overrides(files, needs, images)
    (document,) = load_all_yaml(changed.files[FILE], where=FILE)
    return document.value


def entries(value: Any) -> Any:
    return value["spec"]["postRenderers"][-1]["kustomize"]["images"]


def test_a_release_gets_tag_and_digest_through_its_post_renderer() -> None:
    value = applied(RELEASE, {"quay.io/x/app:1": ONE}, "quay.io/x/app:1")

    assert entries(value) == [{"name": "quay.io/x/app", "newTag": "1", "digest": ONE}]
    assert value["spec"]["interval"] == "10m"


def test_a_tag_of_digits_stays_text() -> None:
    files = PlatformFiles({FILE: RELEASE.encode()})
    needs = [NeededImages(OWNER, FILE, "rendered", ("quay.io/x/app:1.10",))]

    changed = apply_overrides(files, needs, {"quay.io/x/app:1.10": ONE})

    assert b'newTag: "1.10"\n' in changed.files[FILE]


def test_images_of_docker_hub_are_matched_however_they_are_written() -> None:
    value = applied(RELEASE, {"busybox:1": ONE}, "docker.io/library/busybox:1")

    assert [entry["name"] for entry in entries(value)] == [
        "busybox",
        "docker.io/busybox",
        "docker.io/library/busybox",
        "library/busybox",
    ]
    assert {entry["digest"] for entry in entries(value)} == {ONE}


def test_two_tags_of_one_image_are_told_apart() -> None:
    value = applied(RELEASE, {"q.io/x:1": ONE, "q.io/x:2": TWO}, "q.io/x:2", "q.io/x:1")

    assert entries(value) == [
        {"name": "q.io/x:1", "newTag": "1", "digest": ONE},
        {"name": "q.io/x:2", "newTag": "2", "digest": TWO},
    ]


def test_what_is_asked_for_by_digest_gets_no_other() -> None:
    value = applied(RELEASE, {"q.io/x:1": TWO}, f"q.io/x:1@{ONE}")
    same = applied(RELEASE, {f"q.io/x@{ONE}": ONE}, f"q.io/x:1@{ONE}")

    assert "postRenderers" not in value["spec"]
    assert entries(same) == [{"name": "q.io/x", "newTag": "1", "digest": ONE}]


def test_a_releases_own_post_renderers_stay_and_come_first() -> None:
    own = [{"kustomize": {"images": [{"name": "a", "newName": "q.io/x"}]}}]
    text = RELEASE + "  postRenderers: [{kustomize: {images: [{name: a, newName: q.io/x}]}}]\n"

    value = applied(text, {"q.io/x:1": ONE}, "q.io/x:1")

    assert value["spec"]["postRenderers"][:-1] == own
    assert entries(value) == [{"name": "q.io/x", "newTag": "1", "digest": ONE}]


def test_overrides_are_written_once() -> None:
    files = PlatformFiles({FILE: RELEASE.encode()})
    needs = [NeededImages(OWNER, FILE, "rendered", ("q.io/x:1",))]

    once = apply_overrides(files, needs, {"q.io/x:1": ONE})

    assert apply_overrides(once, needs, {"q.io/x:1": ONE}).files == once.files
    assert once.files != files.files


def test_nothing_changes_where_the_lock_knows_no_image() -> None:
    files = PlatformFiles({FILE: RELEASE.encode()})
    needs = [NeededImages(OWNER, FILE, "rendered", ("q.io/x:1",))]

    assert apply_overrides(files, needs, {"q.io/other:1": ONE}) is files


def test_files_without_a_change_keep_every_byte() -> None:
    other = b"# comment\nkind:   Thing\n"
    files = PlatformFiles({FILE: RELEASE.encode(), "platform/base/z.yaml": other})
    needs = [NeededImages(OWNER, FILE, "rendered", ("q.io/x:1",))]

    changed = apply_overrides(files, needs, {"q.io/x:1": ONE})

    assert changed.files["platform/base/z.yaml"] == other
    assert changed.files[FILE] != files.files[FILE]


def annotated(lines: str) -> str:
    body = "".join(f"\n      {line}" for line in lines.splitlines())
    return RELEASE.replace("annotations: {}", f"annotations:\n    petra.sh/digest-values: |{body}")


def test_values_take_digests_in_the_form_of_their_name() -> None:
    text = annotated("a.image.sha: q.io/x\nb.digest: q.io/x\nc.tag: q.io/x\nd.tag: q.io/unknown")

    value = applied(text + "  values: {a: {image: {keep: 1}}}\n", {"q.io/x:1": ONE}, "q.io/x:1")

    assert value["spec"]["values"] == {
        "a": {"image": {"keep": 1, "sha": ONE.hex}},
        "b": {"digest": ONE},
        "c": {"tag": f"1@{ONE}"},
    }


@pytest.mark.parametrize("lines", ["- a", "a: 1", "a: 'not an image'", "a: q.io/x\na: q.io/x"])
def test_a_malformed_annotation_is_named(lines: str) -> None:
    with pytest.raises(DocumentError, match="annotation is malformed") as caught:
        applied(annotated(lines), {"q.io/x:1": ONE}, "q.io/x:1")

    assert f"{FILE}:8" in str(caught.value)


def test_an_annotation_does_not_overwrite_a_value_of_another_kind() -> None:
    text = annotated("a.b.sha: q.io/x") + "  values: {a: text}\n"

    with pytest.raises(DocumentError, match="a value that is not there"):
        applied(text, {"q.io/x:1": ONE}, "q.io/x:1")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("q.io/x:1", f"q.io/x:1@{ONE}"),
        (f"q.io/x:1@{ONE}", f"q.io/x:1@{ONE}"),
        (f"q.io/x@{ONE}", f"q.io/x@{ONE}"),
        ("q.io/x", f"q.io/x:latest@{ONE}"),
        ("localhost:5000/x:1", f"localhost:5000/x:1@{ONE}"),
        ("q.io/other:1", "q.io/other:1"),
        ("$(IMAGE)", "$(IMAGE)"),
    ],
)
def test_plain_workloads_are_pinned_in_place(written: str, expected: str) -> None:
    job = f"""\
apiVersion: batch/v1
kind: Job
metadata: {{name: check}}
spec:
  template:
    spec:
      containers:
        - name: a
          image: "{written}"
"""
    images = {"q.io/x:1": ONE, "q.io/x:latest": ONE, "localhost:5000/x:1": ONE}

    value = applied(
        job,
        images,
        "q.io/x:1",
        f"q.io/x:1@{ONE}",
        f"q.io/x@{ONE}",
        "q.io/x:latest",
        "localhost:5000/x:1",
        "q.io/other:1",
        owner="Job default/check",
    )

    assert value["spec"]["template"]["spec"]["containers"][0]["image"] == expected


def test_a_digest_that_is_none_is_refused() -> None:
    with pytest.raises(FormatError, match="not a sha256 digest"):
        applied(RELEASE, {"q.io/x:1": "sha256:beef"}, "q.io/x:1")
