import pytest
import yaml

from petra.errors import ContentRefusedError, FormatError
from petra.helm import tarball
from petra.helm.chart import check_chart, inspect_chart
from tests.support.charts import chart, chart_files, member, packed
from tests.support.real_charts import real_chart

REAL = ["cilium-1.16.5.tgz", "cilium-1.16.6.tgz", "tetragon-1.3.0.tgz"]
IMAGES = "- name: a\n  image: registry.example/a:1\n- name: b\n  image: b\n"


def test_a_chart_says_what_it_is() -> None:
    data = chart("app", "1.10.0", appVersion="2.0", kubeVersion=">=1.25", deprecated=True)

    info = inspect_chart(data, where="app.tgz")

    assert (info.name, info.version, info.app_version) == ("app", "1.10.0", "2.0")
    assert (info.kube_version, info.deprecated) == (">=1.25", True)
    assert info.file_name == "app-1.10.0.tgz"
    assert info.values["image"] == {"repository": "registry.example/team/app", "tag": "1.0"}
    assert info.subcharts == ()


def test_unquoted_versions_stay_as_they_are_written() -> None:
    text = b"apiVersion: v1\nname: app\nversion: 1.2.3\nappVersion: 1.10\n"

    info = inspect_chart(packed(member("app/Chart.yaml", text)), where="app.tgz")

    assert info.app_version == "1.10"
    assert info.deprecated is False
    assert info.kube_version is None


def test_annotations_declare_images_of_the_chart_and_of_charts_in_it() -> None:
    inner = chart("sub", "0.1.0", annotations={"images": "- image: registry.example/c:3\n"})
    data = chart(
        more={"charts/sub-0.1.0.tgz": inner}, annotations={"artifacthub.io/images": IMAGES}
    )

    images = inspect_chart(data, where="app.tgz").images

    assert [image.reference for image in images] == [
        "registry.example/a:1",
        "docker.io/library/b:latest",
        "registry.example/c:3",
    ]
    assert {image.source for image in images} == {"declared"}
    assert "charts/sub-0.1.0" in images[2].path


def test_broken_annotations_are_told_and_not_passed_over() -> None:
    data = chart(annotations={"images": "- image: ':::'", "artifacthub.io/images": "["})

    declared = inspect_chart(data, where="app.tgz").declared

    assert declared.images == ()
    assert len(declared.unreadable) == 2


def test_charts_inside_are_found_packed_and_unpacked_at_any_depth() -> None:
    deepest = chart("c", "3.0.0")
    middle = chart("b", "2.0.0", more={"charts/c-3.0.0.tgz": deepest})
    unpacked = chart_files("d", "4.0.0")
    more = {f"charts/{path}": content for path, content in unpacked.items()}

    info = inspect_chart(chart(more={"charts/b-2.0.0.tgz": middle, **more}), where="app.tgz")

    assert [item.name for item in info.walk()] == ["app", "b", "c", "d"]


def test_dependencies_that_are_not_inside_are_named() -> None:
    dependencies = [{"name": name, "version": "1"} for name in ("here", "gone")]
    data = chart(dependencies=dependencies, more={"charts/x.tgz": chart("here", "1.0.0")})

    assert inspect_chart(data, where="app.tgz").missing_dependencies == ("gone",)


def test_dependencies_of_old_charts_stand_in_a_file_of_their_own() -> None:
    more = {"requirements.yaml": yaml.safe_dump({"dependencies": [{"name": "gone"}]}).encode()}
    data = chart(apiVersion="v1", more=more)

    assert inspect_chart(data, where="app.tgz").missing_dependencies == ("gone",)


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"apiVersion": "v3"}, "apiVersion"),
        ({"version": None}, "version"),
        ({"version": "1.2.3/.."}, "version"),
        ({"name": "../app"}, "name"),
        ({"name": ["app"]}, "name"),
    ],
)
def test_unusable_metadata_is_refused(metadata: dict[str, object], found: str) -> None:
    files = {"app/Chart.yaml": {"apiVersion": "v2", "name": "app", "version": "1.2.3"} | metadata}
    data = packed(*(member(path, yaml.safe_dump(text).encode()) for path, text in files.items()))

    with pytest.raises(FormatError, match=f"usable {found}"):
        inspect_chart(data, where="app.tgz")


@pytest.mark.parametrize("content", [b"- a", b"[", b""])
def test_a_chart_file_that_is_no_mapping_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        inspect_chart(packed(member("app/Chart.yaml", content)), where="app.tgz")


def test_an_archive_without_a_chart_file_is_no_chart() -> None:
    with pytest.raises(FormatError, match=r"no Chart\.yaml"):
        inspect_chart(packed(member("app/values.yaml", b"a: b")), where="app.tgz")


@pytest.mark.parametrize(
    "content",
    [
        b"\x7fELF\x02\x01\x01",
        b"MZ\x90\x00",
        b"\xcf\xfa\xed\xfe\x07",
        b"\xfe\xed\xfa\xce",
        b"\xca\xfe\xba\xbe\x00",
    ],
)
@pytest.mark.parametrize("path", ["bin/tool", "templates/x.yaml", "files/x.bash", "README.md"])
def test_a_program_is_refused_wherever_it_stands(content: bytes, path: str) -> None:
    with pytest.raises(ContentRefusedError, match="program") as caught:
        check_chart(chart(more={path: content}), where="app-1.2.3.tgz")

    assert caught.value.where == f"app-1.2.3.tgz: app/{path}"
    assert caught.value.exit_status == 3


def test_a_program_in_a_packed_chart_is_refused() -> None:
    inner = chart("sub", "0.1.0", more={"files/tool": b"\x7fELF"})

    with pytest.raises(ContentRefusedError, match="ELF") as caught:
        check_chart(chart(more={"charts/sub-0.1.0.tgz": inner}), where="app.tgz")

    assert caught.value.where == "app.tgz: app/charts/sub-0.1.0.tgz: sub/files/tool"


@pytest.mark.parametrize("path", ["install.sh", "bin/x", "charts/sub/x.sh", "docs/files/x.sh"])
def test_a_script_is_refused_outside_the_folders_for_text(path: str) -> None:
    data = chart(more={path: b"#!/bin/sh\n"})

    with pytest.raises(ContentRefusedError, match="script") as caught:
        check_chart(data, where="app.tgz")

    assert caught.value.where == f"app.tgz: app/{path}"


def test_a_script_that_may_run_is_refused_even_there() -> None:
    files = chart_files()
    members = [member(path, content) for path, content in files.items()]
    script = member("app/files/run.sh", b"#!/bin/sh\n", mode=0o755)

    with pytest.raises(ContentRefusedError, match="script") as caught:
        check_chart(packed(*members, script), where="app.tgz")

    assert "0755" in (caught.value.found or "")


@pytest.mark.parametrize("path", ["files/run.sh", "templates/_run.tpl", "charts/sub/files/run.sh"])
def test_a_script_as_text_passes(path: str) -> None:
    data = chart(more={path: b"#!/bin/sh\n"})

    check_chart(data, where="app.tgz")

    assert inspect_chart(data, where="app.tgz").name == "app"


def test_a_script_elsewhere_passes_only_where_its_path_is_allowed() -> None:
    data = chart(more={"scripts/run.sh": b"#!/bin/sh\n"})

    check_chart(data, where="app.tgz", allow_scripts=["scripts/*.sh"])
    with pytest.raises(ContentRefusedError):
        check_chart(data, where="app.tgz", allow_scripts=["other/*.sh"])
    program = chart(more={"scripts/run.sh": b"\x7fELF"})
    with pytest.raises(ContentRefusedError):
        check_chart(program, where="app.tgz", allow_scripts=["scripts/*.sh"])


def test_charts_in_charts_in_charts_have_an_end() -> None:
    data = chart("x", "1.0.0")
    for _ in range(7):
        data = chart("x", "1.0.0", more={"charts/x-1.0.0.tgz": data})

    for read in (check_chart, inspect_chart):
        with pytest.raises(ContentRefusedError, match="levels deep"):
            read(data, where="app.tgz")


@pytest.mark.parametrize(("limit", "value"), [("KEPT_LIMIT", 50), ("KEPT_FILE_LIMIT", 1)])
def test_what_is_held_in_memory_is_bounded(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarball, limit, value)

    with pytest.raises(ContentRefusedError, match="larger than any chart"):
        inspect_chart(chart(), where="app.tgz")


@pytest.mark.parametrize("name", REAL)
def test_published_charts_pass(name: str) -> None:
    data = real_chart(name).read_bytes()

    check_chart(data, where=name)
    info = inspect_chart(data, where=name)

    assert info.file_name == name
    assert info.missing_dependencies == ()


def test_published_values_give_away_their_images() -> None:
    data = real_chart("cilium-1.16.5.tgz").read_bytes()

    guessed = inspect_chart(data, where="cilium").guessed

    names = {image.reference.partition("@")[0] for image in guessed.images}
    assert {"quay.io/cilium/cilium:v1.16.5", "quay.io/cilium/hubble-relay:v1.16.5"} <= names
    assert {image.source for image in guessed.images} == {"guessed"}
