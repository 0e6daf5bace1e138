from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import yaml

from petra.content.digest import Digest
from petra.errors import UsageError
from petra.helm.chart import inspect_chart
from petra.helm.index import repository_index
from petra.helm.index_file import find_entry
from tests.support.charts import chart
from tests.support.real_charts import real_chart

WHEN = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)


@dataclass
class Item:
    metadata: dict[str, Any]
    digest: Digest


def _item(data: bytes) -> Item:
    return Item(dict(inspect_chart(data, where="x.tgz").metadata), Digest.of(data))


def test_an_index_names_each_chart_with_its_own_metadata() -> None:
    data = chart(
        "app",
        "1.2.3",
        appVersion="1.10",
        description="yes",
        keywords=["a", "b"],
        maintainers=[{"name": "n", "email": "e", "phone": "p"}],
        dependencies=[],
        annotations={"z": "1", "a": "2", "flag": True},
        deprecated=True,
        type="application",
        unknown="left out",
        icon=None,
    )

    value = yaml.safe_load(repository_index([_item(data)], WHEN))

    assert value == {
        "apiVersion": "v1",
        "generated": "2026-11-01T12:00:00Z",
        "entries": {
            "app": [
                {
                    "annotations": {"a": "2", "z": "1"},
                    "apiVersion": "v2",
                    "appVersion": "1.10",
                    "created": "2026-11-01T12:00:00Z",
                    "deprecated": True,
                    "description": "yes",
                    "digest": Digest.of(data).hex,
                    "keywords": ["a", "b"],
                    "maintainers": [{"email": "e", "name": "n"}],
                    "name": "app",
                    "type": "application",
                    "urls": ["app-1.2.3.tgz"],
                    "version": "1.2.3",
                }
            ]
        },
    }


def test_charts_are_sorted_by_name_and_newest_version_whatever_order_they_come_in() -> None:
    charts = [_item(chart("b", version)) for version in ("1.9.0", "1.10.0", "1.10.0-rc.1")]
    charts.append(_item(chart("a", "0.1.0")))

    one = repository_index(charts, WHEN)
    other = repository_index(charts[::-1], WHEN.astimezone(timezone(timedelta(hours=5))))

    assert one == other
    entries = yaml.safe_load(one)["entries"]
    assert list(entries) == ["a", "b"]
    assert [item["version"] for item in entries["b"]] == ["1.10.0", "1.10.0-rc.1", "1.9.0"]


def test_a_chart_that_is_there_twice_is_refused() -> None:
    item = _item(chart())

    with pytest.raises(UsageError, match="same name and version"):
        repository_index([item, item], WHEN)


def test_an_empty_index_is_one() -> None:
    assert yaml.safe_load(repository_index([], WHEN))["entries"] == {}


def test_our_own_reader_finds_published_charts_in_our_index() -> None:
    items = [
        _item(real_chart(name).read_bytes())
        for name in ("cilium-1.16.5.tgz", "cilium-1.16.6.tgz", "tetragon-1.3.0.tgz")
    ]
    index = repository_index(items, WHEN)

    entry = find_entry(index, "cilium", "1.16.5", where="index.yaml")

    assert entry.urls == ("cilium-1.16.5.tgz",)
    assert entry.digest == items[0].digest
