from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petra.bundle.spec import ImageSpec, load_spec, spec_schema
from petra.bundle.verify_spec import VerifySpec
from petra.content.descriptor import Platform
from petra.encoding.json import dump_json
from petra.encoding.yaml import dump_yaml
from petra.errors import DocumentError, FormatError, PetraError

SPEC = """\
apiVersion: petra.sh/v1alpha1
kind: Bundle
metadata:
  name: web
  version: 1.2.3
spec:
  platforms: [linux/amd64, linux/arm/v7]
  serial: 7
  notAfter: 2030-01-01T00:00:00+02:00
  images:
  - name: nginx
    image: cgr.dev/chainguard/nginx
    verify: {key: cosign.pub}
  - name: redis
    image: redis:7
    verify: {skip: built here an hour ago}
  charts:
  - name: cilium
    repo: https://helm.cilium.io/
    version: 1.16.5
    values: {hubble: {enabled: false}}
  output:
    format: tar.gz
"""


def _fault(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        load_spec(text.encode(), where="bundle.yaml")
    return caught.value


def _changed(old: str, new: str) -> str:
    assert SPEC.count(old) == 1
    return SPEC.replace(old, new)


def test_a_whole_spec_is_read() -> None:
    spec = load_spec(SPEC.encode(), where="bundle.yaml")
    assert spec.stem == "web-1.2.3"
    assert spec.spec.platforms == (Platform("linux", "amd64"), Platform("linux", "arm", "v7"))
    assert spec.spec.serial == 7
    assert spec.spec.not_after == datetime(2029, 12, 31, 22, tzinfo=UTC)
    assert str(spec.spec.images[0].reference) == "cgr.dev/chainguard/nginx:latest"
    assert spec.spec.charts[0].file_name == "cilium-1.16.5.tgz"
    assert spec.spec.charts[0].repo == "https://helm.cilium.io"
    assert spec.spec.charts[0].values == {"hubble": {"enabled": False}}
    assert spec.spec.output.format == "tar.gz"


def test_what_is_left_out_has_a_safe_default() -> None:
    text = (
        "apiVersion: petra.sh/v1alpha1\nkind: Bundle\nmetadata: {name: a, version: '1'}\nspec: {}"
    )
    spec = load_spec(text.encode(), where="bundle.yaml").spec
    assert (spec.output.sign, spec.output.verify) == (True, True)
    assert (spec.output.dir, spec.output.format) == ("dist", "tar.zst")
    assert (spec.platforms, spec.images, spec.charts) == ((), (), ())
    assert (spec.platform.include_base, spec.platform.allow_missing_images) == (False, False)
    assert (spec.serial, spec.not_after, spec.verify) == (None, None, None)


def test_an_image_that_says_nothing_is_verified_as_the_spec_says() -> None:
    text = _changed("  serial: 7\n", "  verify: {keys: [a.pub, b.pub]}\n")
    spec = load_spec(text.replace("    verify: {key: cosign.pub}\n", "").encode(), where="x")
    first, second = (spec.policy(image) for image in spec.spec.images)
    assert first == VerifySpec(keys=("a.pub", "b.pub"))
    assert first.key_files == ("a.pub", "b.pub")
    assert second == VerifySpec(skip="built here an hour ago")
    assert second.key_files == ()


def test_a_spec_cannot_be_changed() -> None:
    spec = load_spec(SPEC.encode(), where="bundle.yaml")
    with pytest.raises(ValueError, match="frozen"):
        spec.spec.output.sign = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("image: redis:7", "imag: redis:7", 15, "spec.images[1].imag: no such field", "'image'"),
        ("  charts:", "  chart:", 17, "spec.chart: no such field", "'charts'"),
        ("kind: Bundle", "kind: bundel", 2, "kind: not a value of this field", "'Bundle'"),
        ("format: tar.gz", "format: tgz", 23, "spec.output.format: not a value", "'tar.gz'"),
        ("v1alpha1", "v2", 1, "apiVersion: not a value", "'petra.sh/v1alpha1'"),
        ("version: 1.2.3", "version: 1.10", 5, "metadata.version: wrong type", "quotes"),
        ("image: redis:7", "image: Redis:7:8", 15, "spec.images[1].image: not an image", "[REG"),
        ("version: 1.16.5", "version: ^1.16.5", 20, "spec.charts[0].version: not a", "tested"),
        ("name: redis", "name: nginx", 14, "spec.images[1].name: the name 'nginx'", "once"),
    ],
)
def test_a_fault_is_named_by_line_and_path_with_the_next_step(
    old: str, new: str, line: int, message: str, hint: str
) -> None:
    error = _fault(_changed(old, new))
    assert error.where == f"bundle.yaml:{line}"
    assert error.message.startswith(message)
    assert hint in str(error.hint)
    assert error.exit_status == 2


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("name: web", "name: Web", "metadata.name"),
        ("name: web", f"name: {'w' * 64}", "metadata.name"),
        ("name: web", "name: ../web", "metadata.name"),
        ("version: 1.2.3", "version: a/b", "metadata.version"),
        ("version: 1.2.3", "version: ..", "metadata.version"),
        ("serial: 7", "serial: -1", "spec.serial"),
        ("serial: 7", "serial: '7'", "spec.serial"),
        ("serial: 7", "serial: true", "spec.serial"),
        ("serial: 7", f"serial: {2**53}", "spec.serial"),
        ("[linux/amd64, linux/arm/v7]", "linux/amd64", "spec.platforms"),
        ("[linux/amd64, linux/arm/v7]", "[linux]", "spec.platforms[0]"),
        ("2030-01-01T00:00:00+02:00", "2030-01-01", "spec.notAfter"),
        ("2030-01-01T00:00:00+02:00", "2030-13-01T00:00:00Z", "spec.notAfter"),
        ("2030-01-01T00:00:00+02:00", "9999-12-31T23:59:59-01:00", "spec.notAfter"),
        ("{key: cosign.pub}", "{}", "spec.images[0].verify"),
        ("{key: cosign.pub}", "{key: a, skip: b}", "spec.images[0].verify"),
        ("{key: cosign.pub}", "{skip: ' '}", "spec.images[0].verify.skip"),
        ("{key: cosign.pub}", "{keys: []}", "spec.images[0].verify.keys"),
        ("{key: cosign.pub}", "cosign.pub", "spec.images[0].verify"),
        ("image: redis:7", "image: cgr.dev/chainguard/nginx:latest", "spec.images[1].image"),
        ("https://helm.cilium.io/", "ftp://x/", "spec.charts[0].repo"),
        ("https://helm.cilium.io/", "https://", "spec.charts[0].repo"),
        ("https://helm.cilium.io/", "https://h:99999/", "spec.charts[0].repo"),
        ("https://helm.cilium.io/", "https://h/?a=b", "spec.charts[0].repo"),
        ("format: tar.gz", "sign: 'no'", "spec.output.sign"),
        ("format: tar.gz", "dir: ''", "spec.output.dir"),
    ],
)
def test_a_wrong_value_is_refused(old: str, new: str, path: str) -> None:
    assert _fault(_changed(old, new)).message.partition(": ")[0] == path


def test_all_faults_are_told_at_once_in_the_order_of_lines() -> None:
    text = _changed("name: web", "nam: web").replace("serial: 7", "serial: x")
    error = _fault(text.replace("format: tar.gz", "formt: tar.gz"))
    assert error.where == "bundle.yaml:4"
    assert error.message == "metadata.nam: no such field"
    assert str(error.hint).splitlines() == [
        "did you mean 'name'?; also wrong:",
        "    bundle.yaml:8 spec.serial: wrong type",
        "    bundle.yaml:23 spec.output.formt: no such field (did you mean 'format'?)",
    ]


def test_a_missing_field_is_named() -> None:
    error = _fault(_changed("  version: 1.2.3\n", ""))
    assert error.message == "metadata.version: a needed field is missing"
    assert error.where == "bundle.yaml:3"


def test_the_name_in_python_is_no_name_in_the_document() -> None:
    error = _fault(_changed("notAfter:", "not_after:"))
    assert error.message == "spec.not_after: no such field"
    assert error.hint == "did you mean 'notAfter'?"


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    error = _fault(_changed("https://helm", "https://user:hunter2@helm"))
    assert "credentials" in error.message
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("text", ["[]", "a", "null", "12"])
def test_a_document_of_another_shape_is_refused(text: str) -> None:
    assert _fault(text).message == "the document: wrong type"


def test_a_spec_from_a_bundle_fails_as_a_member_of_it() -> None:
    for data in (b"kind: Bundel", b"a: *x", b"x" * (5 * 1024 * 1024)):
        with pytest.raises(FormatError):
            load_spec(data, where="bundle.yaml", error=FormatError)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["spec", "images", "charts", "verify", "metadata", "name", "kind"]),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_whatever_is_given_the_error_is_ours(value: Any) -> None:
    with pytest.raises(PetraError) as caught:
        load_spec(dump_yaml(value), where="bundle.yaml")
    assert str(caught.value.where).startswith("bundle.yaml:")


def test_the_committed_schema_is_current() -> None:
    committed = files("petra.bundle").joinpath("schema/bundle.schema.json").read_bytes()
    assert committed == dump_json(spec_schema()), "write dump_json(spec_schema()) to it"


def test_the_schema_describes_every_field() -> None:
    schema = spec_schema()
    described = 0
    for model in (schema, *schema["$defs"].values()):
        assert model["additionalProperties"] is False
        for name, field in model["properties"].items():
            target = field.get("$ref", "").rpartition("/")[2]
            assert field.get("description") or schema["$defs"][target]["description"], name
            described += 1
    assert described > 30
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["required"]) == {"apiVersion", "kind", "metadata", "spec"}


def test_an_image_in_python_is_made_by_python_names() -> None:
    image = ImageSpec(name="a", image="nginx", verify=VerifySpec(skip="a test"))
    assert str(image.reference) == "docker.io/library/nginx:latest"
