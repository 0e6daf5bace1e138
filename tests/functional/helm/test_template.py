import sys
from pathlib import Path

import pytest

from petra.errors import FormatError, SettingError, ToolError, UsageError
from petra.helm import template
from petra.helm.chart import inspect_chart
from petra.helm.template import declared_images, find_helm, render_chart, rendered_images
from tests.support.charts import chart

POD = "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: 'a.example/x:1'}]}\n"


def _program(tmp_path: Path, body: str) -> Path:
    """Write a program that stands in for helm: its arguments are in `args`."""
    path = tmp_path / "helm"
    path.write_text(f"#!{sys.executable}\nimport os, pathlib, sys, time\nargs = sys.argv\n{body}\n")
    path.chmod(0o755)
    return path


def test_helm_is_given_the_chart_and_the_values_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HELM_NAMESPACE", "elsewhere")
    helm = _program(
        tmp_path,
        "values = pathlib.Path(args[args.index('--values') + 1])\n"
        "print('kind: Seen')\n"
        "print('args:', args[1:3] + args[4:8])\n"
        "print('groups:', [args[i + 1] for i, a in enumerate(args) if a == '--api-versions'])\n"
        "print('chart:', pathlib.Path(args[3]).read_bytes()[:2].hex())\n"
        "print('values:', values.read_text().strip())\n"
        "ours = {'AWS_SECRET_ACCESS_KEY', 'HELM_NAMESPACE'} & set(os.environ)\n"
        "print('environment:', sorted(ours))",
    )

    text = render_chart(
        chart(),
        helm=helm,
        values={"a": "b"},
        release_name="rel",
        namespace="ns",
        kube_version="1.30.0",
        api_versions=["x/v1", "y/v1"],
    ).decode()

    assert text.splitlines() == [
        "kind: Seen",
        "args: ['template', 'rel', '--namespace', 'ns', '--kube-version', '1.30.0']",
        "groups: ['x/v1', 'y/v1']",
        "chart: 1f8b",
        "values: a: b",
        "environment: []",
    ]


def test_a_chart_on_disk_is_used_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(chart())
    helm = _program(tmp_path, "print('kind: X')\nprint('path:', args[3])")

    text = render_chart(tmp_path / "x.tgz", helm=helm).decode()

    assert f"path: {tmp_path}/x.tgz" in text


def test_images_are_those_of_the_rendered_manifests(tmp_path: Path) -> None:
    found = rendered_images(chart(), helm=_program(tmp_path, f"print({POD!r})"))

    assert found.rendered
    assert [image.reference for image in found.images] == ["a.example/x:1"]
    assert found.images[0].path == "Pod/p spec.containers[0].image"


def test_what_helm_says_of_a_failure_is_told_in_short(tmp_path: Path) -> None:
    helm = _program(
        tmp_path, "sys.exit('x' * 100_000 + ' execution error at ' + args[3] + ': no such value')"
    )

    with pytest.raises(ToolError, match="helm template rel failed") as caught:
        render_chart(chart(), helm=helm, release_name="rel")

    assert (caught.value.found or "").endswith("error at chart.tgz: no such value")
    assert len(caught.value.found or "") <= 2000
    assert caught.value.exit_status == 1


def test_a_failure_without_words_names_the_status(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        render_chart(chart(), helm=_program(tmp_path, "sys.exit(7)"))

    assert caught.value.found == "exit status 7"


def test_helm_has_no_more_than_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "_SECONDS", 0.2)

    with pytest.raises(ToolError) as caught:
        render_chart(chart(), helm=_program(tmp_path, "time.sleep(60)"))

    assert "no end after" in (caught.value.found or "")


@pytest.mark.parametrize("after", ["time.sleep(60)", ""], ids=["running", "ended"])
def test_helm_writes_no_more_than_its_share(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "_OUTPUT_LIMIT", 1000)

    with pytest.raises(ToolError) as caught:
        render_chart(chart(), helm=_program(tmp_path, f"print('x' * 2000, flush=True)\n{after}"))

    assert "more than 1000 bytes" in (caught.value.found or "")


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not YAML"):
        rendered_images(chart(), helm=_program(tmp_path, "print('a: [')"))


@pytest.mark.parametrize("name", ["", "--kubeconfig=x"])
def test_nothing_of_the_call_becomes_a_flag(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        render_chart(chart(), helm=tmp_path / "helm", release_name=name)


def test_a_file_that_cannot_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be run"):
        render_chart(chart(), helm=tmp_path / "gone")


def test_helm_is_the_named_one_or_the_one_in_path_or_none(tmp_path: Path) -> None:
    helm = _program(tmp_path, "")

    assert find_helm({"PETRA_HELM": str(helm), "PATH": ""}) == helm
    assert find_helm({"PATH": str(tmp_path)}) == helm
    assert find_helm({"PATH": str(tmp_path), "PETRA_HELM": ""}) is None
    assert find_helm({"PATH": str(tmp_path / "none")}) is None
    with pytest.raises(SettingError, match="PETRA_HELM") as caught:
        find_helm({"PETRA_HELM": str(tmp_path / "gone"), "PATH": str(tmp_path)})
    assert caught.value.exit_status == 2


def test_without_helm_rendering_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETRA_HELM", "")

    with pytest.raises(ToolError, match="not at hand") as caught:
        rendered_images(chart())

    assert "PETRA_HELM" in (caught.value.hint or "")


def test_without_helm_images_are_those_declared_and_guessed() -> None:
    data = chart(annotations={"images": "- image: a.example/declared:1\n- image: '::'\n"})

    for given in (data, inspect_chart(data, where="app.tgz")):
        found = declared_images(given)
        assert not found.rendered
        assert [(image.reference, image.source) for image in found.images] == [
            ("a.example/declared:1", "declared"),
            ("registry.example/team/app:1.0", "guessed"),
        ]
        assert len(found.unreadable) == 1
