"""What memory does beyond what every Target does (tests/contract/test_target.py)."""

import pytest

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import BytesStream
from petra.errors import FormatError, NotFoundError
from petra.oci.media_types import OCI_LAYER, OCI_MANIFEST
from petra.oci.memory import MemoryTarget
from tests.support.graphs import push, push_image


def test_tags_are_listed_in_order() -> None:
    target = MemoryTarget()
    image = push_image(target)
    for tag in ("v2", "v10", "latest"):
        target.tag(image, tag)

    assert target.tags() == ["latest", "v10", "v2"]


def test_describe_finds_content_by_digest_alone() -> None:
    target = MemoryTarget()
    blob = push(target, OCI_LAYER, b"content")

    assert target.describe(blob.digest).size == 7
    with pytest.raises(NotFoundError):
        target.describe(Digest.of(b"absent"))


def test_a_manifest_that_is_none_is_refused() -> None:
    target = MemoryTarget()
    wrong = Descriptor.of(OCI_MANIFEST, b"{}")

    with pytest.raises(FormatError):
        target.push(wrong, BytesStream(b"{}"))
    assert not target.exists(wrong)


@pytest.mark.parametrize("tag", ["", str(Digest.of(b"x"))])
def test_a_tag_that_nothing_could_find_is_refused(tag: str) -> None:
    target = MemoryTarget()

    with pytest.raises(FormatError):
        target.tag(push_image(target), tag)
