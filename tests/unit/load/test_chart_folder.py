"""Charts into a chart repository folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.errors import FormatError, NoSpaceError, PolicyError
from petra.load.chart_folder import ChartRepositoryFolder
from tests.support.charts import chart
from tests.support.command import names
from tests.support.load_bundles import open_bundle
from tests.support.stops import StoppedError, StopsAfter

if TYPE_CHECKING:
    from pathlib import Path

APP, DB = chart("app", "1.2.3"), chart("db", "0.1.0+build.5")
OTHER = chart("app", "1.2.3", description="changed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "charts"


def destination(
    tmp_path: Path, folder: Path, *charts: bytes, replace: bool = False
) -> ChartRepositoryFolder:
    return ChartRepositoryFolder(open_bundle(tmp_path, charts=charts), folder, replace=replace)


def load(tmp_path: Path, folder: Path, *charts: bytes, replace: bool = False) -> list[bool]:
    """Load charts; return of each whether it was written."""
    loaded = destination(tmp_path, folder, *charts, replace=replace).load(NoProgress())
    return [placed.sent for placed in loaded.placed]


def index(folder: Path) -> dict[str, list[tuple[str, str, list[str]]]]:
    document = yaml.safe_load((folder / "index.yaml").read_text())
    return {
        name: [(one["version"], one["digest"], one["urls"]) for one in entries]
        for name, entries in document["entries"].items()
    }


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir()}


def test_archives_stand_there_byte_for_byte_and_the_index_names_them(
    tmp_path: Path, folder: Path
) -> None:
    loaded = destination(tmp_path, folder, APP, DB).load(NoProgress())

    assert names(folder) == ["app-1.2.3.tgz", "db-0.1.0+build.5.tgz", "index.yaml"]
    assert (folder / "app-1.2.3.tgz").read_bytes() == APP
    assert index(folder)["app"] == [("1.2.3", Digest.of(APP).hex, ["app-1.2.3.tgz"])]
    assert [one.name for one in loaded.placed] == ["app 1.2.3", "db 0.1.0+build.5"]
    assert [one.digest for one in loaded.placed] == [Digest.of(APP), Digest.of(DB)]
    assert loaded.bytes_sent == len(APP) + len(DB)


def test_a_survey_says_what_would_be_written_and_writes_nothing(
    tmp_path: Path, folder: Path
) -> None:
    load(tmp_path, folder, APP)
    before = snapshot(folder)

    survey = destination(tmp_path, folder, APP, DB).survey()

    assert (survey.items, survey.present) == (2, 1)
    assert survey.bytes_total == len(APP) + len(DB)
    assert survey.bytes_to_send == len(DB)
    assert snapshot(folder) == before


def test_a_second_load_writes_no_file(tmp_path: Path, folder: Path) -> None:
    load(tmp_path, folder, APP, DB)
    before = snapshot(folder)

    assert load(tmp_path, folder, APP, DB) == [False, False]

    assert snapshot(folder) == before


def test_older_versions_stay(tmp_path: Path, folder: Path) -> None:
    load(tmp_path, folder, chart("app", "1.2.2"))

    assert load(tmp_path, folder, APP) == [True]

    assert [version for version, _, _ in index(folder)["app"]] == ["1.2.3", "1.2.2"]
    assert (folder / "app-1.2.2.tgz").read_bytes() == chart("app", "1.2.2")


def test_another_chart_of_the_same_version_is_refused_and_nothing_changes(
    tmp_path: Path, folder: Path
) -> None:
    load(tmp_path, folder, OTHER)
    before = snapshot(folder)

    with pytest.raises(PolicyError) as refused:
        load(tmp_path, folder, DB, APP)

    assert refused.value.expected == Digest.of(APP)
    assert refused.value.found == Digest.of(OTHER)
    assert snapshot(folder) == before


def test_a_file_that_the_index_does_not_name_is_refused_too(tmp_path: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "app-1.2.3.tgz").write_bytes(OTHER)

    with pytest.raises(PolicyError, match=r"another chart app 1\.2\.3"):
        load(tmp_path, folder, APP)

    assert (folder / "app-1.2.3.tgz").read_bytes() == OTHER


def test_an_entry_of_the_index_alone_is_refused_too(tmp_path: Path, folder: Path) -> None:
    load(tmp_path, folder, OTHER)
    (folder / "app-1.2.3.tgz").unlink()

    with pytest.raises(PolicyError, match=r"another chart app 1\.2\.3"):
        load(tmp_path, folder, APP)


def test_told_to_replace_it_does(tmp_path: Path, folder: Path) -> None:
    load(tmp_path, folder, OTHER)

    assert load(tmp_path, folder, APP, replace=True) == [True]

    assert (folder / "app-1.2.3.tgz").read_bytes() == APP
    assert index(folder)["app"] == [("1.2.3", Digest.of(APP).hex, ["app-1.2.3.tgz"])]


def test_an_archive_without_its_entry_gets_one(tmp_path: Path, folder: Path) -> None:
    load(tmp_path, folder, APP, DB)
    whole = snapshot(folder)["index.yaml"][0]
    (folder / "index.yaml").unlink()

    assert load(tmp_path, folder, APP, DB) == [False, False]

    assert (folder / "index.yaml").read_bytes() == whole


def test_provenance_stands_beside_its_chart(tmp_path: Path, folder: Path) -> None:
    bundle = open_bundle(tmp_path, charts=[APP], provenance={"app-1.2.3.tgz": b"signed"})

    ChartRepositoryFolder(bundle, folder).load(NoProgress())

    assert (folder / "app-1.2.3.tgz.prov").read_bytes() == b"signed"


def test_a_file_that_is_no_index_is_not_written_over(tmp_path: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "index.yaml").write_text("something: else\n")

    with pytest.raises(FormatError):
        load(tmp_path, folder, APP)

    assert names(folder) == ["index.yaml"]


def test_stopped_after_any_chart_and_run_again_the_end_is_the_same(tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {name: data for name, (data, _) in snapshot(folder).items()}

    charts = (APP, DB, chart("more", "1.0.0"))
    load(tmp_path, tmp_path / "whole", *charts)
    for pieces in range(len(charts)):
        folder = tmp_path / str(pieces)
        with pytest.raises(StoppedError):
            destination(tmp_path, folder, *charts).load(StopsAfter(pieces))
        assert "index.yaml" not in names(folder), "the index names only what is there"
        assert load(tmp_path, folder, *charts).count(True) == len(charts) - pieces - 1
        assert content(folder) == content(tmp_path / "whole")


def test_charts_that_do_not_fit_are_told_before_anything_is_written(
    tmp_path: Path, folder: Path
) -> None:
    bundle = open_bundle(tmp_path, charts=[APP])
    (record,) = bundle.metadata.charts
    vast = record.model_copy(update={"size": 1 << 60})
    metadata = bundle.metadata.model_copy(update={"charts": (vast,)})

    with pytest.raises(NoSpaceError, match="no room for the charts"):
        ChartRepositoryFolder(replace(bundle, metadata=metadata), folder).load(NoProgress())

    assert not folder.exists()
