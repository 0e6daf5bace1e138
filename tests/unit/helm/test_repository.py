import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import BytesStream
from petra.errors import (
    AccessError,
    ContentRefusedError,
    DigestMismatchError,
    FormatError,
    IncompleteError,
    NotFoundError,
    PetraError,
    TransportError,
    UsageError,
)
from petra.helm import repository as repository_module
from petra.helm.registry import LEGACY_CHART_TYPE
from petra.helm.repository import ChartSource, ResolvedChart, resolve_chart
from petra.oci.credentials import CredentialStore
from petra.oci.media_types import HELM_CHART, HELM_CONFIG, HELM_PROVENANCE, OCI_MANIFEST
from petra.oci.memory import MemoryTarget
from tests.support.charts import chart

REPO = "https://h.example/charts"
CHART = chart()
DIGEST = Digest.of(CHART)


class Web:
    """An HttpGetter over a dict: bytes, an error to raise, or a header to ask for."""

    def __init__(self, pages: Mapping[str, bytes | PetraError]) -> None:
        self.pages = pages
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.password: str | None = None

    def get(self, url: str, *, limit: int, headers: Mapping[str, str]) -> bytes:
        self.asked.append((url, headers))
        page = self.pages.get(url, NotFoundError("not there", where=url))
        if isinstance(page, PetraError):
            raise page
        if self.password and headers.get("Authorization") != self.password:
            raise AccessError("refused", where=url)
        assert len(page) <= limit
        return page


class Registries:
    def __init__(self) -> None:
        self.targets: dict[str, MemoryTarget] = {}

    def repository(self, registry: str, repository: str, /) -> MemoryTarget:
        return self.targets.setdefault(f"{registry}/{repository}", MemoryTarget())

    def push(
        self,
        name: str,
        tag: str,
        layers: list[tuple[str, bytes]],
        config_type: str = HELM_CONFIG,
        size: int | None = None,
    ) -> Digest:
        target = self.targets.setdefault(name, MemoryTarget())
        blobs = [(config_type, b"{}"), *layers]
        descriptors = [Descriptor.of(media_type, data) for media_type, data in blobs]
        for descriptor, (_, data) in zip(descriptors, blobs, strict=True):
            target.push(descriptor, BytesStream(data))
        config, *rest = (descriptor.to_json() for descriptor in descriptors)
        if size:
            rest[0]["size"] = size
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": rest}
        raw = json.dumps(manifest).encode()
        target.push(Descriptor.of(OCI_MANIFEST, raw), BytesStream(raw))
        target.tag(Descriptor.of(OCI_MANIFEST, raw), tag)
        return Digest.of(raw)


def _index(*urls: str, digest: str | None = DIGEST.hex, version: str = "1.2.3") -> bytes:
    entry: dict[str, Any] = {"version": version, "urls": list(urls) or ["app-1.2.3.tgz"]}
    if digest:
        entry["digest"] = digest
    return json.dumps({"apiVersion": "v1", "entries": {"app": [entry]}}).encode()


def _pages(index: bytes, data: bytes = CHART) -> dict[str, bytes | PetraError]:
    return {f"{REPO}/index.yaml": index, f"{REPO}/app-1.2.3.tgz": data}


def _resolve(
    web: Web | None = None, repo: str = REPO, version: str = "1.2.3", **more: Any
) -> ResolvedChart:
    http = web or Web(_pages(_index()))
    registries = more.pop("registries", Registries())
    return resolve_chart("app", repo, version, http=http, registries=registries, **more)


def test_a_chart_is_found_by_the_index_and_checked_against_it() -> None:
    found = _resolve(Web(_pages(_index()) | {f"{REPO}/app-1.2.3.tgz.prov": b"signed"}))

    assert (found.name, found.version, found.file_name) == ("app", "1.2.3", "app-1.2.3.tgz")
    assert (found.digest, found.digest_source, found.size) == (DIGEST, "index", len(CHART))
    assert (found.repo, found.url) == (REPO, f"{REPO}/app-1.2.3.tgz")
    assert found.data == CHART
    assert found.provenance == b"signed"
    assert found.metadata["apiVersion"] == "v2"
    assert (found.app_version, found.deprecated) == (None, False)
    assert "signed" not in repr(found)


def test_without_a_digest_in_the_index_it_is_computed() -> None:
    found = _resolve(Web(_pages(_index(digest=None))))

    assert (found.digest, found.digest_source, found.provenance) == (DIGEST, "computed", None)


def test_another_digest_than_the_indexs_is_refused() -> None:
    other = chart(description="another")

    with pytest.raises(DigestMismatchError, match=r"chart app 1\.2\.3") as caught:
        _resolve(Web(_pages(_index(), other)))

    assert REPO in caught.value.message
    assert (caught.value.expected, caught.value.found) == (DIGEST, Digest.of(other))
    assert caught.value.exit_status == 3


def test_a_leading_v_makes_no_difference() -> None:
    data = chart("app", "v1.2.3")
    index = _index(version="v1.2.3", digest=Digest.of(data).hex)

    found = _resolve(Web(_pages(index, data)))

    assert found.file_name == "app-v1.2.3.tgz"
    assert (found.requested, found.version) == ("1.2.3", "v1.2.3")


@pytest.mark.parametrize(
    "data", [chart("other", "1.2.3"), chart("app", "1.2.4")], ids=["name", "version"]
)
def test_another_chart_than_was_asked_for_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="another chart") as caught:
        _resolve(Web(_pages(_index(digest=None), data)))

    assert caught.value.expected == "app 1.2.3"


def test_a_chart_that_lacks_its_dependencies_is_refused() -> None:
    data = chart(dependencies=[{"name": "sub", "version": "1.0.0"}])

    with pytest.raises(IncompleteError, match="depends") as caught:
        _resolve(Web(_pages(_index(digest=None), data)))

    assert caught.value.expected == "sub"


def test_a_chart_with_a_program_is_refused() -> None:
    data = chart(more={"bin/x": b"\x7fELF"})

    with pytest.raises(ContentRefusedError) as caught:
        _resolve(Web(_pages(_index(digest=None), data)))

    assert caught.value.where == "app-1.2.3.tgz: app/bin/x"


def test_a_name_that_is_too_long_for_a_bundle_is_refused() -> None:
    version = "1.2.3-" + "x" * 100
    data = chart("app", version)
    web = Web(_pages(_index(digest=None, version=version), data))

    with pytest.raises(FormatError, match="too long"):
        _resolve(web, version=version)


def test_an_absolute_url_is_followed_without_the_repositorys_credentials() -> None:
    other = "https://cdn.example/app-1.2.3.tgz"
    web = Web({f"{REPO}/index.yaml": _index(other), other: CHART})

    found = _resolve(web, "https://user:secret@h.example/charts")

    assert found.url == other
    assert found.repo == REPO
    headers = {url: dict(sent) for url, sent in web.asked}
    assert "Authorization" in headers[f"{REPO}/index.yaml"]
    assert headers[other] == {}


def test_a_relative_url_gets_the_repositorys_credentials() -> None:
    web = Web(_pages(_index()))
    web.password = "Basic dXNlcjpzZWNyZXQ="

    assert _resolve(web, "https://user:secret@h.example/charts").digest == DIGEST


def test_credentials_of_dockers_configuration_are_sent_when_asked_for(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {"h.example": {"auth": "dXNlcjpzZWNyZXQ="}}}))
    web = Web(_pages(_index()))
    web.password = "Basic dXNlcjpzZWNyZXQ="
    credentials = CredentialStore(config)

    assert (
        ChartSource(http=web, registries=Registries(), credentials=credentials)
        .resolve("app", REPO, "1.2.3")
        .digest
        == DIGEST
    )
    assert web.asked[0][1] == {}


def test_a_refusal_stays_one_without_credentials(tmp_path: Path) -> None:
    web = Web(_pages(_index()))
    web.password = "Basic x"
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(AccessError):
        _resolve(web)
    with pytest.raises(AccessError):
        ChartSource(
            http=web,
            registries=Registries(),
            credentials=CredentialStore(tmp_path / "config.json"),
        ).resolve("app", REPO, "1.2.3")


@pytest.mark.parametrize("error", [NotFoundError("gone"), TransportError("down")])
def test_the_next_url_is_tried_where_one_has_it_not(error: PetraError) -> None:
    first = "https://one.example/app.tgz"
    pages = _pages(_index(first, "app-1.2.3.tgz")) | {first: error}

    assert _resolve(Web(pages)).url == f"{REPO}/app-1.2.3.tgz"
    with pytest.raises(type(error)):
        _resolve(Web({f"{REPO}/index.yaml": _index(first), first: error}))


def test_from_https_to_http_needs_a_digest() -> None:
    plain = "http://h.example/app-1.2.3.tgz"

    assert _resolve(Web({f"{REPO}/index.yaml": _index(plain), plain: CHART})).url == plain
    with pytest.raises(FormatError, match="from https to http"):
        _resolve(Web({f"{REPO}/index.yaml": _index(plain, digest=None), plain: CHART}))


def test_a_missing_index_is_told_as_such() -> None:
    with pytest.raises(NotFoundError, match=r"no index\.yaml") as caught:
        _resolve(Web({}), "https://user:secret@h.example/charts")

    assert caught.value.where == f"{REPO}/index.yaml"
    assert "oci://" in (caught.value.hint or "")


def test_an_index_is_fetched_once_for_all_charts_and_threads() -> None:
    web = Web(_pages(_index()))
    source = ChartSource(http=web, registries=Registries())

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: source.resolve("app", REPO, "1.2.3"), range(8)))

    assert {item.digest for item in found} == {DIGEST}
    assert [url for url, _ in web.asked].count(f"{REPO}/index.yaml") == 1


def test_indexes_are_forgotten_when_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_module, "REMEMBERED_LIMIT", 10)
    web = Web(_pages(_index()))
    source = ChartSource(http=web, registries=Registries())

    for _ in range(2):
        assert source.resolve("app", REPO, "1.2.3").digest == DIGEST

    assert [url for url, _ in web.asked].count(f"{REPO}/index.yaml") == 2


@pytest.mark.parametrize("repo", ["ftp://h.example/x", "h.example/charts", "https://", "oci://x/y"])
def test_what_is_no_repository_is_refused(repo: str) -> None:
    with pytest.raises(UsageError):
        _resolve(repo=repo)


def test_a_range_is_refused_before_anything_is_asked() -> None:
    web = Web({})

    with pytest.raises(UsageError, match="not exact"):
        _resolve(web, version="^1.2")

    assert web.asked == []


@pytest.mark.parametrize("media_type", [HELM_CHART, LEGACY_CHART_TYPE])
def test_a_chart_is_found_in_a_registry(media_type: str) -> None:
    registries = Registries()
    layers = [(media_type, CHART), (HELM_PROVENANCE, b"signed")]
    manifest = registries.push("r.example:5000/team/charts/app", "1.2.3", layers)

    found = _resolve(repo="oci://r.example:5000/team/charts/", registries=registries)

    assert (found.digest, found.digest_source, found.manifest_digest) == (
        DIGEST,
        "manifest",
        manifest,
    )
    assert found.url == "oci://r.example:5000/team/charts/app:1.2.3"
    assert found.provenance == b"signed"


def test_build_metadata_stands_in_a_tag_with_another_sign() -> None:
    registries = Registries()
    data = chart("app", "1.2.3+build.5")
    registries.push("r.example/app", "1.2.3_build.5", [(HELM_CHART, data)])

    found = _resolve(repo="oci://r.example", version="1.2.3+build.5", registries=registries)

    assert found.file_name == "app-1.2.3+build.5.tgz"


@pytest.mark.parametrize("which", ["layer", "manifest", "neither"])
def test_an_index_may_lead_to_a_registry_and_name_either_digest(which: str) -> None:
    registries = Registries()
    manifest = registries.push("r.example/app", "1.2.3", [(HELM_CHART, CHART)])
    digest = {"layer": DIGEST.hex, "manifest": manifest.hex, "neither": "0" * 64}[which]
    web = Web({f"{REPO}/index.yaml": _index("oci://r.example/app:1.2.3", digest=digest)})

    if which == "neither":
        with pytest.raises(DigestMismatchError):
            _resolve(web, registries=registries)
    else:
        assert _resolve(web, registries=registries).digest == DIGEST


def test_an_unknown_chart_in_a_registry_is_told_with_how_names_are_made() -> None:
    with pytest.raises(NotFoundError, match=r"no chart at oci://r\.example/app:1\.2\.3") as caught:
        _resolve(repo="oci://r.example")

    assert "HOST/PATH/NAME" in (caught.value.hint or "")


def test_an_image_is_no_chart() -> None:
    registries = Registries()
    image = "application/vnd.oci.image.config.v1+json"
    registries.push("r.example/app", "1.2.3", [("text/plain", b"x")], image)

    with pytest.raises(FormatError, match="not a chart") as caught:
        _resolve(repo="oci://r.example", registries=registries)

    assert caught.value.found == image


@pytest.mark.parametrize("layers", [[], [(HELM_CHART, b"a"), (HELM_CHART, b"b")]])
def test_a_chart_manifest_has_one_chart(layers: list[tuple[str, bytes]]) -> None:
    registries = Registries()
    registries.push("r.example/app", "1.2.3", layers)

    with pytest.raises(FormatError, match="without one chart layer"):
        _resolve(repo="oci://r.example", registries=registries)


def test_a_huge_layer_is_refused_before_it_is_fetched() -> None:
    registries = Registries()
    registries.push("r.example/app", "1.2.3", [(HELM_CHART, CHART)], size=1 << 30)

    with pytest.raises(ContentRefusedError, match="larger"):
        _resolve(repo="oci://r.example", registries=registries)


def test_a_layer_of_another_size_than_its_manifest_says_is_refused() -> None:
    registries = Registries()
    registries.push("r.example/app", "1.2.3", [(HELM_CHART, CHART)], size=len(CHART) + 1)

    with pytest.raises(PetraError):
        _resolve(repo="oci://r.example", registries=registries)


def test_credentials_in_the_address_of_a_registry_are_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        _resolve(repo="oci://user:secret@r.example/charts")

    assert "secret" not in str(caught.value)


def test_a_folder_of_archives_is_a_repository(tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "app-1.2.3.tgz").write_bytes(CHART)

    for repo in ("./charts", str(tmp_path / "charts"), f"file://{tmp_path}/charts"):
        found = _resolve(repo=repo, folder=tmp_path)
        assert (found.digest, found.digest_source) == (DIGEST, "computed")
    with pytest.raises(NotFoundError) as caught:
        _resolve(repo="./charts", folder=tmp_path, version="9.9.9")
    assert caught.value.found == "app-1.2.3.tgz"
    with pytest.raises(NotFoundError, match="no such folder"):
        _resolve(repo="./gone", folder=tmp_path)


def test_a_folder_with_an_index_is_read_by_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my app.tgz").write_bytes(CHART)
    (tmp_path / "index.yaml").write_bytes(_index("sub/my%20app.tgz"))

    assert _resolve(repo=str(tmp_path)).digest_source == "index"
    (tmp_path / "sub" / "my app.tgz").write_bytes(chart(description="another"))
    with pytest.raises(DigestMismatchError):
        _resolve(repo=str(tmp_path))


@pytest.mark.parametrize("url", ["../secret", "/etc/passwd", "%2e%2e/secret"])
def test_the_index_of_a_folder_leads_nowhere_else(url: str, tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "secret").write_bytes(CHART)
    (tmp_path / "charts" / "index.yaml").write_bytes(_index(url))

    with pytest.raises(ContentRefusedError, match="leads out"):
        _resolve(repo="./charts", folder=tmp_path)


def test_the_index_of_a_folder_may_lead_to_the_web(tmp_path: Path) -> None:
    url = "https://cdn.example/app.tgz"
    (tmp_path / "index.yaml").write_bytes(_index(url))

    assert _resolve(Web({url: CHART}), repo=str(tmp_path)).url == url


def test_a_file_that_is_missing_or_too_large_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.yaml").write_bytes(_index())

    with pytest.raises(NotFoundError, match="no such file"):
        _resolve(repo=str(tmp_path))
    monkeypatch.setattr(repository_module, "COMPRESSED_LIMIT", 10)
    (tmp_path / "app-1.2.3.tgz").write_bytes(CHART)
    with pytest.raises(ContentRefusedError, match="too large"):
        _resolve(repo=str(tmp_path))
