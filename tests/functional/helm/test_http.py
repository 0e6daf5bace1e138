import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from petra.content.digest import Digest
from petra.errors import (
    AccessError,
    DigestMismatchError,
    FormatError,
    NotFoundError,
    PetraError,
    TransportError,
)
from petra.helm.index_file import INDEX_LIMIT
from petra.helm.repository import ChartSource, ResolvedChart
from petra.helm.tarball import COMPRESSED_LIMIT
from petra.oci.registry import RegistryClient, RegistryOptions
from petra.oci.retry import RetryPolicy
from tests.support.chart_server import ChartServer, Page, running_chart_server
from tests.support.charts import chart

CHART = chart(appVersion="2.0")
DIGEST = Digest.of(CHART)
BASIC = "Basic dXNlcjpzZWNyZXQ="


def _index(*urls: str, digest: str | None = DIGEST.hex) -> bytes:
    entry: dict[str, Any] = {"version": "1.2.3", "urls": list(urls) or ["app-1.2.3.tgz"]}
    entry |= {"digest": digest} if digest else {}
    return json.dumps({"apiVersion": "v1", "entries": {"app": [entry]}}).encode()


@pytest.fixture
def server() -> Iterator[ChartServer]:
    pages: dict[str, bytes | Page] = {"/c/index.yaml": _index(), "/c/app-1.2.3.tgz": CHART}
    with running_chart_server(pages) as running:
        yield running


def _resolve(server: ChartServer, repo: str = "", config: Path | None = None) -> ResolvedChart:
    options = RegistryOptions(timeout=5, retries=2, docker_config=config)
    quick = RetryPolicy(sleep=lambda _: None)
    with RegistryClient(options, retry=quick, environ={}) as client:
        return ChartSource.of(client).resolve("app", repo or f"{server.url}/c", "1.2.3")


def test_a_chart_comes_over_http_byte_for_byte(server: ChartServer) -> None:
    server.pages["/c/app-1.2.3.tgz.prov"] = Page(b"signed")

    found = _resolve(server)

    assert found.data == CHART
    assert (found.digest, found.digest_source, found.app_version) == (DIGEST, "index", "2.0")
    assert found.provenance == b"signed"
    assert server.asked("/c/index.yaml")[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("encode", [False, True], ids=["announced", "stored"])
def test_an_index_that_a_server_only_has_compressed_is_read(
    server: ChartServer,
    encode: bool,  # noqa: FBT001
) -> None:
    headers = {"Content-Encoding": "gzip"} if encode else {}
    server.pages["/c/index.yaml"] = Page(gzip.compress(_index()), headers=headers)

    assert _resolve(server).digest == DIGEST


def test_a_wrong_digest_is_refused_naming_chart_and_repository(server: ChartServer) -> None:
    server.pages["/c/app-1.2.3.tgz"] = Page(chart(appVersion="another"))

    with pytest.raises(DigestMismatchError) as caught:
        _resolve(server)

    assert caught.value.message.startswith(f"chart app 1.2.3 of {server.url}/c")
    assert caught.value.exit_status == 3


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (Page(b"", 404), NotFoundError),
        (Page(b"", 403), AccessError),
        (Page(b"", 500), TransportError),
        (Page(b"<html>welcome</html>"), FormatError),
        (Page(b"x", claim=INDEX_LIMIT + 1, cut=1), FormatError),
        (Page(_index(), cut=20), TransportError),
    ],
    ids=["absent", "refused", "broken", "html", "huge", "truncated"],
)
def test_an_index_that_is_none_is_an_error(
    server: ChartServer, page: Page, error: type[PetraError]
) -> None:
    server.pages["/c/index.yaml"] = page

    with pytest.raises(error) as caught:
        _resolve(server)

    assert server.url in (caught.value.where or "")


def test_an_index_without_an_announced_size_is_bounded_too(server: ChartServer) -> None:
    huge = b"#" + b" " * INDEX_LIMIT
    server.pages["/c/index.yaml"] = Page(huge, claim=-1)

    with pytest.raises(FormatError, match="too large"):
        _resolve(server)


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (Page(b"", 404), NotFoundError),
        (Page(CHART, cut=100), TransportError),
        (Page(CHART[:100]), DigestMismatchError),
        (Page(CHART[:100], claim=-1), DigestMismatchError),
        (Page(b"x", claim=COMPRESSED_LIMIT + 1, cut=1), FormatError),
    ],
    ids=["absent", "cut", "shorter", "unannounced", "huge"],
)
def test_a_chart_that_does_not_come_whole_is_an_error(
    server: ChartServer, page: Page, error: type[PetraError]
) -> None:
    server.pages["/c/app-1.2.3.tgz"] = page

    with pytest.raises(error) as caught:
        _resolve(server)

    assert caught.value.where == f"{server.url}/c/app-1.2.3.tgz"


def test_without_a_digest_a_truncated_chart_is_still_refused(server: ChartServer) -> None:
    server.pages["/c/index.yaml"] = Page(_index(digest=None))
    server.pages["/c/app-1.2.3.tgz"] = Page(CHART[:-20], claim=-1)

    with pytest.raises(FormatError, match="cut short"):
        _resolve(server)


def test_a_server_that_recovers_is_asked_again(server: ChartServer) -> None:
    good = server.pages["/c/app-1.2.3.tgz"]
    server.pages["/c/app-1.2.3.tgz"] = Page(CHART, cut=100, times=1, then=good)
    server.pages["/c/index.yaml"] = Page(b"", 503, times=1, then=Page(_index()))

    assert _resolve(server).digest == DIGEST
    assert len(server.asked("/c/app-1.2.3.tgz")) == 2


def test_a_redirect_to_another_server_takes_no_credentials_along(server: ChartServer) -> None:
    with running_chart_server({"/moved/app.tgz": CHART}) as other:
        target = f"{other.url}/moved/app.tgz?sign=abc"
        other.pages["/moved/app.tgz?sign=abc"] = Page(CHART)
        server.pages["/c/index.yaml"].authorization = BASIC
        server.pages["/c/app-1.2.3.tgz"] = Page(
            status=302, headers={"Location": target}, authorization=BASIC
        )

        found = _resolve(server, server.url.replace("//", "//user:secret@") + "/c")

        assert found.digest == DIGEST
        assert server.asked("/c/app-1.2.3.tgz")[0]["authorization"] == BASIC
        assert all("authorization" not in headers for _, headers in other.requests)
    assert "secret" not in f"{found!r} {found.repo} {found.url}"


def test_redirects_in_a_circle_have_an_end(server: ChartServer) -> None:
    server.pages["/c/index.yaml"] = Page(status=302, headers={"Location": "/c/index.yaml"})

    with pytest.raises(TransportError, match="redirects"):
        _resolve(server)


def test_dockers_credentials_serve_chart_repositories(server: ChartServer, tmp_path: Path) -> None:
    host = server.url.removeprefix("http://")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {host: {"auth": BASIC.removeprefix("Basic ")}}}))
    for page in server.pages.values():
        page.authorization = BASIC

    assert _resolve(server, config=config).digest == DIGEST
    config.write_text("{}")
    with pytest.raises(AccessError):
        _resolve(server, config=config)


def test_wrong_credentials_in_the_url_are_not_shown(server: ChartServer) -> None:
    server.pages["/c/index.yaml"].authorization = BASIC

    with pytest.raises(AccessError) as caught:
        _resolve(server, server.url.replace("//", "//user:wrong-one@") + "/c")

    assert "wrong-one" not in str(caught.value)


def test_plain_http_to_others_is_refused_unless_it_is_named(server: ChartServer) -> None:
    with pytest.raises(TransportError, match="plain HTTP"):
        _resolve(server, "http://charts.invalid/c")
