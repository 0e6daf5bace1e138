from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.load.chart_folder import ChartRepositoryFolder
from petra.load.ledger import DestinationRecord, PlacedRecord
from petra.load.manifest_folder import move_current
from petra.load.prune import Doomed
from petra.load.prune_files import ChartFolderPruner, FilePruner
from tests.support.charts import chart
from tests.support.load_bundles import open_bundle


def doomed(record: DestinationRecord, *kept: str) -> Doomed:
    return Doomed((record,), (), frozenset(), frozenset(kept))


def place(part: Any, name: Path | str, *paths: Path) -> DestinationRecord:
    placed = tuple(
        PlacedRecord(name="x", reference=str(path), digest=Digest.of(b"")) for path in paths
    )
    return DestinationRecord(part=part, name=str(name), placed=placed)


def test_a_nodes_file_goes_and_others_stay(tmp_path: Path) -> None:
    old, new = tmp_path / "old.tar", tmp_path / "new.tar"
    for path in (old, new):
        path.touch()
    record = place("images", f"k3s:{tmp_path}", old, new)
    pruned = FilePruner(record, "a note").remove(doomed(record, str(new)), dry_run=False)
    assert pruned.removed == (str(old),)
    assert pruned.notes == ("a note",)
    assert [path.name for path in tmp_path.iterdir()] == ["new.tar"]


def test_a_folder_where_a_nodes_file_should_be_stays(tmp_path: Path) -> None:
    (tmp_path / "old.tar").mkdir()
    record = place("images", f"k3s:{tmp_path}", tmp_path / "old.tar")
    assert FilePruner(record).remove(doomed(record), dry_run=False).removed == ()
    assert (tmp_path / "old.tar").is_dir()


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    for name in ("shop-1", "shop-2"):
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "a.yaml").touch()
    move_current(tmp_path / "m", "shop-2")
    return tmp_path / "m"


def test_a_folder_of_manifests_goes(manifests: Path) -> None:
    record = place("manifests", manifests, manifests / "shop-1")
    assert FilePruner(record).remove(doomed(record), dry_run=False).removed
    assert sorted(path.name for path in manifests.iterdir()) == ["current", "shop-2"]


def test_the_folder_that_the_cluster_reads_stays_whatever_the_ledger_says(manifests: Path) -> None:
    record = place("manifests", manifests, manifests / "shop-2")
    pruner = FilePruner(record)
    assert pruner.current() == str(manifests / "shop-2")
    assert pruner.remove(doomed(record), dry_run=False).removed == ()
    assert (manifests / "shop-2" / "a.yaml").exists()


def test_a_folder_elsewhere_stays_whatever_the_ledger_says(manifests: Path, tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.mkdir()
    record = place("manifests", manifests, other)
    assert FilePruner(record).remove(doomed(record), dry_run=False).removed == ()
    assert other.is_dir()


@pytest.mark.parametrize(
    ("part", "name"), [("images", "k3s:{}/images"), ("images", "k3s"), ("manifests", "{}/m")]
)
def test_a_file_elsewhere_stays_whatever_the_ledger_says(
    tmp_path: Path, part: str, name: str
) -> None:
    other = tmp_path / "precious"
    other.touch()
    record = place(part, name.format(tmp_path), other, tmp_path / "images" / ".." / "precious")
    assert FilePruner(record).remove(doomed(record), dry_run=False).removed == ()
    assert other.is_file()


def test_a_chart_elsewhere_stays_whatever_the_ledger_says(tmp_path: Path) -> None:
    """Though it is the very file that the ledger has the digest of."""
    other = tmp_path / "precious"
    other.touch()
    record = place("charts", tmp_path / "charts", other)
    (tmp_path / "charts").mkdir()
    assert ChartFolderPruner(record).remove(doomed(record), dry_run=False).removed == ()
    assert other.is_file()


def test_what_a_killed_prune_left_goes_too(manifests: Path) -> None:
    (manifests / "shop-1").rename(manifests / ".shop-1.pruned")
    record = place("manifests", manifests, manifests / "shop-1")
    FilePruner(record).remove(doomed(record), dry_run=False)
    assert sorted(path.name for path in manifests.iterdir()) == ["current", "shop-2"]


@pytest.fixture
def charts(tmp_path: Path) -> DestinationRecord:
    """A folder with two versions of a chart."""
    folder = tmp_path / "charts"
    bundle = open_bundle(tmp_path, charts=[chart("app", "1.0.0"), chart("app", "1.1.0")])
    loaded = ChartRepositoryFolder(bundle, folder).load(NoProgress())
    return DestinationRecord.of(loaded)


def versions(record: DestinationRecord) -> list[str]:
    entries = yaml.safe_load((Path(record.name) / "index.yaml").read_text())["entries"]
    return sorted(entry["version"] for entry in entries.get("app", []))


def test_a_chart_goes_from_the_index_and_from_the_folder(
    charts: DestinationRecord, tmp_path: Path
) -> None:
    old, new = charts.placed
    pruned = ChartFolderPruner(charts).remove(doomed(charts, new.reference), dry_run=False)
    assert pruned.removed == (old.reference,)
    assert versions(charts) == ["1.1.0"]
    assert sorted(path.name for path in (tmp_path / "charts").iterdir()) == [
        "app-1.1.0.tgz",
        "index.yaml",
    ]


def test_a_dry_run_leaves_charts_where_they_are(charts: DestinationRecord) -> None:
    assert len(ChartFolderPruner(charts).remove(doomed(charts), dry_run=True).removed) == 2
    assert versions(charts) == ["1.0.0", "1.1.0"]


def test_another_chart_of_the_same_name_stays(charts: DestinationRecord, tmp_path: Path) -> None:
    (tmp_path / "charts" / "app-1.0.0.tgz").write_bytes(b"somebody's")
    pruned = ChartFolderPruner(charts).remove(doomed(charts), dry_run=False)
    assert [reference for reference, _ in pruned.kept] == [charts.placed[0].reference]
    assert versions(charts) == ["1.0.0"]
