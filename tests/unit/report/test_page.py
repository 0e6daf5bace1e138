"""The report page: everything is in it, nothing comes from outside, strangers' texts stay texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from petra.content.digest import Digest
from petra.report.layers import WIDTH, picture
from petra.report.page import Facts, report
from petra.report.view import attention, counts, rows
from tests.support import report_samples
from tests.support.report_samples import HOSTILE, lock, metadata

FACTS = Facts("shop-1.4.0.tar.zst", 123_456_789, Digest.of(b"bundle"), "cd" * 32)


class _Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._in or self._in[-1] not in ("script", "style"):
            self.text += data


def _page(facts: Facts = FACTS, **changes: Any) -> _Page:
    return _Page(report(metadata(**changes), lock(), facts).decode())


def test_nothing_comes_from_outside() -> None:
    page = _page()
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href")
    ]
    assert addresses
    assert all(value and value.startswith("#") for value in addresses)
    assert "url(" not in report(metadata(), lock(), FACTS).decode()


def test_its_own_policy_forbids_the_rest() -> None:
    policy = next(
        attributes["content"]
        for tag, attributes in _page().elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_the_policy_names_the_script_and_style_that_are_there() -> None:
    from base64 import b64encode

    text = report(metadata(), lock(), FACTS).decode()
    for tag in ("script", "style"):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(found) == 1
        assert b64encode(Digest.of(found[0].encode()).raw).decode() in text


def test_texts_of_strangers_are_text() -> None:
    page = _page()
    assert page.text.count(HOSTILE) >= 3
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]


def test_every_digest_and_signer_stands_there_whole() -> None:
    text = _page().text
    for image in metadata().images:
        assert image.digest in text
        assert image.reference in text
        for signature in image.signatures.verified:
            for part in (signature.key, signature.identity, signature.issuer, signature.root):
                assert part is None or part in text
    assert "log entry" in text
    assert "123456789 of log " + "c0" * 32 in text


def test_a_verified_bundle_says_by_which_key() -> None:
    text = _page().text
    assert "Signature verified" in text
    assert "cd" * 32 in text
    assert "UNVERIFIED" not in text


def test_an_unverified_bundle_says_so_first() -> None:
    text = _page(Facts("shop-1.4.0.tar.zst", 5)).text
    assert text.index("UNVERIFIED") < text.index("Images")
    assert "Signature verified" not in text


def test_what_was_skipped_or_is_missing_is_to_be_weighed_first() -> None:
    told = [(one.what, one.text) for one in attention(metadata(), verified=True)]
    assert [what for what, _ in told] == [
        *("skipped", "skipped", "no SBOM", "expired waiver", "not counted")
    ]
    assert "syft is not there" in dict(told)["no SBOM"]
    assert attention(metadata(), verified=False)[0].what == "unverified"


def test_a_bundle_with_nothing_to_weigh_says_so() -> None:
    images = [report_samples.value()["images"][0]]
    assert "Nothing was skipped, and nothing is missing." in _page(images=images).text


def test_findings_come_worst_first_with_what_became_of_them() -> None:
    assert [(row.finding.id, row.fate) for row in rows(metadata())] == [
        ("CVE-2099-0001", "waived"),
        ("CVE-2099-0003", "stops"),
        ("CVE-2099-0002", "passes"),
        ("CVE-2099-0004", "passes"),
    ]


def test_findings_are_counted_by_severity() -> None:
    found = counts(rows(metadata()))
    assert [*found] == ["critical", "high", "medium", "low", "negligible", "unknown"]
    assert [*found.values()] == [1, 1, 1, 1, 0, 0]


def test_a_waiver_stands_there_with_reason_source_and_end() -> None:
    text = _page().text
    for field in ("reason", "source", "justification", "expires"):
        assert report_samples.WAIVER[field] in text


def test_an_empty_bundle_has_a_page() -> None:
    text = _page(images=[], charts=[], platform=[]).text
    for line in ("No images.", "No charts.", "No finding is waived."):
        assert line in text


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert report(metadata(), lock(), FACTS) == report(metadata(), lock(), FACTS)


def test_shared_layers_have_one_colour_and_others_none() -> None:
    found = picture(lock().images)
    by_digest: dict[str, set[int | None]] = {}
    for bar in found.bars:
        for one in bar.segments:
            by_digest.setdefault(one.digest, set()).add(one.hue)
            assert (one.hue is None) == (one.images == 1)
    assert all(len(hues) == 1 for hues in by_digest.values())
    assert found.shared == 2
    assert (found.together, found.once) == (139_000_000, 61_000_000)


def test_a_bar_is_as_wide_as_its_image_is_large() -> None:
    web, worker, legacy = picture(lock().images).bars
    assert sum(one.width for one in web.segments) == pytest.approx(WIDTH)
    assert sum(one.width for one in legacy.segments) == pytest.approx(WIDTH * 30 / 57)
    assert worker.segments[1].x == pytest.approx(worker.segments[0].width)


def test_no_images_make_no_picture() -> None:
    assert picture(()).bars == ()
