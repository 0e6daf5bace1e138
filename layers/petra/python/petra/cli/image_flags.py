"""The flags of ``bundle load`` that say how images are loaded, and the mirror rules for them."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from petra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from petra.load.destination import Destination
    from petra.load.image_registry import RegistryDestination
    from petra.load.images import ImageOptions
    from petra.oci.registry import RegistryOptions

F = TypeVar("F", bound="Callable[..., Any]")

_FLAGS = (
    click.option(
        "--keep-hosts",
        is_flag=True,
        help="Images: let the source registry's name stand in the repository's path.",
    ),
    click.option(
        "--sparse-index",
        type=click.Choice(["refuse", "child"]),
        default="refuse",
        help="Images: what to do where a registry refuses an index because the bundle leaves out "
        "some of its platforms: fail, or push the others' manifests alone.",
    ),
    click.option(
        "--chunk-size",
        metavar="SIZE",
        help="Images: send blobs in parts of this size, whole MiB, such as 16MiB.",
    ),
    click.option("--images-only", is_flag=True, help="k3s: the images alone, not the bundle."),
    click.option("--k3s-cache", is_flag=True, help="k3s: make .cache.json, if it is not there."),
    click.option(
        "--ctr",
        metavar="COMMAND",
        default="ctr",
        help="containerd: the program to import with, such as 'k3s ctr'.",
    ),
    click.option(
        "--mirror-config",
        metavar="DIR",
        help="Write mirror rules there, by which nodes find the images in the registry under the "
        "names that manifests have: registries.yaml for k3s, hosts.toml for containerd.",
    ),
)


def image_flags(function: F) -> F:
    """Give a command these flags, which it gets by name."""
    for flag in reversed(_FLAGS):
        function = flag(function)
    return function


def image_options(registry: RegistryOptions, flags: dict[str, Any]) -> ImageOptions:
    """Return what `flags` ask for.

    Args:
        registry: how registries are reached.
        flags: the values of these flags, by name.

    Raises:
        SettingError: the chunk size is none.
        UsageError: the program to import with is none.
    """
    from petra.load.images import ImageOptions  # noqa: PLC0415  # start-up time
    from petra.transfer.sizes import parse_size  # noqa: PLC0415  # as above

    size = flags["chunk_size"]
    if size is not None:
        registry = replace(registry, chunk_size=parse_size(size, where="--chunk-size"))
    return ImageOptions(
        registry=registry,
        keep_hosts=flags["keep_hosts"],
        sparse_index=flags["sparse_index"],
        images_only=flags["images_only"],
        touch_cache=flags["k3s_cache"],
        ctr=_program(flags["ctr"]),
    )


def _program(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text)) or ("ctr",)
    except ValueError as error:
        raise UsageError(
            "not a usable command",
            where="--ctr",
            expected="a program and its arguments, such as 'k3s ctr'",
            found=f"{text[:100]} ({error})",
        ) from None


def mirrored(folder: str | None, places: Sequence[Destination]) -> RegistryDestination | None:
    """Return the registry that mirror rules are to lead to, the first that takes images.

    Args:
        folder: where the rules go; None for nowhere.
        places: the destinations of the load.

    Raises:
        UsageError: rules are wanted, and no registry takes images.
    """
    if folder is None:
        return None
    from petra.load.image_registry import RegistryDestination  # noqa: PLC0415  # start-up time

    found = next((one for one in places if isinstance(one, RegistryDestination)), None)
    if found is None:
        raise UsageError(
            "mirror rules lead to a registry, and no images go to one",
            where=f"--mirror-config {folder}",
            hint="load images to a registry too: --images-to registry://HOST/PREFIX",
        )
    return found


def write_mirrors(folder: Path, registry: RegistryDestination) -> tuple[str, ...]:
    """Write the rules; return what a person does with them, one sentence each.

    Raises:
        StorageError: the disk refused.
    """
    from petra.load.mirrors import how_to_use, write_mirror_config  # noqa: PLC0415  # start-up time

    write_mirror_config(folder, registry.mirrors)
    return how_to_use(folder)
