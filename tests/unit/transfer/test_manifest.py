"""A chunk folder's manifest: always the same bytes; none that contradicts itself is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from petra.content.digest import Digest
from petra.errors import FormatError
from petra.transfer.manifest import dump_manifest, load_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = Digest.of(b"x")
NAME = "shop-1.tar.zst"


def record(name: str, size: int) -> dict[str, Any]:
    return {"name": name, "size": size, "digest": DIGEST}


def document() -> dict[str, Any]:
    """Return a good manifest: 25 bytes in three chunks, and one of parity."""
    return {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "ChunkManifest",
        "bundle": record(NAME, 25),
        "chunks": [
            record(f"{NAME}.000{number}-of-0003", size)
            for number, size in enumerate((10, 10, 5), 1)
        ],
        "parity": {
            "code": "reed-solomon-cauchy-gf256",
            "groups": [{"chunks": [1, 2, 3], "parity": [record(f"{NAME}.p01", 10)]}],
        },
    }


def read(value: object) -> Any:
    return load_manifest(json.dumps(value).encode())


def test_a_good_one_reads_back_the_same() -> None:
    manifest = read(document())

    assert json.loads(dump_manifest(manifest)) == document()
    assert load_manifest(dump_manifest(manifest)) == manifest
    assert manifest.chunk_size == 10
    assert [file.name for file in manifest.files][-1] == f"{NAME}.p01"


def test_without_parity() -> None:
    value = document()
    del value["parity"]

    assert read(value).parity_files == ()


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    *way, last, new = path

    def change(value: Any) -> None:
        for step in way:
            value = value[step]
        value[last] = new

    return change


GROUP = ("parity", "groups", 0)
BAD: dict[str, Callable[[dict[str, Any]], None]] = {
    "another version": _set("apiVersion", "petra.sh/v2"),
    "another kind": _set("kind", "Bundle"),
    "an unknown field": _set("more", 1),
    "a name with a folder": _set("bundle", "name", "../x"),
    "a name with a newline": _set("bundle", "name", f"{NAME}\n"),
    "no digest": _set("chunks", 0, "digest", "sha256:1"),
    "an empty chunk": _set("chunks", 2, "size", 0),
    "no chunks": _set("chunks", []),
    "a chunk of another name": _set("chunks", 0, "name", "else.0001-of-0003"),
    "chunks out of order": lambda value: value["chunks"].reverse(),
    "a chunk twice": lambda value: value["chunks"].append(value["chunks"][-1]),
    "a chunk too few": lambda value: value["chunks"].pop(),
    "a chunk in the middle of another size": _set("chunks", 1, "size", 9),
    "a last chunk of another size": _set("chunks", 2, "size", 6),
    "a last chunk that is larger than the others": lambda value: (
        _set("chunks", 2, "size", 11)(value),
        _set("bundle", "size", 31)(value),
    )[0],
    "another bundle size": _set("bundle", "size", 26),
    "another code": _set("parity", "code", "xor"),
    "no groups": _set("parity", "groups", []),
    "a chunk in no group": _set(*GROUP, "chunks", [1, 2]),
    "a chunk in a group twice": _set(*GROUP, "chunks", [1, 2, 3, 3]),
    "a chunk that is not there": _set(*GROUP, "chunks", [1, 2, 4]),
    "a group without parity": _set(*GROUP, "parity", []),
    "parity of another name": _set(*GROUP, "parity", 0, "name", f"{NAME}.p02"),
    "parity of another size": _set(*GROUP, "parity", 0, "size", 9),
    "a group that no code holds": _set(
        *GROUP, "parity", [record(f"{NAME}.p{number:02}", 10) for number in range(1, 254)]
    ),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    value = document()
    change(value)

    with pytest.raises(FormatError, match=r"manifest\.json"):
        read(value)


def test_the_largest_group_that_a_code_holds() -> None:
    value = document()
    value["parity"]["groups"][0]["parity"] = [
        record(f"{NAME}.p{number:02}", 10) for number in range(1, 253)
    ]

    assert len(read(value).parity_files) == 252


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"null", b'{"kind": 1, "kind": 2}', b"\xff"])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(FormatError):
        load_manifest(data)


def test_a_manifest_that_is_too_large() -> None:
    with pytest.raises(FormatError, match="too large"):
        load_manifest(b" " * (4 * 1024 * 1024 + 1))
