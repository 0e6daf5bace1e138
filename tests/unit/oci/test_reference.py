import pytest

from petra.content.digest import Digest
from petra.errors import UsageError
from petra.oci.reference import Reference

DIGEST = Digest.of(b"content")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("chainguard/nginx", "docker.io/chainguard/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("cgr.dev/chainguard/nginx", "cgr.dev/chainguard/nginx:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("myhost:443/app", "myhost:443/app:latest"),
        ("MYHOST/app", "MYHOST/app:latest"),
        ("a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g:latest"),
        (f"cgr.dev/x/y@{DIGEST}", f"cgr.dev/x/y@{DIGEST}"),
        (f"cgr.dev/x/y:v1@{DIGEST}", f"cgr.dev/x/y:v1@{DIGEST}"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
    ],
)
def test_parse_follows_dockers_rules(text: str, full: str) -> None:
    reference = Reference.parse(text)

    assert str(reference) == full
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://cgr.dev/x",
        "NGINX",
        "cgr.dev/",
        "cgr.dev/X",
        "/nginx",
        "a//b",
        "a/../b",
        "nginx:",
        "nginx:-x",
        "nginx:" + "t" * 129,
        "nginx@",
        "nginx@sha256:abc",
        f"nginx@{DIGEST}@{DIGEST}",
        "nginx@sha512:" + "0" * 128,
        "host:70000/app",
        "host:0/app",
        "-host.example/app",
        "user:secret@cgr.dev/app",
        "nginx\n",
        "nginx:1\n",
        "ngïnx",
        "a" * 256,
        "cgr.dev/x?y=z",
    ],
)
def test_parse_refuses_what_is_malformed(text: str) -> None:
    with pytest.raises(UsageError, match="not an image reference"):
        Reference.parse(text)


def test_names_of_a_reference() -> None:
    reference = Reference.parse(f"cgr.dev/chainguard/nginx:1.27@{DIGEST}")

    assert reference.name == "cgr.dev/chainguard/nginx"
    assert reference.tagged == "cgr.dev/chainguard/nginx:1.27"
    assert reference.identifier == DIGEST
    assert Reference.parse("cgr.dev/x/y:v1").identifier == "v1"
    assert Reference.parse(f"cgr.dev/x/y@{DIGEST}").tagged is None


def test_pinning_keeps_the_tag_and_with_digest_drops_it() -> None:
    reference = Reference.parse("cgr.dev/x/y:v1")

    assert str(reference.pinned(DIGEST)) == f"cgr.dev/x/y:v1@{DIGEST}"
    assert str(reference.with_digest(DIGEST)) == f"cgr.dev/x/y@{DIGEST}"


def test_docker_hub_has_another_api_host() -> None:
    assert Reference.parse("nginx").api_host == "registry-1.docker.io"
    assert Reference.parse("localhost:5000/nginx").api_host == "localhost:5000"
