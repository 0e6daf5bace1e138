import gzip
import json

import pytest

from petra.errors import FormatError, NotFoundError
from petra.helm import index_file
from petra.helm.index_file import find_entry, plain_index

HEX = "0123456789abcdef" * 4
INDEX = f"""\
apiVersion: v1
# a comment
entries:
  # another

  alpha:
  - version: 1.10
    urls: [alpha-1.10.tgz]
  app:
  - annotations:
      note: |
        app:
        - not: this
    version: 2.0.0
    digest: {HEX}
    urls:
    - app-2.0.0.tgz
    - https://other.example/app-2.0.0.tgz
  - version: v1.0.0
    urls:
    - charts/app-1.0.0.tgz
  app-more:
  - version: 9.0.0
    urls: [app-more-9.0.0.tgz]
generated: "2026-11-01T12:00:00Z"
""".encode()


def test_one_version_of_one_chart_is_found() -> None:
    entry = find_entry(INDEX, "app", "2.0.0", where="index.yaml")

    assert entry.version == "2.0.0"
    assert entry.urls == ("app-2.0.0.tgz", "https://other.example/app-2.0.0.tgz")
    assert entry.digest == f"sha256:{HEX}"


def test_a_leading_v_makes_no_difference_and_no_digest_is_none() -> None:
    entry = find_entry(INDEX, "app", "1.0.0", where="index.yaml")

    assert entry.version == "v1.0.0"
    assert entry.digest is None


def test_the_very_same_text_wins_over_one_with_a_v() -> None:
    data = b"entries:\n  a:\n  - {version: v1.0.0, urls: [x]}\n  - {version: 1.0.0, urls: [y]}\n"

    assert find_entry(data, "a", "1.0.0", where="i").urls == ("y",)


def test_an_unquoted_version_keeps_its_zero() -> None:
    assert find_entry(INDEX, "alpha", "1.10", where="index.yaml").urls == ("alpha-1.10.tgz",)


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"entries": {"a": [{"version": "1.0.0", "urls": ["x"]}]}}).encode(),
        json.dumps({"entries": {"a": [{"version": "1.0.0", "urls": ["x"]}]}}, indent=2).encode(),
        b'{"entries":{"a":[{"version":"1.0.0","urls":["x"]}]}}',
        b"entries: {a: [{version: 1.0.0, urls: [x]}]}\n",
        b"entries:\n    a:\n      - {version: 1.0.0, urls: [x]}\n",
        b"entries:\r\n  'a':\r\n  - version: 1.0.0\r\n    urls: [x]\r\n",
        b'---\nentries:\n  "a":\n  - version: 1.0.0\n    urls: [x]\n...\n',
        b"entries:\n  a:\n  - version: 1.0.1\n    urls: &u [x]\n  - version: 1.0.0\n    urls: *u\n",
        b"entries:\n  ? a\n  : - version: 1.0.0\n      urls: [x]\n",
        b"entries:\n  b:\n  - name: b\n  a: [{version: 1.0.0, urls: [x]}]\n",
        b"entries:\n  a:\n  - version: 1.0.0\n    urls: [x]",
    ],
    ids=range(11),
)
def test_other_layouts_are_read_as_well(data: bytes) -> None:
    assert find_entry(data, "a", "1.0.0", where="i").urls == ("x",)


def test_an_unknown_chart_is_told_with_the_nearest_names() -> None:
    with pytest.raises(NotFoundError, match="no chart appp") as caught:
        find_entry(INDEX, "appp", "1.0.0", where="index.yaml")

    assert "app" in (caught.value.hint or "")
    assert caught.value.exit_status == 1


def test_an_unknown_version_is_told_with_the_newest() -> None:
    with pytest.raises(NotFoundError, match=r"no version 3\.0\.0") as caught:
        find_entry(INDEX, "app", "3.0.0", where="index.yaml")

    assert "2.0.0, v1.0.0" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["more", "note", "not"])
def test_a_word_that_stands_elsewhere_is_no_chart(name: str) -> None:
    with pytest.raises(NotFoundError):
        find_entry(INDEX, name, "1.0.0", where="index.yaml")


@pytest.mark.parametrize(
    "data",
    [
        b"<!doctype html><html><body>Not here: a</body></html>",
        b"",
        b"- a",
        b"apiVersion: v1\n",
        b"entries:\n  a: text\n",
        b"entries:\n  a:\n  - version: 1.0.0\n",
        b"entries:\n  a:\n  - version: 1.0.0\n    urls: []\n",
        b"entries:\n  a:\n  - version: 1.0.0\n    urls: [{b: c}]\n",
        b"entries:\n  a:\n  - version: 1.0.0\n    urls: [x]\n    digest: md5:123\n",
        b"entries:\n  a:\n  - version: [\n",
        b"entries:\n  a:\n  - \xff\n",
    ],
    ids=range(11),
)
def test_what_is_no_index_or_a_broken_one_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        find_entry(data, "a", "1.0.0", where="index.yaml")


def test_an_index_that_has_no_charts_has_not_this_one() -> None:
    with pytest.raises(NotFoundError):
        find_entry(b"apiVersion: v1\nentries: {}\n", "a", "1.0.0", where="index.yaml")


def test_a_broken_entry_of_another_chart_does_not_matter() -> None:
    data = b"entries:\n  a:\n  - {version: 1.0.0, urls: [x]}\n  b:\n  - [unclosed\n"

    assert find_entry(data, "a", "1.0.0", where="i").urls == ("x",)


def test_a_compressed_index_is_expanded_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_index(INDEX, where="i") == INDEX
    assert plain_index(gzip.compress(INDEX), where="i") == INDEX
    with pytest.raises(FormatError):
        plain_index(gzip.compress(INDEX)[:-9], where="i")
    with pytest.raises(FormatError):
        plain_index(b"\x1f\x8bnot gzip at all", where="i")
    monkeypatch.setattr(index_file, "INDEX_LIMIT", 100)
    with pytest.raises(FormatError, match="too large"):
        plain_index(gzip.compress(INDEX), where="i")
