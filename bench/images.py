"""The image set: six images that share a base, about 1.1 GB of layers, made here."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.pool import Pool, gzip_member, inflated_chunks, make_pool, tar_end, tar_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

MEGABYTE = 1_000_000
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

#: Each image's layers, by name and size in MB at scale 1. A layer that several name is shared.
#: 1,101 MB of unique layers, from 1 to 200 MB, as application images have them.
_SHARED = {"base": 30, "runtime": 80}
_IMAGES: dict[str, dict[str, int]] = {
    "platform/gateway": {"model": 200},
    "platform/catalog": {"libraries": 150, "service": 50},
    "platform/ingest": {"engine": 120, "plugins": 10},
    "team/notebook": {"packages": 180},
    "team/search": {"index": 90, "service": 60, "settings": 5},
    "team/agent": {"tools": 100, "service": 25, "settings": 1},
}
_WITHOUT_RUNTIME = ("platform/gateway", "team/agent")


@dataclass(frozen=True)
class Layer:
    """One layer: what makes it unique, the pieces it is put together from, and its size."""

    name: str
    pieces: tuple[Path, ...]

    def write(self, target: BinaryIO) -> None:
        """Write it whole, gzip members one after another."""
        target.write(gzip_member(tar_entry(f"etc/bench/{self.name}", self.name.encode())))
        target.writelines(piece.read_bytes() for piece in self.pieces)
        target.write(tar_end())


@dataclass(frozen=True)
class ImageSet:
    """The images of one scale, by repository, without a registry's name."""

    label: str
    images: dict[str, tuple[Layer, ...]]

    def references(self, host: str) -> list[str]:
        """Return ``HOST/REPOSITORY:TAG`` of each."""
        return [f"{host}/{repository}:{self.label}" for repository in self.images]


def image_set(cache: Path, scale: float) -> ImageSet:
    """Return the set at `scale` (1 is 1.1 GB), its raw material made where it is missing."""
    wanted = sum(_SHARED.values()) + sum(sum(layers.values()) for layers in _IMAGES.values())
    pool = make_pool(cache / "pool", int(min(scale, 1) * wanted * MEGABYTE * 1.02))
    cursor = _Cursor(pool)
    label = f"x{scale:g}"
    shared = {name: cursor.layer(f"{label}/{name}", size * scale) for name, size in _SHARED.items()}
    images = {}
    for repository, sizes in _IMAGES.items():
        below = [shared["base"]] + [shared["runtime"]] * (repository not in _WITHOUT_RUNTIME)
        own = [
            cursor.layer(f"{label}/{repository}/{name}", size * scale)
            for name, size in sizes.items()
        ]
        images[repository] = (*below, *own)
    return ImageSet(label, images)


def with_new_layer(images: ImageSet, pool: Pool, size: float) -> ImageSet:
    """Return the set as it is after one image got one new layer of `size` MB on top."""
    changed = dict(images.images)
    first = next(iter(changed))
    # From the middle of the pool: bytes that no registry or store has seen in this order.
    cursor = _Cursor(pool, len(pool.pieces) // 2)
    changed[first] = (*changed[first], cursor.layer(f"{images.label}/update", size))
    return ImageSet(f"{images.label}-update", changed)


class _Cursor:
    """Hands out pieces in order, from the start again when all were used."""

    def __init__(self, pool: Pool, start: int = 0) -> None:
        self._pool = pool
        self._next = start

    def layer(self, name: str, size: float) -> Layer:
        pieces: list[Path] = []
        left = size * MEGABYTE
        while left > 0:
            piece = self._pool.pieces[self._next % len(self._pool.pieces)]
            length = piece.stat().st_size
            # Stop at the nearer side of the wanted size, so that small layers stay small.
            if length / 2 > left:
                break
            pieces.append(piece)
            left -= length
            self._next += 1
        return Layer(name, tuple(pieces))


def push(images: ImageSet, host: str, scratch: Path) -> int:
    """Push the set to the registry at `host`, what is missing only; return unique layer bytes."""
    registry = _Registry(host)
    pushed: dict[str, tuple[dict[str, object], str]] = {}
    for repository, layers in images.images.items():
        for layer in layers:
            if layer.name not in pushed:
                pushed[layer.name] = registry.push_layer(repository, layer, scratch)
            else:
                registry.mount(repository, str(pushed[layer.name][0]["digest"]))
        registry.push_image(repository, images.label, [pushed[layer.name] for layer in layers])
    return sum(int(str(descriptor["size"])) for descriptor, _ in pushed.values())


class _Registry:
    """As much of the distribution API as pushing takes."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._home: dict[str, str] = {}

    def _request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        connection.request(method, path, body, headers or {})  # type: ignore[arg-type]
        response = connection.getresponse()
        response.read()
        connection.close()
        return response

    def _upload(self, repository: str, digest: str, body: BinaryIO, size: int) -> None:
        if self._request("HEAD", f"/v2/{repository}/blobs/{digest}").status == http.HTTPStatus.OK:
            return
        start = self._request("POST", f"/v2/{repository}/blobs/uploads/")
        where = urlsplit(start.headers["Location"])
        path = f"{where.path}?{where.query}&digest={digest}"
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        _expect_created(self._request("PUT", path, body, headers), path)

    def push_layer(
        self, repository: str, layer: Layer, scratch: Path
    ) -> tuple[dict[str, object], str]:
        """Push one layer; return its descriptor and its diff ID."""
        scratch.mkdir(parents=True, exist_ok=True)
        path = scratch / "layer"
        with path.open("wb") as target:
            layer.write(target)
        with path.open("rb") as source:
            digest = "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            plain = hashlib.sha256()
            for chunk in inflated_chunks(source):
                plain.update(chunk)
            source.seek(0)
            self._upload(repository, digest, source, path.stat().st_size)
        self._home[digest] = repository
        descriptor = {"mediaType": _LAYER, "digest": digest, "size": path.stat().st_size}
        path.unlink()
        return descriptor, "sha256:" + plain.hexdigest()

    def mount(self, repository: str, digest: str) -> None:
        """Let `repository` share a layer that another one has."""
        home = self._home[digest]
        if home != repository:
            path = f"/v2/{repository}/blobs/uploads/?mount={digest}&from={home}"
            _expect_created(self._request("POST", path), path)

    def push_image(
        self, repository: str, tag: str, layers: list[tuple[dict[str, object], str]]
    ) -> None:
        """Push configuration and manifest."""
        config = _dump(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/bin/sh"]},
                "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
            }
        )
        digest = "sha256:" + hashlib.sha256(config).hexdigest()
        self._upload(repository, digest, io.BytesIO(config), len(config))
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest, "size": len(config)},
            "layers": [descriptor for descriptor, _ in layers],
        }
        path = f"/v2/{repository}/manifests/{tag}"
        response = self._request("PUT", path, _dump(manifest), {"Content-Type": _MANIFEST})
        _expect_created(response, path)


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _expect_created(response: http.client.HTTPResponse, path: str) -> None:
    if response.status != http.HTTPStatus.CREATED:
        message = f"the registry answered {response.status} to {path}"
        raise RuntimeError(message)


def references_of(images: ImageSet, host: str) -> Iterator[tuple[str, str]]:
    """Yield each image's name in a spec and its reference."""
    for reference in images.references(host):
        yield (
            reference.rsplit("/", 2)[1] + "-" + reference.rsplit("/", 1)[1].split(":")[0],
            reference,
        )
