"""Manifests, what names stand for, referrers and mirrors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import (
    AccessError,
    DigestMismatchError,
    FormatError,
    NotFoundError,
    PetraError,
    SizeMismatchError,
    TransportError,
    UsageError,
)
from petra.oci.media_types import DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from petra.oci.referrers_api import PAGE_LIMIT, REFERRER_LIMIT
from tests.support.scripted_server import Reply, ScriptedServer

if TYPE_CHECKING:
    from petra.oci.registry import RegistryClient, Repository
    from tests.functional.oci.conftest import MakeClient

CONFIG = Descriptor.of(OCI_CONFIG, b"{}")
# Odd white space: what is written anew has another digest.
RAW = b'{ "schemaVersion":2,\n\n "mediaType":"%s",\n "config": %s, "layers":[]}' % (
    OCI_MANIFEST.encode(),
    json.dumps(CONFIG.to_json()).encode(),
)
MANIFEST = Descriptor.of(OCI_MANIFEST, RAW)
OTHER = Digest.of(b"other")


def reply(raw: bytes = RAW, kind: str = OCI_MANIFEST, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(200, raw, {"Content-Type": kind, **named})


@pytest.fixture
def repository(client: RegistryClient, server: ScriptedServer) -> Repository:
    server.otherwise = reply(Docker_Content_Digest=MANIFEST.digest)
    return client.repository(server.host, "some/repo")


class TestResolve:
    @pytest.mark.parametrize("reference", ["v1", MANIFEST.digest])
    def test_a_head_is_enough(
        self, repository: Repository, server: ScriptedServer, reference: str
    ) -> None:
        assert repository.resolve(reference) == MANIFEST

        (request,) = server.requests
        assert (request.method, request.target) == (
            "HEAD",
            f"/v2/some/repo/manifests/{reference}",
        )
        assert {OCI_INDEX, OCI_MANIFEST, DOCKER_MANIFEST} <= {
            kind.strip() for kind in request.headers["accept"].split(",")
        }

    @pytest.mark.parametrize(
        "head",
        [
            reply(),
            reply(Docker_Content_Digest="sha512:" + "0" * 128),
            reply(kind="application/octet-stream", Docker_Content_Digest=MANIFEST.digest),
            Reply(200, headers={"Content-Type": OCI_MANIFEST}, length=-1),
            Reply(405),
            Reply(501),
        ],
        ids=["no digest", "other algorithm", "no media type", "no length", "405", "501"],
    )
    def test_a_head_that_says_too_little_is_followed_by_a_get_and_a_hash(
        self, repository: Repository, server: ScriptedServer, head: Reply
    ) -> None:
        server.script = [head]

        assert repository.resolve("v1") == MANIFEST
        assert [request.method for request in server.requests] == ["HEAD", "GET"]

    @pytest.mark.parametrize("kind", ["", "application/json", "text/plain; charset=utf-8"])
    def test_a_document_of_no_known_type_is_what_it_says_it_is(
        self, repository: Repository, server: ScriptedServer, kind: str
    ) -> None:
        server.otherwise = reply(kind=kind)

        assert repository.resolve("v1").media_type == OCI_MANIFEST

    def test_a_digest_that_becomes_another(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        server.otherwise = reply(Docker_Content_Digest=OTHER)

        with pytest.raises(DigestMismatchError) as caught:
            repository.resolve(MANIFEST.digest)

        assert (caught.value.expected, caught.value.found) == (MANIFEST.digest, OTHER)

    @pytest.mark.parametrize("reference", ["v9", OTHER])
    def test_an_unknown_one_is_named(
        self, repository: Repository, server: ScriptedServer, reference: str
    ) -> None:
        server.otherwise = Reply(404)

        with pytest.raises(NotFoundError) as caught:
            repository.resolve(reference)

        mark = "@" if reference == OTHER else ":"
        assert f"{server.host}/some/repo{mark}{reference} is not there" in caught.value.message
        assert "check the name" in str(caught.value.hint)

    @pytest.mark.parametrize("reference", ["", "a/b", "../x", "a?b", "x" * 129, "a b", "ü"])
    def test_what_is_no_reference_is_not_asked_for(
        self, repository: Repository, server: ScriptedServer, reference: str
    ) -> None:
        with pytest.raises(UsageError):
            repository.resolve(reference)

        assert server.requests == []

    @pytest.mark.parametrize("reference", ["sha256:00", "sha512:" + "0" * 128, "a:b"])
    def test_what_is_no_digest_is_not_asked_for(
        self, repository: Repository, server: ScriptedServer, reference: str
    ) -> None:
        with pytest.raises(FormatError):
            repository.resolve(reference)

        assert server.requests == []


class TestFetch:
    def test_the_bytes_stay_what_they_are(self, repository: Repository) -> None:
        assert repository.fetch_manifest("v1").raw == RAW
        assert repository.fetch_manifest("v1").descriptor == MANIFEST
        with repository.fetch(MANIFEST) as stream:
            assert stream.read() == RAW

    def test_manifests_are_asked_for_as_manifests(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        repository.fetch(MANIFEST).close()

        assert server.asked("GET") == [f"/v2/some/repo/manifests/{MANIFEST.digest}"]

    def test_a_range_of_a_manifest(self, repository: Repository) -> None:
        assert repository.fetch_range(MANIFEST, 3, 10).read() == RAW[3:13]

    @pytest.mark.parametrize("named", [{}, {"Docker_Content_Digest": MANIFEST.digest}])
    def test_another_manifest_than_the_digest_asked_for(
        self, repository: Repository, server: ScriptedServer, named: dict[str, str]
    ) -> None:
        raw = RAW.replace(b"\n\n", b"\n \n")
        server.otherwise = reply(raw, **named)

        for ask in (
            lambda: repository.fetch_manifest(MANIFEST.digest),
            lambda: repository.fetch(MANIFEST),
        ):
            with pytest.raises(DigestMismatchError) as caught:
                ask()
            assert (caught.value.expected, caught.value.found) == (
                MANIFEST.digest,
                Digest.of(raw),
            )

    def test_a_tags_manifest_that_is_not_what_the_registry_announces(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        server.otherwise = reply(Docker_Content_Digest=OTHER)

        with pytest.raises(DigestMismatchError, match="some/repo:v1"):
            repository.fetch_manifest("v1")

    def test_a_manifest_of_another_size_than_its_descriptor(self, repository: Repository) -> None:
        with pytest.raises(SizeMismatchError):
            repository.fetch(Descriptor(OCI_MANIFEST, MANIFEST.digest, MANIFEST.size + 1))

    @pytest.mark.parametrize("way", [{}, {"chunked": True}, {"endless": True}])
    def test_a_manifest_that_is_too_large(
        self, repository: Repository, server: ScriptedServer, way: dict[str, bool]
    ) -> None:
        body = b" " * (DOCUMENT_LIMIT + 1)
        server.otherwise = Reply(200, body, {"Content-Type": OCI_MANIFEST}, **way)

        with pytest.raises(FormatError, match="too large"):
            repository.fetch_manifest("v1")

    def test_a_manifest_announced_as_something_else(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        server.otherwise = reply(kind=OCI_INDEX)

        with pytest.raises(FormatError):
            repository.fetch_manifest("v1")

    def test_a_cut_manifest_is_asked_for_again(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        server.script = [Reply(200, RAW, {"Content-Type": OCI_MANIFEST}, length=len(RAW), cut=9)]

        assert repository.fetch_manifest("v1").raw == RAW


def referrer(number: int) -> Descriptor:
    return Descriptor(
        OCI_MANIFEST,
        Digest.of(b"%d" % number),
        number,
        artifact_type="application/x",
        annotations={"n": str(number)},
    )


def index(*descriptors: Descriptor) -> bytes:
    value: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX}
    value["manifests"] = [descriptor.to_json() for descriptor in descriptors]
    return json.dumps(value).encode()


class TestReferrers:
    API = f"/v2/some/repo/referrers/{MANIFEST.digest}"
    TAG = f"/v2/some/repo/manifests/sha256-{MANIFEST.digest.hex}"

    def test_the_api_lists_them(self, repository: Repository, server: ScriptedServer) -> None:
        server.otherwise = reply(index(referrer(1), referrer(2), referrer(1)), OCI_INDEX)

        found = repository.referrers(MANIFEST)

        assert found == [referrer(1), referrer(2)]
        assert (found[0].artifact_type, found[0].annotations) == ("application/x", {"n": "1"})
        assert server.asked("GET") == [self.API]

    def test_an_empty_list_is_an_answer(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        server.otherwise = reply(index(), OCI_INDEX)

        assert repository.referrers(MANIFEST) == []
        assert server.asked("GET") == [self.API]

    def test_pages_are_followed(self, repository: Repository, server: ScriptedServer) -> None:
        server.script = [
            reply(index(referrer(1)), OCI_INDEX, Link=f'<{self.API}?last=1&n=1>; rel="next"'),
            reply(index(referrer(2)), OCI_INDEX, Link="<?last=2>; title=x; rel=next"),
            reply(index(referrer(3)), OCI_INDEX, Link='<?last=9>; rel="prev"'),
        ]

        assert repository.referrers(MANIFEST) == [referrer(1), referrer(2), referrer(3)]
        assert server.asked("GET") == [self.API, f"{self.API}?last=1&n=1", f"{self.API}?last=2"]

    def test_pages_without_end_are_an_error(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        server.otherwise = reply(index(referrer(1)), OCI_INDEX, Link='<?more>; rel="next"')

        with pytest.raises(FormatError, match="too many referrers"):
            repository.referrers(MANIFEST)

        assert len(server.requests) == PAGE_LIMIT

    def test_too_many_of_them_are_an_error(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        many = [referrer(number) for number in range(REFERRER_LIMIT + 1)]
        server.otherwise = reply(index(*many), OCI_INDEX)

        with pytest.raises(FormatError, match="too many referrers"):
            repository.referrers(MANIFEST)

    def test_pages_stay_with_the_registry(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        link = f'<{other.url}/v2/x>; rel="next"'
        server.otherwise = reply(index(referrer(1)), OCI_INDEX, Link=link)

        with pytest.raises(TransportError, match="another server"):
            repository.referrers(MANIFEST)

        assert other.requests == []

    @pytest.mark.parametrize(
        "answer",
        [Reply(404), Reply(405), Reply(400), Reply(200, b"<html>"), reply(RAW, "text/html")],
    )
    def test_without_the_api_the_tag_lists_them(
        self, repository: Repository, server: ScriptedServer, answer: Reply
    ) -> None:
        server.script = [answer, reply(index(referrer(1)), OCI_INDEX)]

        assert repository.referrers(MANIFEST) == [referrer(1)]
        assert server.asked("GET") == [self.API, self.TAG]

    def test_without_either_there_are_none(
        self, repository: Repository, server: ScriptedServer
    ) -> None:
        server.otherwise = Reply(404)

        assert repository.referrers(MANIFEST) == []

    @pytest.mark.parametrize(("status", "kind"), [(403, AccessError), (500, TransportError)])
    def test_a_refusal_or_a_failure_is_not_an_empty_list(
        self,
        repository: Repository,
        server: ScriptedServer,
        status: int,
        kind: type[PetraError],
    ) -> None:
        server.otherwise = Reply(status)

        with pytest.raises(kind):
            repository.referrers(MANIFEST)

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b'{"manifests": 5}', b'{"manifests": [{}]}', RAW], ids=repr
    )
    def test_a_list_that_is_none_is_an_error(
        self, repository: Repository, server: ScriptedServer, body: bytes
    ) -> None:
        server.otherwise = reply(body, OCI_INDEX)

        with pytest.raises(FormatError):
            repository.referrers(MANIFEST)


class TestMirrors:
    BLOB = Descriptor.of(OCI_LAYER, b"a layer")

    @pytest.fixture
    def repository(
        self, make_client: MakeClient, server: ScriptedServer, other: ScriptedServer
    ) -> Repository:
        """A repository of `server`, mirrored on `other`."""
        client = make_client(mirrors={server.host: f"{other.host}/cached"})
        server.otherwise = reply(Docker_Content_Digest=MANIFEST.digest)
        return client.repository(server.host, "some/repo")

    def test_a_mirror_is_asked_first(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        other.otherwise = reply(Docker_Content_Digest=MANIFEST.digest)

        assert repository.resolve("v1") == MANIFEST
        assert other.asked("HEAD") == ["/v2/cached/some/repo/manifests/v1"]
        assert server.requests == []

    @pytest.mark.parametrize("answer", [Reply(404), Reply(401), Reply(403), Reply(500), Reply(429)])
    def test_what_it_does_not_give_comes_from_the_registry(
        self,
        repository: Repository,
        server: ScriptedServer,
        other: ScriptedServer,
        waits: list[float],
        answer: Reply,
    ) -> None:
        other.otherwise = answer

        assert repository.resolve("v1") == MANIFEST
        assert (len(other.requests), waits) == (1, [])

    def test_a_mirror_that_fails_is_left_alone_for_a_while(
        self, repository: Repository, other: ScriptedServer
    ) -> None:
        other.otherwise = Reply(500)

        for _ in range(5):
            assert repository.resolve("v1") == MANIFEST

        assert len(other.requests) == 1

    def test_a_mirror_that_lacks_one_thing_is_asked_for_the_next(
        self, repository: Repository, other: ScriptedServer
    ) -> None:
        other.otherwise = Reply(404)

        for _ in range(3):
            assert repository.resolve("v1") == MANIFEST

        assert len(other.requests) == 3

    def test_a_mirror_cannot_change_what_a_digest_stands_for(
        self, repository: Repository, other: ScriptedServer
    ) -> None:
        other.otherwise = reply(RAW + b"\n")

        with pytest.raises(DigestMismatchError, match="mirror"):
            repository.fetch_manifest(MANIFEST.digest)

    def test_a_blob_that_a_mirror_breaks_off_goes_on_at_the_registry(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        other.script = [Reply(200, b"a layer", length=7, cut=3)]
        headers = {"Content-Range": "bytes 3-6/7"}
        server.otherwise = Reply(206, b"ayer", headers)

        with repository.fetch(self.BLOB) as stream:
            assert stream.read() == b"a layer"

        assert len(other.requests) == 2

    def test_referrers_that_a_mirror_does_not_know_come_from_the_registry(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        other.otherwise = reply(index(), OCI_INDEX)
        server.otherwise = reply(index(referrer(1)), OCI_INDEX)

        assert repository.referrers(MANIFEST) == [referrer(1)]

    def test_nothing_is_written_to_a_mirror(
        self, repository: Repository, server: ScriptedServer, other: ScriptedServer
    ) -> None:
        assert repository.exists(MANIFEST)
        repository.tag(MANIFEST, "v2")

        assert other.requests == []

    @pytest.mark.parametrize(
        "mirror",
        ["://", "/", "ftp://host", "u@host", "host/UPPER", "http://registry.example", "h ost"],
    )
    def test_an_unusable_mirror_is_told(self, make_client: MakeClient, mirror: str) -> None:
        client = make_client(mirrors={"registry.example": mirror})

        with pytest.raises(UsageError):
            client.repository("registry.example", "some/repo")


class TestNames:
    @pytest.mark.parametrize("name", ["", "UPPER", "a//b", "../a", "a/", "a?b", "a b"])
    def test_what_is_no_repository(self, client: RegistryClient, name: str) -> None:
        with pytest.raises(UsageError):
            client.repository("127.0.0.1:1", name)

    @pytest.mark.parametrize(
        "registry", ["", "a b", "host:port", "host:99999", "u@h", "a/b", "[x]"]
    )
    def test_what_is_no_registry(self, client: RegistryClient, registry: str) -> None:
        with pytest.raises(UsageError):
            client.repository(registry, "some/repo")

    def test_docker_hub_lives_elsewhere(
        self, make_client: MakeClient, other: ScriptedServer
    ) -> None:
        proxy = {"HTTPS_PROXY": other.url}
        other.upstream = other.port
        client = make_client(proxy, retries=0)

        with pytest.raises(PetraError):
            client.repository("docker.io", "library/nginx").resolve("latest")

        assert other.asked("CONNECT") == ["registry-1.docker.io:443"]
