"""Chooses where images go, by a URI."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from petra.errors import UsageError
from petra.oci.registry import RegistryClient, RegistryOptions
from petra.oci.urls import redact

if TYPE_CHECKING:
    from petra.load.destination import Destination, OpenBundle

K3S_FOLDER: Final = "/var/lib/rancher/k3s/agent/images"


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How images are loaded.

    Attributes:
        registry: how registries are reached; their mirrors do not count here: what is written is
            looked for where it is written.
        workers: blobs and manifests under way at once.
        keep_hosts: let the source registries' names stand in the repositories' paths.
        sparse_index: what to do with an index that a registry refuses because the bundle leaves
            out some of its platforms: fail, or bring the manifests of the others alone.
        images_only: give k3s the images alone, rather than the bundle itself.
        touch_cache: make k3s's ``.cache.json``, so that a restart passes over unchanged files.
        ctr: the program that speaks to containerd, with arguments that come first.
    """

    registry: RegistryOptions = field(default_factory=RegistryOptions)
    workers: int = 4
    keep_hosts: bool = False
    sparse_index: Literal["refuse", "child"] = "refuse"
    images_only: bool = False
    touch_cache: bool = False
    ctr: tuple[str, ...] = ("ctr",)


def image_destination(
    uri: str, bundle: OpenBundle, options: ImageOptions | None = None
) -> Destination:
    """Return the destination of a bundle's images that `uri` names.

    Args:
        uri: ``registry://HOST[:PORT][/PREFIX]``, ``k3s[:DIR]``, ``containerd[:ADDRESS]`` or
            ``layout:DIR``.
        bundle: whose images they are.
        options: how they are loaded.

    Raises:
        UsageError: it is none of these, or the images cannot go there.
    """
    options = options or ImageOptions()
    kind, _, rest = uri.partition(":")
    if uri.startswith("registry://"):
        return _registry(uri, bundle, options)
    if kind == "k3s":
        from petra.load.image_k3s import K3sDestination  # noqa: PLC0415  # as needed

        return K3sDestination(uri, Path(rest or K3S_FOLDER), bundle, options)
    if kind == "containerd":
        from petra.load.image_containerd import ContainerdDestination  # noqa: PLC0415  # as above

        return ContainerdDestination(uri, rest, bundle, options.ctr)
    if kind == "layout" and rest:
        from petra.load.image_layout import LayoutDestination  # noqa: PLC0415  # as above

        return LayoutDestination(uri, Path(rest), bundle, options.workers)
    raise UsageError(
        "not a place for images",
        where=redact(uri),
        expected="registry://HOST[:PORT]/PREFIX, k3s[:DIR], containerd[:ADDRESS] or layout:DIR",
    )


def _registry(uri: str, bundle: OpenBundle, options: ImageOptions) -> Destination:
    from petra.load.image_registry import RegistryDestination  # noqa: PLC0415  # as needed
    from petra.load.places import Place  # noqa: PLC0415  # as above

    place = Place.parse(uri, keep_hosts=options.keep_hosts)
    reached = replace(options.registry, mirrors={})
    return RegistryDestination(
        uri,
        place,
        bundle,
        lambda: RegistryClient(reached),
        workers=options.workers,
        sparse_index=options.sparse_index,
    )
