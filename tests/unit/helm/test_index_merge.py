"""Charts added to an index that is there already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from petra.content.digest import Digest
from petra.errors import FormatError
from petra.helm.documents import load_document
from petra.helm.index import repository_index
from petra.helm.index_merge import merge_index

OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)


@dataclass(frozen=True)
class One:
    metadata: dict[str, Any]
    digest: Digest


def one(name: str, version: str, content: str = "", **more: str) -> One:
    data = (content or f"{name} {version}").encode()
    return One({"apiVersion": "v2", "name": name, "version": version, **more}, Digest.of(data))


def merged(data: bytes | None, *charts: One) -> Any:
    return load_document(merge_index(data, charts, NEW, where="index.yaml"), where="merged")


def versions(index: Any, name: str) -> list[str]:
    return [entry["version"] for entry in index["entries"][name]]


BEFORE = repository_index([one("app", "1.9.0", appVersion="1.10"), one("db", "1.0.0")], OLD)


def test_without_an_index_a_new_one_is_made() -> None:
    charts = [one("app", "1.0.0")]

    assert merge_index(None, charts, NEW, where="i") == repository_index(charts, NEW)


def test_old_versions_and_other_charts_stay_word_for_word() -> None:
    before = load_document(BEFORE, where="before")

    after = merged(BEFORE, one("app", "1.10.0"))

    assert versions(after, "app") == ["1.10.0", "1.9.0"]
    assert after["entries"]["app"][1] == before["entries"]["app"][0]
    assert after["entries"]["db"] == before["entries"]["db"]
    assert after["generated"] == "2026-02-02T00:00:00Z"


def test_what_is_there_already_changes_no_byte() -> None:
    again = [one("app", "1.9.0", appVersion="1.10")]

    assert merge_index(BEFORE, again, NEW, where="i") is BEFORE


def test_another_archive_of_the_same_version_takes_its_place() -> None:
    changed = one("app", "1.9.0", content="other")

    after = merged(BEFORE, changed)

    assert versions(after, "app") == ["1.9.0"]
    assert after["entries"]["app"][0]["digest"] == changed.digest.hex


def test_an_entry_that_leads_elsewhere_comes_to_point_to_the_folder() -> None:
    away = BEFORE.replace(b"- app-1.9.0.tgz", b"- https://charts.example/app-1.9.0.tgz")
    assert away != BEFORE

    after = merged(away, one("app", "1.9.0", appVersion="1.10"))

    assert after["entries"]["app"][0]["urls"] == ["app-1.9.0.tgz"]


def test_the_index_of_an_empty_folder_takes_charts() -> None:
    empty = b"apiVersion: v1\nentries: {}\ngenerated: x\nserverInfo: {contextPath: /v1}\n"

    after = merged(empty, one("app", "1.0.0"))

    assert versions(after, "app") == ["1.0.0"]
    assert after["serverInfo"] == {"contextPath": "/v1"}


@pytest.mark.parametrize(
    "data", [b"", b"- a list\n", b"kind: Bundle\n", b"entries: text\n", b"entries: {app: text}\n"]
)
def test_what_is_no_index_is_refused_and_not_written_over(data: bytes) -> None:
    with pytest.raises(FormatError):
        merge_index(data, [one("app", "1.0.0")], NEW, where="index.yaml")
