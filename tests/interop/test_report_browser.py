"""The report in a real browser: it renders, filters, prints whole, and asks nobody for anything."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from petra.content.digest import Digest
from petra.report.page import Facts, report
from tests.support.report_samples import lock, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1280,1000",
)


@pytest.fixture(scope="module")
def browser(
    tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[webdriver.Chrome]:
    """Chromium with the page open."""
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "report.html"
    facts = Facts("shop-1.4.0.tar.zst", 123_456_789, Digest.of(b"bundle"), "cd" * 32)
    page.write_bytes(report(metadata(), lock(), facts))
    options = webdriver.ChromeOptions()
    options.binary_location = str(tools("chromium"))
    for argument in (*_QUIET, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=str(tools("chromedriver")))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.get(page.as_uri())
        yield driver
    finally:
        driver.quit()


def _rows(browser: webdriver.Chrome) -> list[str]:
    rows = browser.find_elements(By.CSS_SELECTOR, "#findings-table tbody tr")
    return [row.text.split()[1] for row in rows if row.is_displayed()]


def _messages(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    logs: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]  # selenium's
    return logs


def test_it_renders_without_a_complaint_and_asks_for_itself_alone(
    browser: webdriver.Chrome,
) -> None:
    assert browser.title == "shop 1.4.0: bundle report"
    assert _messages(browser, "browser") == []
    asked = [
        line["message"]
        for line in _messages(browser, "performance")
        if '"Network.requestWillBeSent"' in line["message"]
    ]
    # Chromium's own first tab asks for parts of its own.
    ours = [message for message in asked if '"documentURL":"file:' in message]
    assert len(ours) == 1
    assert not [message for message in asked if '"url":"http' in message]


def test_findings_are_filtered_by_severity_fate_and_text(browser: webdriver.Chrome) -> None:
    assert len(_rows(browser)) == 4
    browser.find_element(By.CSS_SELECTOR, "input[value=critical]").click()
    assert _rows(browser) == ["CVE-2099-0003", "CVE-2099-0002", "CVE-2099-0004"]
    browser.find_element(By.CSS_SELECTOR, "input[value=passes]").click()
    assert _rows(browser) == ["CVE-2099-0003"]
    assert browser.find_element(By.ID, "shown").text == "1 of 4 shown"
    for value in ("critical", "passes"):
        browser.find_element(By.CSS_SELECTOR, f"input[value={value}]").click()
    search = browser.find_element(By.NAME, "text")
    search.send_keys("OPENSSL")
    assert _rows(browser) == ["CVE-2099-0001"]
    search.clear()
    search.send_keys(" ")
    assert len(_rows(browser)) == 4


def test_nothing_runs_wider_than_the_window(browser: webdriver.Chrome) -> None:
    script = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.execute_script(script) is True


def test_on_paper_every_finding_is_there_whatever_is_filtered(browser: webdriver.Chrome) -> None:
    search = browser.find_element(By.NAME, "text")
    search.clear()
    search.send_keys("openssl")
    pdf = base64.b64decode(browser.print_page())
    assert pdf.startswith(b"%PDF-")
    shown = "return [...document.querySelectorAll('#findings-table tbody tr')].map(r => r.hidden)"
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(shown) == [False] * 4
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(shown).count(True) == 3
