import pytest

from petra.errors import UsageError
from petra.helm.web import WebUrl


@pytest.mark.parametrize(
    ("repo", "reference", "url"),
    [
        ("https://h.example/charts", "index.yaml", "https://h.example/charts/index.yaml"),
        ("https://h.example/charts/", "index.yaml", "https://h.example/charts/index.yaml"),
        ("https://h.example", "a/b.tgz", "https://h.example/a/b.tgz"),
        ("https://h.example/charts", "/b.tgz", "https://h.example/b.tgz"),
        ("https://h.example/charts?t=1", "b.tgz", "https://h.example/charts/b.tgz?t=1"),
        ("https://h.example/charts", "http://o.example/b.tgz", "http://o.example/b.tgz"),
        ("https://[::1]:8443/c", "b.tgz", "https://[::1]:8443/c/b.tgz"),
    ],
)
def test_references_are_joined_as_helm_joins_them(repo: str, reference: str, url: str) -> None:
    assert WebUrl.parse(repo).join(reference) == url


def test_userinfo_becomes_a_header_for_that_origin_alone() -> None:
    url = WebUrl.parse("https://us%40er:p%3Aw@h.example/charts")

    assert url.url == "https://h.example/charts"
    assert url.headers_for("https://h.example:443/x") == {"Authorization": "Basic dXNAZXI6cDp3"}
    assert url.headers_for("http://h.example/x") == {}
    assert url.headers_for("https://h.example:8443/x") == {}
    assert url.headers_for("https://other.example/x") == {}
    assert "dXN" not in repr(url)


def test_the_neighbour_of_a_file_keeps_its_query() -> None:
    assert WebUrl.parse("https://h.example/a.tgz?t=1").beside(".prov") == (
        "https://h.example/a.tgz.prov?t=1"
    )


@pytest.mark.parametrize(
    "text", ["ftp://h/x", "https://", "https://h:99999/x", "https://h/a b", "https://[::1/x", "x"]
)
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a URL"):
        WebUrl.parse(text)


def test_a_refused_url_shows_no_password() -> None:
    with pytest.raises(UsageError) as caught:
        WebUrl.parse("ftp://user:secret@h.example/x?token=secret")

    assert "secret" not in str(caught.value)
