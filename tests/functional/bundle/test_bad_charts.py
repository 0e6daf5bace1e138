"""Charts that are not what they should be: refused by name, and nothing is left behind."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from demo import content
from petra.content.digest import Digest
from petra.oci import media_types
from tests.support.chart_server import Page
from tests.support.charts import chart, chart_files, member, packed
from tests.support.command import Outcome, assert_refused, names
from tests.support.front import Front, flipped, shorter
from tests.support.opened import opened

if TYPE_CHECKING:
    from tests.support.command import Run
    from tests.support.world import World

URL = "/charts/app-1.2.3.tgz"
MEMBERS = [member(path, data) for path, data in chart_files().items()]
Refused: TypeAlias = Callable[..., Outcome]


@pytest.fixture
def refused(world: World, create: Run) -> Refused:
    """Check that `create` refuses a bundle with the chart, and leaves nothing."""

    def check(expected: int, *says: str) -> Outcome:
        world.spec(charts=[world.chart()])
        outcome = create()
        assert_refused(outcome, expected, *says)
        assert names(world.dist) == []
        return outcome

    return check


def test_another_chart_than_the_index_says(world: World, refused: Refused) -> None:
    data = chart(appVersion="tampered")
    world.add_chart("app", "1.2.3", data, digest=Digest.of(b"the good one").hex)

    refused(
        3,
        f"chart app 1.2.3 of {world.charts.url}/charts",
        Digest.of(b"the good one"),
        Digest.of(data),
    )


def test_a_truncated_chart(world: World, refused: Refused) -> None:
    world.charts.pages[URL] = Page(chart()[:-50])

    refused(3, "chart app 1.2.3")


def test_a_chart_that_nobody_has(world: World, refused: Refused) -> None:
    del world.charts.pages[URL]

    refused(1, f"{world.charts.url}{URL}")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"version": "9.9.9"}, ("9.9.9", "1.2.3")),
        ({"name": "absent"}, ("absent",)),
        ({"repo": "/nowhere"}, ("no chart repository", "oci://")),
    ],
)
def test_a_chart_or_repository_that_is_unknown(
    world: World, create: Run, more: dict[str, str], says: tuple[str, ...]
) -> None:
    more = {
        name: f"{world.charts.url}{text}" if name == "repo" else text for name, text in more.items()
    }
    world.spec(charts=[{**world.chart(), **more}])

    assert_refused(create(), 1, *says)
    assert names(world.dist) == []


@pytest.mark.parametrize("version", ["^1.2.0", ">1", "1.x", "*", "latest"])
def test_a_version_that_is_a_range(world: World, create: Run, version: str) -> None:
    world.spec(charts=[world.chart(version=version)])

    assert_refused(create(), 2, "bundle.yaml:", version, "exact")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "index.yaml"),
        (b"entries: {app: [{version: 1.2.3}]}", "index.yaml"),
        (b"entries:\n  app: &a\n  - *a\n", "index.yaml"),
        (b"\xff\xfe", "index.yaml"),
        (b"", "index.yaml"),
    ],
)
def test_an_index_that_is_none(world: World, refused: Refused, body: bytes, says: str) -> None:
    world.charts.pages["/charts/index.yaml"] = Page(body)

    outcome = refused(3, says)

    assert world.charts.url in outcome.err


@pytest.mark.parametrize(
    ("content_", "says"),
    [
        (b"\x7fELF\x02\x01" + bytes(100), "ELF"),
        (b"MZ\x90\x00" + bytes(100), "Windows"),
        (b"\xcf\xfa\xed\xfe" + bytes(100), "Mach-O"),
        (b"#!/bin/sh\nrm -rf /\n", "script"),
    ],
)
def test_a_program_in_a_chart(world: World, refused: Refused, content_: bytes, says: str) -> None:
    world.add_chart("app", "1.2.3", chart(more={"bin/tool": content_}))

    refused(3, "app/bin/tool", "app-1.2.3.tgz", says)


def test_scripts_are_text_only_where_the_user_says_so(world: World, create: Run) -> None:
    """For ConfigMaps, charts keep scripts in files/ and templates/; elsewhere one must say so."""
    script = b"#!/bin/sh\n"
    world.add_chart("app", "1.2.3", chart(more={"hack/x.sh": script, "files/y.sh": script}))
    world.spec(charts=[world.chart()])
    outcome = create()
    assert_refused(outcome, 3, "app/hack/x.sh", "spec.charts[].allowScripts")

    world.spec(charts=[world.chart(allowScripts=["hack/*.sh"])])
    assert create().status == 0


def test_a_script_with_an_execute_bit_never_passes(world: World, create: Run) -> None:
    bad = member("app/files/x.sh", b"#!/bin/sh\n", mode=0o755)
    world.add_chart("app", "1.2.3", packed(*MEMBERS, bad))
    world.spec(charts=[world.chart(allowScripts=["files/*"])])

    assert_refused(create(), 3, "app/files/x.sh", "0755")
    assert names(world.dist) == []


def test_a_program_in_a_chart_within_the_chart(world: World, refused: Refused) -> None:
    inner = chart("dep", "0.1.0", {"bin/x": b"\x7fELF" + bytes(60)})
    world.add_chart("app", "1.2.3", chart(more={"charts/dep-0.1.0.tgz": inner}))

    refused(3, "dep/bin/x", "app-1.2.3.tgz")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (member("app/../../etc/passwd", b"x"), "app/../../etc/passwd"),
        (member("/etc/passwd", b"x"), "/etc/passwd"),
        (member("app/link", type=tarfile.SYMTYPE, linkname="/etc/shadow"), "app/link"),
        (member("app/link", type=tarfile.LNKTYPE, linkname="app/Chart.yaml"), "app/link"),
        (member("app/device", type=tarfile.CHRTYPE), "app/device"),
        (member("app/fifo", type=tarfile.FIFOTYPE), "app/fifo"),
        (member("app/long", b"x" * 600, size=100), "app-1.2.3.tgz"),
        (member("app/short", b"x" * 100, size=100_000), "app/short"),
        (MEMBERS[0], "app/Chart.yaml"),
    ],
    ids=["dots", "absolute", "symlink", "hardlink", "device", "fifo", "long", "short", "twice"],
)
def test_a_chart_archive_with_a_trap(world: World, refused: Refused, bad: bytes, says: str) -> None:
    world.add_chart("app", "1.2.3", packed(*MEMBERS, bad))

    refused(3, says, "app-1.2.3.tgz")


def test_a_decompression_bomb(world: World, refused: Refused) -> None:
    bomb = member("app/zeros", bytes(300 * 1024 * 1024))
    data = packed(*MEMBERS, bomb)
    del bomb
    assert len(data) < 400_000
    world.add_chart("app", "1.2.3", data)

    refused(3, "app-1.2.3.tgz")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "app-1.2.3.tgz"),
        (b"not gzip", "gzip"),
        (gzip.compress(b"not tar" * 100), "tar"),
        (packed(), "Chart.yaml"),
        (packed(*MEMBERS) + b"trailing", "app-1.2.3.tgz"),
        (packed(*MEMBERS, end=bytes(1024) + b"more" * 128), "app-1.2.3.tgz"),
        (chart("other", "1.2.3"), "other"),
        (chart("app", "9.9.9"), "9.9.9"),
        (packed(member("app/Chart.yaml", b"a: [1\n")), "Chart.yaml"),
        (packed(member("app/Chart.yaml", b"- 1\n")), "Chart.yaml"),
    ],
    ids=[
        *("empty", "plain", "no-tar", "no-chart", "trailing", "after-end"),
        *("other-name", "other-version", "broken-yaml", "no-mapping"),
    ],
)
def test_what_is_no_chart(world: World, refused: Refused, data: bytes, says: str) -> None:
    world.add_chart("app", "1.2.3", data)

    refused(3, says)


def test_a_chart_that_lacks_what_it_depends_on(world: World, refused: Refused) -> None:
    needs = [{"name": "dep", "version": "0.1.0", "repository": "https://x.example"}]
    world.add_chart("app", "1.2.3", chart(dependencies=needs))

    refused(1, "app 1.2.3", "dep", "helm dependency build")


def _oci(world: World, host: str) -> str:
    """Push the chart into the registry; returns the repository's address."""
    target = world.registry.create("charts/app")
    manifest = content.push_document(
        target,
        media_types.OCI_MANIFEST,
        config=content.push(target, media_types.HELM_CONFIG, b"{}").to_json(),
        layers=[content.push(target, media_types.HELM_CHART, chart()).to_json()],
    )
    target.tag(manifest, "1.2.3")
    return f"oci://{host}/charts"


def test_a_chart_from_a_registry(world: World, create: Run) -> None:
    world.spec(charts=[{"name": "app", "version": "1.2.3", "repo": _oci(world, world.host)}])

    outcome = create("--output", "json")

    assert outcome.status == 0, outcome.err
    assert opened(world.bundle).files["charts/app-1.2.3.tgz"] == chart()


@pytest.mark.parametrize("fault", [flipped, shorter(10)], ids=["flipped", "shorter"])
def test_a_chart_from_a_registry_that_is_another(
    world: World, front: Front, create: Run, fault: Callable[..., object]
) -> None:
    repo = _oci(world, front.host)
    front.fault(f"GET .*/blobs/{Digest.of(chart())}", fault)  # type: ignore[arg-type]
    world.spec(charts=[{"name": "app", "version": "1.2.3", "repo": repo}])

    assert_refused(create(), 3, Digest.of(chart()), front.host, "/charts/app")
    assert names(world.dist) == []


def test_two_charts_of_one_name_and_version(world: World, create: Run) -> None:
    world.charts.pages["/more/index.yaml"] = world.charts.pages["/charts/index.yaml"]
    world.charts.pages["/more/app-1.2.3.tgz"] = world.charts.pages[URL]
    other = world.chart() | {"repo": f"{world.charts.url}/more"}
    world.spec(charts=[world.chart(), other])

    assert_refused(create(), 2, "bundle.yaml:", "app-1.2.3.tgz", "stands twice")


def test_credentials_in_a_chart_url_are_refused_and_not_shown(world: World, create: Run) -> None:
    repo = f"{world.charts.url}/charts".replace("http://", "http://user:hunter2@")
    world.spec(charts=[world.chart() | {"repo": repo}])

    outcome = create()

    assert_refused(outcome, 2, "bundle.yaml:", "credentials", "config.json")
    assert "hunter2" not in outcome.err
    assert "hunter2" not in create("--output", "json").out
