"""The API without sockets: requests in, responses out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT, BytesStream
from petra.errors import NoSpaceError, PetraError
from petra.oci.copy import copy_graph
from petra.oci.layout import LayoutTarget
from petra.oci.media_types import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, OCTET_STREAM
from petra.oci.memory import MemoryTarget
from petra.serve.api import Api
from petra.serve.helm import MemoryHelm
from petra.serve.messages import Request, Response, split_target
from petra.serve.repositories import LayoutRepositories, MemoryRepositories, Repositories
from petra.serve.uploads import UploadLimits
from tests.support.graphs import push, push_image, push_index, push_referrer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petra.content.descriptor import Descriptor
    from petra.content.protocols import ByteStream

DATA = b"0123456789" * 100
DIGEST = Digest.of(DATA)


class Client:
    """Asks an Api."""

    def __init__(self, repositories: Repositories, **options: Any) -> None:
        self.errors: list[BaseException] = []
        self.api = Api(repositories, report=self.errors.append, **options)

    def __call__(
        self, method: str, target: str, body: bytes = b"", **headers: str | None
    ) -> Response:
        path, query = split_target(target)
        named = {k.replace("_", "-").lower(): v for k, v in headers.items() if v is not None}
        return self.api.answer(Request(method, path, query, named, BytesStream(body), len(body)))


def whole(response: Response) -> bytes:
    if response.stream is None:
        return response.body
    with response.stream() as stream:
        data = stream.read()
    assert len(data) == response.length
    return data


def error_of(response: Response) -> tuple[int, str]:
    (error,) = json.loads(response.body)["errors"]
    assert set(error) <= {"code", "message", "detail"}
    return response.status, error["code"]


@pytest.fixture
def repositories() -> MemoryRepositories:
    repositories = MemoryRepositories()
    target = repositories.create("cgr.dev/chainguard/nginx")
    index = push_index(target)
    for tag in ("latest", "1.27", "1.26"):
        target.tag(index, tag)
    push(target, OCI_LAYER, DATA)
    return repositories


@pytest.fixture
def target(repositories: MemoryRepositories) -> MemoryTarget:
    return repositories.create("cgr.dev/chainguard/nginx")


@pytest.fixture
def client(repositories: MemoryRepositories) -> Client:
    return Client(repositories)


NAME = "/v2/cgr.dev/chainguard/nginx"


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_base_says_that_this_is_a_registry(client: Client, path: str) -> None:
    response = client("GET", path)

    assert (response.status, response.body) == (200, b"{}")
    assert response.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_health(client: Client) -> None:
    response = client("GET", "/healthz")

    assert (response.status, response.body) == (200, b"ok\n")


@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest(client: Client, target: MemoryTarget, by: str, method: str) -> None:
    index = target.resolve("latest")
    reference = "latest" if by == "tag" else str(index.digest)

    response = client(method, f"{NAME}/manifests/{reference}")

    assert response.status == 200
    assert Digest.of(response.body) == index.digest
    assert response.headers == {
        "Content-Type": OCI_INDEX,
        "Docker-Content-Digest": index.digest,
        "ETag": f'"{index.digest}"',
        "Docker-Distribution-Api-Version": "registry/2.0",
    }


def test_what_the_client_knows_is_not_sent_again(client: Client, target: MemoryTarget) -> None:
    etag = f'"{target.resolve("latest").digest}"'

    manifest = client("GET", f"{NAME}/manifests/latest", if_none_match=f'"other", W/{etag}')
    blob = client("GET", f"{NAME}/blobs/{DIGEST}", if_none_match=f'"{DIGEST}"')

    assert (manifest.status, blob.status) == (304, 304)
    assert manifest.body == b""
    assert blob.stream is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{NAME}/manifests/absent", 404, "MANIFEST_UNKNOWN"),
        (f"{NAME}/manifests/{DIGEST}", 404, "MANIFEST_UNKNOWN"),
        (f"{NAME}/manifests/.absent", 404, "MANIFEST_UNKNOWN"),
        (f"{NAME}/manifests/sha256:zz", 400, "DIGEST_INVALID"),
        (f"{NAME}/blobs/{Digest.of(b'absent')}", 404, "BLOB_UNKNOWN"),
        (f"{NAME}/blobs/sha512:{'0' * 128}", 400, "DIGEST_INVALID"),
        (f"{NAME}/blobs/..", 400, "DIGEST_INVALID"),
        ("/v2/absent/manifests/latest", 404, "NAME_UNKNOWN"),
        ("/v2/absent/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/UPPER/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/a/../b/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/%2e%2e/%2e%2e/etc/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/a//b/tags/list", 400, "NAME_INVALID"),
        ("/v2/" + "a" * 300 + "/tags/list", 400, "NAME_INVALID"),
        ("/v2/" + "a" * 3000 + "/tags/list", 404, "NOT_FOUND"),
        ("/v2/a%00b/tags/list", 400, "NAME_INVALID"),
        ("/v2/nothing", 404, "NOT_FOUND"),
        ("/", 404, "NOT_FOUND"),
        ("/charts/index.yaml", 404, "NOT_FOUND"),
        (f"{NAME}/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        (f"{NAME}/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        (f"{NAME}/referrers/latest", 400, "DIGEST_INVALID"),
        (f"{NAME}/manifests/latest?ns=../..", 400, "NAME_INVALID"),
    ],
)
def test_errors_are_worded_as_the_specification_has_them(
    client: Client, path: str, status: int, code: str
) -> None:
    assert error_of(client("GET", path)) == (status, code)
    assert client.errors == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"{NAME}/manifests/latest", "GET, HEAD"),
        ("DELETE", f"{NAME}/manifests/latest", "GET, HEAD"),
        ("POST", f"{NAME}/blobs/uploads/", ""),
        ("PATCH", f"{NAME}/blobs/uploads/{'0' * 32}", ""),
        ("DELETE", f"{NAME}/blobs/{DIGEST}", "GET, HEAD"),
    ],
)
def test_a_read_only_registry_takes_nothing(
    client: Client, method: str, path: str, allowed: str
) -> None:
    response = client(method, path, b"{}")

    assert error_of(response) == (405, "UNSUPPORTED")
    assert response.headers["Allow"] == allowed


def test_a_whole_blob(client: Client) -> None:
    response = client("GET", f"{NAME}/blobs/{DIGEST}")

    assert response.status == 200
    assert whole(response) == DATA
    assert response.headers["Content-Type"] == OCTET_STREAM
    assert response.headers["Docker-Content-Digest"] == DIGEST
    assert response.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=990-", 990, 999),
        ("bytes=-10", 990, 999),
        ("bytes=-5000", 0, 999),
        ("bytes=500-99999", 500, 999),
        ("bytes=0-", 0, 999),
    ],
)
def test_a_range_of_a_blob(client: Client, text: str, first: int, last: int) -> None:
    response = client("GET", f"{NAME}/blobs/{DIGEST}", range=text)

    assert response.status == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/1000"
    assert whole(response) == DATA[first : last + 1]


@pytest.mark.parametrize("text", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_outside_the_blob(client: Client, text: str) -> None:
    response = client("GET", f"{NAME}/blobs/{DIGEST}", range=text)

    assert response.status == 416
    assert response.headers["Content-Range"] == "bytes */1000"


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-1,4-5"},
        {"range": "bytes=-"},
        {"range": "bytes=9-1"},
        {"range": "lines=0-1"},
        {"range": "bytes=0-1", "if_range": '"sha256:other"'},
    ],
)
def test_a_range_that_is_none_gets_the_whole_blob(client: Client, headers: dict[str, str]) -> None:
    response = client("GET", f"{NAME}/blobs/{DIGEST}", b"", **headers)

    assert response.status == 200
    assert whole(response) == DATA


def test_a_range_on_condition_that_holds(client: Client) -> None:
    response = client("GET", f"{NAME}/blobs/{DIGEST}", range="bytes=0-1", if_range=f'"{DIGEST}"')

    assert response.status == 206


def test_tags_in_pages(client: Client) -> None:
    everything = client("GET", f"{NAME}/tags/list")
    first = client("GET", f"{NAME}/tags/list?n=2")
    second = client("GET", f"{NAME}/tags/list?n=2&last=1.27")
    none = client("GET", f"{NAME}/tags/list?n=0")

    assert json.loads(everything.body)["tags"] == ["1.26", "1.27", "latest"]
    assert json.loads(first.body) == {"name": "cgr.dev/chainguard/nginx", "tags": ["1.26", "1.27"]}
    assert first.headers["Link"] == f'<{NAME}/tags/list?n=2&last=1.27>; rel="next"'
    assert json.loads(second.body)["tags"] == ["latest"]
    assert "Link" not in second.headers
    assert json.loads(none.body)["tags"] == []


def test_the_link_to_the_next_page_keeps_the_namespace(client: Client) -> None:
    response = client("GET", "/v2/chainguard/nginx/tags/list?n=1&ns=cgr.dev")

    assert response.headers["Link"].startswith(
        "</v2/chainguard/nginx/tags/list?n=1&last=1.26&ns=cgr.dev>"
    )


def test_the_catalogue_in_pages(client: Client, repositories: MemoryRepositories) -> None:
    repositories.create("a")
    repositories.create("b/c")

    response = client("GET", "/v2/_catalog?n=2")

    assert json.loads(response.body) == {"repositories": ["a", "b/c"]}
    assert response.headers["Link"] == '</v2/_catalog?n=2&last=b%2Fc>; rel="next"'


def test_referrers_and_their_filter(client: Client, target: MemoryTarget) -> None:
    index = target.resolve("latest")
    sbom = push_referrer(target, index, annotations={"k": "v"})
    push_referrer(target, index, artifact_type="example/other", content=b"other")

    both = client("GET", f"{NAME}/referrers/{index.digest}")
    one = client("GET", f"{NAME}/referrers/{index.digest}?artifactType=application/spdx%2Bjson")

    assert both.headers["Content-Type"] == OCI_INDEX
    assert "OCI-Filters-Applied" not in both.headers
    assert len(json.loads(both.body)["manifests"]) == 2
    assert one.headers["OCI-Filters-Applied"] == "artifactType"
    assert json.loads(one.body)["manifests"] == [
        {
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/spdx+json",
            "digest": sbom.digest,
            "size": sbom.size,
            "annotations": {"k": "v"},
        }
    ]


@pytest.mark.parametrize("name", [NAME, "/v2/absent"])
def test_without_referrers_the_index_is_empty(client: Client, name: str) -> None:
    response = client("GET", f"{name}/referrers/{DIGEST}")

    assert response.status == 200
    assert json.loads(response.body)["manifests"] == []


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/v2/cgr.dev/chainguard/nginx/manifests/latest", True),
        ("/v2/chainguard/nginx/manifests/latest", True),
        ("/v2/chainguard/nginx/manifests/latest?ns=cgr.dev", True),
        ("/v2/chainguard/nginx/manifests/latest?ns=docker.io", False),
        ("/v2/nginx/manifests/latest", False),
        ("/v2/guard/nginx/manifests/latest", False),
        ("/v2/other/pushed/manifests/latest?ns=cgr.dev", True),
    ],
)
def test_names_with_and_without_their_registry(
    client: Client, repositories: MemoryRepositories, target: str, *, found: bool
) -> None:
    kept_without_host = repositories.create("other/pushed")
    kept_without_host.tag(push_image(kept_without_host), "latest")

    assert client("GET", target).status == (200 if found else 404)


def test_a_name_in_several_registries_is_not_guessed(
    client: Client, repositories: MemoryRepositories
) -> None:
    other = repositories.create("localhost:5000/chainguard/nginx")
    image = push_image(other)
    other.tag(image, "latest")

    ambiguous = client("GET", "/v2/chainguard/nginx/manifests/latest")
    named = client("GET", "/v2/chainguard/nginx/manifests/latest?ns=localhost:5000")

    assert error_of(ambiguous) == (404, "NAME_UNKNOWN")
    assert b"cgr.dev/chainguard/nginx, localhost:5000/chainguard/nginx" in ambiguous.body
    assert named.headers["Docker-Content-Digest"] == image.digest


class Damaged(MemoryTarget):
    """Gives other bytes than it was given."""

    def fetch(self, descriptor: Descriptor) -> ByteStream:
        return BytesStream(b"?" * descriptor.size)


class Fixed(MemoryRepositories):
    def __init__(self, target: MemoryTarget) -> None:
        super().__init__()
        self._target = target

    def get(self, name: str) -> MemoryTarget | None:
        return self._target


def test_a_damaged_manifest_is_not_served() -> None:
    target = Damaged()
    target.tag(push_image(target), "v1")
    client = Client(Fixed(target))

    response = client("GET", "/v2/a/manifests/v1")

    assert error_of(response) == (500, "UNKNOWN")
    assert b"sha256" not in response.body
    assert len(client.errors) == 1


def test_a_damaged_blob_ends_in_an_error() -> None:
    target = Damaged()
    blob = push(target, OCI_LAYER, b"content")

    response = Client(Fixed(target))("GET", f"/v2/a/blobs/{blob.digest}")

    with pytest.raises(PetraError):
        whole(response)


def test_the_helm_repository() -> None:
    files = {"index.yaml": b"apiVersion: v1\n", "nginx-1.2.3.tgz": b"chart", "x": b"hidden"}
    client = Client(MemoryRepositories(), helm=MemoryHelm(files))

    index = client("GET", "/charts/index.yaml")
    chart = client("GET", "/charts/nginx-1.2.3.tgz")

    assert (index.status, index.body) == (200, b"apiVersion: v1\n")
    assert (chart.status, chart.body) == (200, b"chart")
    assert chart.headers["Content-Type"] == "application/gzip"
    assert (
        client("GET", "/charts/nginx-1.2.3.tgz", if_none_match=chart.headers["ETag"]).status == 304
    )
    for path in ("absent-1.tgz", "x", "../index.yaml", "..%2findex.yaml", "%2e%2e", ".tgz"):
        assert client("GET", f"/charts/{path}").status == 404
    assert client("PUT", "/charts/index.yaml").status == 405


@pytest.fixture(params=["memory", "layout"])
def writable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    repositories: Repositories = MemoryRepositories()
    if request.param == "layout":
        repositories = LayoutRepositories(tmp_path / "repositories")
    client = Client(repositories, writable=True)
    yield client
    client.api.close()


def start(client: Client) -> str:
    response = client("POST", "/v2/a/b/blobs/uploads/")
    assert response.status == 202
    return response.headers["Location"]


def test_an_upload_in_pieces(writable: Client) -> None:
    location = start(writable)

    first = writable("PATCH", location, DATA[:400], content_range="0-399")
    status = writable("GET", location)
    second = writable("PATCH", location, DATA[400:900])
    last = writable("PUT", f"{location}?digest={DIGEST}", DATA[900:], content_range="900-999")

    assert (first.status, first.headers["Range"]) == (202, "0-399")
    assert (status.status, status.headers["Range"]) == (204, "0-399")
    assert (second.status, second.headers["Range"]) == (202, "0-899")
    assert last.status == 201
    assert last.headers["Location"] == f"/v2/a/b/blobs/{DIGEST}"
    assert whole(writable("GET", f"/v2/a/b/blobs/{DIGEST}")) == DATA
    assert error_of(writable("GET", location)) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_upload_at_once(writable: Client) -> None:
    response = writable("POST", f"/v2/a/b/blobs/uploads/?digest={DIGEST}", DATA)

    assert response.status == 201
    assert whole(writable("GET", f"/v2/a/b/blobs/{DIGEST}")) == DATA


@pytest.mark.parametrize("text", ["1-400", "bytes 5-404/1000", "0-10"])
def test_a_piece_out_of_order_is_refused(writable: Client, text: str) -> None:
    location = start(writable)

    response = writable("PATCH", location, DATA[:400], content_range=text)

    assert error_of(response) == (416, "BLOB_UPLOAD_INVALID")
    assert response.headers["Range"] == "0-0"
    assert writable("PATCH", location, DATA, content_range="nonsense").status == 400


def test_an_upload_of_other_content_is_forgotten(writable: Client) -> None:
    location = start(writable)

    response = writable("PUT", f"{location}?digest={DIGEST}", DATA + b"!")

    assert error_of(response) == (400, "DIGEST_INVALID")
    assert writable("HEAD", f"/v2/a/b/blobs/{DIGEST}").status == 404
    assert writable("GET", location).status == 404


def test_an_upload_without_a_digest_goes_on(writable: Client) -> None:
    location = start(writable)

    assert error_of(writable("PUT", location, DATA)) == (400, "DIGEST_INVALID")
    assert writable("PUT", f"{location}?digest={DIGEST}", DATA).status == 201


def test_an_upload_belongs_to_its_repository(writable: Client) -> None:
    location = start(writable).replace("/a/b/", "/c/d/")

    assert error_of(writable("PATCH", location, DATA)) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_cancelled_upload_is_forgotten(writable: Client) -> None:
    location = start(writable)
    writable("PATCH", location, DATA)

    assert writable("DELETE", location).status == 204
    assert writable("PATCH", location, DATA).status == 404


def test_uploads_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    client = Client(LayoutRepositories(tmp_path), writable=True)
    cancelled, failed, left = start(client), start(client), start(client)
    for location in (cancelled, failed, left):
        client("PATCH", location, DATA)

    client("DELETE", cancelled)
    client("PUT", f"{failed}?digest={Digest.of(b'other')}")
    client.api.close()

    assert not [path for path in tmp_path.rglob("blobs/**/*") if path.is_file()]


def test_a_mount_copies_between_repositories(writable: Client) -> None:
    writable("POST", f"/v2/a/b/blobs/uploads/?digest={DIGEST}", DATA)

    mounted = writable("POST", f"/v2/c/d/blobs/uploads/?mount={DIGEST}&from=a/b")
    absent = writable("POST", f"/v2/c/d/blobs/uploads/?mount={Digest.of(b'x')}&from=a/b")
    unknown = writable("POST", f"/v2/c/d/blobs/uploads/?mount={DIGEST}&from=e/f")
    anonymous = writable("POST", f"/v2/c/d/blobs/uploads/?mount={DIGEST}")

    assert mounted.status == 201
    assert whole(writable("GET", f"/v2/c/d/blobs/{DIGEST}")) == DATA
    assert {absent.status, unknown.status, anonymous.status} == {202}


def push_over_api(client: Client, source: MemoryTarget, root: Descriptor, name: str) -> Response:
    """Push `root` and all that it needs through the API."""
    mirror = MemoryTarget()
    copy_graph(source, mirror, root)
    response = Response(500)
    seen: list[Descriptor] = []
    copy_graph(mirror, MemoryTarget(), root, workers=1, notify=lambda node, _: seen.append(node))
    for node in seen:
        data = mirror.fetch(node).read()
        if node.media_type in (OCI_INDEX, OCI_MANIFEST):
            path = f"/v2/{name}/manifests/{node.digest}"
            response = client("PUT", path, data, content_type=node.media_type)
        else:
            response = client("POST", f"/v2/{name}/blobs/uploads/?digest={node.digest}", data)
        assert response.status == 201
    return response


def test_manifests_are_taken_when_their_parts_are_there(writable: Client) -> None:
    source = MemoryTarget()
    index = push_index(source)
    raw = source.fetch(index).read()

    early = writable("PUT", "/v2/a/b/manifests/v1", raw, content_type=OCI_INDEX)
    push_over_api(writable, source, index, "a/b")
    tagged = writable("PUT", "/v2/a/b/manifests/v1", raw, content_type=OCI_INDEX)

    assert error_of(early) == (404, "MANIFEST_UNKNOWN")
    assert tagged.status == 201
    assert tagged.headers["Docker-Content-Digest"] == index.digest
    assert tagged.headers["Location"] == f"/v2/a/b/manifests/{index.digest}"
    assert writable("GET", "/v2/a/b/manifests/v1").body == raw
    assert json.loads(writable("GET", "/v2/_catalog").body) == {"repositories": ["a/b"]}


def test_an_image_before_its_layers_is_refused(writable: Client) -> None:
    source = MemoryTarget()
    raw = source.fetch(push_image(source)).read()

    response = writable("PUT", "/v2/a/b/manifests/v1", raw, content_type=OCI_MANIFEST)

    assert error_of(response) == (404, "MANIFEST_BLOB_UNKNOWN")


def test_the_answer_to_a_referrer_names_its_subject(writable: Client) -> None:
    source = MemoryTarget()
    image = push_image(source)
    referrer = push_referrer(source, image)

    response = push_over_api(writable, source, referrer, "a/b")

    assert response.headers["OCI-Subject"] == image.digest
    listed = json.loads(writable("GET", f"/v2/a/b/referrers/{image.digest}").body)
    assert [item["digest"] for item in listed["manifests"]] == [referrer.digest]


@pytest.mark.parametrize(
    ("path", "body", "media_type", "status", "code"),
    [
        ("v1", b"", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"{}", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"{}", None, 400, "MANIFEST_INVALID"),
        ("v1", b'{"schemaVersion":2,"manifests":[]}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"[" * (DOCUMENT_LIMIT + 1), OCI_MANIFEST, 413, "MANIFEST_INVALID"),
        (".v1", b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, 400, "MANIFEST_INVALID"),
        (DIGEST, b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, 400, "DIGEST_INVALID"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(
    writable: Client, path: str, body: bytes, media_type: str | None, status: int, code: str
) -> None:
    response = writable("PUT", f"/v2/a/b/manifests/{path}", body, content_type=media_type)

    assert error_of(response) == (status, code)
    assert writable("GET", "/v2/a/b/manifests/v1").status == 404


@pytest.mark.parametrize("kind", ["memory", "layout"])
def test_an_upload_is_bounded(tmp_path: Path, kind: str) -> None:
    limits = UploadLimits(blob_bytes=500, memory_bytes=500, uploads=2)
    made = MemoryRepositories() if kind == "memory" else LayoutRepositories(tmp_path)
    client = Client(made, writable=True, limits=limits)

    location = start(client)
    response = client("PATCH", location, DATA)
    start(client)
    third = client("POST", "/v2/a/b/blobs/uploads/")

    assert error_of(response) == (413, "SIZE_INVALID")
    assert error_of(third) == (429, "TOOMANYREQUESTS")
    assert third.headers["Retry-After"] == "5"
    client.api.close()


def test_idle_uploads_make_room() -> None:
    limits = UploadLimits(uploads=1, idle_seconds=0)
    client = Client(MemoryRepositories(), writable=True, limits=limits)
    first = start(client)

    start(client)

    assert client("PATCH", first, DATA).status == 404


class FullDisk(MemoryRepositories):
    def create(self, name: str) -> MemoryTarget:
        raise NoSpaceError("the disk is full", where="/var/secret/path")


def test_a_full_disk_has_a_status_of_its_own() -> None:
    client = Client(FullDisk(), writable=True)

    response = client("POST", "/v2/a/blobs/uploads/")

    assert response.status == 507
    assert b"secret" not in response.body


def test_a_writable_server_needs_repositories_that_take_content() -> None:
    class ReadOnly:
        def names(self) -> list[str]:
            return []

        def get(self, name: str) -> MemoryTarget | None:
            return None

        def tags(self, name: str) -> list[str]:
            return []

    with pytest.raises(TypeError):
        Api(ReadOnly(), writable=True)


@pytest.mark.parametrize("target", ["/v2/%ff/tags/list", "/v2/?" + "&".join(["a=b"] * 20)])
def test_what_cannot_be_decoded_is_refused(client: Client, target: str) -> None:
    from petra.serve.messages import ApiError

    with pytest.raises(ApiError) as caught:
        split_target(target)
    assert caught.value.status == 400


def test_repositories_on_disk_keep_to_their_folders(tmp_path: Path) -> None:
    repositories = LayoutRepositories(tmp_path)
    outer, inner = repositories.create("a"), repositories.create("a/blobs/sha256")
    push(outer, OCI_LAYER, b"outer")
    push(inner, OCI_LAYER, b"inner")
    image = push_image(inner)
    inner.tag(image, "v1")

    again = LayoutRepositories(tmp_path)

    assert again.names() == ["a", "a/blobs/sha256"]
    assert again.tags("a/blobs/sha256") == ["v1"]
    assert again.tags("absent") == []
    assert again.get("absent") is None
    assert isinstance(again.get("a"), LayoutTarget)
    assert LayoutRepositories(tmp_path / "absent").names() == []
