"""Where the benchmark keeps its image set, and the registry that serves it."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from bench.images import ImageSet, image_set, push, references_of, with_new_layer
from bench.pool import make_pool
from tests.support.docker_registry import running_registry
from tests.support.tools import REPOSITORY, Toolbox, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = REPOSITORY / ".cache" / "bench"
_UPDATE_MB = 20


def cache() -> Path:
    """Return the folder that keeps image sets between runs, ``PETRA_BENCH_DIR`` if set.

    Its number grows when other images are made, so that old ones are not taken for them.
    """
    named = os.environ.get("PETRA_BENCH_DIR")
    return Path(named) if named else cache_folder(os.environ) / "bench-2"


@contextmanager
def registry(toolbox: Toolbox, *, port: int = 0) -> Iterator[str]:
    """Run the real registry over the kept storage; yields ``127.0.0.1:PORT``."""
    program = toolbox.find("docker-registry")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_registry(program, Path(folder), storage=cache() / "storage", port=port) as running,
    ):
        yield running.host


def ensure_pushed(host: str, scale: float) -> tuple[ImageSet, int]:
    """Return the set of `scale`, in the registry at `host`, and its unique layer bytes."""
    images = image_set(cache(), scale)
    return images, _pushed_once(images, host)


def ensure_update_pushed(host: str, images: ImageSet, scale: float) -> ImageSet:
    """Return the set after one new layer, pushed too."""
    pool = make_pool(cache() / "pool", 0)
    changed = with_new_layer(images, pool, _UPDATE_MB * scale)
    _pushed_once(changed, host)
    return changed


def _pushed_once(images: ImageSet, host: str) -> int:
    note = cache() / f"pushed-{images.label}.json"
    if note.exists():
        return int(json.loads(note.read_text())["bytes"])
    print(f"  pushing image set {images.label} to the registry (once)", flush=True)
    size = push(images, host, cache() / "scratch")
    note.write_text(json.dumps({"bytes": size}))
    return size


def write_spec(folder: Path, images: ImageSet, host: str) -> Path:
    """Write the bundle spec of the set to `folder` and return its path.

    The images carry no signature, so the spec switches their verification off.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "Bundle",
        "metadata": {"name": "bench", "version": "1.0.0"},
        "spec": {
            "images": [
                {"name": name, "image": reference}
                for name, reference in references_of(images, host)
            ],
            "output": {"sign": True, "verify": False},
        },
    }
    path = folder / "bundle.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path
