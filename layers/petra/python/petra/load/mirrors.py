"""Mirror rules: manifests keep their ``cgr.dev/…`` names, and nodes pull from the local registry.

Sources: k3s's documentation, "Private Registry Configuration" (``registries.yaml``, ``rewrite``);
containerd's docs/hosts.md (``hosts.toml``, ``override_path``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petra.archive.sink import write_file
from petra.encoding.yaml import dump_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REGISTRIES: Final = "registries.yaml"


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where the images of one registry are found instead.

    Attributes:
        source: the registry that references name, ``cgr.dev``.
        url: scheme, host and port of the one that has them, ``https://registry.internal:5000``.
        prefix: the path there before each repository; may be empty.
    """

    source: str
    url: str
    prefix: str = ""


def registries_yaml(mirrors: Sequence[Mirror]) -> bytes:
    """Return ``/etc/rancher/k3s/registries.yaml``: one mirror with one rewrite a source registry.

    k3s replaces what the expression matches in the repository's path, and asks by digest as it
    asks by tag. It reads the file when it starts.
    """
    found: dict[str, dict[str, object]] = {}
    for mirror in mirrors:
        entry = found[mirror.source] = {"endpoint": [mirror.url]}
        if mirror.prefix:
            entry["rewrite"] = {"^(.*)$": f"{mirror.prefix}/$1"}
    return dump_yaml({"mirrors": found})


def hosts_toml(mirror: Mirror) -> bytes:
    """Return the ``hosts.toml`` of one source registry.

    The mirror stands in the place of the registry itself too, so nothing is ever asked outside:
    without network that would only take time. containerd 1.6 reads no file without a ``host``. The
    prefix is part of the path that ``override_path`` keeps.
    """
    url = "/".join(filter(None, (mirror.url, "v2", mirror.prefix)))
    how = ['capabilities = ["pull", "resolve"]', "override_path = true"]
    lines = [f'server = "{url}"', *how, "", f'[host."{url}"]', *how]
    return ("\n".join(lines) + "\n").encode()


def mirror_files(mirrors: Sequence[Mirror]) -> dict[str, bytes]:
    """Return the files by path: ``registries.yaml`` and ``certs.d/SOURCE/hosts.toml`` for each."""
    files = {f"certs.d/{_folder(one.source)}/hosts.toml": hosts_toml(one) for one in mirrors}
    return {REGISTRIES: registries_yaml(mirrors), **files}


def write_mirror_config(folder: Path, mirrors: Sequence[Mirror]) -> tuple[Path, ...]:
    """Write the mirror rules to `folder`, each file whole or as it was; return the files.

    Raises:
        StorageError: the disk refused.
    """
    files = {folder / name: data for name, data in mirror_files(mirrors).items()}
    for path, data in files.items():
        write_file(path, data)
    return tuple(files)


def how_to_use(folder: Path) -> tuple[str, ...]:
    """Return what a person does with the files in `folder`, one sentence each."""
    k3s = f"k3s: copy {folder / REGISTRIES} to /etc/rancher/k3s/ on each node, and restart k3s"
    containerd = (
        f"containerd: copy what is in {folder / 'certs.d'} to /etc/containerd/certs.d on each "
        "node, and let the registry's config_path name that folder"
    )
    return k3s, containerd


def _folder(source: str) -> str:
    """Return the folder in which containerd looks, ``host`` or ``host_port_``."""
    host, colon, port = source.rpartition(":")
    return f"{host}_{port}_" if colon and port.isdigit() else source
