"""Registry options from the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from petra.cli.settings import Settings
    from petra.oci.registry import RegistryOptions

#: The settings that commands take which speak to registries.
REGISTRY_SETTINGS = ("insecure_registries", "mirrors", "ca_file", "connections")


def registry_options(settings: Settings) -> RegistryOptions:
    """Return how registries are reached in this call."""
    from petra.oci.registry import RegistryOptions  # noqa: PLC0415  # loads the HTTP stack

    plain = RegistryOptions(
        insecure_registries=frozenset(settings.insecure_registries),
        mirrors=settings.mirrors or {},
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
    )
    if settings.connections is None:
        return plain
    from dataclasses import replace  # noqa: PLC0415  # as needed

    return replace(plain, connections=settings.connections)


def is_plain(settings: Settings, host: str) -> bool:
    """Say whether plain HTTP is spoken to `host`, HOST or HOST:PORT: loopback, or named as such."""
    from petra.oci.urls import is_loopback  # noqa: PLC0415  # as needed

    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    named = {one.lower() for one in settings.insecure_registries}
    return is_loopback(name.strip("[]")) or not named.isdisjoint({host.lower(), name.lower()})
