"""Finds the real tools that Petra is tested against.

In this order: the folder in ``PETRA_TOOLS_DIR``; a ready archive beside the checkout
(``../shared/bin/tools.tar.zst``), unpacked once into the cache; what ``make interop-tools`` built
into the cache; ``PATH``.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[2]
ARCHIVE = REPOSITORY.parent / "shared" / "bin" / "tools.tar.zst"

#: Other names under which a tool may stand in a folder.
_ALIASES = {"cosign": ("cosign3", "cosign")}
_WINDOW = 1 << 27
_BUILD_INFO = re.compile(
    # A program of its own module, or one around a library: see tests/interop/referrers_registry.
    rb"\nmod\t\S+\t(v\S+)\t|\ndep\tgithub.com/google/go-containerregistry\t(v\S+)\t"
)
_VERSION = re.compile(r"\d+\.\d+[\w.+~-]*")


#: Every tool that some test asks for.
ALL_TOOLS = (
    *("crane", "cosign", "helm", "kustomize", "oras", "syft", "grype", "apiextensions-apiserver"),
    "conformance",  # the distribution-spec's own
    "referrers-registry",  # go-containerregistry's, with its referrers API turned on
    *(
        "skopeo",
        "docker-registry",
        "containerd",
        "ctr",
        "etcd",
        "zstd",
        "tar",
        "openssl",
        "clamscan",
        *("chromium", "chromedriver"),
    ),
)


class ToolMissingError(LookupError):
    """A tool is nowhere to be found; the text says where we looked."""


class Toolbox:
    """The tools by name, and which of them were used.

    Args:
        environment: where PETRA_TOOLS_DIR, XDG_CACHE_HOME, HOME and PATH come from.
        archive: the ready archive, which may be absent.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, archive: Path = ARCHIVE
    ) -> None:
        self._environment = os.environ if environment is None else environment
        self._archive = archive
        self._found: dict[str, Path] = {}
        self._folders: list[Path] | None = None

    @property
    def strict(self) -> bool:
        """Whether a missing tool is a failure, as in CI, and no reason to skip."""
        return self._environment.get("CI", "").lower() in ("1", "true", "yes")

    @property
    def found(self) -> Mapping[str, Path]:
        """Those asked for so far that are there."""
        return self._found

    def find(self, name: str) -> Path:
        """Return the path of tool `name`.

        Raises:
            ToolMissingError: it is nowhere.
        """
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> Path:
        names = _ALIASES.get(name, (name,))
        for folder in self.folders():
            for candidate in names:
                if os.access(folder / candidate, os.X_OK):
                    return folder / candidate
        for candidate in names:
            if on_path := shutil.which(candidate, path=self._environment.get("PATH")):
                return Path(on_path)
        raise ToolMissingError(
            f"{name}: not in PETRA_TOOLS_DIR, the ready archive, the cache or PATH "
            "(`make interop-tools` installs it)"
        )

    def folders(self) -> list[Path]:
        """Return the folders that are searched before PATH."""
        if self._folders is None:
            self._folders = list(self._find_folders())
        return self._folders

    def _find_folders(self) -> Iterator[Path]:
        if named := self._environment.get("PETRA_TOOLS_DIR"):
            yield Path(named)
        if self._archive.is_file():
            yield unpack_once(self._archive, cache_folder(self._environment))
        yield cache_folder(self._environment) / "tools"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return Petra's cache folder, outside the checkout."""
    base = environment.get("XDG_CACHE_HOME")
    home = Path(environment.get("HOME", tempfile.gettempdir()))
    return (Path(base) if base else home / ".cache") / "petra"


def unpack_once(archive: Path, cache: Path) -> Path:
    """Return the folder that holds the unpacked `archive`, named by the archive's digest.

    Several test runs may do this at once: each unpacks beside, and the first rename wins.
    """
    with archive.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    folder = cache / f"tools-{digest[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="unpack-") as beside:
        _unpack(archive, Path(beside) / "tools")
        try:
            (Path(beside) / "tools").rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    with (
        archive.open("rb") as source,
        decompressor.stream_reader(source) as plain,
        tarfile.open(fileobj=plain, mode="r|") as members,
    ):
        members.extractall(folder, filter="data")


def version_of(tool: Path) -> str:
    """Return the version of `tool`: a Go program's own build information, else what it prints."""
    with tool.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        if info := _BUILD_INFO.search(image):
            return (info.group(1) or info.group(2)).decode()
    for argument in ("--version", "version"):
        output = subprocess.run([tool, argument], capture_output=True, text=True, check=False)
        if match := _VERSION.search(output.stdout):
            return match.group()
    return "unknown version"


def main() -> None:
    """Print each tool with its path and version, or ``missing``, one a line."""
    toolbox = Toolbox()
    for name in ALL_TOOLS:
        try:
            path = toolbox.find(name)
        except ToolMissingError:
            print(name, "missing")  # noqa: T201
        else:
            print(name, path, version_of(path))  # noqa: T201


if __name__ == "__main__":
    main()
