from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from petra.bundle.differential import check_blobs, require_whole
from petra.bundle.inventory import (
    HeldBundle,
    dump_inventory,
    load_inventory,
    new_inventory,
)
from petra.bundle.lock import Lock, LockedBlob, LockedImage, LockedTools
from petra.bundle.metadata import Base, Check, Checks, HeldBlob, Member, Metadata, Tool, Totals
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.encoding.json import dump_json, load_json
from petra.errors import ContentRefusedError, FormatError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIG, OLD, NEW, STRANGE = (
    Descriptor.of("application/octet-stream", text.encode())
    for text in ("config", "old layer", "new layer", "of no image")
)


def lock() -> Lock:
    image = LockedImage(
        name="web",
        reference="registry.example/web:1",
        root=LockedBlob.of(CONFIG),
        documents=(LockedBlob.of(CONFIG),),
        layers=(LockedBlob.of(OLD), LockedBlob.of(NEW)),
    )
    return Lock(
        name="shop",
        version="1.0.0",
        serial=1,
        created=NOON,
        spec_digest=Digest.of(b"spec"),
        tools=LockedTools(petra="0", zstd="0"),
        images=(image,),
    )


def metadata(carried: list[Descriptor], absent: list[Descriptor] | None) -> Metadata:
    base = None
    if absent is not None:
        held = tuple(HeldBlob(digest=one.digest, size=one.size) for one in absent)
        digest = Digest.of(b"inventory")
        base = Base(kind="inventory", name="east", serial=3, digest=digest, absent=held)
    return Metadata(
        name="shop",
        version="1.0.0",
        serial=1,
        created=NOON,
        base=base,
        tool=Tool(name="petra", version="0"),
        checks=Checks(sign=Check.done(), verify=Check.done(), scan=Check.done()),
        totals=Totals(members=0, bytes=0, images=1, charts=0),
        members=tuple(
            Member(name=one.digest.blob_path, size=one.size, digest=one.digest) for one in carried
        ),
    )


@pytest.mark.parametrize(
    ("carried", "absent"), [([CONFIG, NEW], [OLD]), ([CONFIG, OLD, NEW], None)]
)
def test_what_is_listed_as_absent_is_not_missing(carried: Any, absent: Any) -> None:
    check_blobs(metadata(carried, absent), lock())


@pytest.mark.parametrize(
    ("carried", "absent", "says", "which"),
    [
        ([CONFIG, NEW], [], "lacks a blob", OLD),
        ([CONFIG, NEW], None, "lacks a blob", OLD),
        ([CONFIG], [OLD], "lacks a blob", NEW),
        ([CONFIG, OLD, NEW], [OLD], "is there", OLD),
        ([CONFIG, OLD, NEW], [STRANGE], "no layer", STRANGE),
        ([OLD, NEW], [CONFIG], "no layer", CONFIG),
        ([CONFIG, NEW], [Descriptor(OLD.media_type, OLD.digest, 1)], "another size", OLD),
    ],
)
def test_a_list_of_absent_blobs_that_is_wrong_is_refused(
    carried: Any, absent: Any, says: str, which: Descriptor
) -> None:
    with pytest.raises(FormatError, match=says) as caught:
        check_blobs(metadata(carried, absent), lock())
    assert caught.value.where == which.digest


def test_who_needs_a_whole_bundle_refuses_a_differential_one() -> None:
    require_whole(metadata([CONFIG, OLD, NEW], None), "serve")
    require_whole(metadata([CONFIG, OLD, NEW], []), "serve")
    with pytest.raises(ContentRefusedError, match="serve needs a whole one") as caught:
        require_whole(metadata([CONFIG, NEW], [OLD]), "serve")
    assert "the inventory of east, serial 3" in str(caught.value.found)


def bundle(serial: int) -> HeldBundle:
    digest = Digest.of(str(serial).encode())
    return HeldBundle(name="shop", version="1", serial=serial, signer="0" * 64, digest=digest)


def test_an_inventory_is_the_same_bytes_whatever_the_order() -> None:
    blobs = {one.digest: one.size for one in (CONFIG, OLD, NEW)}
    turned = dict(reversed(blobs.items()))
    one = new_inventory("east", 3, NOON, [bundle(1), bundle(2)], blobs)
    two = new_inventory("east", 3, NOON, [bundle(2), bundle(1), bundle(2)], turned)

    assert dump_inventory(one) == dump_inventory(two)
    assert load_inventory(dump_inventory(one), where="i") == one


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["blobs"].reverse(),
        lambda value: value["blobs"].append(value["blobs"][-1]),
        lambda value: value.update(kind="Receipt"),
        lambda value: value.update(more=1),
        lambda value: value["blobs"][0].update(size=-1),
    ],
)
def test_an_inventory_of_another_form_is_refused(change: Any) -> None:
    blobs = {one.digest: one.size for one in (CONFIG, OLD, NEW)}
    value = load_json(dump_inventory(new_inventory("east", 3, NOON, [], blobs)), where="i")
    change(value)
    with pytest.raises(FormatError):
        load_inventory(dump_json(value), where="i")
