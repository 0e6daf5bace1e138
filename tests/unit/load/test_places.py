from __future__ import annotations

import pytest

from petra.errors import UsageError
from petra.load.places import Place
from petra.oci.reference import Reference

WEB = Reference.parse("cgr.dev/team/web:1.4")


@pytest.mark.parametrize(
    ("uri", "registry", "repository"),
    [
        ("registry://reg.internal", "reg.internal", "team/web"),
        ("registry://reg.internal/", "reg.internal", "team/web"),
        ("registry://reg.internal:5000/apps", "reg.internal:5000", "apps/team/web"),
        ("registry://reg.internal/a/b/", "reg.internal", "a/b/team/web"),
    ],
)
def test_the_prefix_goes_before_the_images_own_repository(
    uri: str, registry: str, repository: str
) -> None:
    place = Place.parse(uri)

    assert place.registry == registry
    assert place.repository(WEB) == repository


@pytest.mark.parametrize(
    "uri",
    [
        "registry://",
        "registry:///apps",
        "registry://reg.internal/Apps",
        "registry://reg.internal/a//b",
        "registry://user:secret@reg.internal/apps",
        "registry://reg.internal/apps?x=y",
        "registry://reg.internal/../x",
        "https://reg.internal/apps",
    ],
)
def test_anything_else_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="not a registry"):
        Place.parse(uri)


@pytest.mark.parametrize(
    "uri", ["registry://user:s3cret@reg.internal/apps", "registry://s3cret@reg.internal"]
)
def test_a_password_in_it_is_not_repeated(uri: str) -> None:
    with pytest.raises(UsageError, match="not a registry") as caught:
        Place.parse(uri)
    assert "s3cret" not in str(caught.value)
    assert "registry://reg.internal" in str(caught.value)


def test_images_of_docker_hub_keep_its_library() -> None:
    place = Place.parse("registry://reg.internal/apps")

    assert place.repository(Reference.parse("nginx:1.27")) == "apps/library/nginx"


def test_two_registries_in_one_repository_are_refused_and_both_named() -> None:
    place = Place.parse("registry://reg.internal/apps")
    other = Reference.parse("docker.io/team/web:1.4")

    with pytest.raises(UsageError) as caught:
        place.check([WEB, other])
    assert caught.value.where == "reg.internal/apps/team/web"
    assert caught.value.found == "cgr.dev/team/web and docker.io/team/web"
    assert "--keep-hosts" in str(caught.value)


def test_two_tags_of_one_repository_go_together() -> None:
    place = Place.parse("registry://reg.internal/apps")

    place.check([WEB, Reference.parse("cgr.dev/team/web:1.5")])


def test_with_their_hosts_kept_they_go_apart() -> None:
    place = Place.parse("registry://reg.internal/apps", keep_hosts=True)
    local = Reference.parse("localhost:5000/team/web:1.4")

    place.check([WEB, local])
    assert place.repository(WEB) == "apps/cgr.dev/team/web"
    assert place.repository(local) == "apps/localhost-5000/team/web"
    assert place.below("cgr.dev") == "apps/cgr.dev"


def test_a_name_too_long_is_refused() -> None:
    place = Place.parse("registry://reg.internal/" + "a" * 250)

    with pytest.raises(UsageError, match="impossible name"):
        place.repository(WEB)
